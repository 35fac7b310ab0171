"""Beta calibration (Kull, Silva Filho and Flach, "Beta calibration", AISTATS 2017)."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field

from engine.calibrators.base import Calibrator, Pool, Vectors, check_teachable
from engine.calibrators.platt import log_odds, logistic
from engine.kernels.calibration import Floats, sigmoid
from engine.types import Mask

EDGE = 1e-3  # scores are scaled into (0, 1) and kept this far from its ends, where the map is infinite


class Beta(Calibrator, name="beta"):
    """sigmoid(a × ln s − b × ln(1 − s) + c) of the score s scaled to 0 … 1: steeper at either end than Platt's curve can be."""

    one_for_all = True

    low: float | None = Field(None, description="The score that becomes 0; fitted.")
    high: float | None = Field(None, description="The score that becomes 1; fitted.")
    a: float | None = Field(None, ge=0, description="Slope near 0; fitted.")
    b: float | None = Field(None, ge=0, description="Slope near 1; fitted.")
    c: float | None = Field(None, description="Intercept; fitted.")

    @property
    def fitted(self) -> bool:
        return None not in (self.low, self.high, self.a, self.b, self.c)

    def probabilities(self, pool: Pool, vectors: Vectors) -> Floats:
        assert self.low is not None
        assert self.high is not None
        assert self.a is not None
        assert self.b is not None
        assert self.c is not None
        features = _features(pool.scores, self.low, self.high)
        return sigmoid(features @ np.array([self.a, self.b]) + self.c)

    def fit(self, pool: Pool, relevant: Mask, vectors: Vectors) -> Self:
        check_teachable(relevant)
        low, high = float(pool.scores.min()), float(pool.scores.max())
        features = _features(pool.scores, low, high)
        used = [0, 1]
        # As the paper does: a coefficient that would reverse the order is left out, and the rest fitted again.
        while True:
            found, intercept = logistic(features[:, used], relevant)
            falling = [place for place, value in zip(used, found, strict=True) if value < 0]
            if not falling:
                break
            used = [place for place in used if place not in falling[:1]]
            if not used:
                return self._with(low, high, (0.0, 0.0), log_odds(relevant))
        slopes = np.zeros(2)
        slopes[used] = found
        return self._with(low, high, (float(slopes[0]), float(slopes[1])), intercept)

    def _with(self, low: float, high: float, slopes: tuple[float, float], c: float) -> Self:
        return self.model_copy(update={"low": low, "high": high, "a": slopes[0], "b": slopes[1], "c": c})


def _features(scores: Floats, low: float, high: float) -> Floats:
    """float64 [hits, 2]: ln s and −ln(1 − s)."""
    s = np.clip((scores - low) / max(high - low, 1e-12), EDGE, 1 - EDGE)
    return np.stack([np.log(s), -np.log1p(-s)], axis=1)
