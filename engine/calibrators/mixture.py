"""Score distributions without judgments: a normal for relevant and an exponential for other hits (Manmatha, Rath and Feng, SIGIR 2001)."""

from __future__ import annotations

from itertools import pairwise
from typing import Self

import numpy as np
from pydantic import Field

from engine.calibrators.base import Calibrator, Pool, Vectors
from engine.kernels.calibration import Floats
from engine.types import Mask

UNKNOWN = 0.5


class Mixture(Calibrator, name="mixture"):
    """Splits each list's own scores into two groups by expectation maximization and says how likely a hit belongs to the higher one.

    The curve of the paper can turn down again above the normal's mean; here it stays at its peak, because a calibrator keeps the order.
    """

    needs_judgments = False

    rounds: int = Field(200, ge=1, le=5_000, description="Most rounds of expectation maximization.")
    least: int = Field(10, ge=3, le=1_000, description=f"A list with fewer hits tells nothing; they get {UNKNOWN}.")

    @property
    def fitted(self) -> bool:
        return True

    def probabilities(self, pool: Pool, vectors: Vectors) -> Floats:
        result = np.full(len(pool.scores), UNKNOWN)
        starts = np.searchsorted(pool.query, np.arange(len(pool.texts) + 1))
        for start, stop in pairwise(starts):
            scores = pool.scores[start:stop]
            if len(scores) >= self.least and scores.max() > scores.min():
                result[start:stop] = _posterior(scores, self.rounds)
        return result

    def fit(self, pool: Pool, relevant: Mask, vectors: Vectors) -> Self:
        return self


def _posterior(scores: Floats, rounds: int) -> Floats:
    """float64 [hits]: the probability of the normal, made to rise with the score."""
    x = (scores - scores.min()) / (scores.max() - scores.min())
    share, rate = 0.1, 1 / max(float(x.mean()), 1e-3)
    mean, deviation = float(np.quantile(x, 0.95)), max(float(x.std()) / 2, 0.05)
    responsibility = np.zeros_like(x)
    for _ in range(rounds):
        normal = share * np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi))
        other = (1 - share) * rate * np.exp(-rate * x)
        before, responsibility = responsibility, normal / np.maximum(normal + other, 1e-300)
        total = responsibility.sum()
        if np.abs(responsibility - before).max() < 1e-6 or total < 1e-6 or len(x) - total < 1e-6:
            break
        share = float(np.clip(total / len(x), 1e-3, 1 - 1e-3))
        mean = float(responsibility @ x / total)
        # A spread of nothing would put all of the normal on one hit.
        deviation = max(float(np.sqrt(responsibility @ (x - mean) ** 2 / total)), 0.02)
        rate = float((len(x) - total) / max((1 - responsibility) @ x, 1e-9))
    order = np.argsort(x, kind="stable")
    rising = np.empty_like(x)
    rising[order] = np.maximum.accumulate(responsibility[order])
    return np.asarray(np.clip(rising, 0.0, 1.0), np.float64)
