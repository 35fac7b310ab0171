"""Retrieval by a cross-encoder without a first stage (ANNCUR; Yadav, Monath, Angell, Zaheer and McCallum, "Efficient Nearest Neighbor Search
for Cross-Encoder Models using Matrix Factorization", EMNLP 2022).

The index holds what the cross-encoder says of every document for some questions. A new query is read with a few documents only; from these
exact scores follows which mixture of the questions it is like, and from the mixture a score of every document.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from engine.indexes.cur import CurIndex, CurOpenIndex
from engine.kernels.cur import Floats, sampled, weights_of_items
from engine.kernels.topk import best_rows, empty_hits, put_hits
from engine.models.catalogue import DEFAULT_CROSS
from engine.pipeline.context import Context
from engine.pipeline.explanation import COST, COST_NOTE, Evidence, ScoreExplanation, TermWeight
from engine.retrievers.base import Retriever
from engine.types import FloatRows, Ints, Mask, TopK

if TYPE_CHECKING:
    from engine.pipeline.trace import Span

SHOWN = 8  # documents in an explanation
NAME = 60  # characters of a document's name there


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """What is known of one query. scores: float32 [rows], the model's own where `exact` (bool [rows]), else approximate; items: int64 rows of
    the documents that it was first read with; weights: float64 [questions, items], how their scores become a mixture; mean: float64 [rows]."""

    scores: FloatRows
    exact: Mask
    items: Ints
    weights: Floats
    mean: Floats
    ms: float


class Cur(Retriever, name="cur"):
    """Approximate a cross-encoder's score of every document from its exact scores of a few, then read the best.

    Reads `anchors` + `rescored` documents a query, however many there are. A score is the model's logit where the document was read, else an
    estimate on the same scale. The index costs documents × questions readings, so it is only built for a pipeline that asks for it.
    """

    evidence: ClassVar[Evidence] = "pair"
    model: str = Field(
        DEFAULT_CROSS, min_length=1, max_length=200, description="The cross-encoder, bundled or added to the workspace."
    )
    queries: int = Field(40, ge=1, le=1_000, description="How many questions the index asks of every document.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Which documents ask, and which are read with every query.")
    anchors: int = Field(
        50, ge=1, le=1_000, description="How many documents, always the same, a query is read with first."
    )
    rescored: int = Field(50, ge=0, le=1_000, description="How many of those that then look best are read, too.")
    ridge: float = Field(
        0.1,
        ge=0,
        le=10,
        description="How cautious the approximation is: 0 trusts the anchors' scores fully, more brings a document closer to its mean.",
    )

    def index_spec(self) -> CurIndex:
        return CurIndex(model=self.model, queries=self.queries, seed=self.seed)

    def label(self) -> str:
        return f"CUR {self.anchors} + {self.rescored}"

    def facts(self, span: Span, qid: str) -> list[str]:
        read = span.details[COST_NOTE].select("candidates", "scored") if COST_NOTE in span.details else pl.DataFrame()
        return [f"read {some:,} of {documents:,} documents, estimated the others" for documents, some in read.rows()]

    def open_index(self, ctx: Context) -> CurOpenIndex:
        """The open index. Raises IndexNotReady."""
        return cast(CurOpenIndex, ctx.resources.index(self.index_spec()))

    def top_rows(self, queries: pl.DataFrame, k: int, ctx: Context) -> TopK:
        rows = len(self.open_index(ctx).numbers)
        allowed = ctx.allowed_rows(self.index_spec())
        found = TopK(*empty_hits(len(queries), min(k, rows)))
        costs = []
        for place, (qid, text) in enumerate(queries.select("qid", "text").iter_rows()):
            read = self._read(text, ctx)
            costs.append((qid, len(ctx.snapshot), int(read.exact.sum()), read.ms))
            put_hits(
                found, place, read.scores if allowed is None else np.where(allowed, read.scores, np.float32(-np.inf)), k
            )
        ctx.note(COST_NOTE, pl.DataFrame(costs, schema=COST, orient="row"))
        return found

    def exact_scores(self, query: str, ctx: Context) -> NDArray[np.float32]:
        """float32 [rows]: the scores that are searched; reading every document would take too long."""
        return self._read(query, ctx).scores

    def explain_row(self, query: str, row: int, ctx: Context) -> ScoreExplanation:
        read = self._read(query, ctx)
        score = float(read.scores[row])
        if read.exact[row]:
            return ScoreExplanation(
                True, score, (), "The cross-encoder read this document with the query; its own score.", row
            )
        index = self.open_index(ctx)
        known = read.scores[read.items] - read.mean[read.items]
        given = ((index.scores[row] - read.mean[row]) @ read.weights) * known
        texts = self._texts(read.items, ctx)
        parts = [TermWeight(texts[place][:NAME], float(given[place])) for place in np.argsort(-np.abs(given))[:SHOWN]]
        note = (
            f"Approximate: the cross-encoder did not read this document. Its mean over the questions of the index, {read.mean[row]:.3g}, and what "
            f"the query's exact scores of {len(read.items)} other documents let expect; those that count most are listed."
        )
        return ScoreExplanation(False, score, tuple(sorted(parts, key=lambda part: -part.weight)), note, row)

    def _read(self, query: str, ctx: Context) -> _Read:
        """Everything about one query; read once a request."""
        return ctx.once((self, query), lambda: self._scored(query, ctx))

    def _scored(self, query: str, ctx: Context) -> _Read:
        started = time.perf_counter()
        index, scorer = self.open_index(ctx), ctx.resources.scorer(self.model)
        live = ctx.resources.row_docs(self.index_spec()) >= 0
        mean = index.scores.sum(axis=1, dtype=np.float64) / max(1, int((index.anchors >= 0).sum()))
        held = np.flatnonzero(live)
        # another seed than that of the questions, which would else be asked of their own documents only
        items = np.searchsorted(index.numbers, sampled(index.numbers[held], self.anchors, self.seed + 1))
        exact = np.zeros(len(live), np.bool_)
        scores = mean.astype(np.float32)
        weights = np.zeros((index.scores.shape[1], len(items)))
        if len(items):
            own = scorer.score(query, self._texts(items, ctx))
            weights = weights_of_items(index.scores[items] - mean[items, None], self.ridge)
            mixture = weights @ (own - mean[items])
            scores = (mean + index.scores @ mixture - mean * mixture.sum()).astype(np.float32)
            scores[items], exact[items] = own, True
        allowed = ctx.allowed_rows(self.index_spec())
        open_to = (live if allowed is None else allowed) & ~exact
        best = best_rows(np.where(open_to, scores, np.float32(-np.inf)), self.rescored)
        if len(best):
            scores[best] = scorer.score(query, self._texts(best, ctx))
            exact[best] = True
        return _Read(scores, exact, items, weights, mean, (time.perf_counter() - started) * 1000)

    def _texts(self, rows: Ints, ctx: Context) -> list[str]:
        docs = ctx.resources.row_docs(self.index_spec())[rows]
        return ctx.resources.texts(ctx.snapshot.doc_ids.gather(docs).to_list())
