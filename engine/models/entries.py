"""The catalogue: what is known about models that people ask for, before any of their files are here. One JSON file each, in `cards/`."""

from __future__ import annotations

import functools
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.models.card import FamilyName, Prompts
from engine.models.family import families, family_of

REPOSITORY = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}"


class CatalogueEntry(BaseModel):
    """A model that can be had. What its makers do not say, or nobody checked, is None; the card made from its files is what counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="folder name here, and catalogue key")
    family: FamilyName
    hub: str = Field(pattern=f"^{REPOSITORY}$", description="its repository on the model hub")
    architecture: str
    licence: str = Field(description="SPDX identifier of the weights' license")
    languages: tuple[str, ...] = Field(description="ISO 639-1 codes, or the one word multilingual")
    parameters: int | None = Field(None, ge=1)
    megabytes: int | None = Field(None, ge=1, description="of the weights as published, about; what is downloaded")
    dimensions: int | None = Field(
        None, ge=1, description="of a vector, or of each token's vector; sparse: vocabulary; cross: 1"
    )
    matryoshka: tuple[int, ...] = Field((), description="sizes that a vector may be cut to, largest first")
    max_tokens: int | None = Field(None, ge=3)
    max_query_tokens: int | None = Field(None, ge=3)
    similarity: Literal["cosine", "dot"] | None = None
    pooling: Literal["mean", "cls", "last"] | None = Field(None, description="dense only")
    queries: Literal["encoded", "inference-free"] = "encoded"
    query_padding: Literal["none", "mask"] = "none"
    skipped_tokens: Literal["none", "punctuation"] = "none"
    prompts: Prompts = Prompts()
    gated: bool = Field(False, description="its terms have to be accepted on the hub first")
    custom_code: bool = Field(False, description="its repository comes with Python code, which is never run here")
    runs: bool = Field(True, description="false: listed for comparison, but of a kind that cannot be run here")
    note: str = ""
    citation: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> CatalogueEntry:
        family = family_of(self.family)
        if self.matryoshka and (not family.pools or self.matryoshka[0] != self.dimensions):
            raise ValueError("matryoshka sizes belong to dense models and begin with the full size")
        if list(self.matryoshka) != sorted(set(self.matryoshka), reverse=True):
            raise ValueError("matryoshka sizes are different and descend")
        if (self.pooling is not None) != family.pools:
            raise ValueError("dense models have a pooling, others have none")
        if self.queries == "inference-free" and not family.looks_up:
            raise ValueError("only sparse models have inference-free queries")
        return self


@functools.cache
def catalogue() -> dict[str, CatalogueEntry]:
    """All entries by name, dense models first, each family in alphabetical order."""
    folder = resources.files(__package__) / "cards"
    found = [
        CatalogueEntry.model_validate_json(file.read_text("utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".json")
    ]
    order = list(families())
    found.sort(key=lambda entry: (order.index(entry.family), entry.name.lower()))
    return {entry.name: entry for entry in found}


def entry_of(name: str) -> CatalogueEntry | None:
    """The entry with this name or this hub repository, upper and lower case alike; None where the catalogue has none."""
    wanted = name.strip().lower()
    return next((e for e in catalogue().values() if wanted in (e.name.lower(), e.hub.lower())), None)
