"""What a reranker would give with fewer candidates or in less time, told from one scoring of many."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.pipeline.context import Context
from engine.pipeline.stages import Fuse, Stage, Then
from engine.rerankers.base import Reranker, reordered


@dataclass(frozen=True, slots=True, eq=False)
class Scoring:
    """The first hits of one query's list, scored once.

    hits: all hits that the reranker received (HITS), best first; scores: float64 [candidates], NaN where there is none; marks: ascending
    (candidates dealt with, milliseconds until then). `separate`: each score depends on its pair alone; otherwise only all of them together
    mean anything, and `order` takes no smaller number.
    """

    reranker: Reranker
    hits: pl.DataFrame
    scores: NDArray[np.float64]
    marks: tuple[tuple[int, float], ...]
    separate: bool

    @property
    def most(self) -> int:
        """How many candidates were dealt with."""
        return self.marks[-1][0] if self.marks else 0

    def ms(self, candidates: int) -> float:
        """Milliseconds until this many were scored; between two looks at the clock in proportion."""
        if not self.marks:
            return 0.0
        counts, times = zip((0, 0.0), *self.marks, strict=True)
        return float(np.interp(candidates, counts, times))

    def reached(self, candidates: int, budget_ms: float | None = None) -> int:
        """How many of the first `candidates` have a score when the budget ends, or the stage's own rule stops it. What has been begun by then
        is finished, as in a run.
        """
        wanted = min(candidates, self.most)
        if budget_ms is not None and budget_ms <= 0:
            return 0
        asked = self.hits.head(candidates)
        for count, ms in self.marks:
            if count >= wanted:
                break
            if (budget_ms is not None and ms >= budget_ms) or self.reranker.settled(self.scores[:count], asked):
                return count
        return wanted

    def order(self, reached: int) -> pl.DataFrame:
        """The list when the first `reached` have scores: doc_id, received, rank (from 1), before, score (null: none), in the new order.

        Raises ValueError where the scores mean nothing without each other, and fewer than all are wanted.
        """
        if not self.separate and 0 < reached < self.most:
            raise ValueError(f"{self.reranker.name} must be run to know what it makes of {reached} candidates")
        given = self.scores[:reached]
        if self.separate:
            given = self.reranker.among(given, self.hits.head(reached))
        table = reordered(self.hits, given).sort("given", "doc_id", descending=[True, False])
        ranks = pl.Series("rank", np.arange(1, len(table) + 1), pl.Int32)
        return table.with_columns(ranks).select("doc_id", "received", "rank", "before", "score")


def scored(reranker: Reranker, query: str, hits: pl.DataFrame, candidates: int, most_ms: int, ctx: Context) -> Scoring:
    """Score the first `candidates` hits (HITS, of one query, best first) once, whatever number the stage itself says. Scores of pairs are
    given up after about `most_ms`; a stage that must see all candidates together keeps its own budget. A query without words is scored by
    nobody.
    """
    asked = reranker.model_copy(update={"candidates": max(1, candidates)})
    first = hits.head(candidates)
    if first.is_empty() or not query.strip():
        return Scoring(asked, hits, np.empty(0), (), separate=True)
    hasty = asked.model_copy(update={"budget_ms": most_ms})
    # A first reading opens what must be opened, which is no part of what a candidate costs.
    if hasty.pair_scores(query, first.head(1), ctx) is None:
        started = time.perf_counter()
        scores = np.asarray(asked.score(query, first, ctx), np.float64)
        return Scoring(asked, hits, scores, ((len(first), _since(started)),), separate=False)
    marks: list[tuple[int, float]] = []
    started = time.perf_counter()
    found = hasty.pair_scores(query, first, ctx, lambda count: marks.append((count, _since(started))))
    assert found is not None
    took = _since(started)
    if took < most_ms and (not marks or marks[-1][0] < len(first)):  # the last ones may have no score to give
        marks.append((len(first), took))
    return Scoring(asked, hits, np.asarray(found, np.float64), tuple(marks), separate=True)


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def rerank_stages(stage: Stage, before: tuple[Stage, ...] = ()) -> Iterator[tuple[tuple[Stage, ...], Reranker]]:
    """Every reranker of a pipeline with the stages that make the list it receives, in the order in which they run."""
    if isinstance(stage, Reranker):
        yield before, stage
    elif isinstance(stage, Then):
        for i, step in enumerate(stage.stages):
            yield from rerank_stages(step, (*before, *stage.stages[:i]))
    elif isinstance(stage, Fuse):
        for part in stage.inputs:
            yield from rerank_stages(part, before)
