"""What indexes of encoded rows have in common: their description, which rows are encoded and which taken from before, and opening."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from engine.encoders.base import Encoder
from engine.errors import IndexNotReady
from engine.indexes.base import IndexSpec, OpenIndex, UnitSource, checked_numbers
from engine.indexes.shards import PARTIAL, Shards
from engine.indexes.stored.files import load_info, load_numbers, positions, save_info
from engine.types import Ints, ProgressSink


class EncodedInfo(BaseModel):
    """The description stored with an index; a subclass narrows `format` to its own and adds what it needs to open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    spec: dict[str, Any]
    fingerprint: str
    rows: int = Field(ge=0)


Info = TypeVar("Info", bound=EncodedInfo)


class EncodedOpenIndex(Generic[Info]):
    """Rows that an encoder gave, `width` wide, opened from a folder; a subclass loads them. Read-only, so any thread may search it."""

    rows: Any
    """What the encoder gave, row i of the unit numbers[i]: FloatRows, SparseRows or CodedTokens."""

    def __init__(self, folder: Path, info: Info, width: int) -> None:
        """Raises WorkspaceDamaged, as subclasses do, when a file is not what was written."""
        self.folder = folder
        self.info = info
        self.width = width
        self.fingerprint = info.fingerprint
        self.numbers = load_numbers(folder, info.rows)


Opened = TypeVar("Opened", bound="EncodedOpenIndex[Any]")


@dataclass(frozen=True, slots=True)
class Prepared(Generic[Opened]):
    """A build whose rows are all at hand. `wanted`: every unit, ascending; `new`: those that `old` could not give; `shards` holds the rows."""

    wanted: Ints
    new: Ints
    old: Opened | None
    shards: Shards

    def counts(self) -> dict[str, str | int | float]:
        """How many units were encoded, and how many rows came from the previous index."""
        return {"encoded": len(self.new), "reused": len(self.wanted) - len(self.new)}


class EncodedIndex(IndexSpec):
    """An index of the rows that an encoder gives; a subclass says how they are written and searched."""

    unit: Literal["document", "passage"] = Field(
        "passage", description="what a row stands for: whole documents, or the passages of long ones"
    )
    model: str = Field(min_length=1, description="the encoder of units and queries")

    def expected_fingerprint(self, encoder: Callable[[str], Encoder[Any]]) -> str:
        return encoder(self.model).fingerprint

    def _prepare(
        self,
        source: UnitSource,
        encoder: Encoder[Any],
        previous: OpenIndex | None,
        kind: type[Opened],
        folder: Path,
        progress: ProgressSink,
    ) -> Prepared[Opened]:
        """Encode the units whose rows `previous`, if it is of this kind and encoder, does not hold.

        Encoded shards are kept in `folder`/partial until `_finish`: a folder that still holds them resumes an interrupted build.
        """
        wanted = checked_numbers(source)
        old = previous if isinstance(previous, kind) and _alike(previous, encoder) else None
        shards = Shards(folder / PARTIAL, encoder)
        new = wanted if old is None else wanted[positions(old.numbers, wanted) < 0]
        shards.encode(source, new, progress)
        if old is not None:
            shards.reuse(old.numbers, old.rows)
        return Prepared(wanted, new, old, shards)

    def _finish(self, folder: Path, info: EncodedInfo) -> None:
        """Write the description, the last file of an index, and let go of the shards."""
        save_info(folder, info)
        shutil.rmtree(folder / PARTIAL)

    def _stored(self, folder: Path, schema: type[Info]) -> Info:
        """The description of the index in `folder`. Raises WorkspaceDamaged, IndexNotReady when it was built with other parameters."""
        info = load_info(folder, schema)
        if info.spec != self.model_dump():
            raise IndexNotReady(
                f"The {self.kind} index was built with {info.spec}, not {self.model_dump()}. Build it again."
            )
        return info


def _alike(previous: EncodedOpenIndex[Any], encoder: Encoder[Any]) -> bool:
    """Whether the rows of an index are those that the encoder would give."""
    return previous.fingerprint == encoder.fingerprint and previous.width == encoder.card.dimensions
