"""CombSUM: the sum of normalised scores (Fox and Shaw, TREC-2 1993)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from engine.fusers.base import CONTRIBUTIONS, ScoreFuser, score_of


class CombSum(ScoreFuser, name="comb_sum"):
    """Add the normalised scores, every list alike."""

    def formula(self) -> str:
        return f"Σ {score_of(self.norm)}"

    def contributions(self, lists: Sequence[pl.DataFrame]) -> pl.DataFrame:
        return self.normalised(lists).with_columns(contribution=pl.col("normalised")).select(CONTRIBUTIONS.names())
