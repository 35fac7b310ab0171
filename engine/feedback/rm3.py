"""RM3: a relevance model (Lavrenko and Croft, SIGIR 2001) mixed with the original query (Abdul-Jaleel et al., TREC 2004)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from engine.feedback.base import Example, NewQuery
from engine.feedback.lexical import LexicalFeedback, mixed
from engine.indexes.bm25 import Bm25OpenIndex


class Rm3(LexicalFeedback, name="rm3"):
    """Expand a BM25 query by the likeliest terms of the first hits, each hit counted by its score.

    P(w|R) = Σ share(d) · tf(w, d) / |d|, cut to `terms` terms and scaled to sum to 1; the new query weighs a term by
    original · P(w|Q) + (1 - original) · P(w|R). The shares are the scores divided by their sum, or all equal where a score is not positive.
    Anserini's defaults are 10 terms and an original part of .5; ours change the query less and find more.
    """

    terms: int = Field(20, ge=1, le=1_000, description="How many terms of the documents are used.")
    original: float = Field(
        0.8,
        ge=0,
        le=1,
        description="The part of the original query in the new one: 1 adds nothing, 0 forgets the query.",
    )

    def label(self) -> str:
        return "RM3"

    def expand(self, query: Mapping[str, float], examples: Sequence[Example], index: Bm25OpenIndex) -> NewQuery:
        shares = score_shares([example.score for example in examples])
        model: dict[str, float] = {}
        for example, share in zip(examples, shares, strict=True):
            counts = index.row_terms(int(example.rows[0]))
            length = sum(counts.values())
            for term, count in counts.items():
                model[term] = model.get(term, 0.0) + share * count / length
        likely = self.addable(model, index)
        total, asked = sum(likely.values()), sum(query.values())
        added = {term: (1 - self.original) * weight / total for term, weight in likely.items()}
        kept = {term: self.original * count / asked for term, count in query.items()}
        documents = {e.doc_id: (1 - self.original) * share for e, share in zip(examples, shares, strict=True)}
        return NewQuery(self.original, documents, mixed(kept, added))


def score_shares(scores: Sequence[float]) -> list[float]:
    """Scores divided by their sum; equal shares where one is not positive, as negative probabilities mean nothing."""
    if min(scores) <= 0:
        return [1 / len(scores)] * len(scores)
    return [score / sum(scores) for score in scores]
