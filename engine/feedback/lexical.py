"""What feedback over weighted terms shares: the original query's terms, which terms may be added, searching and explaining."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.feedback.base import Example, Feedback, NewQuery
from engine.indexes.bm25 import Bm25OpenIndex
from engine.pipeline.context import Context
from engine.pipeline.explanation import ScoreExplanation
from engine.retrievers.bm25 import Bm25Parameters, explained
from engine.types import TopK


class LexicalFeedback(Bm25Parameters, Feedback):
    """Feedback that expands a BM25 query. Subclasses answer `expand`."""

    terms: int = Field(10, ge=1, le=1_000, description="How many terms of the documents are used.")
    common: float = Field(
        0.1, ge=0, le=1, description="Terms in a larger share of all texts than this are not added; they tell little."
    )

    @abstractmethod
    def expand(self, query: Mapping[str, float], examples: Sequence[Example], index: Bm25OpenIndex) -> NewQuery:
        """The weighted query for a query of (term, count) and at least one example; may leave terms in any order."""

    @property
    def needs_match(self) -> bool:
        return True

    def new_query(self, query: str, examples: Sequence[Example], ctx: Context) -> NewQuery:
        index = self.open_index(ctx)
        counts = {term.term: float(term.times) for term in index.terms(query)}
        new = self.expand(counts, examples, index) if examples else NewQuery(1.0, {}, counts)
        return NewQuery(new.original, new.documents, best_terms(new.terms, len(new.terms)))

    def addable(self, weights: Mapping[str, float], index: Bm25OpenIndex) -> dict[str, float]:
        """The `terms` largest of the weights, largest first, without terms that too many rows hold."""
        most = self.common * len(index.numbers)
        return best_terms({term: w for term, w in weights.items() if index.rows_with(term) <= most}, self.terms)

    def top_rows(self, queries: Sequence[NewQuery], k: int, ctx: Context) -> TopK:
        allowed = ctx.allowed(self.index_spec())
        return self.open_index(ctx).search_weighted([query.terms for query in queries], k, allowed)

    def exact_scores(self, query: NewQuery, ctx: Context) -> NDArray[np.float32]:
        return self.open_index(ctx).scores_weighted(query.terms)

    def explain_row(self, query: NewQuery, row: int, ctx: Context) -> ScoreExplanation:
        note = (
            f"The query was expanded from {len(query.documents)} documents. Each term's weight in the new query times its "
            "exact BM25 weight in this document; they sum to the score."
        )
        return explained(self.open_index(ctx).contributions_weighted(query.terms, row), row, note)


def best_terms(weights: Mapping[str, float], count: int) -> dict[str, float]:
    """The `count` largest positive weights, largest first; ties in the order of the terms."""
    ordered = sorted(weights.items(), key=lambda pair: (-pair[1], pair[0]))
    return {term: weight for term, weight in ordered[:count] if weight > 0}


def mixed(original: Mapping[str, float], added: Mapping[str, float]) -> dict[str, float]:
    """The sum of two weighted queries."""
    return {term: original.get(term, 0.0) + added.get(term, 0.0) for term in dict.fromkeys([*original, *added])}
