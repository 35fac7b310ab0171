"""Recall at a cut-off."""

from __future__ import annotations

from engine.metrics.base import Floats, Marked, RelevanceMetric, share


class Recall(RelevanceMetric, name="R"):
    """The share of the known relevant documents that are among the first k."""

    cut = "must"

    def values(self, marked: Marked) -> Floats:
        return share(marked.count(self.relevant(marked) & self.within(marked)), marked.known(self.rel))
