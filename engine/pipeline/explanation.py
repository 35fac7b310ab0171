"""What a stage can tell of its scores: on what evidence they rest, how one comes about, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import polars as pl

Evidence: TypeAlias = Literal["", "lexical", "terms", "semantic", "tokens", "pair"]
"""What a stage compares: the words themselves, terms that a model weighs and adds, one vector a text, one vector a
token, or query and text read together; "" where it compares no texts."""

COST_NOTE = "reranking cost"
"""The detail of the span of a stage that reads documents with the query: a table (schema COST), one row for each
query."""
COST = pl.Schema({"qid": pl.String, "candidates": pl.Int32, "scored": pl.Int32, "ms": pl.Float64})


@dataclass(frozen=True, slots=True)
class TermWeight:
    """One term or token and what it adds to a score. `start` and `end` are offsets in the unit's "title. text"; -1 when
    it has no place."""

    term: str
    weight: float
    start: int = -1
    end: int = -1


@dataclass(frozen=True, slots=True)
class ScoreExplanation:
    """Why a stage gave a document its score. When `exact`, the weights sum to `score`. `row` is the index row (best
    passage) explained, -1 where there is none."""

    exact: bool
    score: float
    weights: tuple[TermWeight, ...]
    note: str
    row: int
