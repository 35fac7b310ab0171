"""Success at a cut-off."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from engine.metrics.base import CondensableMetric, Floats, Marked, RelevanceMetric


class Success(CondensableMetric, RelevanceMetric, name="Success"):
    """1 when any of the first k documents is relevant, else 0."""

    words: ClassVar[str] = "On which share of the questions at least one of the first k hits is relevant."

    cut = "must"

    def values_of(self, marked: Marked) -> Floats:
        return np.minimum(marked.count(self.relevant(marked) & self.within(marked)), 1.0)
