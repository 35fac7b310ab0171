"""CombSUM: the sum of normalised scores (Fox and Shaw, TREC-2 1993)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from pydantic import Field

from engine.fusers.base import CONTRIBUTIONS, Fuser, Normalisation, normalise, score_of, stack


class CombSum(Fuser, name="comb_sum"):
    """Add the normalised scores, every list alike."""

    norm: Normalisation = Field("min-max", description="How each list's scores are brought to one scale, per query.")

    def formula(self) -> str:
        return f"Σ {score_of(self.norm)}"

    def contributions(self, lists: Sequence[pl.DataFrame]) -> pl.DataFrame:
        return (
            normalise(stack(lists), self.norm)
            .with_columns(contribution=pl.col("normalised"))
            .select(CONTRIBUTIONS.names())
        )
