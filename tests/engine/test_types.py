"""The one door into a ranking."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadInput
from engine.types import HITS, Ranking

SCORED = {"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}


def scored(*rows: tuple[str, str, float]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=SCORED, orient="row")


def test_hits_are_ordered_by_score_then_id_and_ranked_per_query():
    ranking = Ranking.of([("2", "b"), ("1", "a")]).with_hits(
        scored(("1", "x", 1.0), ("1", "w", 1.0), ("2", "z", 0.5), ("1", "y", 2.0), ("2", "a", 0.7))
    )
    assert ranking.hits.rows() == [
        ("2", "a", 1, 0.7),
        ("2", "z", 2, 0.5),
        ("1", "y", 1, 2.0),
        ("1", "w", 2, 1.0),
        ("1", "x", 3, 1.0),
    ]


def test_a_pair_is_kept_once_with_its_best_score():
    ranking = Ranking.of([("q", "")]).with_hits(scored(("q", "a", 1.0), ("q", "a", 3.0), ("q", "b", 2.0)))
    assert ranking.hits.rows() == [("q", "a", 1, 3.0), ("q", "b", 2, 2.0)]


def test_hits_of_unknown_queries_are_dropped():
    assert Ranking.of([("q", "")]).with_hits(scored(("r", "a", 1.0))).hits.is_empty()


def test_the_schema_is_kept_when_empty():
    assert Ranking.of([("q", "")]).with_hits(scored()).hits.schema == HITS


@pytest.mark.parametrize("bad", [float("nan"), None])
def test_scores_are_numbers(bad):
    with pytest.raises(ValueError, match="NaN or missing"):
        Ranking.of([("q", "")]).with_hits(scored(("q", "a", bad)))


def test_query_ids_are_unique():
    with pytest.raises(BadInput, match="share an id"):
        Ranking.of([("q", "a"), ("q", "b")])


@given(
    st.lists(st.tuples(st.sampled_from("qr"), st.sampled_from("abcdef"), st.floats(-5, 5)), max_size=30),
    st.integers(1, 8),
)
def test_ranks_are_dense_and_top_is_a_prefix(rows, k):
    ranking = Ranking.of([("q", ""), ("r", "")]).with_hits(scored(*rows))
    for qid in "qr":
        mine = ranking.hits.filter(qid=qid)
        assert mine["rank"].to_list() == list(range(1, len(mine) + 1))
        assert mine["score"].is_sorted(descending=True)
        assert ranking.top(k).hits.filter(qid=qid).equals(mine.head(k))
