"""LambdaMART over the lists' ranks and scores (Burges, "From RankNet to LambdaRank to LambdaMART", Microsoft Research TR-2010-82).

Trees are fitted to judgments by LightGBM (`engine.fusers.fit_lambdamart`) and run here as plain arrays, so that a pipeline file from elsewhere
never reaches a native parser, and running needs nothing installed.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, model_validator

from engine.errors import BadInput
from engine.fusers.base import CONTRIBUTIONS, Fuser, normalise, stack
from engine.types import Ints

Floats = NDArray[np.float64]
FEATURES = ("min-max score", "z-score", "reciprocal rank", "raw score")
DAMPING = 60  # as in reciprocal rank fusion
NODE = 5  # numbers of a node: feature (-1 in a leaf), threshold, left, right, value
MOST_DEPTH = 32


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Binary trees, all nodes in one table. feature: int64 [nodes], -1 in leaves; threshold, value: float64 [nodes]; left, right: int64
    [nodes], always further down the table; roots: int64 [trees]. A row goes left where its feature is at most the threshold."""

    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Floats
    roots: Ints

    @classmethod
    def decode(cls, text: str) -> Trees:
        """From base64 of little-endian float64 nodes. Raises ValueError where these are no trees."""
        numbers = np.frombuffer(base64.b64decode(text, validate=True), "<f8").astype(np.float64)
        if not len(numbers) or len(numbers) % NODE or not np.isfinite(numbers).all():
            raise ValueError("not a table of finite nodes")
        table = numbers.reshape(-1, NODE)
        feature, left, right = (table[:, column].astype(np.int64) for column in (0, 2, 3))
        inner, here = feature >= 0, np.arange(len(table))
        children = np.concatenate([left[inner], right[inner]])
        if (np.minimum(left, right)[inner] <= here[inner]).any() or (children >= len(table)).any():
            raise ValueError("a node's children must come after it")
        if len(np.unique(children)) != len(children):
            raise ValueError("a node has two parents")
        return cls(feature, table[:, 1], left, right, table[:, 4], np.setdiff1d(here, children))

    def encode(self) -> str:
        """The form that `decode` reads."""
        table = np.stack([self.feature, self.threshold, self.left, self.right, self.value], axis=1).astype("<f8")
        return base64.b64encode(table.tobytes()).decode("ascii")

    def attribute(self, rows: Floats) -> tuple[Floats, float]:
        """How much each feature moved each row from the trees' mean: float64 [rows, features], and that mean.

        On the way down a tree, a split moves the expectation from its node's value to the child's, and the feature that it asks is given the
        difference (Saabas, 2014); with the mean, a row's parts sum to the trees' output exactly. rows: float64 [rows, features].
        """
        parts = np.zeros_like(rows)
        everyone = np.arange(len(rows))
        for root in self.roots:
            at = np.full(len(rows), root)
            for _ in range(MOST_DEPTH):
                feature = self.feature[at]
                moving = everyone[feature >= 0]
                if not len(moving):
                    break
                node, asked = at[moving], feature[moving]
                goes_left = rows[moving, asked] <= self.threshold[node]
                child = np.where(goes_left, self.left[node], self.right[node])
                np.add.at(parts, (moving, asked), self.value[child] - self.value[node])
                at[moving] = child
        return parts, float(self.value[self.roots].sum())


class LambdaMart(Fuser, name="lambdamart"):
    """Trees that learned from judgments how ranks and scores of the lists should add up."""

    inputs: int = Field(0, ge=0, le=8, description="How many lists it was fitted for; fitted.")
    trees: str = Field("", max_length=60_000, description="The fitted trees: base64 of little-endian float64 nodes.")

    @model_validator(mode="after")
    def _decodes(self) -> Self:
        if self.trees:
            try:
                trees = Trees.decode(self.trees)
            except (binascii.Error, ValueError) as error:
                raise ValueError(f"trees cannot be read: {error}") from None
            if trees.feature.max() >= self.inputs * len(FEATURES):
                raise ValueError("trees ask for features that lists do not have")
        return self

    def formula(self) -> str:
        return "Σ trees(min-max, z-score, 1 / (60 + rank), score of every list)"

    def contributions(self, lists: Sequence[pl.DataFrame]) -> pl.DataFrame:
        if not self.trees or self.inputs != len(lists):
            state = f"fitted for {self.inputs} lists" if self.trees else "not fitted yet"
            raise BadInput(
                f"LambdaMART is {state}, and there are {len(lists)}. Fit it with `triptych pipelines fit --lambdamart`."
            )
        stacked = normalise(stack(lists), "min-max")
        pairs, rows = features(lists)
        parts, mean = Trees.decode(self.trees).attribute(rows)
        shares = parts.reshape(len(rows), len(lists), len(FEATURES)).sum(axis=2) + mean / len(lists)
        given = pairs.with_columns(pl.Series("contribution", shares, dtype=pl.Array(pl.Float64, len(lists)))).explode(
            "contribution"
        )
        given = given.with_columns(input=(pl.int_range(pl.len()) % len(lists)).cast(pl.Int32))
        joined = stacked.join(given, on=["qid", "doc_id", "input"], how="left", maintain_order="left")
        return joined.select(CONTRIBUTIONS.names())


def features(lists: Sequence[pl.DataFrame]) -> tuple[pl.DataFrame, Floats]:
    """The (qid, doc_id) pairs of the union, and their features, float64 [pairs, lists × FEATURES]; a list that lacks a document counts as
    giving it that list's lowest score and no rank."""
    stacked = stack(lists)
    low = pl.col("raw").min().over("qid", "input")
    table = stacked.select(
        "qid",
        "doc_id",
        "input",
        normalise(stacked, "min-max")["normalised"].alias("min-max score"),
        normalise(stacked, "z-score")["normalised"].alias("z-score"),
        (1 / (DAMPING + pl.col("rank"))).fill_null(0.0).alias("reciprocal rank"),
        pl.col("raw").fill_null(low).fill_null(0.0).alias("raw score"),
    ).sort("qid", "doc_id", "input", maintain_order=True)
    pairs = table.filter(pl.col("input") == 0).select("qid", "doc_id")
    return pairs, table.select(FEATURES).to_numpy().reshape(len(pairs), len(lists) * len(FEATURES)).astype(np.float64)
