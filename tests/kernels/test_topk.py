"""Selection against a plain sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from engine.kernels.topk import best_rows, empty_hits, put_hits
from engine.types import TopK

# few distinct values, so that ties are everywhere; 1,000 rows reach the path by group maxima
SCORES = arrays(np.float32, st.integers(0, 1_000), elements=st.sampled_from([-np.inf, -1.5, 0.0, 0.25, 1.0, 2.0, 3.0]))


def by_sorting(scores: np.ndarray, k: int, floor: float = -np.inf) -> list[int]:
    rows = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    return [row for row in rows if scores[row] > floor][:k]


@given(SCORES, st.integers(0, 1_200), st.sampled_from([-np.inf, 0.0, 1.0, 5.0]))
def test_equals_a_sort_by_score_then_row(scores: np.ndarray, k: int, floor: float) -> None:
    assert best_rows(scores, k, floor).tolist() == by_sorting(scores, k, floor)


def test_equals_a_sort_when_values_differ() -> None:
    scores = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    for k in (1, 7, 100, 400, 19_999):
        assert best_rows(scores, k).tolist() == by_sorting(scores, k)


def test_ties_go_to_the_lower_row() -> None:
    scores = np.zeros(10_000, np.float32)
    scores[[9_000, 40, 5_000]] = 1
    assert best_rows(scores, 2).tolist() == [40, 5_000]
    assert best_rows(scores, 5).tolist() == [40, 5_000, 9_000, 0, 1]


def test_a_floor_that_most_rows_do_not_pass_is_kept_in_long_arrays() -> None:
    """Here the bound from group maxima lies on the floor, and must not let rows in that lie there, too."""
    scores = np.zeros(10_000, np.float32)
    scores[[9_000, 40]] = 1, 2
    assert best_rows(scores, 5, floor=0).tolist() == [40, 9_000]
    assert best_rows(scores - 1, 5, floor=0).tolist() == [40]


def test_missing_hits_are_marked() -> None:
    scores = np.array([[0.5, 0.0, 2.0], [0.0, 0.0, 0.0]], np.float32)
    found = TopK(*empty_hits(2, 3))
    for query in (0, 1):
        put_hits(found, query, scores[query], 3, floor=0)
    assert found.rows.tolist() == [[2, 0, -1], [-1, -1, -1]]
    assert found.scores.tolist() == [[2.0, 0.5, -np.inf], [-np.inf] * 3]


@pytest.mark.parametrize("rows", [3, 1_000])
def test_refuses_nan_and_negative_k(rows: int) -> None:
    scores = np.zeros(rows, np.float32)
    with pytest.raises(ValueError, match="negative"):
        best_rows(scores, -1)
    scores[rows // 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        best_rows(scores, 1)
