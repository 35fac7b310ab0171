"""Encoding new units in shards on disk, so that a build that was interrupted does not encode them twice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.encoders.base import Encoder
from engine.encoders.runner import encode_together
from engine.errors import WorkspaceDamaged
from engine.indexes.base import UnitSource
from engine.indexes.stored.files import ascending, load_array, positions, save_array
from engine.indexes.stored.rows import row_kind
from engine.types import Ints, Progress, ProgressSink

SHARD = 2_000  # units
PARTIAL = "partial"  # encoded shards of a build in progress, in the folder of the index


class Shards:
    """Encoded units in `folder`, which may hold shards of an earlier attempt; those of other encoders are ignored.

    The rows are of the encoder's kind: FloatRows, SparseRows or TokenRows.
    """

    def __init__(self, folder: Path, encoder: Encoder[Any]) -> None:
        self.encoder = encoder
        self.kind = row_kind(encoder.card)
        self.dim = encoder.card.dimensions
        self.folder = folder / hashlib.sha256(encoder.fingerprint.encode()).hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._numbers: list[Ints] = []
        self._rows: list[Any] = []
        last = f".{self.kind.parts[-1]}.npy"
        names = sorted(path.name.removesuffix(last) for path in self.folder.glob(f"*{last}"))
        self._next = int(names[-1]) + 1 if names else 0
        for name in names:
            self._take(name)

    @property
    def numbers(self) -> Ints:
        """The units that are encoded, in no particular order."""
        return np.concatenate([np.empty(0, np.int64), *self._numbers])

    def missing(self, numbers: Ints) -> Ints:
        """Those of the ascending `numbers` that are not encoded yet."""
        return numbers[positions(np.sort(self.numbers), numbers) < 0]

    def reuse(self, numbers: Ints, rows: Any) -> None:
        """Count these rows of an earlier index (ascending unit numbers, and their rows) as encoded, too."""
        self._numbers.append(numbers)
        self._rows.append(rows)

    def encode(self, source: UnitSource, numbers: Ints, progress: ProgressSink) -> None:
        """Encode those of `numbers` that are not encoded yet. Raises BadInput when the encoder returns unusable rows."""
        encode_shared([self], [numbers], source, progress)

    def rows(self, numbers: Ints) -> Any:
        """The rows of these units, in this order. Raises LookupError where one was not encoded."""
        which, at = np.full(len(numbers), -1, np.int64), np.zeros(len(numbers), np.int64)
        for part, of_part in enumerate(self._numbers):
            found = positions(of_part, numbers)
            which[found >= 0], at[found >= 0] = part, found[found >= 0]
        if len(which) and which.min() < 0:
            raise LookupError(f"{int((which < 0).sum())} units were not encoded")
        return self.kind.gather(self._rows, which, at)

    def put(self, numbers: Ints, rows: Any) -> None:
        """Store the rows of some units as a new shard. Raises BadInput when they are unusable, StorageFull."""
        rows = self.kind.checked(rows, len(numbers), self.encoder.card.name)
        name = f"{self._next:06d}"  # never the name of another shard, not even of a damaged one
        self._next += 1
        save_array(self.folder, f"{name}.numbers.npy", numbers)
        arrays = dict(zip(self.kind.parts, self.kind.arrays(rows), strict=True))
        last = self.kind.parts[-1]
        for part in self.kind.parts[:-1]:
            save_array(self.folder, f"{name}.{part}.npy", arrays[part])
        save_array(self.folder, f"{name}.unfinished", arrays[last])
        os.replace(self.folder / f"{name}.unfinished", self.folder / f"{name}.{last}.npy")
        self._take(name)

    def _take(self, name: str) -> None:
        """Use a shard from disk; a damaged one counts as not encoded."""
        try:
            numbers: Ints = load_array(self.folder, f"{name}.numbers.npy", np.int64, (None,))
            rows = self.kind.load(self.folder, f"{name}.", len(numbers))
        except WorkspaceDamaged:
            return
        if not ascending(numbers) or self.kind.complaint(rows, len(numbers)):
            return
        self._numbers.append(numbers)
        self._rows.append(rows)


def encode_shared(
    shards: Sequence[Shards], numbers: Sequence[Ints], source: UnitSource, progress: ProgressSink
) -> None:
    """Encode what each of `shards` still lacks of its ascending `numbers`, every text passing once through a body that they share.

    Several shards must be of encoders that read the same body (`runner.pass_key`). Raises BadInput when one returns unusable rows.
    """
    wanted = [one.missing(of_one) for one, of_one in zip(shards, numbers, strict=True)]
    every = np.unique(np.concatenate([np.empty(0, np.int64), *numbers]))
    readers = np.zeros(len(every), np.int64)  # bit i: shards[i] wants the unit
    for number, missing in enumerate(wanted):
        readers[positions(every, missing)] |= 1 << number
    done = int((readers == 0).sum())
    progress(Progress("encode", done, len(every), "texts"))
    for group in np.unique(readers[readers > 0]).tolist():
        asking = [one for number, one in enumerate(shards) if group >> number & 1]
        units = every[readers == group]
        for start in range(0, len(units), SHARD):
            batch = units[start : start + SHARD]

            def report(step: Progress, before: int = done) -> None:
                progress(Progress("encode", before + step.done, len(every), "texts"))

            for one, rows in zip(asking, _encoded(asking, source.texts(batch), report), strict=True):
                one.put(batch, rows)
            done += len(batch)
            progress(Progress("encode", done, len(every), "texts"))


def _encoded(shards: Sequence[Shards], texts: list[str], progress: ProgressSink) -> list[Any]:
    encoders: list[Any] = [one.encoder for one in shards]
    if len(encoders) == 1:
        return [encoders[0].encode_documents(texts, progress)]
    return encode_together(encoders, texts, progress)
