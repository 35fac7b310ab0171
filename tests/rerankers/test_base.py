"""Order after reranking, by hand and as properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.pipeline.context import Context
from engine.pipeline.explanation import COST_NOTE
from engine.pipeline.stages import Stage
from engine.rerankers import base
from engine.rerankers.base import RERANK_NOTE, Deadline, Reranker, reordered
from engine.testing.contracts import MemoryResources
from engine.types import HITS, Ranking

NAN = float("nan")
TEXTS = {"a": "one", "b": "two", "c": "three", "d": "four", "e": "five"}


class Told(Reranker, name=None):
    """Gives the scores that the test wrote; None where it has none."""

    told: tuple[float | None, ...] = ()

    def score(self, query: str, candidates: pl.DataFrame, ctx: Context) -> NDArray[np.float64]:
        assert ctx.resources.texts(candidates["doc_id"].to_list()) == [TEXTS[d] for d in candidates["doc_id"]]
        return np.array(self.told[: len(candidates)], np.float64)


def first(*pairs: tuple[str, str, float], queries: tuple[tuple[str, str], ...] = (("q", "words"),)) -> Ranking:
    hits = pl.DataFrame(pairs, schema={"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}, orient="row")
    return Ranking.of(list(queries)).with_hits(hits)


FIVE = first(("q", "a", 9.0), ("q", "b", 8.0), ("q", "c", 7.0), ("q", "d", 6.0), ("q", "e", 5.0))


def after(stage: Stage, ranking: Ranking, folder: Path) -> list[tuple[str, float]]:
    found, _ = Context(MemoryResources(TEXTS, folder)).execute(stage, ranking)
    assert found.hits.schema == HITS
    assert found.hits["rank"].to_list() == list(range(1, len(found.hits) + 1))
    return list(found.hits.select("doc_id", "score").iter_rows())


def test_scored_hits_come_first_then_the_unreached_then_those_beyond_the_candidates(tmp_path: Path) -> None:
    stage = Told(candidates=4, told=(0.5, None, 3.0, -2.0))
    assert after(stage, FIVE, tmp_path) == [("c", 3.0), ("a", 0.5), ("d", -2.0), ("b", -3.0), ("e", -4.0)]


def test_equal_scores_go_by_document_id(tmp_path: Path) -> None:
    assert [d for d, _ in after(Told(candidates=5, told=(1.0, 2.0, 1.0, 2.0, 1.0)), FIVE, tmp_path)] == list("bdace")


def test_a_budget_that_reached_nothing_leaves_the_list_as_it_was(tmp_path: Path) -> None:
    stage = Told(candidates=3, told=(None, None, None), budget_ms=0)
    assert after(stage, FIVE, tmp_path) == [("a", 9.0), ("b", 8.0), ("c", 7.0), ("d", 6.0), ("e", 5.0)]


def test_a_blank_query_and_an_empty_list_are_left_alone(tmp_path: Path) -> None:
    blank = first(("q", "a", 2.0), ("q", "b", 1.0), queries=(("q", "  "), ("r", "words")))
    assert after(Told(told=(1.0, 5.0)), blank, tmp_path) == [("a", 2.0), ("b", 1.0)]
    assert after(Told(), Ranking.of([("q", "words")]), tmp_path) == []


def test_the_trace_tells_ranks_and_scores_before_and_after(tmp_path: Path) -> None:
    two = first(
        ("q", "a", 9.0),
        ("q", "b", 8.0),
        ("q", "c", 7.0),
        ("r", "d", 1.0),
        queries=(("q", "words"), ("r", "others"), ("s", "nothing")),
    )
    _, span = Context(MemoryResources(TEXTS, tmp_path)).execute(Told(candidates=2, told=(None, 4.0)), two)
    assert span.details[RERANK_NOTE].rows() == [
        ("q", "b", 2, 1, 8.0, 4.0),
        ("q", "a", 1, 2, 9.0, None),
        ("q", "c", 3, 3, 7.0, None),
        ("r", "d", 1, 1, 1.0, None),
    ]
    assert span.details[COST_NOTE].select("qid", "candidates", "scored").rows() == [("q", 2, 1), ("r", 1, 0)]


def test_scores_that_cannot_be_ordered_are_refused() -> None:
    with pytest.raises(ValueError, match="infinite"):
        reordered(FIVE.hits, np.array([np.inf]))
    with pytest.raises(ValueError, match="6 scores for 5 hits"):
        reordered(FIVE.hits, np.zeros(6))


def test_time_is_up_at_once_with_a_budget_of_nothing_and_never_without_one() -> None:
    assert Deadline(0).passed
    assert not Deadline(None).passed
    assert not Deadline(600_000).passed


class Clock:
    """Stands where it was put, and goes on by `tick` seconds whenever it is read."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now, self.tick = 100.0, tick

    def perf_counter(self) -> float:
        self.now += self.tick
        return self.now


def test_a_budget_is_counted_in_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(base, "time", clock)
    deadline = Deadline(250)
    told = []
    for now in (100.0, 100.2, 100.25, 101.0):
        clock.now = now
        told.append(deadline.passed)
    assert told == [False, False, True, True]


def test_the_cost_is_the_time_of_scoring_in_milliseconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "time", Clock(tick=0.25))
    _, span = Context(MemoryResources(TEXTS, tmp_path)).execute(Told(candidates=2, told=(1.0, 4.0)), FIVE)
    assert span.details[COST_NOTE].rows() == [("q", 2, 2, 250.0)]


@given(
    st.lists(st.one_of(st.floats(-1e30, 1e30), st.just(NAN), st.just(1.5)), max_size=12),
    st.integers(0, 12),
)
def test_nothing_is_lost_and_the_order_is_total(scores: list[float], beyond: int) -> None:
    ids = [f"d{i:02}" for i in range(len(scores) + beyond)]
    ranking = first(*(("q", doc_id, -float(i)) for i, doc_id in enumerate(ids)))
    table = reordered(ranking.hits, np.array(scores))
    found = ranking.with_hits(table.select("qid", "doc_id", score="given")).hits["doc_id"].to_list()
    scored = [i for i, score in enumerate(scores) if score == score]
    rest = [i for i in range(len(ids)) if i not in scored]
    expected = sorted(scored, key=lambda i: (-scores[i], i)) + rest
    assert found == [ids[i] for i in expected]
