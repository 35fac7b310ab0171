"""How far documents that nobody judged could move the difference of two systems: each is assumed relevant, or not.

On a query, with a set S of unjudged documents assumed relevant at rating `rating` and the others not relevant, the difference of two systems
is d(S). `difference_bounds` gives the least and the greatest d(S) over all S drawn from the documents within reach of the measure:

* nDCG, R and P share a denominator that depends on the size of S only, and a numerator that is a sum over S. For each size the best S takes
  the documents that help most, so the bounds are reached: they are exact.
* RR and Success look at the first relevant document. Adding a document to S can only bring the other system forward, so S empty or of one
  document is enough: exact.
* The others (AP, Rprec, Bpref) are bounded by sizes: with n documents assumed relevant, a system is best off when they are its highest
  and worst off when they are its lowest, and both systems are taken at their own extremes. That holds always, and may be wider than what
  any S reaches.

Documents out of reach (below the cut-off of the measure, or below `depth` where it has none) are taken as not relevant. A measure on
condensed lists has no bounds: it leaves unjudged documents out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput
from engine.metrics.base import CondensableMetric, Floats, Marked, Metric
from engine.metrics.ndcg import NDCG

DEPTH = 100
_ONE = ("RR", "Success")
_SUMS = ("nDCG", "P", "R")


@dataclass(frozen=True, slots=True)
class Listed:
    """One query's ranking by one system, best first, and its judgments. A document that is not in `ratings` is unjudged."""

    doc_ids: Sequence[str]
    ratings: dict[str, int]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The difference (right minus left) as judged, its bounds, and what each unjudged document alone would add to it if it were relevant."""

    difference: float
    low: float
    high: float
    effects: dict[str, float]


def is_exact(metric: Metric) -> bool:
    """Whether the bounds are reached by some judgments."""
    return metric.name in (*_ONE, *_SUMS)


def check_bounded(metric: Metric, rating: int) -> None:
    """Raise BadInput for a measure that unjudged documents do not move as assumed here."""
    if metric.name == "Judged" or (isinstance(metric, CondensableMetric) and metric.judged_only):
        raise BadInput(f"{metric.label()} has no bounds: it does not depend on what unjudged documents are.")
    least = int(getattr(metric, "rel", 1))
    if rating < max(1, least):
        raise BadInput(f"A rating of {rating} is not relevant to {metric.label()}; assume {max(1, least)} or more.")


def difference_bounds(
    left: Sequence[str], right: Sequence[str], ratings: dict[str, int], metric: Metric, rating: int, depth: int = DEPTH
) -> Bounds:
    """Bounds of one query. left, right: document ids, best first; ratings: the judgments of the query."""
    reach = min(metric.cutoff or depth, depth)
    known = {doc_id for doc_id, value in ratings.items() if value >= 0}
    open_ = list(dict.fromkeys(doc for one in (left, right) for doc in one[:reach] if doc not in known))
    a, b = Listed(left, ratings), Listed(right, ratings)
    alone: list[tuple[str, ...]] = [(), *((doc_id,) for doc_id in open_)]
    singly = _values(b, alone, open_, metric, rating) - _values(a, alone, open_, metric, rating)
    here = float(singly[0])
    effects = {doc_id: float(value) - here for doc_id, value in zip(open_, singly[1:], strict=True)}
    if metric.name in _ONE:
        low, high = float(singly.min()), float(singly.max())
    elif metric.name in _SUMS:
        low, high = _sums(a, b, open_, metric, rating)
    else:
        sizes = range(len(open_) + 1)
        highest_a, lowest_a = _extremes(a, open_, sizes, metric, rating)
        highest_b, lowest_b = _extremes(b, open_, sizes, metric, rating)
        low, high = float((lowest_b - highest_a).min()), float((highest_b - lowest_a).max())
    return Bounds(here, low, high, effects)


def _sums(a: Listed, b: Listed, open_: Sequence[str], metric: Metric, rating: int) -> tuple[float, float]:
    """Bounds where the numerator is a sum and the denominator depends on how many documents are relevant."""
    gains = np.array([_gain(b, doc_id, metric, rating) - _gain(a, doc_id, metric, rating) for doc_id in open_])
    order = np.argsort(-gains, kind="stable")
    best = [tuple(open_[i] for i in order[:n]) for n in range(len(open_) + 1)]
    worst = [tuple(open_[i] for i in order[len(open_) - n :]) for n in range(len(open_) + 1)]
    highest = _values(b, best, open_, metric, rating) - _values(a, best, open_, metric, rating)
    lowest = _values(b, worst, open_, metric, rating) - _values(a, worst, open_, metric, rating)
    return float(lowest.min()), float(highest.max())


def _gain(one: Listed, doc_id: str, metric: Metric, rating: int) -> float:
    """What a relevant document adds to the numerator at its place in a list."""
    place = next((i for i, other in enumerate(one.doc_ids, 1) if other == doc_id), 0)
    if not place or place > (metric.cutoff or math.inf):
        return 0.0
    return 1.0 / math.log2(place + 1.0) if isinstance(metric, NDCG) else 1.0


def _extremes(one: Listed, open_: Sequence[str], sizes: range, metric: Metric, rating: int) -> tuple[Floats, Floats]:
    """The greatest and the least value with n of the documents assumed relevant, for each n."""
    place = {doc_id: i for i, doc_id in enumerate(one.doc_ids)}
    order = sorted(open_, key=lambda doc_id: place.get(doc_id, len(place)))
    best = [tuple(order[:n]) for n in sizes]
    worst = [tuple(order[len(order) - n :]) for n in sizes]
    return _values(one, best, open_, metric, rating), _values(one, worst, open_, metric, rating)


def _values(one: Listed, assumed: Sequence[Sequence[str]], open_: Sequence[str], metric: Metric, rating: int) -> Floats:
    """float64 [len(assumed)]: the measure with each set assumed relevant and the rest of `open_` not relevant.

    Hits that are neither judged nor in question are left out of the arrays, positions kept: to every measure here they are as good as absent.
    """
    column = {doc_id: i for i, doc_id in enumerate(open_)}
    kept = [(i, doc_id) for i, doc_id in enumerate(one.doc_ids, 1) if doc_id in one.ratings or doc_id in column]
    at = {doc_id: i for i, (_, doc_id) in enumerate(kept)}
    sets, n = len(assumed), len(kept)
    chosen: NDArray[np.int32] = np.zeros((sets, len(open_)), np.int32)
    for row, docs in enumerate(assumed):
        chosen[row, [column[doc_id] for doc_id in docs]] = rating
    found = np.tile(np.array([one.ratings.get(doc_id, 0) for _, doc_id in kept], np.int32), (sets, 1))
    here = [doc_id for doc_id in open_ if doc_id in at]
    if here:
        found[:, [at[doc_id] for doc_id in here]] = chosen[:, [column[doc_id] for doc_id in here]]
    own = np.array([value for doc_id, value in one.ratings.items() if doc_id not in column], np.int32)
    known = -np.sort(-np.concatenate([np.tile(own, (sets, 1)), chosen], axis=1), axis=1)
    marked = Marked(
        queries=sets,
        query=np.repeat(np.arange(sets, dtype=np.int32), n),
        position=np.tile(np.array([place for place, _ in kept], np.int32), sets),
        rating=found.ravel(),
        judged=np.ones(sets * n, np.bool_),
        judged_query=np.repeat(np.arange(sets, dtype=np.int32), known.shape[1]),
        judged_rating=known.ravel(),
    )
    return metric.values(marked)
