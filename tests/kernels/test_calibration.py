"""Probabilities and their measures by hand, at the edges where they would be infinite or fall out of the bins."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.kernels import calibration
from engine.kernels.calibration import Sums, auc, bin_of, logit, reliability, sigmoid


def test_log_odds_and_back_by_hand() -> None:
    """Odds of 3 to 1 are a probability of 3/4."""
    np.testing.assert_allclose(sigmoid(np.array([0.0, math.log(3), -math.log(3)])), [0.5, 0.75, 0.25], rtol=1e-12)
    np.testing.assert_allclose(logit(np.array([0.5, 0.75, 0.25])), [0, math.log(3), -math.log(3)], atol=1e-12)
    assert sigmoid(np.array([-1e6, 1e6])).tolist() == [0, 1]


def test_certainty_has_finite_log_odds() -> None:
    surest = math.log(1e-6 / (1 - 1e-6))
    np.testing.assert_allclose(logit(np.array([0.0, 1e-9, 1.0])), [surest, surest, -surest], rtol=1e-9)


def test_bins_are_equally_wide_and_the_last_is_closed() -> None:
    assert bin_of(np.array([0.0, 0.249, 0.25, 0.99, 1.0]), 4).tolist() == [0, 0, 1, 3, 3]
    assert bin_of(np.array([0.0, 1 / 15 + 1e-9, 1.0])).tolist() == [0, 1, 14]
    found = reliability(np.array([1.0, 1.0]), np.array([True, False]), 2)
    assert found.count.tolist() == [0, 2]
    assert found.observed.tolist()[1] == 0.5
    assert math.isnan(found.predicted[0])


def test_a_broken_certainty_costs_much_but_not_everything() -> None:
    """A probability of 0 that came true, and one of 1 that did not, count as 1e-7 off."""
    p, y, query = np.array([0.0, 1.0, 1.0]), np.array([True, False, True]), np.array([0, 1, 1])
    sums = Sums.of(p, y, query, 2, keep=np.ones(3, bool))
    np.testing.assert_allclose(sums.losses, [-math.log(1e-7), -math.log(1e-7) + 1e-7], rtol=1e-6)
    assert sums.squares.tolist() == [1, 1]


def test_auc_in_blocks_of_resamples_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.2 and 0.6 came true, 0.4 and 0.6 did not: of four pairs one is right and one a tie."""
    p, y = np.array([0.2, 0.6, 0.4, 0.6]), np.array([True, True, False, False])
    query, weights = np.array([0, 1, 1, 2]), np.array([[1, 1, 1], [0, 2, 1], [1, 0, 0]], np.float64)
    # the second draws query 1 twice: 0.6 against 0.4 (2 x 2 pairs, right) and against 0.6 (2 x 1, ties)
    expected = [1.5 / 4, (4 + 0.5 * 2) / 6, np.nan]
    for held in (1 << 24, 1):
        monkeypatch.setattr(calibration, "CHUNK", held)
        np.testing.assert_allclose(auc(p, y, query, weights), expected)


def test_auc_of_nothing_is_undefined() -> None:
    nothing = np.empty(0)
    assert np.isnan(auc(nothing, nothing.astype(bool), nothing.astype(np.int64), np.ones((2, 1)))).all()


def test_every_resample_is_measured_by_itself() -> None:
    """Query 0 promised .4 and kept 1 in the lower of two bins, query 1 promised .9 and kept 1 in the upper: gaps of -.6 and -.1."""
    p, y, query = np.array([0.1, 0.3, 0.9]), np.array([False, True, True]), np.array([0, 0, 1])
    sums = Sums.of(p, y, query, 2, keep=p >= 0.2, bins=2)
    found = sums.measures(np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_allclose(found["ECE"], [0.7 / 3, 1.2 / 4, 0.1])
    np.testing.assert_allclose(found["Brier"], [0.51 / 3, 0.5 / 2, 0.01])
    np.testing.assert_allclose(found["precision"], [1, 1, 1])
    nothing = sums.measures(np.zeros((1, 2)))
    assert all(math.isnan(value[0]) for value in nothing.values())
