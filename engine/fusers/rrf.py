"""Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from pydantic import Field

from engine.fusers.base import CONTRIBUTIONS, Fuser, stack, weight_of


class Rrf(Fuser, name="rrf"):
    """Sum of 1 / (k + rank) over the lists that hold the document; raw scores play no part."""

    k: int = Field(60, ge=0, le=10_000, description="Dampens the first ranks: the larger, the flatter.")
    weights: tuple[float, ...] = Field((), description="One weight per input; all equal when empty.")

    def formula(self) -> str:
        return f"Σ {'weight × ' if self.weights else ''}1 / ({self.k} + rank)"

    def contributions(self, lists: Sequence[pl.DataFrame]) -> pl.DataFrame:
        share = (1.0 / (self.k + pl.col("rank"))).fill_null(0.0)
        return (
            stack(lists)
            .with_columns(normalised=share)
            .with_columns(contribution=pl.col("normalised") * weight_of(self.weights, len(lists)))
            .select(CONTRIBUTIONS.names())
        )
