"""Precision at a cut-off."""

from __future__ import annotations

from engine.metrics.base import Floats, Marked, RelevanceMetric


class Precision(RelevanceMetric, name="P"):
    """The share of k ranks that hold a relevant document; ranks left empty count as misses, as in trec_eval."""

    cut = "must"

    def values(self, marked: Marked) -> Floats:
        assert self.cutoff
        return marked.count(self.relevant(marked) & self.within(marked)) / self.cutoff
