"""Platt scaling (Platt, "Probabilistic Outputs for Support Vector Machines", 1999)."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field

from engine.calibrators.base import Calibrator, Pool, Vectors, check_teachable
from engine.kernels.calibration import Floats, sigmoid
from engine.types import Mask


class Platt(Calibrator, name="platt"):
    """sigmoid(slope × score + intercept), fitted by logistic regression."""

    one_for_all = True

    slope: float | None = Field(None, ge=0, description="How fast the odds rise; fitted.")
    intercept: float | None = Field(None, description="The log-odds at a score of 0; fitted.")

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
        slopes, intercept = logistic(((pool.scores - mean) / spread)[:, None], relevant)
        slope = float(slopes[0]) / spread
        if slope < 0:  # higher scores are less often relevant: the best map that keeps the order is flat
            return self.model_copy(update={"slope": 0.0, "intercept": log_odds(relevant)})
        return self.model_copy(update={"slope": slope, "intercept": intercept - slope * float(mean)})


def log_odds(relevant: Mask) -> float:
    """The log-odds of a hit about which nothing is known."""
    return float(np.log((relevant.sum() + 1) / ((~relevant).sum() + 1)))


def logistic(features: Floats, relevant: Mask) -> tuple[Floats, float]:
    """Unpenalized logistic regression with Platt's targets (N₊ + 1) / (N₊ + 2) and 1 / (N₋ + 2), which keep separable data finite.

    features: float64 [hits, features]. Returns the coefficients, float64 [features], and the intercept.
    """
    from scipy.optimize import minimize

    good, bad = int(relevant.sum()), int((~relevant).sum())
    target = np.where(relevant, (good + 1) / (good + 2), 1 / (bad + 2))
    inputs = np.column_stack([features, np.ones(len(features))])

    def loss(theta: Floats) -> tuple[float, Floats]:
        odds = inputs @ theta
        return float(np.mean(np.logaddexp(0, odds) - target * odds)), inputs.T @ (sigmoid(odds) - target) / len(odds)

    def curvature(theta: Floats) -> Floats:
        p = sigmoid(inputs @ theta)
        return np.asarray((inputs * (p * (1 - p))[:, None]).T @ inputs / len(p), np.float64)

    best = minimize(
        loss, np.zeros(inputs.shape[1]), jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-9}
    ).x
    return best[:-1], float(best[-1])
