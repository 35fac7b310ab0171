"""Each calibrator against values computed by hand, or against the condition that its optimum must satisfy."""

from __future__ import annotations

import base64
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calibrators import cosine_adapter
from engine.calibrators.base import Pool
from engine.calibrators.beta import Beta
from engine.calibrators.cosine_adapter import CosineAdapter
from engine.calibrators.isotonic import Isotonic
from engine.calibrators.min_max import MinMax
from engine.calibrators.mixture import Mixture
from engine.calibrators.platt import Platt, logistic
from engine.calibrators.temperature import Temperature
from engine.calibrators.z_score import ZScore
from engine.component import discover
from engine.errors import BadInput
from engine.pipeline.stages import PipelineSpec

SCORES = np.array([4.0, 2.0, 1.0, 3.0, 3.0])
TWO = Pool(("first", "second"), np.array([0, 0, 0, 1, 1]), SCORES)
WIDTH = 3


def vectors(model, texts):
    """A unit vector for each text, the same every time."""
    rows = [np.random.default_rng(sum(map(ord, text))).normal(size=WIDTH) for text in texts]
    return np.array([row / np.linalg.norm(row) for row in rows], np.float32).reshape(len(texts), WIDTH)


def noisy(queries=40, hits=25, seed=0):
    """A pool whose relevance follows sigmoid(1.5 x − 1) of scores x in no scale in particular."""
    rng = np.random.default_rng(seed)
    x = -np.sort(-rng.normal(size=(queries, hits)), axis=1).ravel()
    relevant = rng.random(len(x)) < 1 / (1 + np.exp(1 - 1.5 * x))
    return Pool(tuple(f"q{n}" for n in range(queries)), np.repeat(np.arange(queries), hits), x), relevant


def platt_targets(relevant):
    good, bad = relevant.sum(), (~relevant).sum()
    return np.where(relevant, (good + 1) / (good + 2), 1 / (bad + 2))


def test_min_max_scales_each_list_or_all_of_them():
    assert MinMax().probabilities(TWO, vectors).tolist() == pytest.approx([1, 1 / 3, 0, 1, 1])
    fitted = MinMax(scope="global").fit(TWO, np.zeros(5, bool), vectors)
    assert (fitted.low, fitted.high) == (1, 4)
    beyond = Pool(("a",), np.zeros(3, np.int64), np.array([9.0, 2.5, -3.0]))
    assert fitted.probabilities(beyond, vectors).tolist() == [1, 0.5, 0]


def test_z_score_is_the_normal_distribution_of_the_standardized_score():
    # The first list has mean 7/3 and deviation sqrt(14)/3; the second has no spread.
    z = (np.array([4, 2, 1]) - 7 / 3) / (np.sqrt(14) / 3)
    from scipy.stats import norm

    assert ZScore().probabilities(TWO, vectors) == pytest.approx([*norm.cdf(z), 0.5, 0.5])
    fitted = ZScore(scope="global").fit(TWO, np.zeros(5, bool), vectors)
    assert fitted.mean == pytest.approx(2.6)
    assert fitted.deviation == pytest.approx(np.sqrt(1.04))


def test_temperature_makes_the_loss_stationary():
    pool, relevant = noisy()
    fitted = Temperature().fit(pool, relevant, vectors)
    p = fitted.probabilities(pool, vectors)
    assert ((p - relevant) @ pool.scores) / len(p) == pytest.approx(0, abs=1e-4)
    assert Temperature(temperature=2).probabilities(TWO, vectors)[0] == pytest.approx(1 / (1 + np.exp(-2)))


def test_platt_satisfies_the_score_equations():
    pool, relevant = noisy()
    fitted = Platt().fit(pool, relevant, vectors)
    residual = fitted.probabilities(pool, vectors) - platt_targets(relevant)
    assert residual.sum() / len(residual) == pytest.approx(0, abs=1e-4)
    assert residual @ pool.scores / len(residual) == pytest.approx(0, abs=1e-4)
    assert fitted.slope == pytest.approx(1.5, abs=0.35)


def test_platt_and_beta_are_flat_where_higher_scores_are_worse():
    pool, relevant = noisy()
    worse = Pool(pool.texts, pool.query, pool.scores)
    rate = (~relevant).mean()
    for fitted in (Platt().fit(worse, ~relevant, vectors), Beta().fit(worse, ~relevant, vectors)):
        p = fitted.probabilities(worse, vectors)
        assert p.max() - p.min() < 0.05
        assert p.mean() == pytest.approx(rate, abs=0.02)


