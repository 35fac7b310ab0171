"""Temperature scaling (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017)."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field

from engine.calibrators.base import Calibrator, Pool, Vectors, check_teachable
from engine.kernels.calibration import Floats, sigmoid
from engine.types import Mask


class Temperature(Calibrator, name="temperature"):
    """sigmoid(score / T): for scores that are log-odds already, as a cross-encoder's are."""

    one_for_all = True

    temperature: float | None = Field(None, gt=0, description="T; fitted.")

    @property
    def fitted(self) -> bool:
        return self.temperature is not None

    def probabilities(self, pool: Pool, vectors: Vectors) -> Floats:
        assert self.temperature is not None
        return sigmoid(pool.scores / self.temperature)

    def fit(self, pool: Pool, relevant: Mask, vectors: Vectors) -> Self:
        from scipy.optimize import minimize_scalar

        check_teachable(relevant)

        def loss(log_temperature: float) -> float:
            logits = pool.scores / np.exp(log_temperature)
            return float(np.mean(np.logaddexp(0, logits) - relevant * logits))

        best = minimize_scalar(loss, bounds=(np.log(1e-3), np.log(1e4)), method="bounded", options={"xatol": 1e-6})
        return self.model_copy(update={"temperature": float(np.exp(best.x))})
