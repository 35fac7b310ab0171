"""Weighted sum of normalised scores (Fox and Shaw, TREC-2 1993; normalisations after Montague and Aslam, CIKM 2001)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from pydantic import Field

from engine.fusers.base import CONTRIBUTIONS, ScoreFuser, score_of, weight_of


class WeightedSum(ScoreFuser, name="wsum"):
    """Add the lists' scores after bringing them to one scale, each with its weight."""

    weights: tuple[float, ...] = Field((), description="One weight per input; all equal when empty.")

    def formula(self) -> str:
        return f"Σ {'weight × ' if self.weights else ''}{score_of(self.norm)}"

    def contributions(self, lists: Sequence[pl.DataFrame]) -> pl.DataFrame:
        return (
            self.normalised(lists)
            .with_columns(contribution=pl.col("normalised") * weight_of(self.weights, len(lists)))
            .select(CONTRIBUTIONS.names())
        )
