"""The orders in which pooled documents are judged, by hand."""

from __future__ import annotations

import json

import polars as pl
import pytest

from engine.errors import BadInput
from engine.evaluation.pooling import queue_items
from engine.evaluation.verdicts import EFFECTS

LISTS = {
    ("A", "1"): ["a", "b", "c"],
    ("B", "1"): ["a", "c", "d"],
    ("A", "2"): ["x", "y"],
    ("B", "2"): ["z", "y"],
}
NAMES = ["A", "B"]
ROWS = [(name, qid, doc, -float(i)) for (name, qid), docs in LISTS.items() for i, doc in enumerate(docs)]
HITS = pl.DataFrame(
    ROWS, {"pipeline": pl.String, "qid": pl.String, "doc_id": pl.String, "score": pl.Float64}, orient="row"
)


def order(**options: object) -> list[tuple[str, str]]:
    items = queue_items(HITS, ["1", "2"], NAMES, **{"order": "pool", "depth": 3, **options})  # type: ignore[arg-type]
    assert items["position"].to_list() == list(range(len(items)))
    return list(items.select("qid", "doc_id").iter_rows())


def test_the_pool_takes_turns_and_each_document_once() -> None:
    assert order() == [("1", "a"), ("1", "b"), ("1", "c"), ("1", "d"), ("2", "x"), ("2", "z"), ("2", "y")]
    assert order(depth=1) == [("1", "a"), ("2", "x"), ("2", "z")]
    assert order(limit=2) == [("1", "a"), ("1", "b")]


def test_who_found_it_is_kept() -> None:
    items = queue_items(HITS, ["1"], NAMES, order="pool", depth=3)
    assert [json.loads(found) for found in items["found"]] == [{"A": 1, "B": 1}, {"A": 2}, {"A": 3, "B": 2}, {"B": 3}]


def test_judged_documents_are_left_out() -> None:
    known = pl.DataFrame({"qid": ["1", "2"], "doc_id": ["a", "y"], "rating": [1, 0]})
    assert order(known=known) == [("1", "b"), ("1", "c"), ("1", "d"), ("2", "x"), ("2", "z")]


def test_disagreement_comes_first() -> None:
    # Query 2: nothing alike but the second place. In it x and z stand 1 apart, y nowhere; in query 1 b is 1/2 apart, d 1/3, c 1/6, a 0.
    assert order(order="disagreement") == [
        ("2", "x"), ("2", "z"), ("2", "y"), ("1", "b"), ("1", "d"), ("1", "c"), ("1", "a")
    ]  # fmt: skip


def test_what_could_flip_the_verdict_comes_first() -> None:
    rows = [
        ("2", "y", "B", 0.3),
        ("1", "d", "B", -0.1),
        ("1", "c", "B", 0.25),
        ("1", "deep", "B", 0.2),
        ("9", "gone", "B", 1.0),
    ]
    effects = pl.DataFrame(rows, EFFECTS, orient="row")
    items = queue_items(HITS, ["1", "2"], NAMES, order="flip", depth=2, effects=effects)
    assert [(row["qid"], row["doc_id"], row["effect"]) for row in items.iter_rows(named=True)] == [
        ("1", "c", 0.25), ("1", "deep", 0.2), ("1", "d", -0.1), ("2", "y", 0.3), ("1", "a", None), ("1", "b", None),
        ("2", "x", None), ("2", "z", None),
    ]  # fmt: skip


def test_orders_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadInput, match="Known: disagreement, flip, pool"):
        order(order="x")
    with pytest.raises(BadInput, match="two pipelines"):
        queue_items(HITS, ["1"], ["A"], order="disagreement", depth=3)
    with pytest.raises(BadInput, match="needs the effects"):
        order(order="flip")
