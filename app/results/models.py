"""What the verbs about models return: plain frozen values that the CLI prints as JSON and the UI draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class SpeedView:
    """What was measured on this computer. Documents and queries a second; for rerankers pairs, and queries with their candidates."""

    provider: str
    threads: int
    documents_per_second: float
    queries_per_second: float
    share: float | None
    """Of the peak of this hardware, 0 to 1."""
    measured_at: str


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model: one that is here, or one that the catalogue knows. Numbers that nobody stated are None, texts then empty."""

    name: str
    family: str
    state: Literal["bundled", "here", "available", "adding", "damaged"]
    """bundled: comes with the program; here: in this workspace; available: can be had; adding: a job is getting it."""
    hub: str
    architecture: str
    licence: str
    languages: tuple[str, ...]
    parameters: int | None
    bytes: int
    """What it takes on this disk; 0 where it is not here."""
    download_megabytes: int | None
    dimensions: int | None
    matryoshka: tuple[int, ...]
    max_tokens: int | None
    similarity: str
    pooling: str
    queries: str
    quantisation: str
    fingerprint: str
    source: str
    revision: str
    prompt_query: str
    prompt_document: str
    gated: bool
    custom_code: bool
    runs: bool
    note: str
    citation: str
    training_data: str
    measured: tuple[tuple[str, str], ...]
    speed: SpeedView | None
    used_by: tuple[str, ...]
    """Collections with an index that it made."""
    pipelines: tuple[str, ...]
    """Names of the pipelines that use it."""


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What adding a model would do."""

    name: str
    source: str
    revision: str
    family: str
    how: Literal["copy", "graph", "round", "convert"]
    files: tuple[tuple[str, int], ...]
    """Path and size in bytes of what would be read or downloaded."""
    bytes: int
    licence: str
    ready: bool
    """False where a package that converts it is not installed; `notes` says which."""
    notes: tuple[str, ...] = ()
