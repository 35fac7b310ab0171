"""Paired comparison of two pipelines over the same queries: tests, intervals, effect sizes, correction for many comparisons.

Everything takes `differences`: float64 [queries], one pipeline's value minus the other's. What is drawn at random is seeded. Wilcoxon's test is our
own because scipy's exact distribution knows no ties.
Which test: Smucker, Allan and Carterette (CIKM 2007); why correct: Fuhr (SIGIR Forum 2017), Sakai (Laboratory Experiments in IR, 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput

Floats = NDArray[np.float64]
SEED = 13
ROUNDS = 10_000
EXACT_SIGNS = 14  # up to here all 2^n sign patterns are tried instead of drawn
EXACT_RANKS = 50  # up to here the exact distribution of the rank sum is computed
_TIE = 1e-9  # differences this small are rounding, not a win
_CHUNK = 4_000_000  # numbers drawn at once


@dataclass(frozen=True, slots=True)
class WinTieLoss:
    """On how many queries a pipeline is better, equal and worse."""

    wins: int
    ties: int
    losses: int


def win_tie_loss(differences: Floats) -> WinTieLoss:
    """Differences within 1e-9 are ties."""
    wins, losses = int((differences > _TIE).sum()), int((differences < -_TIE).sum())
    return WinTieLoss(wins, len(differences) - wins - losses, losses)


def paired_t(differences: Floats) -> float:
    """Two-sided p of Student's paired t test; 1 for fewer than two queries or when nothing differs, 0 when all differ by the same."""
    n = len(differences)
    if n < 2 or not differences.any():
        return 1.0
    spread = float(differences.std(ddof=1))
    if spread <= 1e-15 * abs(float(differences.mean())):
        return 0.0
    t = float(differences.mean()) / (spread / math.sqrt(n))
    return student_tail(t, n - 1)


def student_tail(t: float, freedom: int) -> float:
    """P(|T| >= |t|) of Student's t with `freedom` degrees."""
    from scipy.special import stdtr

    return 2 * float(stdtr(freedom, -abs(t)))


def wilcoxon(differences: Floats) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; zeros are dropped and ties share their mean rank.

    Exact up to 50 differences, ties included; beyond, the normal approximation with the correction for ties.
    """
    kept = differences[np.abs(differences) > _TIE]
    n = len(kept)
    if n == 0:
        return 1.0
    doubled, sizes = _doubled_ranks(np.abs(kept))
    observed = int(doubled[kept > 0].sum())
    whole = int(doubled.sum())
    if n <= EXACT_RANKS:
        ways = np.zeros(whole + 1)
        ways[0] = 1.0
        for rank in doubled:  # the distribution of the sum when every sign is a fair coin
            ways[rank:] = (ways[rank:] + ways[: whole + 1 - rank]) / 2
            ways[:rank] /= 2
        tail = min(observed, whole - observed)
        return min(1.0, 2 * float(ways[: tail + 1].sum()))
    mean = n * (n + 1) / 4
    variance = n * (n + 1) * (2 * n + 1) / 24 - float((sizes.astype(np.float64) ** 3 - sizes).sum()) / 48
    return math.erfc(abs(observed / 2 - mean) / math.sqrt(variance) / math.sqrt(2))


def _doubled_ranks(sizes: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Twice the mean rank of each value, so that it is a whole number, and how many share each distinct value. Values within 1e-9 are equal."""
    order = np.argsort(sizes, kind="stable")
    fresh = np.concatenate([[True], np.diff(sizes[order]) > _TIE])
    group = np.cumsum(fresh) - 1
    counts = np.bincount(group)
    ends = np.cumsum(counts)
    ranks = np.empty(len(sizes), np.int64)
    ranks[order] = (2 * ends - counts + 1)[group]
    return ranks, counts


