"""What feedback over dense vectors shares: a weighted sum of the query's and the documents' vectors, searching and explaining."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.feedback.base import Example, Feedback, NewQuery
from engine.pipeline.context import Context
from engine.pipeline.explanation import ScoreExplanation, TermWeight
from engine.retrievers.dense import DenseParameters
from engine.types import FloatRows, Ranking, TopK


class VectorFeedback(DenseParameters, Feedback):
    """Feedback that moves a query vector. Subclasses answer `shares`.

    A document stands for itself by the passage nearest to the query. The new vector is brought to the length of the original one, which
    keeps scores comparable (cosines stay cosines) and changes no order.
    """

    @abstractmethod
    def shares(self, examples: int) -> tuple[float, float]:
        """The weights of the original query and of each document, for one example or more."""

    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        texts = ranking.queries["text"]
        ctx.query_vectors(self.model, texts.filter(texts.str.strip_chars() != "").to_list())  # all at once is faster
        return super().run(ranking, ctx)

    def new_query(self, query: str, examples: Sequence[Example], ctx: Context) -> NewQuery:
        vector = ctx.query_vectors(self.model, [query])[0]
        if not examples:
            return NewQuery(1.0, {}, parts=vector[None])
        index = self.open_index(ctx)
        nearest = np.array([one.rows[int(np.argmax(index.scores(vector, one.rows)))] for one in examples])
        original, each = self.shares(len(examples))
        parts = np.vstack([original * vector[None], each * index.vectors(nearest)]).astype(np.float32)
        length = float(np.linalg.norm(parts.sum(axis=0)))
        if length > 0:
            parts *= np.float32(np.linalg.norm(vector) / length)
        return NewQuery(original, {example.doc_id: each for example in examples}, parts=parts)

    def top_rows(self, queries: Sequence[NewQuery], k: int, ctx: Context) -> TopK:
        vectors = np.stack([_vector(query) for query in queries])
        return self.open_index(ctx).search(vectors, k, ctx.allowed(self.index_spec()))

    def exact_scores(self, query: NewQuery, ctx: Context) -> NDArray[np.float32]:
        return self.open_index(ctx).scores(_vector(query))

    def explain_row(self, query: NewQuery, row: int, ctx: Context) -> ScoreExplanation:
        assert query.parts is not None
        given = query.parts @ self.open_index(ctx).vectors(np.array([row]))[0]
        names = ["the query", *(f"document {doc_id}" for doc_id in query.documents)]
        weights = [TermWeight(name, float(weight)) for name, weight in zip(names, given, strict=True)]
        return ScoreExplanation(
            exact=True,
            score=float(sum(weight.weight for weight in weights)),
            weights=tuple(sorted(weights, key=lambda w: -w.weight)),
            note="The new vector is a weighted sum, so the score splits exactly over the query and the documents that moved it.",
            row=row,
        )


def _vector(query: NewQuery) -> FloatRows:
    assert query.parts is not None
    return np.asarray(query.parts.sum(axis=0), np.float32)
