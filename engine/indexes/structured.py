"""Indexes of encoded rows that are searched through a structure: which one, what is stored of it, and what it misses."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, Field

from engine.indexes.base import Allowed, UnitSource
from engine.indexes.encoded import EncodedIndex, EncodedInfo, EncodedOpenIndex
from engine.indexes.stored.files import INFO, damaged
from engine.indexes.structures.base import AUTO, OpenStructure, Structure, structures
from engine.indexes.structures.exact import Exact
from engine.types import ProgressSink, TopK


class StructuredInfo(EncodedInfo):
    """The description stored with the index. `recall`: at 10, against exact search. What a structure must know to open is stored under a name
    of its own, `Structure.stored`.
    """

    model_config = ConfigDict(extra="allow")

    recall: float = Field(1.0, ge=0, le=1)


Info = TypeVar("Info", bound=StructuredInfo)


class StructuredOpenIndex(EncodedOpenIndex[Info]):
    """Rows, memory-mapped, and a structure over them. A subclass checks queries, loads `rows`, and compares exactly."""

    def __init__(self, folder: Path, info: Info, width: int, how: Structure) -> None:
        super().__init__(folder, info, width)
        self.recall = info.recall  # at 10, measured when it was built; 1.0 when exact
        self.how = how
        """The structure's parameters."""

    @property
    def structure(self) -> str:
        """How a search without a filter works: the name of the structure."""
        return self.how.name

    @cached_property
    def searcher(self) -> OpenStructure:
        """The open structure. A subclass asks for it when its rows are loaded, so that damage is noticed there."""
        # A proxy, so that an index that nobody holds any longer lets go of its files and memory at once.
        return self.how.open(weakref.proxy(self), (self.info.model_extra or {}).get(self.how.stored))

    @abstractmethod
    def search_exact(self, queries: Any, k: int, allowed: Allowed | None = None) -> TopK:
        """As `search`, comparing with every allowed row."""


Opened = TypeVar("Opened", bound="StructuredOpenIndex[Any]")


class StructuredIndex(EncodedIndex):
    """An index whose parameter `structure` says how it is searched; subclasses declare it, with a field for `structures(kind)`."""

    large: ClassVar[str]
    """The structure that `auto` takes for a large index; for others it is exact."""
    structure: Any

    @abstractmethod
    def opened(self, folder: Path, info: Any, how: Structure) -> StructuredOpenIndex[Any]:
        """The rows in `folder` with this structure. Raises WorkspaceDamaged."""

    @abstractmethod
    def measured(self, index: Any, source: UnitSource, progress: ProgressSink) -> dict[str, float]:
        """The recall of an approximate search at 10, by the kind of query that it was measured with; each name begins with "recall"."""

    def named_structure(self, name: str) -> Structure:
        """A structure by its name; parameters that are the index's own, too, are taken from there."""
        kind = structures(self.kind)[name]
        own = {parameter: getattr(self, parameter) for parameter in kind.model_fields if hasattr(self, parameter)}
        return kind.model_validate(own)

    def structure_label(self) -> str:
        """How it is searched, for the end of a label; "" where that is left to the index."""
        name = self.structure.name if isinstance(self.structure, Structure) else self.structure
        return "" if name == AUTO else f" · {name}"

    def require(self) -> None:
        """Raises MissingDependency, where a structure was asked for by name that cannot be built here."""
        if self.structure != AUTO:
            self._chosen(large=False).require()

    def _chosen(self, large: bool) -> Structure:
        if isinstance(self.structure, Structure):
            return self.structure
        automatic = self.large if large else Exact.name
        return self.named_structure(automatic if self.structure == AUTO else self.structure)

    def _structured(
        self, info: Info, large: bool, source: UnitSource, old: Any, folder: Path, progress: ProgressSink
    ) -> tuple[Info, dict[str, str | int | float]]:
        """Build the structure over the rows in `folder` (info: their description), and measure what it misses."""
        how = self._chosen(large)
        if how == Exact() or not info.rows:
            return info, {"structure": Exact.name}
        if self.structure == AUTO and how.installed():
            package = how.installed()
            note = (
                f"{package} is not installed, so search stays exact; pip install {package} and rebuild for a faster one"
            )
            return info, {"structure": Exact.name, "note": note}
        about, told = how.build(self.opened(folder, info, Exact()), old, progress)
        index = self.opened(folder, info.model_copy(update={how.stored: about.model_dump(mode="json")}), how)
        recall = {"recall": 1.0} if how.exact else self.measured(index, source, progress)
        return index.info.model_copy(update={"recall": min(recall.values())}), {"structure": how.name, **told, **recall}

    def _reopened(self, folder: Path, info: Info) -> StructuredOpenIndex[Any]:
        """The index in `folder`, with the structure that its description names. Raises WorkspaceDamaged."""
        built: Mapping[str, Any] = {key: about for key, about in (info.model_extra or {}).items() if about is not None}
        by_key = {kind.stored: name for name, kind in structures(self.kind).items()}
        if len(built) > 1 or not set(built) <= set(by_key):
            raise damaged(folder, f"{INFO} names {', '.join(sorted(built))}, which is no structure")
        key = next(iter(built), Exact.stored)
        given = self.structure if isinstance(self.structure, Structure) and self.structure.stored == key else None
        how = given or self.named_structure(by_key[key])
        return self.opened(folder, info, how)
