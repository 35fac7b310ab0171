"""CombMNZ: the sum of normalised scores times the number of lists that hold the document (Fox and Shaw, TREC-2 1993)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from pydantic import Field

from engine.fusers.base import CONTRIBUTIONS, Fuser, Normalisation, normalise, score_of, stack


class CombMnz(Fuser, name="comb_mnz"):
    """Add the normalised scores, then multiply by how many lists hold the document: agreement is rewarded."""

    norm: Normalisation = Field("min-max", description="How each list's scores are brought to one scale, per query.")

    def formula(self) -> str:
        return f"(lists that hold it) × Σ {score_of(self.norm)}"

    def contributions(self, lists: Sequence[pl.DataFrame]) -> pl.DataFrame:
        holders = pl.col("raw").is_not_null().sum().over("qid", "doc_id")
        return (
            normalise(stack(lists), self.norm)
            .with_columns(contribution=pl.col("normalised") * holders)
            .select(CONTRIBUTIONS.names())
        )
