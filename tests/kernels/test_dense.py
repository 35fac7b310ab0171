"""Exact search against a plain sort of exact inner products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernels import dense
from engine.kernels.dense import contenders, exact_top_k, inner_products


def by_sorting(vectors: np.ndarray, query: np.ndarray, k: int, allowed: np.ndarray) -> list[int]:
    scores = (vectors.astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
    return sorted(np.flatnonzero(allowed).tolist(), key=lambda row: (-scores[row], row))[:k]


def longest(vectors: np.ndarray) -> float:
    return float(np.linalg.norm(vectors.astype(np.float64), axis=1).max(initial=0))


@given(
    rows=st.integers(0, 300),
    queries=st.integers(0, 4),
    k=st.integers(0, 320),
    share=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
    copies=st.booleans(),
    seed=st.integers(0, 99),
)
def test_equals_a_sort(rows: int, queries: int, k: int, share: float, copies: bool, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((rows, 7)).astype(np.float32)
    if copies and rows:
        vectors = vectors[random.integers(0, max(1, rows // 4), rows)]  # exact ties
    asked = random.standard_normal((queries, 7)).astype(np.float32)
    allowed = random.random(rows) < share
    found = exact_top_k(vectors, asked, k, allowed, longest(vectors))
    assert found.rows.shape == found.scores.shape == (queries, min(k, rows))
    for query, row, scores in zip(asked, found.rows, found.scores, strict=True):
        hits = row[row >= 0]
        assert hits.tolist() == by_sorting(vectors, query, k, allowed)
        np.testing.assert_allclose(scores[row >= 0], vectors[hits] @ query, rtol=1e-4, atol=1e-5)


def test_blocks_and_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    vectors = random.standard_normal((5_000, 48)).astype(np.float32)[random.integers(0, 900, 5_000)]
    queries = random.standard_normal((9, 48)).astype(np.float32)
    few = random.random(5_000) < 0.05
    before = [exact_top_k(vectors, queries, 40, mask, longest(vectors)) for mask in (None, few)]
    monkeypatch.setattr(dense, "SCORES_AT_ONCE", 9_000)
    monkeypatch.setattr(dense, "GATHER_ROWS", 17)
    for mask, found in zip((None, few), before, strict=True):
        again = exact_top_k(vectors, queries, 40, mask, longest(vectors))
        np.testing.assert_array_equal(again.rows, found.rows)
        np.testing.assert_array_equal(again.scores, found.scores)


def test_rounding_in_the_screen_cannot_lose_a_row() -> None:
    """Two rows that float32 sums would swap: large values cancel, and the small difference decides."""
    query = np.array([[1.0, 1.0, 1.0, 1.0]], np.float32)
    equal = np.array([[4096.0, 1.0, -4096.0, 0.0], [4096.0, 1.0 + 2**-12, -4096.0, 0.0]], np.float32)
    assert exact_top_k(equal, query, 1, None, longest(equal)).rows.tolist() == [[1]]
    # beside 4096, 1 + 3/8192 is rounded up to 1 + 4/8192, above the 1 + 3.5/8192 that nothing rounds
    swapped = np.array([[4096.0, 1.0 + 3 / 8192, -4096.0, 0.0], [0.0, 1.0 + 3.5 / 8192, 0.0, 0.0]], np.float32)
    found = exact_top_k(swapped, query, 1, None, longest(swapped))
    assert (found.rows.tolist(), found.scores.tolist()) == ([[1]], [[1.0 + 3.5 / 8192]])


def test_contenders_are_the_rows_within_rounding_of_the_last_place() -> None:
    scores = np.array([0.2, 0.9, 0.5, 0.45, 0.39], np.float32)
    assert contenders(scores, 2, 0.1).tolist() == [1, 2, 3]
    assert contenders(scores, 2, 0.0).tolist() == [1, 2]
    assert contenders(scores, 5, 0.0).tolist() == [0, 1, 2, 3, 4]
    assert contenders(scores, 0, 1.0).tolist() == []


def test_inner_products_by_hand() -> None:
    vectors = np.array([[1, 2], [3, -4], [0.5, 0]], np.float32)
    assert inner_products(vectors, np.array([2, 1], np.float32), np.array([2, 1])).tolist() == [1.0, 2.0]


def test_nan_is_refused() -> None:
    vectors = np.full((3, 2), np.nan, np.float32)
    with pytest.raises(ValueError, match="NaN"):
        exact_top_k(vectors, np.ones((1, 2), np.float32), 1, None, 1.0)
