"""Cross-validation that cannot peek, thresholds against brute force, and measures against hand-computed values."""

from __future__ import annotations

import math
from typing import Self

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.calibrators.base import Calibrator, Pool
from engine.calibrators.beta import Beta
from engine.calibrators.isotonic import Isotonic
from engine.calibrators.platt import Platt
from engine.calibrators.temperature import Temperature
from engine.errors import BadInput, Cancelled
from engine.evaluation.calibrate import Judged, Target, calibrate, cross_fitted, deal, fit, judged_pool, threshold_for
from engine.kernels.calibration import Sums, auc, reliability, resamples, sigmoid
from engine.types import Ranking
from tests.calibrators.test_maps import noisy, vectors


def test_measures_by_hand():
    p, y = np.array([0.1, 0.3, 0.9]), np.array([False, True, True])
    bins = reliability(p, y, bins=2)
    assert bins.count.tolist() == [2, 1]
    assert bins.predicted.tolist() == pytest.approx([0.2, 0.9])
    assert bins.observed.tolist() == pytest.approx([0.5, 1.0])
    sums = Sums.of(p, y, np.array([0, 0, 1]), 2, keep=p >= 0.2, bins=2)
    measures = {name: float(value[0]) for name, value in sums.measures(np.ones((1, 2))).items()}
    assert measures["ECE"] == pytest.approx((2 * 0.3 + 1 * 0.1) / 3)
    assert measures["Brier"] == pytest.approx((0.01 + 0.49 + 0.01) / 3)
    assert measures["log loss"] == pytest.approx(-(math.log(0.9) + math.log(0.3) + math.log(0.9)) / 3)
    assert measures["precision"] == 1
    assert measures["recall"] == 1
    first_only = {name: float(value[0]) for name, value in sums.measures(np.array([[2.0, 0.0]])).items()}
    assert first_only["Brier"] == pytest.approx(0.25)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 2)), min_size=1, max_size=25))
def test_auc_is_the_share_of_pairs_in_the_right_order(rows):
    p, y = np.array([row[0] / 4 for row in rows]), np.array([row[1] for row in rows])
    query = np.sort(np.array([row[2] for row in rows]))
    drawn = np.array([[1.0, 2.0, 0.0]])
    weight = drawn[0][query]
    pairs = [
        (weight[i] * weight[j], 1.0 if p[i] > p[j] else 0.5 if p[i] == p[j] else 0.0)
        for i in range(len(p))
        for j in range(len(p))
        if y[i] and not y[j] and weight[i] * weight[j]
    ]
    found = auc(p, y, query, drawn)[0]
    if not pairs:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(sum(w * right for w, right in pairs) / sum(w for w, _ in pairs))


def test_resamples_draw_as_many_queries_as_there_are():
    drawn = resamples(7, 50, seed=1)
    assert drawn.sum(axis=1).tolist() == [7] * 50
    assert np.array_equal(drawn, resamples(7, 50, seed=1))


class Memory(Calibrator):
    """Knows every query it was fitted to by heart, and nothing else."""

    seen: tuple[str, ...] = ()

    @property
    def fitted(self):
        return True

    def probabilities(self, pool, vectors):
        return np.array([0.9 if pool.texts[q] in self.seen else 0.1 for q in pool.query])

    def fit(self, pool, relevant, vectors) -> Self:
        return self.model_copy(update={"seen": pool.texts})


def test_no_query_is_reported_by_a_fit_that_saw_it():
    pool, relevant = noisy(queries=20, hits=5)
    judged = Judged(tuple(pool.texts), pool, relevant, relevant, np.ones(20, bool))
    (found,) = calibrate(judged, [Memory()], vectors, Target("recall", 0.9), folds=5)
    assert set(found.probabilities) == {0.1}
    assert set(found.calibrator.seen) == set(pool.texts)
    # The thresholds come from cross-fitted probabilities too, so they lie where unseen queries are.
    assert found.fold_thresholds == pytest.approx([0.1] * 5)
    assert found.calibrator.threshold == pytest.approx(0.1)


class Moody(Memory):
    """Right about the order, but how high and how steep depends on which queries it was fitted to."""

    def probabilities(self, pool, vectors):
        mood = sum(map(ord, "".join(self.seen))) % 7
        return sigmoid((1 + mood / 4) * pool.scores + mood - 3)