def test_beta_follows_its_formula_and_its_score_equations():
    beta = Beta(low=0, high=10, a=2, b=0.5, c=-1)
    s = 0.3
    odds = np.exp(2 * np.log(s) - 0.5 * np.log(1 - s) - 1)
    one = Pool(("a",), np.zeros(1, np.int64), np.array([3.0]))
    assert beta.probabilities(one, vectors)[0] == pytest.approx(odds / (1 + odds))
    pool, relevant = noisy()
    fitted = Beta().fit(pool, relevant, vectors)
    residual = fitted.probabilities(pool, vectors) - platt_targets(relevant)
    assert residual.mean() == pytest.approx(0, abs=1e-4)


def test_isotonic_pools_adjacent_violators():
    pool = Pool(("a",), np.zeros(4, np.int64), np.array([4.0, 3.0, 2.0, 1.0]))
    fitted = Isotonic().fit(pool, np.array([True, False, True, False]), vectors)
    assert fitted.probabilities(pool, vectors).tolist() == [1, 0.5, 0.5, 0]
    between = Pool(("a",), np.zeros(3, np.int64), np.array([9.0, 3.5, 0.0]))
    assert fitted.probabilities(between, vectors).tolist() == pytest.approx([1, 0.75, 0])


def test_isotonic_is_scikit_learns():
    from sklearn.isotonic import IsotonicRegression

    pool, relevant = noisy()
    tied = Pool(pool.texts, pool.query, np.round(pool.scores, 1))
    peer = IsotonicRegression(out_of_bounds="clip").fit(tied.scores, relevant.astype(float))
    asked = Pool(("a",), np.zeros(200, np.int64), np.linspace(5, -5, 200))
    fitted = Isotonic().fit(tied, relevant, vectors)
    assert fitted.probabilities(asked, vectors) == pytest.approx(peer.predict(asked.scores), abs=1e-8)


