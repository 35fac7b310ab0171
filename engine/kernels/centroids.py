"""Inverted lists of centroids over token vectors, which find candidates for MaxSim (PLAID; Santhanam et al., CIKM
2022)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from engine.types import FloatRows, Ints

SIMILARITIES_AT_ONCE = 1 << 24  # 64 MB of float32


def train(
    sample: FloatRows, clusters: int, rounds: int, seed: int = 0, report: Callable[[int], None] = lambda _: None
) -> FloatRows:
    """Spherical k-means (Dhillon and Modha, Machine Learning 2001): unit vectors, float32 [clusters, dim], the same for
    equal arguments.

    sample: float32 [rows, dim] of unit length, at least as many rows as clusters. It starts from rows of the sample; a
    cluster that lost its last row keeps its centroid. `report` hears the rounds done.
    """
    random = np.random.default_rng(seed)
    centroids = sample[np.sort(random.choice(len(sample), clusters, replace=False))].copy()
    for done in range(rounds):
        report(done)
        labels = nearest(sample, centroids)
        order = np.argsort(labels, kind="stable")
        found, first = np.unique(labels[order], return_index=True)
        sums = np.add.reduceat(sample[order], first, axis=0)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centroids[found] = np.divide(sums, lengths, out=centroids[found], where=lengths > 0)
    report(rounds)
    return centroids


def nearest(vectors: FloatRows, centroids: FloatRows) -> NDArray[np.int32]:
    """The centroid with the largest inner product for each vector (the first among equals), int32 [vectors]."""
    labels = np.empty(len(vectors), np.int32)
    for part in _parts(len(vectors), max(1, SIMILARITIES_AT_ONCE // max(1, len(centroids)))):
        labels[part] = (vectors[part] @ centroids.T).argmax(axis=1)
    return labels


def approximate(
    query: FloatRows, centroids: FloatRows, indptr: Ints, listed: NDArray[np.int32], rows: int, probes: int
) -> FloatRows:
    """An estimate of every row's MaxSim, float32 [rows], from the lists of the `probes` centroids nearest to each query
    token.

    Centroid i lists the rows [indptr[i], indptr[i + 1]) of `listed`. A row counts, for each query token, the similarity
    of the nearest centroid that lists it; a row in none of the probed lists is taken to be as near as the last of them
    (XTR; Lee et al., NeurIPS 2023).
    """
    similarities = query @ centroids.T
    probes = min(probes, len(centroids))
    last = len(centroids) - probes
    total = np.zeros(rows, np.float32)
    best = np.empty(rows, np.float32)
    for of_token, near in zip(similarities, np.argpartition(similarities, last, axis=1)[:, last:], strict=True):
        near = near[np.argsort(of_token[near], kind="stable")]  # ascending: a nearer centroid overwrites
        best.fill(of_token[near[0]])
        for centroid, similarity in zip(near.tolist(), of_token[near].tolist(), strict=True):
            best[listed[indptr[centroid] : indptr[centroid + 1]]] = similarity
        total += best
    return total


def inverted(labels: NDArray[np.int32], rows: NDArray[np.int32], clusters: int) -> tuple[Ints, NDArray[np.int32]]:
    """Lists of distinct rows by label: indptr int64 [clusters + 1] and rows int32, ascending within a list.

    labels, rows: int32 [pairs], in any order, pairs may repeat.
    """
    keys = np.unique((labels.astype(np.int64) << 32) | rows.astype(np.int64))
    indptr = np.searchsorted(keys, np.arange(clusters + 1, dtype=np.int64) << 32)
    return indptr.astype(np.int64), (keys & 0xFFFFFFFF).astype(np.int32)


def _parts(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, start + size)