def test_the_folds_moods_do_not_move_the_threshold():
    pool, relevant = noisy(queries=20, hits=5)
    judged = Judged(tuple(pool.texts), pool, relevant, relevant, np.ones(20, bool))
    fitted = Moody().fit(pool, relevant, vectors)
    moods = {Moody().fit(pool.of_queries(deal(judged.answerable, 5) != n)[0], relevant, vectors).seen for n in range(5)}
    crossed = cross_fitted(Moody(), fitted, judged, vectors)
    assert len({sum(map(ord, "".join(seen))) % 7 for seen in moods}) > 1
    assert crossed == pytest.approx(fitted.probabilities(pool, vectors))


def test_one_curve_for_all_is_cut_where_the_scores_would_be():
    pool, relevant = noisy(queries=20, hits=8)
    judged = Judged(tuple(pool.texts), pool, relevant, relevant, np.ones(20, bool))
    ordered = np.sort(pool.scores[relevant])[::-1]
    lowest = ordered[int(np.ceil(0.8 * len(ordered))) - 1]  # keeps 80 % of the relevant
    for method in (Platt(), Temperature(), Beta()):
        fitted = fit(method, judged, vectors, Target("recall", 0.8))
        assert ((fitted.probabilities(pool, vectors) >= fitted.threshold) == (pool.scores >= lowest)).all()
    steps = fit(Isotonic(), judged, vectors, Target("recall", 0.8))
    kept = steps.probabilities(pool, vectors) >= steps.threshold
    assert kept[pool.scores >= lowest].all()  # of a step all or none


def test_held_out_measures_agree_with_what_is_returned():
    pool, relevant = noisy(queries=30)
    judged = Judged(tuple(pool.texts), pool, relevant, relevant, np.ones(30, bool))
    steps = []
    (found,) = calibrate(judged, [Platt()], vectors, Target("recall", 0.8), folds=3, progress=steps.append)
    assert found.measures["Brier"].value == pytest.approx(np.mean((found.probabilities - relevant) ** 2))
    assert found.measures["recall"].value == pytest.approx(found.kept[relevant].mean())
    assert found.measures["precision"].value == pytest.approx(relevant[found.kept].mean())
    assert found.measures["precision"].low < found.measures["precision"].value < found.measures["precision"].high
    assert found.results == found.kept.sum() / 30
    assert (steps[-1].done, steps[-1].total) == (4, 4)
    assert found.measures["ECE"].value < 0.1


def test_progress_can_stop_it():
    pool, relevant = noisy(queries=10)
    judged = Judged(tuple(pool.texts), pool, relevant, relevant, np.ones(10, bool))

    def stop(step):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        calibrate(judged, [Platt()], vectors, Target("recall", 0.8), progress=stop)


def test_too_few_queries_for_the_folds():
    pool, relevant = noisy(queries=9)
    judged = Judged(tuple(pool.texts), pool, relevant, relevant, np.ones(9, bool))
    with pytest.raises(BadInput, match="9 judged queries"):
        calibrate(judged, [Platt()], vectors, Target("recall", 0.8))


@given(st.integers(4, 60), st.integers(0, 12), st.integers(2, 5))
def test_queries_without_an_answer_are_spread_over_the_folds(answered, unanswered, folds):
    answerable = np.array([True] * answered + [False] * unanswered)
    fold = deal(answerable, folds)
    for part in (fold, fold[~answerable]):
        sizes = np.bincount(part, minlength=folds)
        assert sizes.max() - sizes.min() <= 1


def judged_of(rows):
    """From (query, probability, relevant, best) rows."""
    rows = sorted(rows, key=lambda row: (row[0], -row[1]))
    query = np.array([row[0] for row in rows], np.int64)
    p = np.array([row[1] for row in rows])
    relevant = np.array([row[2] for row in rows])
    best = relevant & np.array([row[3] for row in rows])
    answerable = np.zeros(3, bool)
    answerable[query[relevant]] = True
    return Judged(("a", "b", "c"), Pool(("a", "b", "c"), query, p), relevant, best, answerable), p


