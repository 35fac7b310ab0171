"""Precision at a cut-off."""

from __future__ import annotations

from typing import ClassVar

from engine.metrics.base import CondensableMetric, Floats, Marked, RelevanceMetric


class Precision(CondensableMetric, RelevanceMetric, name="P"):
    """The share of k ranks that hold a relevant document; ranks left empty count as misses, as in trec_eval."""

    words: ClassVar[str] = "Which share of the first k hits is relevant: what a reader of one page sees."

    cut = "must"

    def values_of(self, marked: Marked) -> Floats:
        assert self.cutoff
        return marked.count(self.relevant(marked) & self.within(marked)) / self.cutoff
