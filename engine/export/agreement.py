"""How closely an exported model agrees with its original, in one number that has a threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.encoders.pooling import normalize

Measure = Literal["cosine", "rank correlation"]
Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Mean and lowest agreement between original and export. count: of rows, token vectors or queries; measure: what was compared."""

    measure: Measure
    mean: float
    lowest: float
    count: int

    def measured(self) -> dict[str, float | str]:
        """What a card notes of it."""
        return {
            f"{self.measure} mean": round(self.mean, 5),
            f"{self.measure} lowest": round(self.lowest, 5),
            f"{self.measure} count": float(self.count),
        }


def cosines(reference: Floats, exported: Floats) -> Agreement:
    """Row by row; both [n, dim]. Two rows of zeros agree."""
    one, other = (normalize(np.asarray(rows, dtype=np.float32)) for rows in (reference, exported))
    found = (one * other).sum(axis=1)
    found[~one.any(axis=1) & ~other.any(axis=1)] = 1
    return Agreement("cosine", float(found.mean()), float(found.min()), len(found))


def rank_correlations(reference: Floats, exported: Floats) -> Agreement:
    """Spearman's correlation of the scores of each query's texts; both [queries, texts]. Ties share their mean rank."""
    found = np.array(
        [float(np.corrcoef(_ranks(one), _ranks(other))[0, 1]) for one, other in zip(reference, exported, strict=True)]
    )
    return Agreement("rank correlation", float(found.mean()), float(found.min()), len(found))


def _ranks(scores: Floats) -> NDArray[np.float64]:
    """float64 [n], from 0; equal scores get the mean of their places."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: NDArray[np.float64] = last - (counts + 1) / 2
    return means[places]
