"""Isotonic regression (Zadrozny and Elkan, "Transforming Classifier Scores into Accurate Multiclass Probability Estimates", KDD 2002)."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from engine.calibrators.base import Calibrator, Pool, Vectors, check_teachable
from engine.kernels.calibration import Floats
from engine.types import Mask

MOST_STEPS = 2_000


class Isotonic(Calibrator, name="isotonic"):
    """The rising step function that fits the judgments best; straight lines between its corners, flat beyond them."""

    one_for_all = True

    scores: tuple[float, ...] = Field((), max_length=MOST_STEPS, description="Corners, ascending; fitted.")
    values: tuple[float, ...] = Field((), max_length=MOST_STEPS, description="The probability at each corner; fitted.")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        x, y = np.array(self.scores), np.array(self.values)
        if len(x) != len(y) or not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise ValueError("as many finite probabilities as corners are needed")
        if (np.diff(x) <= 0).any() or (np.diff(y) < 0).any() or (len(y) and (y[0] < 0 or y[-1] > 1)):
            raise ValueError("corners must ascend, and their probabilities rise within 0 … 1")
        return self

    @property
    def fitted(self) -> bool:
        return bool(self.scores)

    def probabilities(self, pool: Pool, vectors: Vectors) -> Floats:
        return np.asarray(np.interp(pool.scores, self.scores, self.values), np.float64)

    def fit(self, pool: Pool, relevant: Mask, vectors: Vectors) -> Self:
        from scipy.optimize import isotonic_regression

        check_teachable(relevant)
        x, place = np.unique(np.round(pool.scores, 9), return_inverse=True)
        hits = np.bincount(place).astype(np.float64)
        share = np.bincount(place, weights=relevant) / hits
        y = np.round(isotonic_regression(share, weights=hits).x, 9)
        # Of each step, its ends: what lies between is on the line.
        ends = np.r_[True, y[1:] != y[:-1]] | np.r_[y[1:] != y[:-1], True]
        return self.model_copy(update={"scores": tuple(x[ends].tolist()), "values": tuple(y[ends].tolist())})
