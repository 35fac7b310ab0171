"""Exact top-k selection with one tie rule: score descending, then row ascending."""

from __future__ import annotations

import numpy as np

from engine.types import FloatRows, Ints, TopK

GROUPS = 64  # rows per group when the k-th best score is bounded from group maxima


def best_rows(scores: FloatRows, k: int, floor: float = -np.inf) -> Ints:
    """The rows of the k highest of `scores` (float32 [rows]) that lie above `floor`, best first; int64 [at most k].

    Ties go to the lower row. Raises ValueError on a negative k or a NaN.
    """
    if k < 0:
        raise ValueError(f"k is {k}; it cannot be negative")
    if k == 0 or not len(scores):
        return np.empty(0, np.int64)
    highest = scores.max()
    if np.isnan(highest):
        raise ValueError("a score is NaN")
    if highest <= floor:
        return np.empty(0, np.int64)
    rows = _candidates(scores, k, floor)
    if len(rows) > k:
        values = scores[rows]
        kth = np.partition(values, len(rows) - k)[len(rows) - k]
        above = rows[values > kth]
        rows = np.concatenate([above, rows[values == kth][: k - len(above)]])
    return rows[np.lexsort((rows, -scores[rows]))]


def empty_hits(queries: int, width: int) -> tuple[Ints, FloatRows]:
    """Rows and scores of a TopK in which nothing was found yet."""
    return np.full((queries, width), -1, np.int64), np.full((queries, width), -np.inf, np.float32)


def put_hits(found: TopK, query: int, scores: FloatRows, k: int, floor: float = -np.inf) -> None:
    """Select from one query's scores (float32 [rows]) into its line of `found`."""
    rows = best_rows(scores, k, floor)
    found.rows[query, : len(rows)] = rows
    found.scores[query, : len(rows)] = scores[rows]


def _candidates(scores: FloatRows, k: int, floor: float) -> Ints:
    """All rows that can be among the best k, ascending.

    Each of k groups holds a row as good as the k-th best group maximum, so that maximum bounds the k-th best score from
    below. Group maxima are one vectorized pass; a full partition of a long array costs about eight times as much.
    """
    width = len(scores) // GROUPS
    if width < 2 * k:
        return np.flatnonzero(scores > floor)
    maxima = scores[: width * GROUPS].reshape(GROUPS, width).max(axis=0)
    bound = np.partition(maxima, width - k)[width - k]
    return np.flatnonzero(scores >= bound) if bound > floor else np.flatnonzero(scores > floor)
