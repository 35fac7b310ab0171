"""CombMAX: the largest of the normalised scores (Fox and Shaw, TREC-2 1993)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from engine.fusers.base import CONTRIBUTIONS, ScoreFuser, score_of


class CombMax(ScoreFuser, name="comb_max"):
    """Take the largest normalised score of the lists that hold the document: one list that is sure suffices.

    The first list with that score contributes all of it, the others nothing.
    """

    def formula(self) -> str:
        return f"max {score_of(self.norm)}"

    def contributions(self, lists: Sequence[pl.DataFrame]) -> pl.DataFrame:
        held = pl.when(pl.col("raw").is_not_null()).then(pl.col("normalised"))
        document = ("qid", "doc_id")
        best = held == held.max().over(document)
        first = pl.col("input") == pl.col("input").filter(best).min().over(document)
        return (
            self.normalised(lists)
            .with_columns(contribution=pl.when(first).then(pl.col("normalised")).otherwise(0.0))
            .select(CONTRIBUTIONS.names())
        )
