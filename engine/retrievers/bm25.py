"""BM25 (Robertson et al., TREC-3 1994; variants after Kamphuis et al., ECIR 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from engine.indexes.bm25 import Bm25Index, Bm25OpenIndex
from engine.kernels.bm25 import Variant
from engine.pipeline.context import Context
from engine.pipeline.explanation import Evidence, ScoreExplanation, TermWeight
from engine.pipeline.stages import Stage
from engine.retrievers.base import Retriever
from engine.types import TopK


class Bm25Parameters(Stage):
    """The parameters of every stage that reads a BM25 index: they say which one."""

    evidence: ClassVar[Evidence] = "lexical"
    analyzer: Literal["english", "any"] = Field(
        "english",
        description="english: stop words and Snowball stems; any: plain words of any language, with bigrams where no spaces are written.",
    )
    k1: float = Field(1.2, ge=0, le=10, description="How slowly repeated words saturate.")
    b: float = Field(0.75, ge=0, le=1, description="How strongly long documents are held back.")
    variant: Variant = Field("lucene", description="The formula's idf and saturation.")

    def term_analyzer(self) -> str:
        return self.analyzer

    def index_spec(self) -> Bm25Index:
        return Bm25Index(analyzer=self.analyzer, k1=self.k1, b=self.b, variant=self.variant)

    def open_index(self, ctx: Context) -> Bm25OpenIndex:
        """The open index. Raises IndexNotReady."""
        return cast(Bm25OpenIndex, ctx.resources.index(self.index_spec()))


class Bm25(Bm25Parameters, Retriever, name="bm25"):
    """Exact words, weighted by rarity and saturated by repetition; the baseline that everything must beat."""

    def label(self) -> str:
        return "BM25"

    @property
    def needs_match(self) -> bool:
        return True

    def top_rows(self, queries: pl.DataFrame, k: int, ctx: Context) -> TopK:
        return self.open_index(ctx).search(queries["text"].to_list(), k, ctx.allowed(self.index_spec()))

    def exact_scores(self, query: str, ctx: Context) -> NDArray[np.float32]:
        return self.open_index(ctx).scores(query)

    def explain_row(self, query: str, row: int, ctx: Context) -> ScoreExplanation:
        note = "Each query term's exact BM25 weight in this document; they sum to the score."
        return explained(self.open_index(ctx).contributions(query, row), row, note)


def explained(contributions: Sequence[tuple[str, float]], row: int, note: str) -> ScoreExplanation:
    """The exact explanation of a score that is the sum of what terms contribute."""
    weights = sorted(contributions, key=lambda pair: -pair[1])
    return ScoreExplanation(
        exact=True,
        score=float(sum(weight for _, weight in weights)),
        weights=tuple(TermWeight(term, float(weight)) for term, weight in weights),
        note=note,
        row=row,
    )
