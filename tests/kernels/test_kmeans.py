"""k-means: groups that are plain to see, and what every result must satisfy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernels.kmeans import kmeans


@pytest.mark.parametrize("seed", range(5))
def test_groups_that_lie_apart_are_found(seed: int) -> None:
    rows = np.array([[9, 9], [0, 0], [9, 8], [0, 1], [-9, 0], [1, 0]], np.float32)
    assert kmeans(rows, 3, seed).tolist() == [0, 1, 0, 1, 2, 1]


@given(st.integers(0, 40), st.integers(1, 6), st.integers(0, 50))
def test_every_row_is_nearest_to_the_mean_of_its_own_cluster(count: int, clusters: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    labels = kmeans(rows, clusters, seed)
    np.testing.assert_array_equal(labels, kmeans(rows, clusters, seed))
    found = list(dict.fromkeys(labels.tolist()))
    assert found == list(range(len(found))), "clusters are numbered in the order of their first rows"
    assert len(found) == min(clusters, count)
    if count:
        means = np.stack([rows[labels == cluster].astype(np.float64).mean(axis=0) for cluster in found])
        distances = ((rows[:, None] - means) ** 2).sum(axis=2)
        own = distances[np.arange(count), labels]
        assert (own <= distances.min(axis=1) + 1e-9).all()


def test_equal_rows_are_one_cluster() -> None:
    assert kmeans(np.full((5, 2), 0.1, np.float32), 3).tolist() == [0] * 5


def test_there_is_at_least_one_cluster() -> None:
    with pytest.raises(ValueError, match="at least one"):
        kmeans(np.zeros((2, 2), np.float32), 0)
