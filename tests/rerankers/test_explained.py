"""What a reranked pipeline tells of a document: where it stood before and after, and where it was lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.explain.why import explain, moves, why_not
from engine.pipeline.context import Context
from engine.pipeline.stages import parse
from engine.rerankers.cross import Cross
from engine.retrievers.bm25 import Bm25
from engine.testing.contracts import MemoryResources
from engine.types import Ranking

# BM25 puts the repeated word first; the fake cross-encoder counts different words, and prefers the shorter text.
TEXTS = {
    "often": "stemming stemming stemming stemming",
    "both": "stemming and recall, measured on many collections of abstracts with judgments by many assessors",
    "once": "a long text that names stemming somewhere among many other words about many other things",
    "other": "onion soup",
}
PIPELINE = Bm25(k=10) >> Cross(candidates=2)
QUERY = "stemming recall"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(MemoryResources(TEXTS, tmp_path))


def test_moves_by_hand(context: Context) -> None:
    before = context.run(Bm25(k=10), Ranking.of([("q", QUERY)])).hits["doc_id"].to_list()
    assert before == ["both", "often", "once"]
    turned = "stemming"
    first = context.run(Bm25(k=10), Ranking.of([("q", turned)])).hits["doc_id"].to_list()
    assert first == ["often", "both", "once"]
    _, root = context.execute(PIPELINE, Ranking.of([("q", turned)]))
    (often,) = moves(root, "often")
    (both,) = moves(root, "both")
    (once,) = moves(root, "once")
    assert (often.received, often.rank, often.score) == (1, 1, pytest.approx(1 - 0.004))
    assert (both.received, both.rank) == (2, 2)
    assert (once.received, once.rank, once.score) == (3, 3, None)
    assert often.sentence.startswith("Kept at rank 1, its score from ")
    assert once.sentence == "Kept at rank 3, without a new score."
    assert moves(root, "other") == []


def test_an_explanation_says_where_the_document_stood(context: Context) -> None:
    texts = {"long": "stemming recall " + "word " * 300, "short": "stemming recall here", "x": "recall"}
    held = Context(MemoryResources(texts, context.resources._folder / "second"))  # type: ignore[attr-defined]
    stage = Bm25(k=10, b=0) >> Cross()
    found = {type(s): told for s, told in explain(stage, QUERY, "short", held)}
    assert set(found) == {Bm25, Cross}
    told = found[Cross]
    assert told.note.startswith("Reranked from 2 to 1, its score from ")
    assert "Approximate" in told.note
    assert told.score == pytest.approx(2 - 0.003)


def test_why_not_tells_of_the_move(context: Context) -> None:
    found = why_not(PIPELINE, QUERY, "once", 2, context)
    assert found.verdict == "below_cutoff"
    assert found.sentence == ("It is at rank 3; the list shows the first 2. Kept at rank 3, without a new score.")
    assert found.lists[-1] == ("rerank 2", "Kept at rank 3, without a new score.")
    cut = why_not(PIPELINE % 1, QUERY, "often", 5, context)
    assert cut.sentence.startswith("It was at rank 2 when the list was cut at 1. Kept at rank 2, its score from ")
    missing = why_not(PIPELINE, QUERY, "other", 5, context)
    assert missing.verdict == "no_shared_term"
    assert missing.sentence == "It shares no term with the query."


def test_a_pipeline_with_reranking_reads_from_yaml() -> None:
    assert parse(("stages", "retrievers", "rerankers"), [{"bm25": {"k": 10}}, {"cross": {"candidates": 2}}]) == PIPELINE
