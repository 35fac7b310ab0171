"""Agreement of assessors: tables worked by hand, and the example that is commonly printed with Fleiss' kappa."""

from __future__ import annotations

import polars as pl
import pytest

from engine.statistics.assessors import cohen_kappa, fleiss_kappa, settle

JUDGMENTS = {"qid": pl.String, "doc_id": pl.String, "rating": pl.Int32}


def test_cohens_kappa_by_hand() -> None:
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: observed .7, chance .5 * .6 + .5 * .4 = .5.
    left = ["y"] * 25 + ["n"] * 25
    right = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert cohen_kappa(left, right) == pytest.approx(0.4)
    assert cohen_kappa([0, 1, 2], [0, 1, 2]) == 1.0
    assert cohen_kappa([0, 1], [1, 0]) == -1.0
    assert cohen_kappa([], []) is None
    assert cohen_kappa([1, 1], [1, 1]) is None


def test_cohens_kappa_of_a_table_of_three_ratings() -> None:
    # Rows ann, columns bob: 44 5 1 / 7 20 3 / 9 5 6. Observed 70/100, chance .5 * .6 + .3 * .3 + .2 * .1 = .41.
    table = [[44, 5, 1], [7, 20, 3], [9, 5, 6]]
    pairs = [(i, j) for i, row in enumerate(table) for j, count in enumerate(row) for _ in range(count)]
    left, right = zip(*pairs, strict=True)
    assert cohen_kappa(left, right) == pytest.approx((0.7 - 0.41) / 0.59)
    assert cohen_kappa(right, left) == pytest.approx((0.7 - 0.41) / 0.59)


def test_fleiss_kappa_is_that_of_the_worked_example() -> None:
    # Ten items, fourteen raters, five categories: the table that is commonly printed with the measure; kappa is .210.
    table = [
        (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
        (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
    ]  # fmt: skip
    ratings = [[category for category, count in enumerate(row) for _ in range(count)] for row in table]
    assert fleiss_kappa(ratings) == pytest.approx(0.20993, abs=5e-6)


def test_fleiss_kappa_by_hand() -> None:
    # Items 1: both say 1; 2: they differ. Observed 1/2; ratings 1, 1, 1, 0: chance 9/16 + 1/16.
    assert fleiss_kappa([[1, 1], [1, 0]]) == pytest.approx((0.5 - 0.625) / 0.375)
    assert fleiss_kappa([[1, 1, 1], [0, 0, 0]]) == 1.0
    assert fleiss_kappa([[1, 1]]) is None
    assert fleiss_kappa([]) is None
    assert fleiss_kappa([[1], [0]]) is None
    assert fleiss_kappa([[1, 1], [0]]) is None


@pytest.mark.parametrize(
    ("rule", "expected"), [("latest", [0, 1, 2]), ("majority", [2, 1, 0]), ("median", [2, 1, 1])]
)  # fmt: skip
def test_which_judgment_counts(rule: str, expected: list[int]) -> None:
    rows = [
        ("1", "a", 2),
        ("1", "a", 2),
        ("1", "b", 1),
        ("2", "a", 1),
        ("1", "a", 0),
        ("2", "a", 0),
        ("2", "a", 2),
        ("2", "a", 0),
        ("2", "a", 2),
    ]
    settled = settle(pl.DataFrame(rows, JUDGMENTS, orient="row"), rule)
    assert settled.rows() == [("1", "a", expected[0]), ("1", "b", expected[1]), ("2", "a", expected[2])]
    assert settle(pl.DataFrame(schema=JUDGMENTS), rule).is_empty()
