"""Reciprocal rank (Voorhees, TREC-8 question answering track, 1999)."""

from __future__ import annotations

import numpy as np

from engine.metrics.base import Floats, Marked, RelevanceMetric


class ReciprocalRank(RelevanceMetric, name="RR"):
    """1 / the rank of the first relevant document, 0 without one."""

    def values(self, marked: Marked) -> Floats:
        rows = self.relevant(marked) & self.within(marked)
        best = np.zeros(marked.queries)
        np.maximum.at(best, marked.query[rows], 1.0 / marked.position[rows])
        return best
