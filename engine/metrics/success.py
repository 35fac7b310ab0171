"""Success at a cut-off."""

from __future__ import annotations

import numpy as np

from engine.metrics.base import Floats, Marked, RelevanceMetric


class Success(RelevanceMetric, name="Success"):
    """1 when any of the first k documents is relevant, else 0."""

    cut = "must"

    def values(self, marked: Marked) -> Floats:
        return np.minimum(marked.count(self.relevant(marked) & self.within(marked)), 1.0)
