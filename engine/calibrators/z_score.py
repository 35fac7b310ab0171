"""Z-scores read as a normal distribution: how far a score stands above the others, as the share of scores that it exceeds."""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
from pydantic import Field

from engine.calibrators.base import Calibrator, Pool, Vectors
from engine.kernels.calibration import Floats
from engine.types import Mask


class ZScore(Calibrator, name="z_score"):
    """The normal distribution function of the standardized score, by each query's own list or by a mean and spread that were seen before."""

    needs_judgments = False

    scope: Literal["query", "global"] = Field(
        "query", description="query: against the list's own mean and spread; global: against fixed ones."
    )
    mean: float | None = Field(None, description="The mean of all scores; fitted.")
    deviation: float | None = Field(None, gt=0, description="Their standard deviation; fitted.")

    def label(self) -> str:
        return f"z-score ({self.scope})"

    @property
    def fitted(self) -> bool:
        return self.scope == "query" or (self.mean is not None and self.deviation is not None)

    def probabilities(self, pool: Pool, vectors: Vectors) -> Floats:
        if self.scope == "global":
            assert self.mean is not None
            assert self.deviation is not None
            return _normal((pool.scores - self.mean) / self.deviation)
        queries = len(pool.texts)
        count = np.maximum(np.bincount(pool.query, minlength=queries), 1)
        mean = np.bincount(pool.query, pool.scores, queries) / count
        centered = pool.scores - mean[pool.query]
        deviation = np.sqrt(np.bincount(pool.query, centered**2, queries) / count)[pool.query]
        return _normal(np.divide(centered, deviation, out=np.zeros_like(centered), where=deviation > 0))

    def fit(self, pool: Pool, relevant: Mask, vectors: Vectors) -> Self:
        if self.scope == "query" or not len(pool.scores):
            return self
        spread = float(pool.scores.std()) or 1.0
        return self.model_copy(update={"mean": float(pool.scores.mean()), "deviation": spread})


def _normal(z: Floats) -> Floats:
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in z], np.float64)
