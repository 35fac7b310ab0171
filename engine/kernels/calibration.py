"""How well probabilities keep their promise: arrays in, numbers out.

p: float64 [n] probabilities; y: bool [n], whether each came true; query: int64 [n], the query (0 … queries − 1) of
each. Intervals resample queries, not hits, because the hits of a query succeed and fail together (Efron and Tibshirani,
1993).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.types import Ints, Mask

Floats = NDArray[np.float64]
BINS = 15  # as in Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017)
SUREST = 1e-6  # how close to 0 and 1 log-odds are taken
LEAST = 1e-7  # a probability of 0 that came true would cost infinitely much
CHUNK = 1 << 24  # resampled weights held at a time


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(−x)), without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float64)


def logit(p: Floats) -> Floats:
    """ln(p / (1 − p)), kept finite: no probability counts as surer than `SUREST`."""
    near = np.clip(p, SUREST, 1 - SUREST)
    return np.asarray(np.log(near) - np.log1p(-near), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Equally wide bins over [0, 1], the last closed. count: int64 [bins]; predicted, observed: float64 [bins] means,
    NaN in empty bins."""

    count: Ints
    predicted: Floats
    observed: Floats


def bin_of(p: Floats, bins: int = BINS) -> Ints:
    """int64 [n]: the bin that each probability falls into."""
    return np.minimum((p * bins).astype(np.int64), bins - 1)


def reliability(p: Floats, y: Mask, bins: int = BINS) -> Reliability:
    """What was promised and what came true, bin by bin."""
    places = bin_of(p, bins)
    count = np.bincount(places, minlength=bins)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(places, p, bins) / count
        observed = np.bincount(places, y, bins) / count
    return Reliability(count, predicted, observed)


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Per-query sums from which every measure follows, so that resampling queries is a matrix product. All float64
    [queries, …]."""

    hits: Floats
    relevant: Floats
    squares: Floats
    losses: Floats
    gaps: Floats  # [queries, bins]: sum of p − y
    kept: Floats
    kept_relevant: Floats

    @classmethod
    def of(cls, p: Floats, y: Mask, query: Ints, queries: int, keep: Mask, bins: int = BINS) -> Sums:
        """The sums; keep: bool [n], hits above the threshold."""
        safe = np.clip(p, LEAST, 1 - LEAST)
        flat = query * bins + bin_of(p, bins)

        def total(values: Floats | Mask) -> Floats:
            return np.asarray(np.bincount(query, np.asarray(values, np.float64), queries), np.float64)

        return cls(
            hits=total(np.ones(len(p))),
            relevant=total(y),
            squares=total((p - y) ** 2),
            losses=total(-np.where(y, np.log(safe), np.log1p(-safe))),
            gaps=np.asarray(np.bincount(flat, p - y, queries * bins), np.float64).reshape(queries, bins),
            kept=total(keep),
            kept_relevant=total(keep & y),
        )

    def measures(self, weights: Floats) -> dict[str, Floats]:
        """float64 [samples] of each measure; weights: float64 [samples, queries], how often each query was drawn. NaN
        where undefined."""
        hits, relevant = weights @ self.hits, weights @ self.relevant
        kept, found = weights @ self.kept, weights @ self.kept_relevant
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "ECE": np.abs(weights @ self.gaps).sum(axis=1) / hits,
                "Brier": weights @ self.squares / hits,
                "log loss": weights @ self.losses / hits,
                "precision": found / kept,
                "recall": found / relevant,
            }


def auc(p: Floats, y: Mask, query: Ints, weights: Floats) -> Floats:
    """float64 [samples]: how often a relevant hit stands above a non-relevant one (ties count half); each hit counts as
    often as its query.

    NaN where there are no hits of one of the two kinds (Mann and Whitney, 1947).
    """
    _, place = np.unique(p, return_inverse=True)
    levels = int(place.max(initial=-1)) + 1
    result = np.empty(len(weights))
    step = max(1, CHUNK // max(1, len(p)))
    for start in range(0, len(weights), step):
        drawn = weights[start : start + step][:, query]
        for row, of_hit in enumerate(drawn):
            good = np.bincount(place, of_hit * y, levels)
            bad = np.bincount(place, of_hit * ~y, levels)
            below = np.cumsum(bad) - bad
            pairs = good.sum() * bad.sum()
            result[start + row] = ((below + 0.5 * bad) * good).sum() / pairs if pairs else np.nan
    return result


def resamples(queries: int, samples: int, seed: int) -> Floats:
    """float64 [samples, queries]: how often each query was drawn in `samples` bootstrap samples."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(queries, np.full(queries, 1 / queries), size=samples).astype(np.float64)
