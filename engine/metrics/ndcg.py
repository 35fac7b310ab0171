"""Normalized discounted cumulative gain (Järvelin and Kekäläinen, TOIS 2002)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from engine.metrics.base import CondensableMetric, Floats, Ints32, Marked, share


class NDCG(CondensableMetric, name="nDCG"):
    """Gain by rating, discounted by log2 of the rank + 1, as a share of that of the best order of all judged."""

    words: ClassVar[str] = (
        "How close the order is to the best possible one: better documents count more, and all count less the "
        "further down they stand. 1 is perfect. The usual choice when ratings have several grades."
    )

    dcg: Literal["log2", "exp-log2"] = Field(
        "log2", description="The gain of a rating r: log2 takes r itself, as trec_eval does; exp-log2 takes 2^r − 1."
    )

    def values_of(self, marked: Marked) -> Floats:
        within = self.within(marked) & marked.judged
        got = marked.total(within, self._gain(marked.rating) / np.log2(marked.position + 1.0))
        start = np.searchsorted(marked.judged_query, np.arange(marked.queries))
        place = np.arange(len(marked.judged_query)) - start[marked.judged_query] + 1
        counted = place <= (self.cutoff or len(place))
        best = self._gain(marked.judged_rating) / np.log2(place + 1.0)
        ideal = np.bincount(marked.judged_query[counted], best[counted], minlength=marked.queries)
        return share(got, ideal.astype(np.float64))

    def _gain(self, rating: Ints32) -> Floats:
        gain = np.maximum(rating, 0).astype(np.float64)
        return np.exp2(gain) - 1.0 if self.dcg == "exp-log2" else gain
