"""How much of a ranking the judgments know: a low share means that the other measures cannot be trusted."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from engine.metrics.base import Floats, Marked, Metric, share


class JudgedShare(Metric, name="Judged"):
    """The share of the first k hits that have a judgment of any rating."""

    words: ClassVar[str] = (
        "How much of the top anybody has judged at all. Where it is low, the other numbers say little."
    )

    def values(self, marked: Marked) -> Floats:
        within = self.within(marked)
        return share(marked.count(within & marked.judged), marked.count(within).astype(np.float64))
