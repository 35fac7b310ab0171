"""Agreement measures against hand-computed and published values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.agreement import jaccard, rbo

rankings = st.permutations(list("abcdefgh")).flatmap(lambda p: st.integers(0, 8).map(lambda n: p[:n]))


def test_jaccard_counts_the_first_k():
    assert jaccard(["a", "b", "c"], ["b", "d", "a"], 2) == pytest.approx(1 / 3)
    assert jaccard([], [], 10) == 1.0
    assert jaccard(["a"], [], 10) == 0.0


def test_rbo_of_two_items_by_hand():
    # p=.5, depth 1: overlap 0; depth 2: 2/2. (1-p)/p * p^2 * 1 + 1 * p^2 = .25 + .25
    assert rbo(["a", "b"], ["b", "a"], 0.5) == pytest.approx(0.5)


def test_rbo_of_uneven_lists_by_hand():
    # S=[a], L=[a,b], p=.9. agreement at 1: 1; at 2: X=1 -> 1/2, plus the extrapolated 1*(2-1)/(1*2)=1/2.
    # (.1/.9)*(.9*1 + .81*.5 + .81*.5) + ((1-1)/2 + 1)*.81 = .1 + .09 + .81
    assert rbo(["a"], ["a", "b"], 0.9) == pytest.approx(1.0)
    # S=[a], L=[b,a]: X_1=0, X_2=1 -> (.1/.9)*(.81*.5) + (1-0)/2*.81
    assert rbo(["a"], ["b", "a"], 0.9) == pytest.approx(0.045 + 0.405)


@given(rankings, rankings)
def test_rbo_is_symmetric_and_bounded(left, right):
    assert rbo(left, right) == pytest.approx(rbo(right, left))
    assert -1e-12 <= rbo(left, right) <= 1 + 1e-12


@given(rankings)
def test_a_ranking_agrees_with_itself(ranking):
    assert rbo(ranking, ranking) == pytest.approx(1.0)


def test_rbo_weighs_the_top_more():
    base = list("abcdefgh")
    assert rbo(base, list("bacdefgh")) < rbo(base, list("abcdefhg"))


@pytest.mark.parametrize("p", [0.0, 1.0, -1.0])
def test_p_lies_between_0_and_1(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        rbo(["a"], ["a"], p)
