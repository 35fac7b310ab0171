"""CUR decomposition of a score matrix of which a few columns and a few entries of a row are known (Mahoney and Drineas,
PNAS 2009)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.types import FloatRows, Ints

Floats = NDArray[np.float64]
NEGLIGIBLE = 1e-6  # singular values below this share of the largest are rounding


def weights_of_items(known: FloatRows, ridge: float = 0.0) -> Floats:
    """How known scores become coefficients: float64 [questions, items]; `weights @ scores of the items` says which
    mixture of the questions a new query is, and `rows @ mixture` what it scores everywhere.

    known: float [items, questions], the items' scores for the questions. ridge: 0 is the pseudo-inverse, which is exact
    where the scores of all have no higher rank than those of the items; above, the mixture is kept small, the more the
    larger (in units of the largest singular value), which is better where scores are only roughly of low rank.
    """
    left, sizes, right = np.linalg.svd(known.astype(np.float64), full_matrices=False)
    if not len(sizes) or sizes[0] == 0:
        return np.zeros(known.T.shape)
    kept = sizes > NEGLIGIBLE * sizes[0]
    inverse = np.zeros_like(sizes)
    inverse[kept] = sizes[kept] / (sizes[kept] ** 2 + (ridge * sizes[0]) ** 2)
    solved: Floats = (right.T * inverse) @ left.T
    return solved


def sampled(numbers: Ints, count: int, seed: int) -> Ints:
    """`count` of the ascending numbers (all, where there are no more), ascending: those of the smallest hash.

    Whether a number is drawn hardly depends on which others there are, so that a set that grows or shrinks a little
    keeps most of its sample.
    """
    if len(numbers) <= count:
        return numbers
    with np.errstate(over="ignore"):
        mixed = numbers.astype(np.uint64) + np.uint64(seed + 1) * np.uint64(0x9E3779B97F4A7C15)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
    smallest: Ints = np.sort(numbers[np.argpartition(mixed, count)[:count]])
    return smallest