def randomization(differences: Floats, rounds: int = ROUNDS, seed: int = SEED) -> float:
    """Two-sided p of the sign-flip (Fisher randomization) test on the mean: exact up to 14 differences that are not 0, else drawn."""
    kept = differences[differences != 0]
    n = len(kept)
    if n == 0:
        return 1.0
    observed = abs(float(kept.sum())) * (1 - 1e-12) - 1e-15
    if n <= EXACT_SIGNS:
        signs = ((np.arange(1 << n)[:, None] >> np.arange(n)) & 1) * 2.0 - 1.0
        return float((np.abs(signs @ kept) >= observed).mean())
    rng = np.random.default_rng(seed)
    beyond, done = 0, 0
    while done < rounds:
        batch = min(rounds - done, max(1, _CHUNK // n))
        signs = rng.integers(0, 2, size=(batch, n), dtype=np.int8) * 2.0 - 1.0
        beyond += int((np.abs(signs @ kept) >= observed).sum())
        done += batch
    return (beyond + 1) / (rounds + 1)  # what was seen is one of the possible outcomes, so p is never 0


def bootstrap_intervals(
    columns: Floats, level: float = 0.95, rounds: int = ROUNDS, seed: int = SEED
) -> list[tuple[float, float]]:
    """The percentile interval of the mean of every column of float64 [queries, columns], over queries drawn with replacement (Efron 1979).

    A point for one query, nan for none. All columns share the draws, which are what takes the time. Raises BadInput on a level beyond 0..1.
    """
    if not 0 < level < 1:
        raise BadInput(f"The level of an interval lies between 0 and 1; got {level}.")
    n, width = columns.shape
    if n == 0:
        return [(math.nan, math.nan)] * width
    if n == 1:
        return [(float(value), float(value)) for value in columns[0]]
    rng = np.random.default_rng(seed)
    means = np.empty((rounds, width))
    done = 0
    while done < rounds:
        batch = min(rounds - done, max(1, _CHUNK // n))
        drawn = rng.integers(0, n, size=(batch, n)) + np.arange(batch)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=batch * n).reshape(batch, n)  # how often each query was drawn
        means[done : done + batch] = times.astype(np.float64) @ columns / n
        done += batch
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def cohen_dz(differences: Floats) -> float:
    """The mean difference in standard deviations of the differences (Cohen 1988); nan where they do not vary."""
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    return float(differences.mean()) / spread if spread > 0 else math.nan


def hedges_g(differences: Floats) -> float:
    """Cohen's d_z times Hedges' exact correction for small samples."""
    freedom = len(differences) - 1
    if freedom < 2:
        return math.nan
    log = math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2) - 0.5 * math.log(freedom / 2)
    return cohen_dz(differences) * math.exp(log)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p values that keep the chance of any false finding down (Holm 1979); in the order given."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    return _restored(np.minimum(np.maximum.accumulate(steps), 1.0), order)


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Adjusted p values that keep the share of false findings down (Benjamini and Hochberg 1995); in the order given."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")[::-1]
    steps = values[order] * len(values) / np.arange(len(values), 0, -1)
    return _restored(np.minimum(np.minimum.accumulate(steps), 1.0), order)


def _restored(adjusted: Floats, order: NDArray[np.int64]) -> list[float]:
    result = np.empty(len(adjusted))
    result[order] = adjusted
    return [float(value) for value in result]


def _as_they_are(p: Sequence[float]) -> list[float]:
    return [float(value) for value in p]


TESTS: dict[str, Callable[[Floats], float]] = {"randomization": randomization, "t": paired_t, "wilcoxon": wilcoxon}
CORRECTIONS: dict[str, Callable[[Sequence[float]], list[float]]] = {
    "holm": holm,
    "bh": benjamini_hochberg,
    "none": _as_they_are,
}


def wilson(successes: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927): it stays within 0 and 1 and holds for few votes, and for none it is (0, 1).

    By hand, because `scipy.stats`, which has it, takes longer to load than a page may take to open. Raises BadInput on a level beyond 0..1.
    """
    if not 0 < level < 1:
        raise BadInput(f"The level of an interval lies between 0 and 1; got {level}.")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share, spread = successes / n, z * z / n
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact p that wins and losses come from a fair coin; ties are left out beforehand. 1 without votes."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5)))
