"""Binary preference (Buckley and Voorhees, SIGIR 2004): for judgments with gaps."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from engine.metrics.base import Floats, Marked, RelevanceMetric, share


class Bpref(RelevanceMetric, name="Bpref"):
    """How rarely documents judged non-relevant stand above relevant ones; unjudged documents are passed over."""

    words: ClassVar[str] = (
        "How often a document judged irrelevant stands above a relevant one. Documents that nobody judged are "
        "left out, so it suits judgments with gaps."
    )

    cut = "never"

    def values(self, marked: Marked) -> Floats:
        relevant = self.relevant(marked)
        # As in trec_eval, a negative rating means "not judged".
        rejected = marked.judged & (marked.rating < self.rel) & (marked.rating >= 0)
        known = marked.known(self.rel)
        wrong = np.bincount(
            marked.judged_query[(marked.judged_rating < self.rel) & (marked.judged_rating >= 0)],
            minlength=marked.queries,
        )
        above = np.minimum(marked.so_far(rejected), known[marked.query])
        most = np.minimum(wrong, known)[marked.query]
        credit = 1.0 - np.divide(above, most, out=np.zeros(len(above)), where=most > 0)
        return share(marked.total(relevant, credit), known)
