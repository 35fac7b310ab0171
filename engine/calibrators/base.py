"""The contract of calibrators: turn scores into probabilities of relevance without changing the order, and drop what lies below a threshold."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, TypeAlias

import numpy as np
import polars as pl
from pydantic import Field

from engine.errors import BadInput
from engine.kernels.calibration import Floats
from engine.pipeline.context import Context
from engine.pipeline.stages import Stage
from engine.types import FloatRows, Ints, Mask, Ranking

if TYPE_CHECKING:
    from engine.pipeline.trace import Span

CALIBRATION_NOTE = "calibration"
"""The detail of a calibrator's span: a table (qid, doc_id, rank, score, probability, kept) of all that it received."""
TIE = 1e-12
"""Hits of one probability keep their order: each is put this much below the one before it."""

Vectors: TypeAlias = Callable[[str, Sequence[str]], FloatRows]
"""(model, query texts) -> float32 [queries, dim]."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """The hits of several queries, query by query and best first.

    texts: the queries; query: int64 [hits], the place of each hit's query in `texts`, ascending; scores: float64 [hits].
    """

    texts: tuple[str, ...]
    query: Ints
    scores: Floats

    def of_queries(self, chosen: Mask) -> tuple[Pool, Mask]:
        """The hits of some queries (bool [queries]), and which hits these are (bool [hits]). The queries keep their order."""
        hits = chosen[self.query]
        place = np.cumsum(chosen) - 1
        texts = tuple(text for text, wanted in zip(self.texts, chosen, strict=True) if wanted)
        return Pool(texts, place[self.query[hits]], self.scores[hits]), hits


class Calibrator(Stage, family="calibrators"):
    """Subclasses answer `probabilities` and `fit`; both see whole pools, so that many queries cost one call.

    What `fit` learns are parameters like any others: a fitted calibrator is written into the pipeline's YAML and needs nothing beside it.
    """

    head: ClassVar[str] = "calibrated"
    loses: ClassVar[str] = "threshold"
    needs_judgments: ClassVar[bool] = True
    one_for_all: ClassVar[bool] = False
    """Whether all queries share one rising curve, so that the hits of all of them stay in the order of their scores."""

    threshold: float = Field(
        0.0, ge=0, le=1, description="Hits with a lower probability are dropped; 0 keeps them all."
    )

    @property
    @abstractmethod
    def fitted(self) -> bool:
        """Whether it can be run."""

    @abstractmethod
    def probabilities(self, pool: Pool, vectors: Vectors) -> Floats:
        """float64 [hits] in [0, 1], never rising within a query."""

    @abstractmethod
    def fit(self, pool: Pool, relevant: Mask, vectors: Vectors) -> Self:
        """A fitted calibrator with the other parameters of this one; relevant: bool [hits]. Raises BadInput where the pool cannot teach it."""

    def tuned(self, pool: Pool, relevant: Mask, vectors: Vectors) -> Self:
        """This one with what must be chosen before fitting (a penalty, say) chosen on the pool."""
        return self

    def why_lost(self, span: Span, qid: str, doc_id: str, rank: int) -> tuple[str, str] | None:
        told = span.details[CALIBRATION_NOTE].filter(qid=qid, doc_id=doc_id)["probability"]
        if not len(told):  # another input of a fusion received it
            return None
        return "below_threshold", (
            f"It was at rank {rank}, and its estimated relevance of {told[0]:.1%} "
            f"is below the threshold of {self.threshold:.1%}."
        )

    def facts(self, span: Span, qid: str) -> list[str]:
        if not self.threshold:
            return ["no threshold, so nothing is dropped"]
        told = span.details.get(CALIBRATION_NOTE)
        dropped = 0 if told is None else len(told) - int(told["kept"].sum())
        return [f"{dropped:,} below {self.threshold:g} dropped"]

    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        if not self.fitted:
            raise BadInput(
                f"The calibrator {self.name!r} is not fitted yet. Fit it to judgments with `triptych calibrate`, which saves the pipeline with it."
            )
        hits, pool = pooled(ranking)
        probability = self.probabilities(pool, ctx.query_vectors) if len(hits) else np.empty(0)
        told = hits.select("qid", "doc_id", "rank", "score", probability=pl.Series(probability, dtype=pl.Float64))
        told = told.with_columns(kept=pl.col("probability") >= self.threshold)
        ctx.note(CALIBRATION_NOTE, told)
        ordered = pl.col("probability") - TIE * pl.col("rank")
        return ranking.with_hits(told.filter("kept").select("qid", "doc_id", score=ordered))


def pooled(ranking: Ranking) -> tuple[pl.DataFrame, Pool]:
    """The hits of a ranking, query by query and best first, as a table and as a pool."""
    queries = ranking.queries.with_row_index("place")
    hits = ranking.hits.join(queries, on="qid", how="inner").sort("place", "rank")
    texts = tuple(queries["text"].to_list())
    return hits, Pool(texts, hits["place"].cast(pl.Int64).to_numpy(), hits["score"].to_numpy())


def check_teachable(relevant: Mask) -> None:
    """Raises BadInput unless there are both relevant and other hits."""
    if not relevant.any() or relevant.all():
        missing = "relevant" if not relevant.any() else "non-relevant"
        raise BadInput(
            f"Fitting needs relevant and non-relevant hits, and there is no {missing} one; judge more results."
        )
