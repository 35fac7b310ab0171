"""Exact inner-product search over float32 rows: a BLAS pass screens, float64 decides."""

from __future__ import annotations

import numpy as np

from engine.kernels.topk import best_rows, empty_hits
from engine.types import FloatRows, Ints, Mask, TopK

SCORES_AT_ONCE = 1 << 25  # 128 MB of float32 scores
GATHER_ROWS = 1 << 15  # rows copied at a time
GATHER_SHARE = 0.1  # below this share of passing rows, copying them is cheaper than scoring all


def exact_top_k(vectors: FloatRows, queries: FloatRows, k: int, allowed: Mask | None, longest: float) -> TopK:
    """The min(k, rows) best rows of `vectors` [rows, dim] for each of `queries` [queries, dim]; `longest` is the
    largest row norm.

    Scores are float64 inner products rounded to float32, ties go to the lower row: the answer depends on neither batch,
    filter nor threads. Raises ValueError when a score is NaN.
    """
    found = TopK(*empty_hits(len(queries), min(k, len(vectors))))
    if not found.rows.size:
        return found
    passing = None if allowed is None else np.flatnonzero(allowed)
    gather = passing is not None and len(passing) < GATHER_SHARE * len(vectors)
    rows = len(passing) if gather and passing is not None else len(vectors)
    batch = max(1, SCORES_AT_ONCE // max(rows, 1))
    for start in range(0, len(queries), batch):
        part = queries[start : start + batch]
        scores = _scores_of(vectors, passing, part) if gather and passing is not None else part @ vectors.T
        if allowed is not None and not gather:
            scores[:, ~allowed] = -np.inf
        for i, (query, row) in enumerate(zip(part, scores, strict=True), start):
            near = contenders(row, k, rounding(vectors.shape[1]) * longest * float(np.linalg.norm(query)))
            put_verified(found, i, vectors, query, passing[near] if gather and passing is not None else near)
    return found


def put_verified(found: TopK, query: int, vectors: FloatRows, vector: FloatRows, rows: Ints) -> None:
    """Rank candidate `rows` of `vectors` by their inner product with `vector` into one line of `found`."""
    scores = inner_products(vectors, vector, rows)
    best = np.lexsort((rows, -scores))[: found.rows.shape[1]]
    found.rows[query, : len(best)] = rows[best]
    found.scores[query, : len(best)] = scores[best]


def inner_products(vectors: FloatRows, vector: FloatRows, rows: Ints) -> FloatRows:
    """Inner products of some rows with one vector, computed in float64, float32 [rows]."""
    wide = vector.astype(np.float64)
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), GATHER_ROWS):
        part = slice(start, start + GATHER_ROWS)
        scores[part] = vectors[rows[part]].astype(np.float64) @ wide
    return scores


def rounding(dim: int) -> float:
    """Twice the worst error of a float32 inner product of unit vectors (Higham, Accuracy and Stability, section
    3.1)."""
    return 2 * dim * float(np.finfo(np.float32).eps) / 2


def contenders(scores: FloatRows, k: int, slack: float) -> Ints:
    """All rows whose true score may be among the best k: those within rounding of the k-th screened score."""
    best = best_rows(scores, k)
    if k == 0 or len(best) < k:
        return best
    return np.flatnonzero(scores >= scores[best[-1]] - np.float32(slack))


def _scores_of(vectors: FloatRows, rows: Ints, queries: FloatRows) -> FloatRows:
    scores = np.empty((len(queries), len(rows)), np.float32)
    for start in range(0, len(rows), GATHER_ROWS):
        part = slice(start, start + GATHER_ROWS)
        scores[:, part] = queries @ vectors[rows[part]].T
    return scores
