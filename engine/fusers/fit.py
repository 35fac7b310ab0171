"""Fit the weights of a weighted sum to relevance judgments, and measure by cross-validation what that is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.errors import BadInput
from engine.fusers.base import Normalisation, normalise, stack
from engine.fusers.folds import Folds
from engine.types import Ints


@dataclass(frozen=True, slots=True)
class FittedWeights:
    """Weights of `wsum` that sum to 1, best over all queries, and what to expect of weights so fitted.

    held_out: the mean over queries, each measured under weights that were fitted to the other folds; equal: the mean under equal weights;
    fold_weights: the weights that each fold was measured under, which tell how stable they are; queries: how many there were; crossed: qid,
    doc_id, score, each query under the weights that it was measured under for `held_out`.
    """

    weights: tuple[float, ...]
    held_out: float
    equal: float
    fold_weights: tuple[tuple[float, ...], ...]
    queries: int
    crossed: pl.DataFrame = field(compare=False, repr=False)


def fit_weights(
    lists: Sequence[pl.DataFrame],
    judgments: pl.DataFrame,
    measure: str = "nDCG@10",
    folds: int = 5,
    *,
    norm: Normalisation = "min-max",
    steps: int = 10,
) -> FittedWeights:
    """Try every weighting whose weights are multiples of 1 / steps and sum to 1; among equally good ones the most even is taken.

    lists: hits (engine.types.HITS) of each input over the same queries; judgments: qid, doc_id, rating. Queries count that have a hit and
    a rating above 0. The same for equal arguments. Raises BadInput on fewer queries than folds.
    """
    if not 1 <= steps <= 100:
        raise BadInput(f"Weights are tried in 1 to 100 steps; got {steps}.")
    dealt = Folds.deal(lists, judgments, measure, folds)
    stacked = normalise(stack(lists), norm).filter(pl.col("qid").is_in(dealt.qids)).sort("qid", "doc_id", "input")
    pairs = stacked.filter(pl.col("input") == 0).select("qid", "doc_id")
    scores = stacked["normalised"].to_numpy().reshape(len(pairs), len(lists))

    def measured(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return dealt.values(pairs.with_columns(score=pl.Series(scores @ weights)))

    grid = weightings(len(lists), steps)
    values = np.stack([measured(weights) for weights in grid])
    chosen = [_best(values[:, ~dealt.held(number)]) for number in range(folds)]
    of_query = grid[np.array(chosen)[dealt.fold]]
    crossed = pairs.with_columns(score=pl.Series((scores * of_query[dealt.places(pairs["qid"])]).sum(axis=1)))
    return FittedWeights(
        weights=_as_tuple(grid[_best(values)]),
        held_out=float(values[np.array(chosen)[dealt.fold], np.arange(len(dealt.qids))].mean()),
        equal=float(measured(np.full(len(lists), 1 / len(lists))).mean()),
        fold_weights=tuple(_as_tuple(grid[best]) for best in chosen),
        queries=len(dealt.qids),
        crossed=crossed,
    )


def fit_statistics(lists: Sequence[pl.DataFrame], norm: Normalisation) -> tuple[tuple[float, float], ...]:
    """What a common scale of each input needs: its lowest and highest score over all queries (min-max), or mean and deviation (z-score).

    lists: hits (engine.types.HITS) of each input over many queries. Empty for norm "none". Raises BadInput on a list without hits.
    """
    if norm == "none":
        return ()
    found = []
    for number, hits in enumerate(lists, start=1):
        scores = hits["score"].to_numpy()
        if not len(scores):
            raise BadInput(f"List {number} has no hits, so its scores have no scale; build its index or take it out.")
        pair = (scores.min(), scores.max()) if norm == "min-max" else (scores.mean(), scores.std())
        found.append((float(pair[0]), float(pair[1])))
    return tuple(found)


def weightings(lists: int, steps: int) -> NDArray[np.float64]:
    """All weightings by multiples of 1 / steps that sum to 1, float64 [weightings, lists], the most even first."""
    counts: Ints = np.array(list(_compositions(steps, lists)), np.int64)
    return counts[np.argsort((counts**2).sum(axis=1), kind="stable")] / steps


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _compositions(total - first, parts - 1):
            yield (first, *rest)


def _best(values: NDArray[np.float64]) -> int:
    """The weighting with the highest mean over queries; the first of those that differ by rounding only."""
    return int(np.argmax(np.round(values.mean(axis=1), 12)))


def _as_tuple(weights: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(weight), 6) for weight in weights)
