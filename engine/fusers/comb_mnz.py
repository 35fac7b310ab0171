"""CombMNZ: the sum of normalised scores times the number of lists that hold the document (Fox and Shaw, TREC-2 1993)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from engine.fusers.base import CONTRIBUTIONS, ScoreFuser, score_of


class CombMnz(ScoreFuser, name="comb_mnz"):
    """Add the normalised scores, then multiply by how many lists hold the document: agreement is rewarded."""

    def formula(self) -> str:
        return f"(lists that hold it) × Σ {score_of(self.norm)}"

    def contributions(self, lists: Sequence[pl.DataFrame]) -> pl.DataFrame:
        holders = pl.col("raw").is_not_null().sum().over("qid", "doc_id")
        return (
            self.normalised(lists)
            .with_columns(contribution=pl.col("normalised") * holders)
            .select(CONTRIBUTIONS.names())
        )
