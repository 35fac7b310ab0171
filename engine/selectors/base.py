"""The contract of selectors: choose and order some of the first hits of a ranking, so that the list as a whole serves better."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import polars as pl
from pydantic import Field

from engine.indexes.base import IndexSpec, VectorIndex
from engine.pipeline.context import Context, no_hits
from engine.pipeline.stages import Stage
from engine.types import HITS, FloatRows, Ints, Ranking

if TYPE_CHECKING:
    from engine.pipeline.trace import Span

SELECTION_NOTE = "selection"
"""The detail of a selector's span: a table (qid, doc_id, rank, received, and columns of the selector's own) of what was selected."""


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """What was chosen. order: int64 places in the candidates, best first; columns: values of each chosen candidate, in this order, for the trace."""

    order: Ints
    columns: dict[str, Any] = field(default_factory=dict)


class Selector(Stage, family="selectors"):
    """Subclasses answer `select`. A selected document scores 1 / rank: the order is all that a selection says.

    Hits beyond the candidates, and candidates that were not chosen, are dropped.
    """

    head: ClassVar[str] = "selected"
    loses: ClassVar[str] = "unselected"
    k: int = Field(100, ge=1, le=1_000, description="How many documents to select.")
    candidates: int = Field(100, ge=1, le=1_000, description="From how many of the first hits to select.")

    @abstractmethod
    def select(self, candidates: pl.DataFrame, ctx: Context) -> Selection:
        """At most k of the candidates of one query (qid, doc_id, rank, score), given best first; there is at least one."""

    def why_lost(self, span: Span, qid: str, doc_id: str, rank: int) -> tuple[str, str]:
        return "below_cutoff", f"It was at rank {rank}, and {self.label()} did not select it."

    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        chosen = []
        for candidates in ranking.top(self.candidates).hits.partition_by("qid", maintain_order=True):
            selection = self.select(candidates.sort("rank"), ctx)
            picked = candidates.sort("rank")[selection.order].select("qid", "doc_id", pl.col("rank").alias("received"))
            ranks = pl.Series("rank", range(1, len(picked) + 1), dtype=HITS["rank"])
            chosen.append(picked.with_columns(ranks, *(pl.Series(name, v) for name, v in selection.columns.items())))
        if not chosen:
            return ranking.with_hits(no_hits())
        selected = pl.concat(chosen)
        ctx.note(SELECTION_NOTE, selected)
        return ranking.with_hits(selected.select("qid", "doc_id", score=1 / pl.col("rank")))


def document_vectors(doc_ids: pl.Series, spec: IndexSpec, ctx: Context) -> FloatRows:
    """float32 [documents, dim]: the mean of each document's stored passage vectors, of length 1; zeros where the index does not hold it. Raises NotExact."""
    index = cast(VectorIndex, ctx.resources.index(spec))
    rows = ctx.rows(spec, doc_ids)
    vectors = np.zeros((len(doc_ids), index.width), np.float32)
    for place, doc_id in enumerate(doc_ids):
        if doc_id in rows:
            vectors[place] = index.vectors(rows[doc_id]).mean(axis=0)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, lengths, out=vectors, where=lengths > 0)
    return vectors
