"""Average precision (TREC; Buckley and Voorhees, SIGIR 2000)."""

from __future__ import annotations

from typing import ClassVar

from engine.metrics.base import CondensableMetric, Floats, Marked, RelevanceMetric, share


class AveragePrecision(CondensableMetric, RelevanceMetric, name="AP"):
    """The mean, over all known relevant documents, of the precision at each one's rank; 0 for those not retrieved."""

    words: ClassVar[str] = (
        "How early the relevant documents come, all of them counted. High only where nearly everything "
        "relevant stands near the top."
    )

    def values_of(self, marked: Marked) -> Floats:
        relevant = self.relevant(marked)
        precision = marked.so_far(relevant) / marked.position
        return share(marked.total(relevant & self.within(marked), precision), marked.known(self.rel))
