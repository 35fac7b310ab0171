"""Agreement measures against hand-computed and published values."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from engine.statistics.agreement import jaccard, kendall, pairwise, rbo

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


@given(rankings, rankings, st.sampled_from([0.3, 0.5, 0.9]))
def test_rbo_is_equation_32_counted_by_sets(left, right, p):
    short, long = sorted((left, right), key=len)
    if not short:
        return
    s, n = len(short), len(long)
    shared = [len(set(short[:d]) & set(long[:d])) for d in range(n + 1)]
    summed = sum(shared[d] / d * p**d for d in range(1, n + 1))
    summed += sum(shared[s] * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    expected = (1 - p) / p * summed + ((shared[n] - shared[s]) / n + shared[s] / s) * p**n
    assert rbo(left, right, p) == pytest.approx(expected)


def test_a_list_that_goes_on_after_the_other_ended_still_agrees_fully():
    assert rbo(["a"], ["a", "b", "c", "d"], 0.5) == pytest.approx(1.0)


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


def test_kendall_is_over_the_shared_documents():
    assert kendall(["a", "b", "c"], ["a", "b", "c"]) == 1.0
    assert kendall(["a", "b", "c"], ["c", "x", "b", "a"]) == -1.0
    assert kendall(["a", "b", "c"], ["a", "c", "b"]) == pytest.approx(1 / 3)  # 2 pairs agree, 1 does not
    assert kendall(["a", "b"], ["b", "c"]) is None


@given(rankings, rankings)
def test_kendall_is_scipys(left, right):
    shared = [doc_id for doc_id in left if doc_id in right]
    if len(shared) > 1:
        expected = stats.kendalltau(range(len(shared)), [right.index(doc_id) for doc_id in shared]).statistic
        assert kendall(left, right) == pytest.approx(expected)


def test_pairs_are_of_queries_that_both_answered():
    rows = [
        ("x", "1", "a", 2.0),
        ("x", "1", "b", 1.0),
        ("y", "1", "b", 9.0),
        ("y", "1", "a", 1.0),
        ("x", "2", "a", 1.0),
        ("y", "3", "a", 1.0),
    ]
    hits = pl.DataFrame(rows, schema=["pipeline", "qid", "doc_id", "score"], orient="row")
    found = pairwise(hits, {"x": ["1", "2", "3"], "y": ["1", "3"]}, 10)
    swapped = rbo(["a", "b"], ["b", "a"]), rbo(["a", "b"], ["b", "a"], 0.5)
    assert swapped == pytest.approx((0.9, 0.5))  # half of the first two is shared after one, all after two
    assert found.rows() == [("1", "x", "y", 1.0, *swapped, -1.0), ("3", "x", "y", 0.0, 0.0, 0.0, None)]
    assert pairwise(hits, {"x": ["1"], "y": ["1"]}, 1)["jaccard"].to_list() == [0.0]
    assert pairwise(hits, {"x": ["1"]}, 10).is_empty()


def test_documents_with_equal_scores_stand_in_order_of_their_ids():
    rows = [("x", "1", "b", 1.0), ("x", "1", "a", 1.0), ("x", "1", "c", 2.0)]
    rows += [("y", "1", doc_id, score) for doc_id, score in (("c", 3.0), ("a", 2.0), ("b", 1.0))]
    hits = pl.DataFrame(rows, schema=["pipeline", "qid", "doc_id", "score"], orient="row")
    assert pairwise(hits, {"x": ["1"], "y": ["1"]}, 10)["tau"].to_list() == [1.0]
