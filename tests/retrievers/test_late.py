"""The late retriever and the maxsim reranker: scores, explanations with places, and agreement between the two."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.encoders.late import LateEncoder
from engine.explain.why import explain
from engine.pipeline.context import Context
from engine.pipeline.explanation import COST_NOTE
from engine.rerankers.base import RERANK_NOTE
from engine.rerankers.maxsim import MaxSim
from engine.retrievers.late import Late, named
from engine.testing.contracts import HashTokenEncoder, MemoryResources
from engine.types import Ranking
from tests.encoders.tiny_late import write_late

TEXTS = {"a": "Red apple", "b": "red car", "c": "an apple-pie recipe", "d": "green, cars"}


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return Context(MemoryResources(TEXTS, tmp_path, HashTokenEncoder()))


def test_every_query_token_is_explained_by_its_best_match(ctx: Context) -> None:
    told = Late().explain_row("apple RED", 0, ctx)
    assert told.exact
    assert [(w.term, w.start, w.end) for w in told.weights] == [("apple → apple", 4, 9), ("RED → Red", 0, 3)]
    assert [round(w.weight, 1) for w in told.weights] == [1, 1]
    assert told.score == pytest.approx(sum(w.weight for w in told.weights))
    assert told.score == pytest.approx(float(Late().exact_scores("apple RED", ctx)[0]), abs=1e-5)
    assert Late().explain_row("", 0, ctx).weights == ()


def test_pieces_of_words_are_called_by_the_whole_word() -> None:
    tokens = [("[CLS]", 0, 0), ("cal", 2, 5), ("##ib", 5, 7), (",", 8, 9), ("9", 10, 11)]
    assert [name for name, _ in named("a calib8, 9x", tokens)] == ["[CLS]", "calib8", "calib8", ",", "9x"]


def test_the_encoder_of_a_model_explains_its_special_tokens_without_a_place(tmp_path: Path) -> None:
    encoder = LateEncoder.load(write_late(tmp_path / "m", similarity="cosine", skipped_tokens="punctuation"))
    ctx = Context(MemoryResources({"a": "red, blue", "b": "green"}, tmp_path / "x", encoder))
    found, _ = ctx.execute(Late(k=2), Ranking.of([("q", "blue")]))
    told = Late().explain_row("blue", 0, ctx)
    assert len(told.weights) == 3, "[CLS], the word, [SEP]"
    assert told.score == pytest.approx(found.hits.filter(doc_id="a")["score"][0], abs=1e-5)
    assert all((w.start, w.end) == (-1, -1) for w in told.weights if w.term.endswith("]"))


def test_the_reranker_gives_the_scores_of_the_retriever(ctx: Context) -> None:
    query = Ranking.of([("q", "red apple"), ("empty", "  ")])
    wanted, _ = ctx.execute(Late(k=4), query)
    hits = pl.DataFrame(
        [("q", "d", 9.0), ("q", "gone", 8.0), ("q", "a", 7.0), ("q", "c", 6.0), ("q", "b", 5.0), ("empty", "a", 1.0)],
        schema=["qid", "doc_id", "score"],
        orient="row",
    )
    found, span = ctx.execute(MaxSim(candidates=4), query.with_hits(hits))
    scores = dict(wanted.hits.select("doc_id", "score").iter_rows())
    told = span.details[RERANK_NOTE].filter(qid="q")
    assert told["doc_id"].to_list() == ["a", *sorted("cd", key=lambda d: -scores[d]), "gone", "b"]
    assert dict(told.select("doc_id", "score").iter_rows()) == {
        "a": scores["a"],
        "c": scores["c"],
        "d": scores["d"],
        "gone": None,
        "b": None,
    }
    assert found.hits.filter(qid="empty")["score"].to_list() == [1.0]
    assert dict(span.details[COST_NOTE].select("qid", "scored").iter_rows()) == {"q": 3, "empty": 0}
    assert MaxSim().explain_row("red apple", 0, ctx).score == pytest.approx(scores["a"])


def test_a_document_is_scored_by_its_best_passage(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctx, "rows", lambda spec, ids: {"x": np.array([1, 2]), "y": np.array([3])})
    frame = pl.DataFrame({"doc_id": ["y", "x"]})
    scores = MaxSim().score("apple", frame, ctx)
    exact = Late().exact_scores("apple", ctx)
    np.testing.assert_allclose(scores, [exact[3], max(exact[1], exact[2])], atol=1e-5)


def test_a_budget_that_is_spent_leaves_the_rest_in_order(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.rerankers.maxsim.AT_ONCE", 1)
    clock = iter([0.0, 0.0, *[9.0] * 100])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    scores = MaxSim(budget_ms=5).score("apple", pl.DataFrame({"doc_id": ["a", "b", "c"]}), ctx)
    assert np.isnan(scores).tolist() == [False, True, True]


def test_it_tells_how_far_it_came(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at a time; "gone" is not in the index and holds nobody up."""
    monkeypatch.setattr("engine.rerankers.maxsim.AT_ONCE", 2)
    heard: list[int] = []
    MaxSim().pair_scores("apple", pl.DataFrame({"doc_id": ["a", "gone", "b", "c"]}), ctx, heard.append)
    assert heard == [3, 4]


def test_retriever_and_reranker_explain_a_document_of_a_pipeline(ctx: Context) -> None:
    late, rerank = Late(k=3), MaxSim(candidates=3)
    told = explain(late >> rerank, "apple", "c", ctx)
    assert [stage for stage, _ in told] == [late, rerank]
    assert told[0][1].weights == told[1][1].weights
    assert explain(rerank, "apple", "gone", ctx) == []
    assert rerank.explain_document("apple", "gone", ctx) is None
