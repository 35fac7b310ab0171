"""R-precision (TREC)."""

from __future__ import annotations

from typing import ClassVar

from engine.metrics.base import CondensableMetric, Floats, Marked, RelevanceMetric, share


class RPrecision(CondensableMetric, RelevanceMetric, name="Rprec"):
    """Precision at rank R, R being the number of known relevant documents of the query."""

    words: ClassVar[str] = (
        "Which share of the first R hits is relevant, where R is how many relevant documents are known."
    )

    cut = "never"

    def values_of(self, marked: Marked) -> Floats:
        known = marked.known(self.rel)
        within = marked.position <= known[marked.query]
        return share(marked.count(self.relevant(marked) & within), known)
