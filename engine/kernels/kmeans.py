"""k-means for a few hundred vectors: k-means++ seeds (Arthur and Vassilvitskii, SODA 2007), then Lloyd's iterations.

scipy's `kmeans2` meets a cluster that lost its last row with a warning or an error, and needs to be told how many rows
differ.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.types import FloatRows, Ints


def kmeans(rows: FloatRows, clusters: int, seed: int = 0, rounds: int = 100) -> Ints:
    """The cluster of each row, int64 [rows], numbered from 0 in the order of their first rows; the same for equal
    arguments.

    rows: float32 [rows, dim]. There are at most `clusters` clusters, fewer where fewer rows differ. Raises ValueError
    below one cluster.
    """
    if clusters < 1:
        raise ValueError(f"{clusters} clusters were asked for; there must be at least one")
    if not len(rows):
        return np.empty(0, np.int64)
    points = rows.astype(np.float64)
    centers = _seeds(points, clusters, np.random.default_rng(seed))
    labels = np.full(len(points), -1, np.int64)
    for _ in range(rounds):
        nearest = _distances(points, centers).argmin(axis=1)
        if (nearest == labels).all():
            break
        labels = nearest
        for cluster in np.unique(labels):  # a cluster that lost its last row keeps its center
            centers[cluster] = points[labels == cluster].mean(axis=0)
    _, first, numbers = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[numbers], np.int64)


def _seeds(points: NDArray[np.float64], clusters: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Rows that lie apart: each next one is drawn in proportion to its squared distance from those before."""
    chosen = [int(random.integers(len(points)))]
    while len(chosen) < clusters:
        distances = _distances(points, points[chosen]).min(axis=1)
        distances[distances < 1e-9] = 0  # rounding leaves traces between equal rows
        if not distances.any():
            break
        chosen.append(int(random.choice(len(points), p=distances / distances.sum())))
    return points[chosen].copy()


def _distances(points: NDArray[np.float64], centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared Euclidean distances, float64 [points, centers]."""
    squares = (points**2).sum(axis=1)[:, None] - 2 * points @ centers.T + (centers**2).sum(axis=1)
    return np.asarray(np.maximum(squares, 0), np.float64)
