"""Reranking by late interaction over token vectors that are stored already (ColBERT as a reranker; Khattab and Zaharia, SIGIR 2020)."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from engine.pipeline.context import Context
from engine.pipeline.explanation import ScoreExplanation
from engine.rerankers.base import Deadline, Reached, Reranker
from engine.retrievers.late import LateParameters

AT_ONCE = 100  # documents between two looks at the clock


class MaxSim(LateParameters, Reranker, name="maxsim"):
    """Score the first hits token by token, from the vectors of the late index: a thousand hits take a few hundredths of a second.

    A document scores its best passage; one that the index does not hold yet keeps its order behind the others.
    """

    candidates: int = Field(100, ge=1, le=1_000, description="How many of the first hits are scored anew.")

    def label(self) -> str:
        return f"maxsim · {self.model}"

    def explain_document(self, query: str, doc_id: str, ctx: Context) -> ScoreExplanation | None:
        vectors = self.query_vectors(query, ctx)
        rows = ctx.rows(self.index_spec(), pl.Series([doc_id], dtype=pl.String)).get(doc_id)
        if rows is None or not len(vectors):
            return None
        best = rows[np.argmax(self.open_index(ctx).scores(vectors, rows))]
        return self.explain_row(query, int(best), ctx)

    def score(self, query: str, candidates: pl.DataFrame, ctx: Context) -> NDArray[np.float64]:
        return self.pair_scores(query, candidates, ctx)

    def pair_scores(
        self, query: str, candidates: pl.DataFrame, ctx: Context, reached: Reached = lambda _: None
    ) -> NDArray[np.float64]:
        deadline = Deadline(self.budget_ms)
        scores = np.full(len(candidates), np.nan)
        vectors = self.query_vectors(query, ctx)
        held = ctx.rows(self.index_spec(), candidates["doc_id"])
        index = self.open_index(ctx)
        found = [(place, held[doc_id]) for place, doc_id in enumerate(candidates["doc_id"]) if doc_id in held]
        for start in range(0, len(found) if len(vectors) else 0, AT_ONCE):
            if deadline.passed:
                break
            part = found[start : start + AT_ONCE]
            rows = np.concatenate([rows for _, rows in part])
            firsts = np.cumsum([0, *(len(rows) for _, rows in part[:-1])])
            of_rows = index.scores(vectors, rows)
            scores[[place for place, _ in part]] = np.maximum.reduceat(of_rows, firsts)
            reached(part[-1][0] + 1)
        return scores
