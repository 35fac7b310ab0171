"""The inverted lists of a late index: trained, continued when documents come and go, written and read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.indexes.stored.files import damaged, load_array, positions, save_array
from engine.indexes.stored.rows import CodedTokens, is_partition, is_within, rises_within
from engine.kernels.centroids import approximate, inverted, nearest, train
from engine.types import FloatRows, Ints, Progress, ProgressSink

CENTROIDS, BOUNDS, LISTED = "centroids.npy", "lists_indptr.npy", "lists_rows.npy"
SAMPLE = 50  # tokens to a centroid that it is trained on
ROUNDS = 5
PROBES = 16  # lists that a query token looks into
GROWTH = 1.5  # centroids are trained anew when the tokens have become that many times more or fewer
BLOCK = 1 << 16  # tokens assigned at a time


class CentroidInfo(BaseModel):
    """What the lists must be. trained: how many tokens there were when the centroids were trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clusters: int = Field(ge=1)
    listed: int = Field(ge=1)
    trained: int = Field(ge=1)


class Centroids:
    """Centroids and the rows that each lists, open for search from any thread."""

    def __init__(self, folder: Path, info: CentroidInfo, rows: int, dim: int) -> None:
        """Raises WorkspaceDamaged."""
        self.info = info
        self._rows = rows
        self.vectors: FloatRows = load_array(folder, CENTROIDS, np.float32, (info.clusters, dim))
        self.indptr: Ints = load_array(folder, BOUNDS, np.int64, (info.clusters + 1,))
        self.listed: NDArray[np.int32] = load_array(folder, LISTED, np.int32, (info.listed,))
        if not np.isfinite(self.vectors).all():
            raise damaged(folder, f"{CENTROIDS} holds values that are not numbers")
        if not is_partition(self.indptr, info.listed):
            raise damaged(folder, f"{BOUNDS} does not divide {LISTED}")
        if not is_within(self.listed, rows) or not rises_within(self.listed, self.indptr):
            raise damaged(folder, f"{LISTED} names rows that do not exist, or names one twice")

    def estimates(self, query: FloatRows) -> FloatRows:
        """About the MaxSim of every row, float32 [rows]."""
        return approximate(query, self.vectors, self.indptr, self.listed, self._rows, PROBES)

    @classmethod
    def build(
        cls,
        numbers: Ints,
        rows: CodedTokens,
        folder: Path,
        earlier: tuple[Ints, Centroids] | None,
        progress: ProgressSink,
    ) -> CentroidInfo:
        """Write the lists of an index (its numbers and its rows, one at least). `earlier`: those of the previous generation, continued if they still fit."""
        tokens = len(rows.ids)
        known = None if earlier is None else earlier[1]
        if known is not None and tokens / GROWTH <= known.info.trained <= tokens * GROWTH:
            assert earlier is not None
            vectors, trained = known.vectors, known.info.trained
            at = positions(numbers, earlier[0])  # where the rows of the earlier index are now
            labels = np.repeat(np.arange(len(vectors), dtype=np.int32), np.diff(known.indptr))
            now = at[known.listed]
            pairs = [(labels[now >= 0], now[now >= 0].astype(np.int32))]
            fresh = positions(earlier[0], numbers) < 0
        else:
            vectors, trained, pairs, fresh = _trained(rows, progress), tokens, [], np.ones(len(numbers), np.bool_)
        pairs += _assigned(rows, fresh, vectors, progress)
        of_lists, of_rows = (np.concatenate(part) for part in zip(*pairs, strict=True))
        indptr, listed = inverted(of_lists, of_rows, len(vectors))
        save_array(folder, CENTROIDS, vectors)
        save_array(folder, BOUNDS, indptr)
        save_array(folder, LISTED, listed)
        return CentroidInfo(clusters=len(vectors), listed=len(listed), trained=trained)


def clusters_for(tokens: int) -> int:
    """How many centroids: about twice the square root of the number of tokens (one at least), to the nearest power of two, but not more than tokens."""
    return min(tokens, 1 << round(float(np.log2(2 * tokens**0.5))))


def _trained(rows: CodedTokens, progress: ProgressSink) -> FloatRows:
    tokens = len(rows.ids)
    clusters = clusters_for(tokens)
    chosen = np.random.default_rng(0).choice(tokens, min(tokens, SAMPLE * clusters), replace=False)
    sample = np.empty((len(chosen), rows.codes.shape[1]), np.float32)
    chosen.sort()
    for start in range(0, len(chosen), BLOCK):
        part = chosen[start : start + BLOCK]
        sample[start : start + len(part)] = rows.codes[part].astype(np.float32) * rows.scales[part, None]

    def report(done: int) -> None:
        progress(Progress("cluster", done, ROUNDS, "rounds"))

    return train(sample, clusters, ROUNDS, report=report)


def _assigned(
    rows: CodedTokens, fresh: NDArray[np.bool_], vectors: FloatRows, progress: ProgressSink
) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """(centroid, row) of every token of the fresh rows, block by block, without repetition within a block."""
    wanted = np.repeat(fresh, np.diff(rows.indptr))
    owners = np.repeat(np.arange(len(rows), dtype=np.int32), np.diff(rows.indptr))
    found = [(np.empty(0, np.int32), np.empty(0, np.int32))]
    for start in range(0, len(owners), BLOCK):
        progress(Progress("assign", start, len(owners), "tokens"))
        part = slice(start, start + BLOCK)
        here = wanted[part]
        if not here.any():
            continue
        labels = nearest(rows.store.part(part)[here], vectors)
        indptr, listed = inverted(labels, owners[part][here], len(vectors))
        found.append((np.repeat(np.arange(len(vectors), dtype=np.int32), np.diff(indptr)), listed))
    progress(Progress("assign", len(owners), len(owners), "tokens"))
    return found
