"""No structure at all: every row is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel

from engine.indexes.structures.base import Flat, Structure
from engine.types import Mask, ProgressSink, TopK


class Nothing(BaseModel):
    """Nothing is built."""


class Exact(Structure, name="exact"):
    """Compare with every row: never wrong, and as slow as the index is large."""

    rows: ClassVar[tuple[str, ...]] = ("dense", "late")
    exact: ClassVar[bool] = True

    def build(
        self, index: Flat, earlier: Flat | None, progress: ProgressSink
    ) -> tuple[BaseModel, dict[str, str | int | float]]:
        return Nothing(), {}

    def open(self, index: Flat, about: Mapping[str, Any] | None) -> Everything:
        return Everything(index)


@dataclass(frozen=True, slots=True)
class Everything:
    """The rows of an index, one after another."""

    index: Flat
    memory: int = 0

    def search(self, queries: Any, k: int, allowed: Mask | None, effort: int | None) -> TopK:
        """See OpenStructure; there is no less or more effort."""
        found: TopK = self.index.search_exact(queries, k, allowed)
        return found
