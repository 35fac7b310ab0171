"""The index contract: a specification builds a folder from units (documents or passages) and opens it for search."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeAlias, cast

import numpy as np
from pydantic import Field

from engine.component import Component, parse
from engine.encoders.base import Encoder
from engine.errors import BadInput
from engine.indexes.stored.files import ascending
from engine.types import FloatRows, Ints, Mask, ProgressSink, TopK, ignore_progress

if TYPE_CHECKING:
    from engine.encoders.cross import PairScorer

Allowed: TypeAlias = Mask | Ints
"""A filter: which rows pass, bool [rows]; or which units do, int64 numbers."""


class UnitSource(Protocol):
    """The live units that an index is built from."""

    @property
    def numbers(self) -> Ints:
        """Unit numbers, int64, strictly ascending. A changed unit has a new number."""
        ...

    def texts(self, numbers: Ints) -> list[str]:
        """The texts of these units, in this order."""
        ...

    def encoder(self, model: str) -> Encoder[Any]:
        """The dense encoder called `model`."""
        ...

    def scorer(self, model: str) -> PairScorer:
        """The cross-encoder called `model`."""
        ...


class OpenIndex(Protocol):
    """An index that is open for search from any thread. Row i stands for the unit `numbers[i]`."""

    @property
    def numbers(self) -> Ints:
        """The unit number of each row, int64 [rows], strictly ascending."""
        ...

    @property
    def fingerprint(self) -> str:
        """What turned text into rows; rows of equal fingerprints are interchangeable."""
        ...

    def search(self, queries: Any, k: int, allowed: Allowed | None = None) -> TopK:
        """The best min(k, rows) rows for each query among `allowed`. Raises BadInput."""
        ...


class VectorIndex(OpenIndex, Protocol):
    """An index of one vector a row that can be asked for more than its best rows. One that keeps no vectors, or has them elsewhere, raises
    NotExact; whoever asks copes, or hands the error on."""

    @property
    def width(self) -> int:
        """Components of a vector."""
        ...

    def vectors(self, rows: Ints) -> FloatRows:
        """The vectors of these rows, float32 [rows, width]. Raises NotExact."""
        ...

    def scores(self, vector: FloatRows, rows: Ints | None = None) -> FloatRows:
        """The exact score of every row, or of these, for one query (float32 [width]), float32 [rows]. Raises NotExact."""
        ...


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """What a build produced. `dim` is None for indexes without vectors; `details` is shown to the user as it is."""

    rows: int
    dim: int | None
    fingerprint: str
    details: dict[str, str | int | float] = field(default_factory=dict)


class IndexSpec(Component, family="indexes"):
    """The parameters of an index; a subclass is one kind of index in one file."""

    kind: ClassVar[str]
    scored: ClassVar[bool] = False
    """Whether `model` is a cross-encoder, not an encoder."""
    by_number: ClassVar[bool] = False
    """Whether a filter is given to its index as unit numbers, as one that is elsewhere needs it, and not as a mask of rows."""
    joint: ClassVar[bool] = False
    """Whether a row depends on other units, too, so that units that stay may have to be read again."""
    unit: Literal["document", "passage"] = Field(
        "document", description="what a row stands for: whole documents, or the passages of long ones"
    )

    @abstractmethod
    def label(self) -> str:
        """A few words for lists and messages, e.g. "BM25 · english"."""

    def effort(self, units: int) -> str:
        """What building it for so many units takes, in a few words; "" where that is nothing to think about first."""
        return ""

    @abstractmethod
    def expected_fingerprint(self, encoder: Callable[[str], Encoder[Any]]) -> str:
        """What an index built now would be stamped with; one with another stamp must not be searched."""

    @abstractmethod
    def build(
        self, source: UnitSource, previous: OpenIndex | None, folder: Path, progress: ProgressSink = ignore_progress
    ) -> BuildInfo:
        """Write an index of exactly the source's units into the empty `folder`, reusing the rows of `previous` where it can.

        Raises BadInput, StorageFull, MissingDependency, and what `progress` raises.
        """

    @abstractmethod
    def open(self, folder: Path) -> OpenIndex:
        """Open what `build` wrote, after checking every file. Raises WorkspaceDamaged, IndexNotReady when it was built otherwise."""

    def dropped(self, folder: Path) -> None:
        """What `build` wrote into `folder` is about to be deleted: let go of what this index keeps elsewhere. Called once or more.

        Raises a TriptychError where that cannot be reached: then the folder stays, and the next start tries again.
        """


def checked_numbers(source: UnitSource) -> Ints:
    """The source's unit numbers. Raises BadInput when they are not ascending int64."""
    numbers = np.asarray(source.numbers)
    if numbers.dtype != np.int64 or numbers.ndim != 1 or not ascending(numbers) or (len(numbers) and numbers[0] < 0):
        raise BadInput("Unit numbers must be one ascending row of non-negative int64 without repetition.")
    return numbers


def checked_width(k: int, rows: int) -> int:
    """How many hits a query can have at most. Raises BadInput on a negative k."""
    if k < 0:
        raise BadInput(f"k is {k}; ask for 0 or more hits.")
    return min(int(k), rows)


def checked_mask(allowed: Allowed | None, numbers: Ints) -> Mask | None:
    """The filter as bool [rows] of an index whose rows stand for these units; None when it lets every row pass. Raises BadInput when it does
    not fit the index."""
    if allowed is None:
        return None
    if isinstance(allowed, np.ndarray) and allowed.dtype == np.int64 and allowed.ndim == 1:
        allowed = np.isin(numbers, allowed)
    if not isinstance(allowed, np.ndarray) or allowed.dtype != np.bool_ or allowed.shape != numbers.shape:
        raise BadInput(f"A filter for this index must be {len(numbers)} booleans, one a row, or int64 unit numbers.")
    return None if allowed.all() else allowed  # type: ignore[return-value]


def parse_spec(raw: str | Mapping[str, Any] | IndexSpec) -> IndexSpec:
    """An index specification from "bm25" or {"dense": {"model": …}}. Raises BadInput."""
    return cast(IndexSpec, parse("indexes", raw))