@pytest.mark.parametrize("sep", [0.5, 50.0])
def test_logistic_regression_is_scikit_learns(sep):
    """Overlapping and separable data, with Platt's soft targets as weights of either label."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    relevant = rng.random(300) < 0.3
    features = rng.normal(size=(300, 2)) + sep * relevant[:, None]
    target = platt_targets(relevant)
    peer = LogisticRegression(C=np.inf, max_iter=10_000, tol=1e-10).fit(
        np.concatenate([features, features]),
        np.repeat([True, False], 300),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    slopes, intercept = logistic(features, relevant)
    assert slopes == pytest.approx(peer.coef_[0], rel=1e-3)
    assert intercept == pytest.approx(peer.intercept_[0], rel=1e-3)


@pytest.mark.parametrize(
    "corners",
    [
        {"scores": (1.0, 1.0), "values": (0.1, 0.2)},
        {"scores": (1.0, 2.0), "values": (0.3, 0.2)},
        {"scores": (1.0,), "values": (1.5,)},
        {"scores": (1.0, float("nan")), "values": (0.1, 0.2)},
        {"scores": (1.0, 2.0), "values": (0.1,)},
    ],
)
def test_isotonic_refuses_corners_that_do_not_rise(corners):
    with pytest.raises(ValueError, match=r"corners|finite number"):
        Isotonic(**corners)


def test_mixture_tells_two_groups_apart_and_says_nothing_about_short_lists():
    rng = np.random.default_rng(1)
    low, high = rng.exponential(0.1, 90), rng.normal(3, 0.1, 10)
    scores = -np.sort(-np.concatenate([low, high]))
    pool = Pool(("long", "short"), np.repeat([0, 1], [100, 3]), np.concatenate([scores, [3.0, 2.0, 1.0]]))
    p = Mixture().probabilities(pool, vectors)
    assert p[:10].min() > 0.95
    assert p[10:100].max() < 0.05
    assert p[100:].tolist() == [0.5] * 3


def test_the_adapter_learns_that_scores_mean_other_things_for_other_queries():
    rng = np.random.default_rng(3)
    kinds = np.arange(80) % 2  # for one kind of query relevance begins at a score of 0, for the other at 2
    query = np.repeat(np.arange(80), 30)
    scores = -np.sort(-rng.uniform(-2, 4, (80, 30)), axis=1).ravel()
    relevant = scores + rng.normal(0, 0.3, len(scores)) > np.where(kinds[query] == 0, 0, 2)
    pool = Pool(tuple("even" if kind == 0 else "odd" for kind in kinds), query, scores)

    def of_kind(model, texts):
        return np.array([[1, 0] if text == "even" else [0, 1] for text in texts], np.float32)

    train, hits = pool.of_queries(np.arange(80) < 60)
    test, others = pool.of_queries(np.arange(80) >= 60)
    adapter = CosineAdapter(features="query").fit(train, relevant[hits], of_kind)
    platt = Platt().fit(train, relevant[hits], vectors)
    right = (adapter.probabilities(test, of_kind) >= 0.5) == relevant[others]
    blind = (platt.probabilities(test, vectors) >= 0.5) == relevant[others]
    assert right.mean() > 0.93
    assert blind.mean() < 0.87
    assert adapter.penalty in cosine_adapter.PENALTIES


def test_a_place_in_the_own_list_counts_where_scores_tell_nothing():
    # Each list lies somewhere else, and what is relevant is its upper half: no cut through all scores finds it, one through the places does.
    rng = np.random.default_rng(4)
    height = rng.normal(0, 50, 60)
    scores = (height[:, None] + np.linspace(1, 0, 20)).ravel()
    pool = Pool(tuple(f"query {n}" for n in range(60)), np.repeat(np.arange(60), 20), scores)
    relevant = np.tile(np.arange(20) < 10, 60)
    train, hits = pool.of_queries(np.arange(60) < 40)
    test, others = pool.of_queries(np.arange(60) >= 40)
    adapter = CosineAdapter(features="list", penalty=0.1).fit(train, relevant[hits], vectors)
    assert ((adapter.probabilities(test, vectors) >= 0.5) == relevant[others]).all()


def test_the_adapters_curve_is_what_its_numbers_say():
    # mean 2, deviation 4; c = ln(e − 1), so that places count once; slope softplus(a0) = ln 2; intercept -1; shapes do not count.
    numbers = [2, 4, np.log(np.e - 1), *[0] * 5, *[1] * 5, 0, *[0] * 5, -1, *[0] * 5]
    weights = base64.b64encode(np.array(numbers, "<f4").tobytes()).decode()
    pool = Pool(("two hits", "one hit"), np.array([0, 0, 1]), np.array([6.0, 2.0, 2.0]))
    adapter = CosineAdapter(features="list", weights=weights)
    expected = 1 / (1 + np.exp(-np.array([np.log(2) * 1 + 1 - 1, 0 + 0 - 1, 0 + 1 - 1])))
    assert adapter.probabilities(pool, vectors) == pytest.approx(expected, abs=1e-6)


def test_the_adapters_gradient_is_that_of_its_loss():
    rng = np.random.default_rng(5)
    inputs, query = rng.normal(size=(4, 3)), np.repeat(np.arange(4), 5)
    z, places, y = rng.normal(size=20), rng.random(20), (rng.random(20) < 0.5).astype(float)
    theta, args = rng.normal(size=9), (inputs, query, z, places, y, 0.1)
    _, gradient = cosine_adapter._loss(theta, *args)
    step = 1e-6
    for place in range(9):
        up, down = theta.copy(), theta.copy()
        up[place] += step
        down[place] -= step
        slope = (cosine_adapter._loss(up, *args)[0] - cosine_adapter._loss(down, *args)[0]) / (2 * step)
        assert gradient[place] == pytest.approx(slope, abs=1e-7)


def test_an_adapter_refuses_vectors_of_another_width_and_weights_that_are_none():
    pool, relevant = noisy(queries=12)
    adapter = CosineAdapter(penalty=0.1).fit(pool, relevant, vectors)
    with pytest.raises(BadInput, match="fit it again"):
        adapter.probabilities(pool, lambda model, texts: np.ones((len(texts), WIDTH + 1), np.float32))
    with pytest.raises(ValueError, match="base64"):
        CosineAdapter(weights="not base64!")
    with pytest.raises(ValueError, match="finite"):
        CosineAdapter(weights=base64.b64encode(np.full(16, np.nan, "<f4").tobytes()).decode())


@pytest.mark.parametrize("name", ["temperature", "platt", "beta", "isotonic", "cosine_adapter"])
def test_fitting_needs_both_kinds_of_hits(name):
    pool, relevant = noisy(queries=8)
    for labels in (np.zeros_like(relevant), np.ones_like(relevant)):
        with pytest.raises(BadInput, match="judge more"):
            discover("calibrators")[name]().fit(pool, labels, vectors)


def fitted_ones():
    pool, relevant = noisy(queries=12)
    return [cls().fit(pool, relevant, vectors) for cls in discover("calibrators").values()]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=30))
@pytest.mark.parametrize("calibrator", fitted_ones(), ids=lambda one: one.name)
def test_probabilities_stay_in_bounds_and_keep_the_order(calibrator, scores):
    ordered = np.sort(np.array(scores, np.float64))[::-1]
    p = calibrator.probabilities(Pool(("a question",), np.zeros(len(ordered), np.int64), ordered), vectors)
    assert p.shape == ordered.shape
    assert np.isfinite(p).all()
    assert p.min() >= 0
    assert p.max() <= 1
    assert all(after <= before + 1e-12 for before, after in pairwise(p))


@pytest.mark.parametrize("calibrator", fitted_ones(), ids=lambda one: one.name)
def test_a_fitted_calibrator_survives_yaml(calibrator):
    from engine.retrievers.bm25 import Bm25

    spec = PipelineSpec(name="calibrated", pipeline=Bm25() >> calibrator)
    assert PipelineSpec.from_yaml(spec.to_yaml()) == spec
    assert len(spec.to_yaml()) < 4_000
