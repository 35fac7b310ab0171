"""The contract of feedback stages: take the first hits of a ranking as relevant, make a better query of them, and search again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import polars as pl
from pydantic import Field

from engine.errors import NotExact
from engine.pipeline.context import Context
from engine.retrievers.base import MAX_K, Searching, best_documents
from engine.types import FloatRows, Ints, Ranking, TopK

if TYPE_CHECKING:
    from engine.pipeline.trace import Span

QUERIES_NOTE = "queries"
"""The detail of a feedback stage's span: a dict from qid to NewQuery."""
TERMS_TOLD = 8


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A hit that is taken as relevant: its score in the ranking, and its rows in the index, ascending (one for each passage)."""

    doc_id: str
    score: float
    rows: Ints


@dataclass(frozen=True, slots=True, eq=False)
class NewQuery:
    """What a feedback stage searched for, for the trace: how much the original query and each document weigh in it.

    terms: index terms and their weights, largest first (lexical feedback); parts: float32 [1 + documents, dim], the weighted vectors
    of the original query and of each document, which sum to the new vector (vector feedback), or float32 [tokens, dim], the weighted vectors
    that are compared one by one, called `names` (token feedback).
    """

    original: float
    documents: dict[str, float]
    terms: dict[str, float] = field(default_factory=dict)
    parts: FloatRows | None = None
    names: tuple[str, ...] = ()
    note: str = ""
    """Why nothing was learned from the hits, where the index keeps nothing to learn from."""


class Feedback(Searching, family="feedback"):
    """Pseudo-relevance feedback. Subclasses answer `new_query`, `top_rows`, `exact_scores` and `explain_row`, which take a NewQuery; the rest
    is done here.

    Scores and hits are those of the new query over the whole index, not only over the hits that came in. A query without hits is
    searched as it is, since there is nothing to learn from.
    """

    head: ClassVar[str] = "feedback"
    asks_anew: ClassVar[bool] = True
    documents: int = Field(10, ge=1, le=100, description="How many of the first hits are taken as relevant.")
    k: int = Field(100, ge=1, le=MAX_K, description="How many documents to retrieve with the new query.")

    @abstractmethod
    def new_query(self, query: str, examples: Sequence[Example], ctx: Context) -> NewQuery:
        """The query that is searched instead of `query`; `examples` may be empty."""

    @abstractmethod
    def top_rows(self, queries: Sequence[NewQuery], k: int, ctx: Context) -> TopK:
        """The k best allowed index rows of every query."""

    def searched_for(self, span: Span, qid: str) -> list[NewQuery]:
        found: dict[str, NewQuery] = span.details.get(QUERIES_NOTE, {})
        return [found[qid]] if qid in found else []

    def why_lost(self, span: Span, qid: str, doc_id: str, rank: int) -> tuple[str, str]:
        return "below_cutoff", (
            f"It was at rank {rank} before {self.label()} searched with a new query, which does not return it."
        )

    def facts(self, span: Span, qid: str) -> list[str]:
        told = []
        for new in self.searched_for(span, qid):
            terms = sorted(new.terms, key=lambda term: -new.terms[term])[:TERMS_TOLD]
            learned = new.note or f"learned from {len(new.documents)} hits"
            told.append(f"{learned}; looks for {', '.join(terms)}" if terms else learned)
        return told

    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        asked = ranking.queries.filter(pl.col("text").str.strip_chars() != "")
        qids: list[str] = asked["qid"].to_list()
        examples = self._examples(ranking, ctx) if len(asked) else {}
        queries = [self._query(text, examples.get(qid, ()), ctx) for qid, text in asked.iter_rows()]
        ctx.note(QUERIES_NOTE, dict(zip(qids, queries, strict=True)))

        def search(k: int) -> TopK:
            return self.top_rows(queries, k, ctx)

        return ranking.with_hits(best_documents(self.index_spec(), qids, self.k, search, ctx)).top(self.k)

    def _query(self, text: str, examples: Sequence[Example], ctx: Context) -> NewQuery:
        try:
            return self.new_query(text, examples, ctx)
        except NotExact as error:
            return replace(self.new_query(text, (), ctx), note=str(error))

    def _examples(self, ranking: Ranking, ctx: Context) -> dict[str, list[Example]]:
        """The first hits of every query, best first; documents that the index does not hold yet teach nothing."""
        first = ranking.top(self.documents).hits
        rows = ctx.rows(self.index_spec(), first["doc_id"])
        examples: dict[str, list[Example]] = {}
        for qid, doc_id, score in first.select("qid", "doc_id", "score").iter_rows():
            if doc_id in rows:
                examples.setdefault(qid, []).append(Example(doc_id, score, rows[doc_id]))
        return examples
