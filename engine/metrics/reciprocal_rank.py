"""Reciprocal rank (Voorhees, TREC-8 question answering track, 1999)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from engine.metrics.base import CondensableMetric, Floats, Marked, RelevanceMetric


class ReciprocalRank(CondensableMetric, RelevanceMetric, name="RR"):
    """1 / the rank of the first relevant document, 0 without one."""

    words: ClassVar[str] = (
        "How soon the first relevant document comes: 1 at the top, a half in second place, a third in third. "
        "For questions with one good answer."
    )

    def values_of(self, marked: Marked) -> Floats:
        rows = self.relevant(marked) & self.within(marked)
        best = np.zeros(marked.queries)
        np.maximum.at(best, marked.query[rows], 1.0 / marked.position[rows])
        return best
