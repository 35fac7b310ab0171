"""Encoding new units in shards on disk, so that a build that was interrupted does not encode them twice."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from engine.encoders.base import Encoder
from engine.errors import BadInput, WorkspaceDamaged
from engine.indexes.base import UnitSource
from engine.indexes.files import ascending, load_array, positions, save_array
from engine.types import FloatRows, Ints, Progress, ProgressSink

SHARD = 2_000  # units


class Shards:
    """Encoded units in `folder`, which may hold shards of an earlier attempt; those of other encoders are ignored."""

    def __init__(self, folder: Path, encoder: Encoder[Any]) -> None:
        self._encoder = encoder
        self.dim = encoder.card.dimensions
        self.folder = folder / hashlib.sha256(encoder.fingerprint.encode()).hexdigest()[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._numbers: list[Ints] = []
        self._vectors: list[FloatRows] = []
        names = sorted(path.name.removesuffix(".vectors.npy") for path in self.folder.glob("*.vectors.npy"))
        self._next = int(names[-1]) + 1 if names else 0
        for name in names:
            self._take(name)

    @property
    def numbers(self) -> Ints:
        """The units that are encoded, in the order of `rows`."""
        return np.concatenate([np.empty(0, np.int64), *self._numbers])

    def encode(self, source: UnitSource, numbers: Ints, progress: ProgressSink) -> None:
        """Encode those of `numbers` that are not encoded yet. Raises BadInput when the encoder returns unusable rows."""
        known = np.sort(self.numbers)
        wanted = numbers[positions(known, numbers) < 0]
        done = len(numbers) - len(wanted)
        progress(Progress("encode", done, len(numbers), "texts"))
        for start in range(0, len(wanted), SHARD):
            batch = wanted[start : start + SHARD]
            before = done + start

            def report(step: Progress, before: int = before) -> None:
                progress(Progress("encode", before + step.done, len(numbers), "texts"))

            vectors = self._encoder.encode_documents(source.texts(batch), report)
            self._put(batch, self.checked(vectors, len(batch)))
            progress(Progress("encode", before + len(batch), len(numbers), "texts"))

    def rows(self, numbers: Ints) -> FloatRows:
        """The vectors of encoded units, float32 [numbers, dim]."""
        found = np.empty((len(numbers), self.dim), np.float32)
        for of_shard, vectors in zip(self._numbers, self._vectors, strict=True):
            at = positions(of_shard, numbers)
            found[at >= 0] = vectors[at[at >= 0]]
        return found

    def checked(self, vectors: FloatRows, count: int) -> FloatRows:
        """The encoder's rows, when they can stand in an index. Raises BadInput."""
        rows = np.ascontiguousarray(vectors, np.float32)
        name = self._encoder.card.name
        if rows.shape != (count, self.dim):
            raise BadInput(f"The encoder {name} returned {rows.shape} instead of {(count, self.dim)}; choose another.")
        if not np.isfinite(rows).all():
            raise BadInput(f"The encoder {name} returned values that are not numbers; choose another.")
        return rows

    def _put(self, numbers: Ints, vectors: FloatRows) -> None:
        name = f"{self._next:06d}"  # never the name of another shard, not even of a damaged one
        self._next += 1
        save_array(self.folder, f"{name}.numbers.npy", numbers)
        save_array(self.folder, f"{name}.unfinished", vectors)
        os.replace(self.folder / f"{name}.unfinished", self.folder / f"{name}.vectors.npy")
        self._take(name)

    def _take(self, name: str) -> None:
        """Use a shard from disk; a damaged one counts as not encoded."""
        try:
            numbers: Ints = load_array(self.folder, f"{name}.numbers.npy", np.int64, (None,))
            vectors: FloatRows = load_array(
                self.folder, f"{name}.vectors.npy", np.float32, (len(numbers), self.dim), mapped=True
            )
        except WorkspaceDamaged:
            return
        if not ascending(numbers) or not np.isfinite(vectors).all():
            return
        self._numbers.append(numbers)
        self._vectors.append(vectors)
