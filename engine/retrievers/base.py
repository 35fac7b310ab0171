"""The contract of first-stage retrievers: search an index, score any document, and explain a score."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from engine.pipeline.context import Context, no_hits
from engine.pipeline.stages import Stage
from engine.types import Ranking, TopK

if TYPE_CHECKING:
    from engine.indexes.base import IndexSpec
    from engine.pipeline.explanation import ScoreExplanation
    from engine.pipeline.trace import Span

MAX_K = 10_000


class Searching(Stage):
    """A stage that searches an index, and so can score and explain any document. A query is what it searches for, in a form of its own.

    Subclasses answer `exact_scores` and `explain_row`, and have a parameter `k`.
    """

    if TYPE_CHECKING:
        k: int
    explains: ClassVar[Literal["", "rows", "documents"]] = "rows"

    @abstractmethod
    def index_spec(self) -> IndexSpec:
        """The index that is searched."""

    @abstractmethod
    def exact_scores(self, query: Any, ctx: Context) -> NDArray[np.float32]:
        """float32 [rows]: the exact score of every index row for one query, whatever the index structure."""

    @abstractmethod
    def explain_row(self, query: Any, row: int, ctx: Context) -> ScoreExplanation:
        """Why this row scores as it does."""

    @abstractmethod
    def searched_for(self, span: Span, qid: str) -> list[Any]:
        """The queries that were searched for in this run; several where a rewriter made them."""

    @property
    def needs_match(self) -> bool:
        """A score of zero or less means "no match", as with term weights; false where every document has a score."""
        return False

    def score_documents(self, query: Any, ctx: Context) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Exact scores of all documents of the snapshot, float64 [documents] (-inf where not indexed), and the best row of each (-1 where none)."""
        return document_scores(self.index_spec(), self.exact_scores(query, ctx), ctx)


class Retriever(Searching, family="retrievers"):
    """A first stage. Subclasses answer `top_rows`, `exact_scores` and `explain_row`; turning rows into documents is done here."""

    head: ClassVar[str] = "retrieved"
    reads_hits: ClassVar[bool] = False
    k: int = Field(100, ge=1, le=MAX_K, description="How many documents to retrieve for a query.")

    @abstractmethod
    def top_rows(self, queries: pl.DataFrame, k: int, ctx: Context) -> TopK:
        """The k best allowed index rows of every query (qid, text)."""

    def searched_for(self, span: Span, qid: str) -> list[str]:
        assert span.output is not None
        return span.output.searched().filter(qid=qid)["text"].to_list()

    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        asked = ranking.searched()

        def search(k: int) -> TopK:
            return self.top_rows(asked, k, ctx)

        return ranking.with_hits(best_documents(self.index_spec(), asked["qid"].to_list(), self.k, search, ctx)).top(
            self.k
        )


def encoder_label(stage: Retriever, model: str) -> str:
    """What a list by an encoder is called: the family where the model is the one that comes along ("Dense"), else the model."""
    return stage.name.capitalize() if model == type(stage).model_fields["model"].default else model


def best_documents(
    spec: IndexSpec, qids: Sequence[str], k: int, search: Callable[[int], TopK], ctx: Context
) -> pl.DataFrame:
    """At least the k best documents of every query as (qid, doc_id, score); `search` gives that many best allowed rows of the index, a line a query."""
    docs = ctx.resources.row_docs(spec) if qids and len(ctx.snapshot) else np.empty(0, np.int32)
    if not len(docs):
        return no_hits()
    rows_per_doc = max(1.0, len(docs) / len(ctx.snapshot))
    wanted = k
    fetch = min(len(docs), int(np.ceil(wanted * rows_per_doc * (1.0 if rows_per_doc == 1 else 1.5))))
    while True:
        top = search(fetch)
        hits = [ctx.documents(spec, top.rows[i], top.scores[i], qid) for i, qid in enumerate(qids)]
        short = any(len(h) < wanted and top.rows[i].size and top.rows[i, -1] >= 0 for i, h in enumerate(hits))
        if not short or fetch >= len(docs):
            return pl.concat(hits)
        fetch = min(len(docs), fetch * 3)  # several passages of the same documents took the places


def document_scores(
    spec: IndexSpec, row_scores: NDArray[np.float32], ctx: Context
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """A document scores its best row. float64 [documents of the snapshot] (-inf where not indexed), and that row of each (-1 where none)."""
    docs = ctx.resources.row_docs(spec)
    scores = np.full(len(ctx.snapshot), -np.inf)
    rows = np.full(len(ctx.snapshot), -1, dtype=np.int64)
    live = np.flatnonzero(docs >= 0)
    live_scores = row_scores[live].astype(np.float64)
    order = np.lexsort((-live, live_scores))  # ascending, so that the best row of a document is written last
    scores[docs[live[order]]] = live_scores[order]
    rows[docs[live[order]]] = live[order]
    return scores, rows
