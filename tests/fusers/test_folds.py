"""Folds: which queries are dealt, and that each is in one of them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from engine.errors import BadInput
from engine.fusers.folds import Folds


def hits(*qids: str) -> pl.DataFrame:
    return pl.DataFrame({"qid": qids, "doc_id": ["d"] * len(qids), "rank": [1] * len(qids), "score": [1.0] * len(qids)})


def judged(ratings: dict[str, int]) -> pl.DataFrame:
    return pl.DataFrame({"qid": list(ratings), "doc_id": ["d"] * len(ratings), "rating": list(ratings.values())})


def test_queries_with_a_hit_and_a_relevant_document_are_dealt_evenly():
    lists = [hits("q3", "q1", "q5"), hits("q2", "q1", "q4")]
    dealt = Folds.deal(lists, judged({"q1": 1, "q2": 2, "q3": 0, "q4": 1, "q5": 1, "q6": 1}), "P@1", 2)
    assert dealt.qids == ("q1", "q2", "q4", "q5")  # q3 has nothing relevant, q6 was not found
    assert sorted(dealt.fold.tolist()) == [0, 0, 1, 1]
    held = np.stack([dealt.held(0), dealt.held(1)])
    assert held.sum(axis=0).tolist() == [1, 1, 1, 1]
    assert dealt.places(pl.Series(["q4", "q1", "q4"])).tolist() == [2, 0, 2]
    values = dealt.values(pl.DataFrame({"qid": ["q1", "q2"], "doc_id": ["d", "e"], "score": [1.0, 1.0]}))
    assert values.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_equal_arguments_deal_equally_whatever_the_order_of_rows():
    names = [f"q{i}" for i in range(20)]
    first = Folds.deal([hits(*names), hits(*names)], judged(dict.fromkeys(names, 1)), "nDCG@10", 5)
    again = Folds.deal([hits(*names[::-1]), hits(*names)], judged(dict.fromkeys(names[::-1], 1)), "nDCG@10", 5)
    assert first.qids == again.qids
    np.testing.assert_array_equal(first.fold, again.fold)


def test_what_cannot_be_dealt_is_refused():
    lists, judgments = [hits("q1", "q2"), hits("q1")], judged({"q1": 1, "q2": 1})
    with pytest.raises(BadInput, match="2 of the queries"):
        Folds.deal(lists, judgments, "nDCG@10", 3)
    with pytest.raises(BadInput, match="2 folds"):
        Folds.deal(lists, judgments, "nDCG@10", 1)
    with pytest.raises(BadInput, match="2 to 5 lists"):
        Folds.deal(lists * 3, judgments, "nDCG@10", 2)
    with pytest.raises(BadInput, match="no metric"):
        Folds.deal(lists, judgments, "magic", 2)
