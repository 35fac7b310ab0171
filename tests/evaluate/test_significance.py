"""Tests equal to scipy's, corrections equal to statsmodels', intervals and effect sizes to scipy's and to hand computation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from engine.errors import BadInput
from engine.statistics import significance as sig


def samples() -> list[np.ndarray]:
    """Differences of many sizes, some with ties and zeros as measures with a cut-off give them."""
    rng = np.random.default_rng(5)
    smooth = [rng.normal(shift, 1, n) for n in (3, 8, 25, 60, 400) for shift in (0, 0.3, 1)]
    coarse = [rng.integers(-4, 6, n) / 5 for n in (6, 12, 40, 90)]
    return [*smooth, *coarse]


@pytest.mark.parametrize("differences", samples(), ids=len)
def test_paired_t_is_scipys(differences: np.ndarray) -> None:
    assert sig.paired_t(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, rel=1e-10)


@pytest.mark.parametrize("freedom", [1, 2, 5, 30, 1000])
@pytest.mark.parametrize("t", [0.0, 1e-6, 0.5, 1.96, 8.0, 40.0])
def test_students_tail_is_scipys(freedom: int, t: float) -> None:
    assert sig.student_tail(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-9, abs=1e-290)


@pytest.mark.parametrize("differences", samples(), ids=len)
def test_wilcoxon_is_scipys(differences: np.ndarray) -> None:
    kept = differences[differences != 0]
    tied = len(np.unique(np.abs(kept).round(9))) < len(kept)
    if len(kept) > sig.EXACT_RANKS:
        expected = stats.wilcoxon(kept, method="asymptotic", correction=False).pvalue
    elif not tied:
        expected = stats.wilcoxon(kept, method="exact").pvalue
    elif len(kept) <= 13:
        expected = by_enumeration(stats.rankdata(np.abs(kept).round(9)), kept > 0)
    else:  # scipy has no exact distribution with ties; the approximation is near
        assert sig.wilcoxon(differences) == pytest.approx(
            stats.wilcoxon(kept.round(9), method="asymptotic").pvalue, abs=0.02
        )
        return
    assert sig.wilcoxon(differences) == pytest.approx(expected, rel=1e-9)


def by_enumeration(ranks: np.ndarray, positive: np.ndarray) -> float:
    """Both tails of the rank sum over all sign patterns."""
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    observed = ranks[positive].sum()
    low = sum(s <= observed + 1e-9 for s in sums) / len(sums)
    high = sum(s >= observed - 1e-9 for s in sums) / len(sums)
    return min(1.0, 2 * min(low, high))


def test_randomization_enumerates_small_samples() -> None:
    # 8 sign patterns of 1, 2, 3; only + + + and − − − reach a sum of 6.
    assert sig.randomization(np.array([1.0, 2.0, 3.0])) == 2 / 8
    assert sig.randomization(np.array([1.0, 2.0, 3.0, 0.0, 0.0])) == 2 / 8
    assert sig.randomization(np.array([-3.0, 1.0, 2.0])) == 1.0
    assert sig.randomization(np.array([0.1, 0.2, -0.3])) == 1.0


def test_randomization_draws_large_samples_by_its_seed() -> None:
    for differences in samples():
        if len(differences) <= 20:
            continue
        first, again, other = (sig.randomization(differences, seed=seed) for seed in (1, 1, 2))
        assert first == again
        assert first == pytest.approx(other, abs=0.03)
        assert first == pytest.approx(sig.paired_t(differences), abs=0.03)
        assert first >= 1 / (sig.ROUNDS + 1)


def test_nothing_differs() -> None:
    for test in sig.TESTS.values():
        assert test(np.zeros(20)) == 1.0
        assert test(np.zeros(0)) == 1.0
    assert sig.paired_t(np.full(9, 0.5)) == 0.0


def test_false_alarms_come_as_often_as_promised() -> None:
    rng = np.random.default_rng(8)
    for name, test in sig.TESTS.items():
        alarms = np.mean([test(rng.normal(size=12)) <= 0.05 for _ in range(400)])
        assert 0.02 <= alarms <= 0.085, name


def test_bootstrap_intervals() -> None:
    values = np.random.default_rng(2).normal(0.4, 0.2, 50)
    low, high = sig.bootstrap_intervals(values[:, None])[0]
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(0)).confidence_interval
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.003)
    assert (low, high) == sig.bootstrap_intervals(values[:, None])[0]
    narrow = sig.bootstrap_intervals(values[:, None], level=0.5)[0]
    assert low < narrow[0] < values.mean() < narrow[1] < high
    assert sig.bootstrap_intervals(np.array([[0.3]])) == [(0.3, 0.3)]
    assert all(math.isnan(end) for end in sig.bootstrap_intervals(np.empty((0, 1)))[0])
    with pytest.raises(BadInput, match="between 0 and 1"):
        sig.bootstrap_intervals(values[:, None], level=95)


def test_corrections_by_hand() -> None:
    p = [0.01, 0.04, 0.03, 0.005, 0.5, 0.02]  # sorted .005 .01 .02 .03 .04 .5, times 6 5 4 3 2 1 and never falling
    assert sig.holm(p) == pytest.approx([0.05, 0.09, 0.09, 0.03, 0.5, 0.08])
    assert sig.benjamini_hochberg(p) == pytest.approx([0.03, 0.048, 0.045, 0.03, 0.5, 0.04])
    assert sig.CORRECTIONS["none"](p) == p
    for correct in sig.CORRECTIONS.values():
        assert correct([]) == []
        assert correct([0.2]) == [0.2]
        assert max(correct([0.9, 0.8, 1.0])) == 1.0


@given(st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.05, 1.0]), min_size=1, max_size=30))
def test_corrections_are_those_of_statsmodels(p: list[float]) -> None:
    assert sig.holm(p) == pytest.approx(multipletests(p, method="holm")[1].tolist())
    assert sig.benjamini_hochberg(p) == pytest.approx(multipletests(p, method="fdr_bh")[1].tolist())


def test_wins_ties_and_losses() -> None:
    found = sig.win_tie_loss(np.array([0.1, 1e-12, -0.2, 0.3, 0.0]))
    assert (found.wins, found.ties, found.losses) == (2, 2, 1)


def test_effect_sizes() -> None:
    differences = np.array([1.0, 2.0, 3.0, 4.0])  # mean 2.5, standard deviation sqrt(5/3)
    assert sig.cohen_dz(differences) == pytest.approx(2.5 / math.sqrt(5 / 3))
    # Γ(1.5) / (Γ(1) · sqrt(1.5)) = (sqrt(π)/2) / sqrt(1.5)
    assert sig.hedges_g(differences) == pytest.approx(2.5 / math.sqrt(5 / 3) * math.sqrt(math.pi) / 2 / math.sqrt(1.5))
    assert math.isnan(sig.cohen_dz(np.ones(3)))
    assert math.isnan(sig.hedges_g(np.ones(2)))


@pytest.mark.parametrize(("wins", "losses"), [(0, 1), (8, 2), (5, 5), (0, 30), (211, 190)])
def test_votes_against_scipy(wins: int, losses: int) -> None:
    exact = stats.binomtest(wins, wins + losses)
    assert sig.sign_test(wins, losses) == pytest.approx(exact.pvalue)
    interval = exact.proportion_ci(0.9, method="wilson")
    assert sig.wilson(wins, wins + losses, 0.9) == pytest.approx((interval.low, interval.high))


def test_no_votes_say_nothing() -> None:
    assert sig.sign_test(0, 0) == 1.0
    assert sig.wilson(0, 0) == (0.0, 1.0)
    with pytest.raises(BadInput, match="between 0 and 1"):
        sig.wilson(1, 2, 1.0)