HITS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 10).map(lambda n: n / 10), st.booleans(), st.booleans()),
    min_size=1,
    max_size=20,
)


@settings(max_examples=150, deadline=None)
@given(HITS, st.sampled_from([0.3, 0.5, 0.9, 1.0]))
def test_thresholds_against_every_possible_threshold(rows, share):
    judged, p = judged_of(rows)
    candidates = sorted({0.0, *p.tolist()})

    def recall(t):
        return (p[judged.relevant] >= t).mean() if judged.relevant.any() else 1.0

    t = threshold_for(Target("recall", share), p, judged)
    assert recall(t) >= share - 1e-9
    assert all(recall(other) < share - 1e-9 for other in candidates if other > t) or not judged.relevant.any()

    def precision(t):
        return judged.relevant[p >= t].mean()

    t = threshold_for(Target("precision", share), p, judged)
    reached = [other for other in p.tolist() if precision(other) >= share]
    if reached:
        assert t == min(reached)
    else:
        assert precision(t) == max(precision(other) for other in p.tolist())

    t = threshold_for(Target("results", 2), p, judged)
    # No threshold drops a hit that is certain.
    assert (p >= t).sum() <= max(2 * 3, (p == 1).sum())
    assert all((p >= other).sum() > 2 * 3 for other in p.tolist() if other < t)


@settings(max_examples=100, deadline=None)
@given(HITS, st.sampled_from([0.3, 0.67, 1.0]))
def test_a_threshold_for_best_documents_keeps_them(rows, share):
    judged, p = judged_of(rows)
    with_best = sorted(set(judged.pool.query[judged.best].tolist()))
    t = threshold_for(Target("best", share), p, judged)

    def kept(t):
        return sum(bool((p[(judged.pool.query == q) & judged.best] >= t).any()) for q in with_best)

    possible = min(len(with_best), math.ceil(share * judged.answerable.sum() - 1e-9))
    assert kept(t) >= possible
    if possible:
        assert all(kept(other) < possible for other in p.tolist() if other > t)


def test_a_ranking_and_judgments_become_a_pool():
    ranking = Ranking.of([("q1", "one"), ("q2", "two"), ("q3", "unjudged"), ("q4", "no answer")]).with_hits(
        pl.DataFrame(
            [
                ("q1", "a", 3.0),
                ("q1", "b", 2.0),
                ("q1", "c", 1.0),
                ("q2", "a", 9.0),
                ("q3", "a", 1.0),
                ("q4", "b", 5.0),
            ],
            schema=["qid", "doc_id", "score"],
            orient="row",
        )
    )
    judgments = pl.DataFrame(
        [("q1", "b", 1), ("q1", "c", 3), ("q1", "x", 3), ("q2", "z", 2), ("q4", "b", 0)],
        schema=["qid", "doc_id", "rating"],
        orient="row",
    )
    judged = judged_pool(ranking, judgments)
    assert judged.qids == ("q1", "q2", "q4")
    assert judged.pool.scores.tolist() == [3, 2, 1, 9, 5]
    assert judged.pool.query.tolist() == [0, 0, 0, 1, 2]
    assert judged.relevant.tolist() == [False, True, True, False, False]
    assert judged.best.tolist() == [False, False, True, False, False]
    assert judged.answerable.tolist() == [True, True, False]
    stricter = judged_pool(ranking, judgments, rating=3)
    assert stricter.relevant.tolist() == [False, False, True, False, False]
    assert stricter.answerable.tolist() == [True, False, False]
    with pytest.raises(BadInput, match="judged"):
        judged_pool(ranking, judgments.clear())


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("recall>=0.9", Target("recall", 0.9)),
        ("precision >= .5", Target("precision", 0.5)),
        ("best>=1", Target("best", 1.0)),
        ("results<=10", Target("results", 10.0)),
    ],
)
def test_targets_are_read(text, target):
    assert Target.parse(text) == target


@pytest.mark.parametrize(
    "text", ["recall>=1.2", "recall<=0.5", "results<=0", "results>=3", "", "recall>=x", "nan>=nan"]
)
def test_targets_that_make_no_sense_are_refused(text):
    with pytest.raises(BadInput):
        Target.parse(text)
