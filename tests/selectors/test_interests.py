"""Turns between clusters by hand, and their properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from engine.pipeline.context import Context
from engine.selectors.base import SELECTION_NOTE
from engine.selectors.interests import Interests, take_turns
from engine.testing.contracts import MemoryResources
from engine.types import Ranking

labels = st.lists(st.integers(-1, 4), max_size=20).map(lambda values: np.array(values, np.int64))


def test_turns_by_hand() -> None:
    """Sizes 3, 2, 1. Quotients: 3 2 1; then 1 2 1; then 1 .67 1, where the earlier next wins; then .6 .67 1; then .6 .67; then the rest."""
    assert take_turns(np.array([0, 0, 0, 1, 1, 2]), 6).tolist() == [0, 3, 1, 5, 4, 2]


@given(labels, st.integers(0, 25))
def test_turns_are_the_beginning_of_a_permutation(clusters: np.ndarray, k: int) -> None:
    everything = take_turns(clusters, len(clusters)).tolist()
    assert sorted(everything) == list(range(len(clusters)))
    assert take_turns(clusters, k).tolist() == everything[:k]
    for cluster in set(clusters.tolist()):
        inside = [place for place in everything if clusters[place] == cluster]
        assert inside == sorted(inside), "inside a cluster the order stays"


@given(st.integers(1, 30))
def test_one_interest_keeps_the_order(count: int) -> None:
    assert take_turns(np.zeros(count, np.int64), count).tolist() == list(range(count))


def test_two_topics_take_turns(tmp_path: Path) -> None:
    texts = {f"cat{i}": "cats sleep purring" for i in range(4)} | {
        f"rocket{i}": "rockets fly burning" for i in range(2)
    }
    rows = [("q", doc_id, 10.0 - i) for i, doc_id in enumerate([*texts, "unknown"])]
    hits = pl.DataFrame(rows, schema={"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}, orient="row")
    ranking = Ranking.of([("q", "anything")]).with_hits(hits)
    found, span = Context(MemoryResources(texts, tmp_path)).execute(Interests(interests=2), ranking)
    # Sizes 4, 2, 1: 4 2 1; 1.33 2 1; 1.33 .67 1; .8 .67 1; .8 .67; .57 .67; then the rest.
    order = ["cat0", "rocket0", "cat1", "unknown", "cat2", "rocket1", "cat3"]
    assert found.hits["doc_id"].to_list() == order
    assert span.details[SELECTION_NOTE]["interest"].to_list() == [0, 1, 0, -1, 0, 1, 0]
