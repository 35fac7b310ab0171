"""Centroids and their lists on points that can be placed by hand, and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.kernels import centroids as kernel
from engine.kernels.centroids import approximate, inverted, nearest, train
from engine.types import FloatRows


def unit(rows: NDArray[np.float64]) -> FloatRows:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_two_bundles_get_a_centroid_each() -> None:
    around = unit(np.array([[1, 0.1], [1, -0.1], [0.1, 1], [-0.1, 1]]))
    heard: list[int] = []
    for seed in range(5):
        centroids = train(around, 2, 8, seed, heard.append)
        labels = nearest(around, centroids)
        if len(set(labels.tolist())) == 2 and labels[0] == labels[1]:
            np.testing.assert_allclose(np.sort(centroids, axis=0), [[0, 0], [1, 1]], atol=1e-6)
            break
    else:
        pytest.fail("no start found the two bundles")
    assert heard[:9] == list(range(9))


def test_training_is_repeatable_and_keeps_unit_length() -> None:
    sample = unit(np.random.default_rng(3).standard_normal((200, 6)))
    first, again = train(sample, 16, 4), train(sample, 16, 4)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    before = (sample @ train(sample, 16, 0).T).max(axis=1).mean()
    assert (sample @ first.T).max(axis=1).mean() > before, "rounds bring the centroids nearer"


def test_no_row_is_the_start_of_two_centroids() -> None:
    sample = unit(np.random.default_rng(1).standard_normal((9, 4)))
    np.testing.assert_array_equal(train(sample, 9, 0, seed=3), sample)


def test_a_centroid_whose_rows_cancel_stays_where_it_is() -> None:
    opposite = np.array([[1, 0], [-1, 0]], np.float32)
    assert train(opposite, 1, 3).tolist() in ([[1, 0]], [[-1, 0]])


@pytest.mark.parametrize("at_once", [20, 3])
def test_nearest_in_blocks_is_a_plain_argmax(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    vectors, centroids = unit(random.standard_normal((53, 4))), unit(random.standard_normal((7, 4)))
    monkeypatch.setattr(kernel, "SIMILARITIES_AT_ONCE", at_once)
    assert nearest(vectors, centroids).tolist() == [int(np.argmax(centroids @ v)) for v in vectors]


def test_lists_hold_each_row_once() -> None:
    labels = np.array([2, 0, 2, 2, 0], np.int32)
    rows = np.array([1, 5, 1, 0, 3], np.int32)
    indptr, listed = inverted(labels, rows, 4)
    assert indptr.tolist() == [0, 2, 2, 4, 4]
    assert listed.tolist() == [3, 5, 0, 1]


def test_the_estimate_by_hand() -> None:
    """Row 0 is listed by both centroids, row 1 by the second, row 2 by none."""
    centroids = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    indptr, listed = inverted(np.array([0, 1, 1], np.int32), np.array([0, 0, 1], np.int32), 3)
    query = np.array([[0.8, 0.6], [0.6, 0.8]], np.float32)
    two = approximate(query, centroids, indptr, listed, 3, 2)
    np.testing.assert_allclose(two, [0.8 + 0.8, 0.6 + 0.8, 0.6 + 0.6], rtol=1e-6)
    one = approximate(query, centroids, indptr, listed, 3, 1)
    np.testing.assert_allclose(one, [1.6, 1.6, 1.6], rtol=1e-6)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 500), clusters=st.integers(1, 9), probes=st.integers(1, 12), tokens=st.integers(1, 4))
def test_the_estimate_is_that_of_its_definition(seed: int, clusters: int, probes: int, tokens: int) -> None:
    random = np.random.default_rng(seed)
    centroids, query = unit(random.standard_normal((clusters, 3))), unit(random.standard_normal((tokens, 3)))
    labels, rows = random.integers(0, clusters, 30).astype(np.int32), random.integers(0, 8, 30).astype(np.int32)
    indptr, listed = inverted(labels, rows, clusters)
    found = approximate(query, centroids, indptr, listed, 8, probes)
    for row in range(8):
        own = set(labels[rows == row].tolist())
        expected = 0.0
        for vector in query:
            ranked = sorted((float(vector @ centroids[c]), c) for c in range(clusters))[-probes:]
            expected += max([s for s, c in ranked if c in own], default=ranked[0][0])
        assert found[row] == pytest.approx(expected, abs=1e-5)
