"""A collection in memory, with what indexes and stages ask of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.encoders.base import Encoder
from engine.indexes.base import IndexSpec, OpenIndex
from engine.models.chat import ChatModel
from engine.testing.fakes import SENTENCES, HashEncoder, OverlapScorer
from engine.types import (
    Ints,
    Progress,
    Snapshot,
)


class MemorySource:
    """Units held in a dictionary, number to text. `asked` counts the texts that were fetched."""

    def __init__(self, units: Mapping[int, str], encoder: Any = None, scorer: Any = None) -> None:
        self.units = dict(sorted(units.items()))
        self._encoder = encoder or HashEncoder()
        self._scorer = scorer or OverlapScorer()
        self.asked = 0

    @property
    def numbers(self) -> Ints:
        """Ascending unit numbers."""
        return np.array(list(self.units), np.int64)

    def texts(self, numbers: Ints) -> list[str]:
        """The texts of these units, in this order."""
        self.asked += len(numbers)
        return [self.units[number] for number in numbers.tolist()]

    def encoder(self, model: str) -> Any:
        """The same encoder for every model name."""
        return self._encoder

    def scorer(self, model: str) -> Any:
        """The same cross-encoder for every model name."""
        return self._scorer


class MemoryResources:
    """One collection in memory, for running stages: each document is one passage, and document and passage numbers are
    the same.

    Indexes are built where a stage first asks for them, in subfolders of `folder`.
    """

    def __init__(self, texts: Mapping[str, str], folder: Path, encoder: Any = None, scorer: Any = None) -> None:
        self._units = {3 * i + 1: text for i, text in enumerate(texts.values())}
        self._source = MemorySource(self._units, encoder, scorer)
        self._folder = folder
        self._open: dict[IndexSpec, OpenIndex] = {}
        self.chat: ChatModel | None = None
        numbers = self._source.numbers
        places = np.arange(len(numbers), dtype=np.int32)
        self.snapshot = Snapshot(
            "memory", 1, numbers, pl.Series("doc_id", list(texts), dtype=pl.String), numbers, places
        )

    def index(self, spec: IndexSpec) -> OpenIndex:
        """The index of this specification, built on first use."""
        if spec not in self._open:
            self._open[spec] = built(spec, self._source, None, self._folder / str(len(self._open)))
        return self._open[spec]

    def row_docs(self, spec: IndexSpec) -> NDArray[np.int32]:
        """The position of each row's document; rows may be fewer than documents, never others."""
        return np.searchsorted(self.snapshot.doc_nos, self.index(spec).numbers).astype(np.int32)

    def encoder(self, model: str) -> Encoder[Any]:
        """The encoder that was given, whatever the model."""
        found: Encoder[Any] = self._source.encoder(model)
        return found

    def scorer(self, model: str) -> Any:
        """The same cross-encoder for every model name."""
        return self._source.scorer(model)

    def unit_text(self, spec: IndexSpec, row: int) -> str:
        """The text of one row."""
        return self._units[int(self.index(spec).numbers[row])]

    def texts(self, doc_ids: Sequence[str]) -> list[str]:
        """The texts of these documents; empty for one that was never given."""
        held = dict(zip(self.snapshot.doc_ids, self._units.values(), strict=True))
        return [held.get(doc_id, "") for doc_id in doc_ids]

    def language_model(self) -> ChatModel:
        """The one that a test has put here."""
        assert self.chat is not None
        return self.chat

    def passages(self, doc_ids: Sequence[str]) -> list[list[str]]:
        """Each document is its one passage."""
        return [[text] if text else [] for text in self.texts(doc_ids)]


def sentences(count: int) -> dict[int, str]:
    """`count` units with gaps in their numbers and repeated words in their texts."""
    return {7 * i + 3: f"{SENTENCES[i % len(SENTENCES)]} topic{i % 5} item{i}" for i in range(count)}


def built(spec: IndexSpec, source: MemorySource, previous: OpenIndex | None, folder: Path) -> OpenIndex:
    folder.mkdir(parents=True)
    steps: list[Progress] = []
    info = spec.build(source, previous, folder, steps.append)
    assert steps, "a build reports progress"
    index = spec.open(folder)
    assert (info.rows, info.fingerprint) == (len(index.numbers), index.fingerprint)
    return index
