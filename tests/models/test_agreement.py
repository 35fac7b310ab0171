"""Agreement between an original and its export."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from engine.export.agreement import Agreement, cosines, rank_correlations


def test_cosines_by_hand() -> None:
    found = cosines(np.array([[1.0, 0], [0, 2], [0, 0], [0, 0]]), np.array([[2.0, 0], [1, 1], [0, 0], [1, 0]]))
    assert found.count == 4
    assert found.mean == pytest.approx((1 + 2**-0.5 + 1 + 0) / 4)
    assert found.lowest == 0


def test_rank_correlations_are_spearmans() -> None:
    rng = np.random.default_rng(3)
    one = rng.integers(0, 5, size=(6, 12)).astype(float)
    other = one + rng.normal(size=one.shape)
    found = rank_correlations(one, other)
    expected = [spearmanr(a, b).statistic for a, b in zip(one, other, strict=True)]
    assert found.mean == pytest.approx(np.mean(expected))
    assert found.lowest == pytest.approx(np.min(expected))


def test_what_a_card_notes() -> None:
    assert Agreement("cosine", 0.99999, 0.9, 3).measured() == {
        "cosine mean": 0.99999,
        "cosine lowest": 0.9,
        "cosine count": 3.0,
    }
