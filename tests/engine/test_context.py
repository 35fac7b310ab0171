"""What a request remembers: a stage runs once on one input, and never answers for another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.pipeline.context import Context
from engine.retrievers.bm25 import Bm25
from engine.testing.contracts import HashEncoder, MemoryResources, fake_encoder
from engine.types import FloatRows, Ranking

TEXTS = {"both": "stemming recall", "one": "stemming", "other": "onion soup"}


def test_rankings_that_nobody_keeps_are_told_apart(tmp_path: Path) -> None:
    """Each ranking below is freed after its run, so the next one may lie at its address."""
    context = Context(MemoryResources(TEXTS, tmp_path))
    for i in range(50):
        hits = context.run(Bm25(k=10), Ranking.of([(f"q{i}", "stemming")])).hits
        assert hits["qid"].unique().to_list() == [f"q{i}"]


def test_rows_of_deleted_documents_belong_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five passages: two of "other" (the last document), one of "both", one of a deleted document, which -1 stands for, one of "one"."""
    resources = MemoryResources(TEXTS, tmp_path)
    context = Context(resources)
    assert resources.snapshot.doc_ids.to_list() == ["both", "one", "other"]
    monkeypatch.setattr(MemoryResources, "row_docs", lambda self, spec: np.array([2, 0, -1, 2, 1], np.int32))
    rows = context.rows(Bm25().index_spec(), pl.Series(["other", "both", "gone"]))
    assert {doc_id: found.tolist() for doc_id, found in rows.items()} == {"both": [1], "other": [0, 3]}
    hits = context.documents(
        Bm25().index_spec(), np.array([3, 1, 0, -1]), np.array([0.9, 0.5, 0.4, -np.inf], np.float32), "q"
    )
    assert sorted(hits.rows()) == [("q", "both", 0.5), ("q", "other", pytest.approx(0.9))]
    live = context.allowed_rows(Bm25().index_spec())
    assert live is not None
    assert live.tolist() == [True, True, False, True, True]


def test_a_request_makes_and_encodes_everything_once(tmp_path: Path) -> None:
    asked: list[str] = []

    class Counting(HashEncoder):
        def encode_queries(self, texts: Sequence[str]) -> FloatRows:
            asked.extend(texts)
            return super().encode_queries(texts)

    context = Context(MemoryResources(TEXTS, tmp_path, Counting()))
    first = context.query_vectors("m", ["a", "b", "a"])
    again = context.query_vectors("m", ["b", "c"])
    assert asked == ["a", "b", "c"]
    np.testing.assert_array_equal(first[[0, 1]], first[[2, 1]])
    np.testing.assert_array_equal(again[0], first[1])
    assert context.query_vectors("m", []).shape == (0, first.shape[1])
    made = [context.once("key", lambda: asked.append("made") or len(asked)) for _ in range(2)]
    assert made == [4, 4]


def test_a_stage_runs_once_on_one_input(tmp_path: Path) -> None:
    context = Context(MemoryResources(TEXTS, tmp_path))
    queries = Ranking.of([("q", "onion")])
    first, span = context.execute(Bm25(k=10), queries)
    second, again = context.execute(Bm25(k=10), queries)
    assert first is second
    assert (span.cached, again.cached) == (False, True)
    assert (span.stage, span.path, span.received, span.returned) == (Bm25(k=10), "0", 0, 1)
    assert first.hits["doc_id"].to_list() == ["other"]


@pytest.mark.parametrize("kind", ["dense", "sparse", "late"])
def test_queries_of_every_kind_are_joined_from_what_was_encoded(kind: str, tmp_path: Path) -> None:
    encoder = fake_encoder(kind)
    context = Context(MemoryResources(TEXTS, tmp_path, encoder))
    ask = {"dense": context.query_vectors, "sparse": context.query_terms, "late": context.query_tokens}[kind]
    wanted = encoder.encode_queries(["onion soup", "stemming", "onion soup"])
    ask("m", ["stemming", "recall", ""])
    found = ask("m", ["onion soup", "stemming", "onion soup"])
    if kind == "dense":
        np.testing.assert_array_equal(found, wanted)
    else:
        for name in ("indptr", "terms", "weights") if kind == "sparse" else ("indptr", "vectors", "ids"):
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
            assert getattr(found, name).dtype == getattr(wanted, name).dtype
    assert len(ask("m", [])) == 0
