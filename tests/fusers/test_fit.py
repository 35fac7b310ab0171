"""Fitted weights against searches worked out by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from engine.errors import BadInput
from engine.fusers.fit import fit_statistics, fit_weights, weightings
from engine.types import Ranking

PAIRS = {"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}


def lists(queries: int, right: str, wrong: str) -> list[pl.DataFrame]:
    """Two lists over the same queries: the first ranks `right` first and `wrong` second, the second list the other way."""
    asked = Ranking.of([(f"q{i}", "text") for i in range(queries)])
    return [
        asked.with_hits(
            pl.DataFrame(
                [(f"q{i}", d, s) for i in range(queries) for d, s in ((first, 2.0), (second, 1.0))],
                schema=PAIRS,
                orient="row",
            )
        ).hits
        for first, second in ((right, wrong), (wrong, right))
    ]


def judged(*rows: tuple[str, str, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"qid": pl.String, "doc_id": pl.String, "rating": pl.Int32}, orient="row")


def test_weightings_are_the_grid_on_the_simplex():
    assert sorted(map(tuple, weightings(2, 2).tolist())) == [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)]
    grid = weightings(3, 10)
    assert len(grid) == 66  # 12 choose 2
    np.testing.assert_allclose(grid.sum(axis=1), 1)
    assert len({tuple(row) for row in grid.tolist()}) == 66
    assert grid[0].tolist() in ([0.3, 0.3, 0.4], [0.3, 0.4, 0.3], [0.4, 0.3, 0.3])


def test_the_list_that_is_right_gets_more_than_half_and_no_more_than_needed():
    # Under min-max, "a" scores w and "z" 1 - w. "z" wins a tie, so w = .6 is the most even weighting that puts "a" first.
    fitted = fit_weights(lists(10, "a", "z"), judged(*((f"q{i}", "a", 1) for i in range(10))), folds=5)
    assert fitted.weights == (0.6, 0.4)
    assert fitted.held_out == 1.0
    assert fitted.fold_weights == ((0.6, 0.4),) * 5
    assert fitted.equal == pytest.approx(1 / np.log2(3))
    assert fitted.queries == 10
    of_one = fitted.crossed.filter(qid="q3").sort("doc_id").rows()
    assert of_one == [("q3", "a", pytest.approx(0.6)), ("q3", "z", pytest.approx(0.4))]


def test_what_cannot_be_learned_is_told_by_the_held_out_score():
    # One query is right for the first list, one for the second: whatever is learned from one is wrong for the other.
    fitted = fit_weights(lists(2, "a", "b"), judged(("q0", "a", 1), ("q1", "b", 1)), measure="P@1", folds=2)
    assert fitted.held_out == 0.0
    # Each query was measured under the weights that put the wrong document first, so that is what its list shows.
    best = (
        fitted.crossed.sort("qid", "score", "doc_id", descending=[False, True, True])
        .group_by("qid", maintain_order=True)
        .first()
    )
    assert best["doc_id"].to_list() == ["b", "a"]
    assert sorted(fitted.fold_weights) in ([(0.4, 0.6), (0.6, 0.4)], [(0.4, 0.6), (0.5, 0.5)], [(0.5, 0.5), (0.6, 0.4)])


def test_equal_arguments_give_equal_weights_and_the_order_of_rows_does_not_matter():
    random = np.random.default_rng(0)
    asked = Ranking.of([(f"q{i}", "text") for i in range(20)])
    given = []
    for _ in range(3):
        rows = [(f"q{i}", f"d{d}", float(random.normal())) for i in range(20) for d in range(8)]
        given.append(asked.with_hits(pl.DataFrame(rows, schema=PAIRS, orient="row")).hits)
    judgments = judged(*((f"q{i}", f"d{i % 8}", 1 + i % 2) for i in range(20)))
    fitted = fit_weights(given, judgments)
    assert fit_weights([hits.reverse() for hits in given], judgments.reverse()) == fitted
    assert sum(fitted.weights) == pytest.approx(1)
    assert len(fitted.fold_weights) == 5


def test_queries_without_relevant_documents_do_not_count():
    judgments = judged(*((f"q{i}", "a", 1) for i in range(5)), ("q5", "a", 0), ("other", "a", 1))
    assert fit_weights(lists(8, "a", "z"), judgments).queries == 5


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (5, {"folds": 6}, "5 of the queries"),
        (5, {"folds": 1}, "2 folds"),
        (5, {"steps": 0}, "steps"),
        (5, {"measure": "magic"}, "no metric"),
        (0, {}, "0 of the queries"),
    ],
)
def test_what_cannot_be_fitted_is_refused(count, options, message):
    judgments = judged(*((f"q{i}", "a", 1) for i in range(count)))
    with pytest.raises(BadInput, match=message):
        fit_weights(lists(8, "a", "z"), judgments, **options)


def test_one_list_needs_no_weights():
    with pytest.raises(BadInput, match="2 to 5 lists"):
        fit_weights(lists(8, "a", "z")[:1], judged())


def test_statistics_are_taken_over_all_queries():
    lists = [pl.DataFrame({"score": [1.0, 3.0, 5.0]}), pl.DataFrame({"score": [0.2, 0.4]})]
    assert fit_statistics(lists, "min-max") == ((1.0, 5.0), (0.2, 0.4))
    mean_deviation = fit_statistics(lists, "z-score")
    assert mean_deviation[0] == pytest.approx((3.0, (8 / 3) ** 0.5))
    assert mean_deviation[1] == pytest.approx((0.3, 0.1))
    assert fit_statistics(lists, "none") == ()
    with pytest.raises(BadInput, match="List 2"):
        fit_statistics([lists[0], lists[1].clear()], "min-max")


@pytest.mark.parametrize("steps", [0, 101])
def test_the_grid_has_bounds(steps):
    with pytest.raises(BadInput, match=f"1 to 100 steps; got {steps}"):
        fit_weights(lists(10, "a", "z"), judged(*((f"q{i}", "a", 1) for i in range(10))), steps=steps)
