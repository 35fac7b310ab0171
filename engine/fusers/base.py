"""The fusion contract: say what each list gives to each document; the fused score is the sum."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import polars as pl
from pydantic import Field

from engine.component import Component
from engine.errors import BadInput

CONTRIBUTIONS = pl.Schema(
    {
        "qid": pl.String,
        "doc_id": pl.String,
        "input": pl.Int32,
        "rank": pl.Int32,
        "raw": pl.Float64,
        "normalised": pl.Float64,
        "contribution": pl.Float64,
    }
)
Normalisation = Literal["min-max", "z-score", "none"]


class Fuser(Component, family="fusers"):
    """A fusion formula. `contributions` is all there is to write; names follow ranx."""

    @abstractmethod
    def contributions(self, lists: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """One row per (qid, doc_id, input) with schema CONTRIBUTIONS, for every document of the union; `rank` and `raw` are null where that list lacks the document. The contributions of a document sum to its fused score."""

    @abstractmethod
    def formula(self) -> str:
        """The formula in one line, for the ledger."""


class ScoreFuser(Fuser):
    """A formula of normalised scores. Scales are each list's own, or measured once over many queries (`engine.fusers.fit.fit_statistics`).

    A scale of its own makes the first hit of a bad list as good as that of a good one; a common scale tells them apart
    (Montague and Aslam, "Relevance Score Normalization for Metasearch", CIKM 2001).
    """

    norm: Normalisation = Field("min-max", description="How each list's scores are brought to one scale.")
    statistics: tuple[tuple[float, float], ...] = Field(
        (),
        max_length=8,
        description="For each input over many queries: lowest and highest score (min-max), or mean and deviation (z-score). Empty: each list's own.",
    )

    def normalised(self, lists: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """`stack` with `normalised`. Raises BadInput where there are not as many statistics as lists."""
        return normalise(stack(lists), self.norm, self.statistics)


def stack(lists: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The union of the lists: qid, doc_id, input, rank, raw; a row for each (document, input) pair, null where absent."""
    found = pl.concat(
        [
            hits.select("qid", "doc_id", pl.lit(i, dtype=pl.Int32).alias("input"), "rank", pl.col("score").alias("raw"))
            for i, hits in enumerate(lists)
        ]
    )
    pairs = found.select("qid", "doc_id").unique(maintain_order=True)
    inputs = pl.DataFrame({"input": pl.Series(range(len(lists)), dtype=pl.Int32)})
    return pairs.join(inputs, how="cross").join(found, on=["qid", "doc_id", "input"], how="left", maintain_order="left")


def normalise(
    stacked: pl.DataFrame, how: Normalisation, statistics: Sequence[tuple[float, float]] = ()
) -> pl.DataFrame:
    """Add `normalised`, per query and list. A document that a list lacks is taken at that list's lowest normalised score
    (0 for min-max), so that absence never counts for more than the last place. A list of equal scores gives 1 (min-max) or 0 (z-score).
    An empty list gives 0. With statistics of each input, its scores are scaled by these; below the lowest score is 0 for min-max."""
    group = ("qid", "input")
    low, high = pl.col("raw").min().over(group), pl.col("raw").max().over(group)
    mean, deviation = pl.col("raw").mean().over(group), pl.col("raw").std(ddof=0).over(group)
    if statistics:
        inputs = stacked["input"].n_unique()
        if inputs > len(statistics):
            raise BadInput(f"{len(statistics)} statistics were given for {inputs} lists; give one pair for each.")
        first, second = (
            pl.col("input").replace_strict(
                {i: pair[side] for i, pair in enumerate(statistics)}, return_dtype=pl.Float64
            )
            for side in (0, 1)
        )
        low, high, mean, deviation = first, second, first, second
    if how == "min-max":
        value = pl.when(high > low).then((pl.col("raw") - low) / (high - low)).otherwise(1.0).clip(lower_bound=0.0)
        value = pl.when(pl.col("raw").is_null()).then(0.0).otherwise(value)
        return stacked.with_columns(normalised=value)
    if how == "z-score":
        value = pl.when(deviation > 0).then((pl.col("raw") - mean) / deviation).otherwise(0.0)
        scored = stacked.with_columns(normalised=pl.when(pl.col("raw").is_null()).then(None).otherwise(value))
        lowest = pl.col("normalised").min().over(group)
        return scored.with_columns(normalised=pl.col("normalised").fill_null(lowest).fill_null(0.0))
    return stacked.with_columns(normalised=pl.col("raw").fill_null(0.0))


def score_of(norm: Normalisation) -> str:
    """How a formula names the normalised score."""
    return "score" if norm == "none" else f"{norm}(score)"


def weight_of(weights: tuple[float, ...], count: int) -> pl.Expr:
    """The weight of each row's input; all 1 where none were given."""
    values = weights or (1.0,) * count
    return pl.col("input").replace_strict(dict(enumerate(values)), return_dtype=pl.Float64)
