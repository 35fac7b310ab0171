"""What a request remembers: a stage runs once on one input, and never answers for another."""

from __future__ import annotations

from pathlib import Path

from engine.context import Context
from engine.retrievers.bm25 import Bm25
from engine.testing import MemoryResources
from engine.types import Ranking

TEXTS = {"both": "stemming recall", "one": "stemming", "other": "onion soup"}


def test_rankings_that_nobody_keeps_are_told_apart(tmp_path: Path) -> None:
    """Each ranking below is freed after its run, so the next one may lie at its address."""
    context = Context(MemoryResources(TEXTS, tmp_path))
    for i in range(50):
        hits = context.run(Bm25(k=10), Ranking.of([(f"q{i}", "stemming")])).hits
        assert hits["qid"].unique().to_list() == [f"q{i}"]


def test_a_stage_runs_once_on_one_input(tmp_path: Path) -> None:
    context = Context(MemoryResources(TEXTS, tmp_path))
    queries = Ranking.of([("q", "onion")])
    first, span = context.execute(Bm25(k=10), queries)
    second, again = context.execute(Bm25(k=10), queries)
    assert first is second
    assert (span.cached, again.cached) == (False, True)
    assert first.hits["doc_id"].to_list() == ["other"]
