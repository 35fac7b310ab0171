"""Min-max scaling: the score's place between the lowest and the highest. A habit rather than a probability; the baseline of calibration."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from pydantic import Field

from engine.calibrators.base import Calibrator, Pool, Vectors
from engine.kernels.calibration import Floats
from engine.types import Mask


class MinMax(Calibrator, name="min_max"):
    """Scale scores to 0 … 1, by each query's own list or by bounds that were seen before."""

    needs_judgments = False

    scope: Literal["query", "global"] = Field(
        "query", description="query: between a list's own last and first score; global: between fixed bounds."
    )
    low: float | None = Field(None, description="The score that becomes 0; fitted.")
    high: float | None = Field(None, description="The score that becomes 1; fitted.")

    def label(self) -> str:
        return f"min-max ({self.scope})"

    @property
    def fitted(self) -> bool:
        return self.scope == "query" or (self.low is not None and self.high is not None)

    def probabilities(self, pool: Pool, vectors: Vectors) -> Floats:
        if self.scope == "global":
            assert self.low is not None
            assert self.high is not None
            return np.clip((pool.scores - self.low) / max(self.high - self.low, 1e-12), 0.0, 1.0)
        low, high = np.full(len(pool.texts), np.inf), np.full(len(pool.texts), -np.inf)
        np.minimum.at(low, pool.query, pool.scores)
        np.maximum.at(high, pool.query, pool.scores)
        span = (high - low)[pool.query]
        scaled = (pool.scores - low[pool.query]) / np.where(span > 0, span, 1.0)
        return np.where(span > 0, scaled, 1.0)

    def fit(self, pool: Pool, relevant: Mask, vectors: Vectors) -> Self:
        if self.scope == "query" or not len(pool.scores):
            return self
        return self.model_copy(update={"low": float(pool.scores.min()), "high": float(pool.scores.max())})
