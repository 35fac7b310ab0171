"""The contract of rerankers: score the first hits of a ranking anew, within a budget, and put them in the order of the new scores."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from engine.pipeline.context import Context, no_hits
from engine.pipeline.explanation import COST, COST_NOTE, Evidence
from engine.pipeline.stages import Stage
from engine.types import Ranking

if TYPE_CHECKING:
    from engine.pipeline.trace import Span

RERANK_NOTE = "reranked"
"""The detail of a reranker's span: a table (schema RERANKED), one row for each hit, in the new order."""

RERANKED = pl.Schema(
    {
        "qid": pl.String,
        "doc_id": pl.String,
        "received": pl.Int32,  # the rank that it came with
        "rank": pl.Int32,
        "before": pl.Float64,  # the score that it came with
        "score": pl.Float64,  # the reranker's own score; null where it gave none
    }
)
Reached: TypeAlias = Callable[[int], None]
"""Hears how many of the candidates, counted from the first, have been dealt with so far."""


class Reranker(Stage, family="rerankers"):
    """Subclasses answer `score`. Hits that were scored come first, in the order of the new scores (ties by document id, as everywhere).

    The others follow in the order in which they came: candidates that the budget did not reach, then hits beyond the candidates. Each scores
    less than the one before it, so the list stays in one order. Where nothing was scored, the list stays as it was.
    """

    head: ClassVar[str] = "reranked"
    evidence: ClassVar[Evidence] = "pair"
    explains: ClassVar[Literal["", "rows", "documents"]] = "documents"
    candidates: int = Field(50, ge=1, le=1_000, description="How many of the first hits are scored anew.")
    budget_ms: int | None = Field(
        None,
        ge=0,
        le=600_000,
        description="Milliseconds for one query; candidates not scored by then keep their order. Empty: no limit.",
    )

    @abstractmethod
    def score(self, query: str, candidates: pl.DataFrame, ctx: Context) -> NDArray[np.float64]:
        """float64 [candidates]: the new score of each hit (qid, doc_id, rank, score) of one query, given best first; NaN where there is none.

        There is at least one hit, and the query is not blank. Stops soon after `budget_ms`.
        """

    def pair_scores(
        self, query: str, candidates: pl.DataFrame, ctx: Context, reached: Reached = lambda _: None
    ) -> NDArray[np.float64] | None:
        """float64 [candidates]: what `score` starts from where each of these depends on the query and its candidate alone, NaN where there is
        none; None where a score depends on the other candidates too. Arguments and budget as in `score`; `reached` is told as it goes.

        One such scoring of many candidates tells what fewer would have got, or less time: see engine.candidates.
        """
        return None

    def among(self, scores: NDArray[np.float64], candidates: pl.DataFrame) -> NDArray[np.float64]:
        """What `score` makes of the pair scores of these candidates: float64 [candidates]; NaN stays."""
        return scores

    def settled(self, scores: NDArray[np.float64], candidates: pl.DataFrame) -> bool:
        """Whether reading may stop, given the pair scores of the first of these candidates; never, unless the stage has such a rule."""
        return False

    def facts(self, span: Span, qid: str) -> list[str]:
        cost = span.details[COST_NOTE].select("candidates", "scored") if COST_NOTE in span.details else pl.DataFrame()
        return [
            f"{scored} of {candidates} candidates scored"
            + ("" if scored == candidates else "; the rest was not reached")
            for candidates, scored in cost.rows()
        ]

    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        texts = dict(ranking.queries.iter_rows())
        tables, costs = [], []
        for hits in ranking.hits.sort("rank").partition_by("qid", maintain_order=True):
            qid = hits["qid"][0]
            candidates = hits.head(self.candidates)
            started = time.perf_counter()
            if texts[qid].strip():
                scores = np.asarray(self.score(texts[qid], candidates, ctx), np.float64)
            else:
                scores = np.full(len(candidates), np.nan)
            ms = (time.perf_counter() - started) * 1000
            tables.append(reordered(hits, scores))
            costs.append((qid, len(candidates), int((~np.isnan(scores)).sum()), ms))
        ctx.note(COST_NOTE, pl.DataFrame(costs, schema=COST, orient="row"))
        if not tables:
            ctx.note(RERANK_NOTE, pl.DataFrame(schema=RERANKED))
            return ranking.with_hits(no_hits())
        table = pl.concat(tables)
        result = ranking.with_hits(table.select("qid", "doc_id", score="given"))
        ranks = result.hits.select("qid", "doc_id", "rank")
        told = ranks.join(table, on=["qid", "doc_id"], how="left", maintain_order="left")
        ctx.note(RERANK_NOTE, told.select(*RERANKED.names()).cast(dict(RERANKED)))  # type: ignore[arg-type]
        return result


def reordered(hits: pl.DataFrame, scores: NDArray[np.float64]) -> pl.DataFrame:
    """The hits (HITS) of one query with the new scores of the first of them: qid, doc_id, received, before, score (null: none), given.

    given: what the hit scores from here on. scores: float64, at most as many as hits; NaN where there is none. Raises ValueError on others
    that are not finite.
    """
    if len(scores) > len(hits) or np.isinf(scores).any():
        raise ValueError(f"a reranker gave {len(scores)} scores for {len(hits)} hits, or one that is infinite")
    own = np.full(len(hits), np.nan)
    own[: len(scores)] = scores
    reached = ~np.isnan(own)
    given = hits["score"].to_numpy().copy()
    if reached.any():
        lowest = own[reached].min()
        step = max(1.0, abs(lowest) * 1e-6)  # wide enough to be told apart from the lowest score, however large
        given = np.where(reached, own, lowest - step * np.cumsum(~reached))
    return hits.select(
        "qid",
        "doc_id",
        pl.col("rank").alias("received"),
        pl.col("score").alias("before"),
        pl.Series("score", own, pl.Float64).fill_nan(None),
        pl.Series("given", given, pl.Float64),
    )


class Deadline:
    """When a query's time is up, counted from when this was made."""

    def __init__(self, budget_ms: int | None) -> None:
        self._end = None if budget_ms is None else time.perf_counter() + budget_ms / 1000

    @property
    def passed(self) -> bool:
        """Whether the time is up; never, without a budget."""
        return self._end is not None and time.perf_counter() >= self._end
