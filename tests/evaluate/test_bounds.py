"""Bounds over unjudged documents: by hand, and against every possible assignment on small cases."""

from __future__ import annotations

import itertools
import math
import random

import polars as pl
import pytest

from engine.errors import BadInput
from engine.evaluation.bounds import difference_bounds, is_exact
from engine.evaluation.verdicts import verdicts
from engine.metrics.base import mark, parse_metric

HITS = {"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}
JUDGMENTS = {"qid": pl.String, "doc_id": pl.String, "rating": pl.Int32}


def value(docs: list[str], ratings: dict[str, int], measure: str) -> float:
    hits = [("q", doc_id, float(-i)) for i, doc_id in enumerate(docs)]
    judged = [("q", doc_id, rating) for doc_id, rating in ratings.items()]
    marked = mark(["q"], pl.DataFrame(hits, HITS, orient="row"), pl.DataFrame(judged, JUDGMENTS, orient="row"))
    return float(parse_metric(measure).values(marked)[0])


def every_difference(
    left: list[str], right: list[str], ratings: dict[str, int], measure: str, rating: int, reach: int
) -> dict[frozenset[str], float]:
    """The difference under every assignment of the unjudged documents within reach."""
    unjudged = sorted({doc_id for doc_id in [*left[:reach], *right[:reach]] if ratings.get(doc_id, -1) < 0})
    found = {}
    for n in range(len(unjudged) + 1):
        for relevant in itertools.combinations(unjudged, n):
            full = ratings | dict.fromkeys(unjudged, 0) | dict.fromkeys(relevant, rating)
            found[frozenset(relevant)] = value(right, full, measure) - value(left, full, measure)
    return found


def test_precision_by_hand() -> None:
    # Left finds a (relevant) and u, right finds v and n (not relevant): u adds -1/2, v adds 1/2.
    found = difference_bounds(["a", "u"], ["v", "n"], {"a": 1, "n": 0}, parse_metric("P@2"), 1)
    assert (found.difference, found.low, found.high) == (-0.5, -1.0, 0.0)
    assert found.effects == {"u": -0.5, "v": 0.5}


def test_ndcg_by_hand() -> None:
    # Judged: a is relevant and first on the left, second on the right; u stands first on the right only.
    left, right = ["a", "n"], ["u", "a"]
    found = difference_bounds(left, right, {"a": 1, "n": 0}, parse_metric("nDCG@2"), 1)
    second = 1 / math.log2(3)
    assert found.difference == pytest.approx(second - 1)
    assert found.low == pytest.approx(second - 1)
    assert found.high == pytest.approx(1 - 1 / (1 + second))  # with u relevant: right is perfect, left misses u
    assert found.effects == {"u": pytest.approx(found.high - found.low)}


def test_reciprocal_rank_needs_one_document_only() -> None:
    found = difference_bounds(["u", "v"], ["v", "u"], {"z": 1}, parse_metric("RR"), 1)
    assert (found.low, found.difference, found.high) == (-0.5, 0.0, 0.5)


@pytest.mark.parametrize(
    "measure",
    ["nDCG@3", "nDCG@10", "nDCG(dcg=exp-log2)@4", "nDCG", "P@3", "R@4", "R(rel=2)@4", "RR", "RR@2", "Success@2", "AP", "AP@3", "Rprec", "Bpref"],
)  # fmt: skip
def test_bounds_hold_over_every_assignment(measure: str) -> None:
    rng = random.Random(3)
    metric = parse_metric(measure)
    reached = 0
    for _ in range(25):
        names = [f"d{i}" for i in range(9)]
        left, right = rng.sample(names, rng.randint(1, 6)), rng.sample(names, rng.randint(1, 6))
        ratings = {name: rng.choice([-1, 0, 1, 2]) for name in rng.sample(names, 4)}
        rating = rng.choice([2, 3])
        possible = every_difference(left, right, ratings, measure, rating, metric.cutoff or 100)
        found = difference_bounds(left, right, ratings, metric, rating)
        assert found.difference == pytest.approx(possible[frozenset()])
        for doc_id, effect in found.effects.items():
            assert effect == pytest.approx(possible[frozenset({doc_id})] - possible[frozenset()]), doc_id
        least, greatest = min(possible.values()), max(possible.values())
        if is_exact(metric):
            assert (found.low, found.high) == (pytest.approx(least), pytest.approx(greatest))
        else:
            assert found.low <= least + 1e-12
            assert found.high >= greatest - 1e-12
            reached += abs(found.low - least) < 1e-9
    assert is_exact(metric) or reached > 0


def test_documents_below_the_depth_are_out_of_reach() -> None:
    found = difference_bounds(["a", "u"], ["a", "v", "w"], {"a": 1}, parse_metric("AP"), 1, depth=2)
    assert set(found.effects) == {"u", "v"}


def test_measures_that_unjudged_documents_do_not_move_are_refused() -> None:
    for measure, rating, says in (
        ("Judged@10", 1, "no bounds"),
        ("AP(judged_only=True)", 1, "no bounds"),
        ("AP(rel=2)", 1, "assume 2"),
    ):
        with pytest.raises(BadInput, match=says):
            verdicts(pl.DataFrame(), pl.DataFrame(), [], [], "a", parse_metric(measure), rating)


def test_verdicts_read_lists_as_trec_eval_does() -> None:
    """By score, then by id descending: "u" before "a", so that judging u could raise the reciprocal rank of the other pipeline only."""
    rows = [("base", "1", "a", 2.0), ("base", "1", "u", 1.0), ("other", "1", "a", 1.0), ("other", "1", "u", 1.0)]
    hits = pl.DataFrame(rows, {"pipeline": pl.String, **HITS}, orient="row")
    judgments = pl.DataFrame([("1", "a", 1)], JUDGMENTS, orient="row")
    (pair,) = verdicts(hits, judgments, ["1"], ["base", "other"], "base", parse_metric("RR"), 1).pairs
    assert (pair.difference, pair.low, pair.high) == (-0.5, -0.5, 0.0)


def test_verdicts_over_queries() -> None:
    rows = [
        ("base", "1", "a"), ("base", "1", "u"), ("other", "1", "n"), ("other", "1", "w"), ("twin", "1", "a"), ("twin", "1", "n"),
        ("base", "2", "a"), ("base", "2", "b"), ("other", "2", "b"), ("other", "2", "x"), ("twin", "2", "a"), ("twin", "2", "b"),
    ]  # fmt: skip
    hits = pl.DataFrame(
        [(*row, float(-i)) for i, row in enumerate(rows)], {"pipeline": pl.String, **HITS}, orient="row"
    )
    judged = [("1", "a", 1), ("1", "n", 0), ("2", "a", 1), ("2", "b", 1)]
    judgments = pl.DataFrame(judged, JUDGMENTS, orient="row")
    found = verdicts(hits, judgments, ["1", "2"], ["base", "other", "twin"], "base", parse_metric("P@2"), 1)
    other, twin = found.pairs
    # Query 1: 0 - 1/2, w adds 1/2 and u takes 1/2; query 2: 1/2 - 1, x adds 1/2.
    assert (other.difference, other.low, other.high, other.unjudged) == (-0.5, -0.75, 0.0, 3)
    assert (twin.difference, twin.low, twin.high, twin.unjudged) == (0.0, -0.25, 0.0, 1)
    assert not other.stands, "at the upper end the two are equal"
    # For `other` w and x speak against the verdict and u for it; `twin` is level, so u could tip it.
    assert found.documents.rows() == [
        ("1", "u", "twin", -0.25), ("1", "w", "other", 0.25), ("2", "x", "other", 0.25)
    ]  # fmt: skip
    settled = verdicts(hits, judgments, ["2"], ["base", "twin"], "base", parse_metric("P@2"), 1)
    assert settled.pairs[0].stands
    assert settled.documents.is_empty()
