"""Rocchio's query modification (in Salton, "The SMART Retrieval System", 1971), with BM25 weights as the documents' vectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import Field

from engine.feedback.base import Example, NewQuery
from engine.feedback.lexical import LexicalFeedback, mixed
from engine.indexes.bm25 import Bm25OpenIndex


class Rocchio(LexicalFeedback, name="rocchio"):
    """Move a BM25 query towards the mean of the first hits' term vectors; every hit counts the same.

    alpha · q/|q| + (beta / n) · Σ d/|d|, where q counts the query's terms, d holds a document's BM25 weights, |·| is the Euclidean length,
    and the mean keeps its `terms` largest components. The defaults are those of Anserini.
    """

    alpha: float = Field(1.0, ge=0, le=10, description="The weight of the original query.")
    beta: float = Field(0.75, ge=0, le=10, description="The weight of the documents' mean.")

    def label(self) -> str:
        return "Rocchio"

    def expand(self, query: Mapping[str, float], examples: Sequence[Example], index: Bm25OpenIndex) -> NewQuery:
        share = self.beta / len(examples)
        center: dict[str, float] = {}
        for example in examples:
            for term, weight in unit_length(index.row_weights(int(example.rows[0]))).items():
                center[term] = center.get(term, 0.0) + share * weight
        kept = {term: self.alpha * weight for term, weight in unit_length(query).items()}
        documents = {example.doc_id: share for example in examples}
        return NewQuery(self.alpha, documents, mixed(kept, self.addable(center, index)))


def unit_length(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights divided by their Euclidean length; zeros stay."""
    length = math.sqrt(sum(weight * weight for weight in weights.values()))
    return {term: weight / length if length else 0.0 for term, weight in weights.items()}
