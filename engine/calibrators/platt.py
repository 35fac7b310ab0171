"""Platt scaling (Platt, "Probabilistic Outputs for Support Vector Machines", 1999)."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from pydantic import Field

from engine.calibrators.base import Calibrator, Pool, Vectors, check_teachable
from engine.kernels.calibration import Floats, sigmoid
from engine.types import Mask


class Platt(Calibrator, name="platt"):
    """sigmoid(slope × score + intercept), fitted by logistic regression."""

    slope: float | None = Field(None, ge=0, allow_inf_nan=False, description="How fast the odds rise; fitted.")
    intercept: float | None = Field(None, allow_inf_nan=False, description="The log-odds at a score of 0; fitted.")

    @property
    def fitted(self) -> bool:
        return self.slope is not None and self.intercept is not None

    def probabilities(self, pool: Pool, vectors: Vectors) -> Floats:
        assert self.slope is not None
        assert self.intercept is not None
        return sigmoid(self.slope * pool.scores + self.intercept)

    def fit(self, pool: Pool, relevant: Mask, vectors: Vectors) -> Self:
        check_teachable(relevant)
        mean, spread = pool.scores.mean(), pool.scores.std() or 1.0
        model = logistic(((pool.scores - mean) / spread)[:, None], relevant)
        slope = float(model.coef_[0, 0]) / spread
        if slope < 0:  # higher scores are less often relevant: the best map that keeps the order is flat
            return self.model_copy(update={"slope": 0.0, "intercept": log_odds(relevant)})
        return self.model_copy(update={"slope": slope, "intercept": float(model.intercept_[0] - slope * mean)})


def log_odds(relevant: Mask) -> float:
    """The log-odds of a hit about which nothing is known."""
    return float(np.log((relevant.sum() + 1) / ((~relevant).sum() + 1)))


def logistic(features: Floats, relevant: Mask) -> Any:
    """Unpenalized logistic regression with Platt's targets (N₊ + 1) / (N₊ + 2) and 1 / (N₋ + 2), which keep separable data finite.

    features: float64 [hits, features]. Each hit stands twice, once with each label, weighted by its target.
    """
    from sklearn.linear_model import LogisticRegression

    good, bad = int(relevant.sum()), int((~relevant).sum())
    target = np.where(relevant, (good + 1) / (good + 2), 1 / (bad + 2))
    labels = np.repeat([True, False], len(relevant))
    weights = np.concatenate([target, 1 - target])
    model = LogisticRegression(C=np.inf, max_iter=1_000)
    return model.fit(np.concatenate([features, features]), labels, sample_weight=weights)
