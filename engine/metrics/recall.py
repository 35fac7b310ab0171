"""Recall at a cut-off."""

from __future__ import annotations

from typing import ClassVar

from engine.metrics.base import CondensableMetric, Floats, Marked, RelevanceMetric, share


class Recall(CondensableMetric, RelevanceMetric, name="R"):
    """The share of the known relevant documents that are among the first k."""

    words: ClassVar[str] = (
        "Which share of all known relevant documents is among the first k: what a later stage can still work with."
    )

    cut = "must"

    def values_of(self, marked: Marked) -> Floats:
        return share(marked.count(self.relevant(marked) & self.within(marked)), marked.known(self.rel))
