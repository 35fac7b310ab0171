"""CombANZ: the mean of normalised scores over the lists that hold the document (Fox and Shaw, TREC-2 1993)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from engine.fusers.base import CONTRIBUTIONS, ScoreFuser, score_of


class CombAnz(ScoreFuser, name="comb_anz"):
    """Average the normalised scores over the lists that hold the document: a list that lacks it has no say."""

    def formula(self) -> str:
        return f"Σ {score_of(self.norm)} / (lists that hold it)"

    def contributions(self, lists: Sequence[pl.DataFrame]) -> pl.DataFrame:
        held = pl.col("raw").is_not_null()
        share = pl.when(held).then(pl.col("normalised") / held.sum().over("qid", "doc_id")).otherwise(0.0)
        return self.normalised(lists).with_columns(contribution=share).select(CONTRIBUTIONS.names())
