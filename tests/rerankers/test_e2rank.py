"""E²Rank against vectors that can be multiplied by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from engine.pipeline.context import Context
from engine.rerankers import e2rank
from engine.rerankers.base import RERANK_NOTE
from engine.rerankers.e2rank import E2Rank
from engine.testing.contracts import HashEncoder, MemoryResources
from engine.types import Ranking

TEXTS = {"a": "alpha beta gamma", "b": "beta delta", "c": "omega psi", "d": "alpha psi"}


def ranked(order):
    asked = Ranking.of([("q", "alpha question")])
    rows = [("q", doc_id, float(-place)) for place, doc_id in enumerate(order)]
    return asked.with_hits(pl.DataFrame(rows, schema=["qid", "doc_id", "score"], orient="row"))


def test_the_query_is_encoded_together_with_the_first_hits(tmp_path):
    asked = []

    class Hearing(HashEncoder):
        def encode_queries(self, texts):
            asked.extend(texts)
            return super().encode_queries(texts)

    encoder = Hearing()
    ctx = Context(MemoryResources(TEXTS, tmp_path, encoder))
    result, root = ctx.execute(E2Rank(documents=2, words=2), ranked("badc"))
    written = "alpha question [1] beta delta [2] alpha beta"
    assert [text for text in asked if "[1]" in text] == [written]
    vector = encoder.encode_queries([written])[0].astype(float)
    vectors = encoder.encode_documents([TEXTS[doc_id] for doc_id in "badc"]).astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = dict(zip("badc", vectors @ vector, strict=True))
    scores = dict(root.details[RERANK_NOTE].select("doc_id", "score").iter_rows())
    assert scores == pytest.approx(expected, abs=1e-6)
    assert result.hits["doc_id"].to_list() == sorted(TEXTS, key=lambda doc_id: (-expected[doc_id], doc_id))


def test_documents_that_the_index_does_not_hold_yet_come_after_those_it_holds(tmp_path, monkeypatch):
    ctx = Context(MemoryResources(TEXTS, tmp_path, HashEncoder()))
    monkeypatch.setattr(e2rank, "document_vectors", lambda ids, *_: np.array([[0, 0], [-1, 0]], np.float32)[: len(ids)])
    monkeypatch.setattr(Context, "query_vectors", lambda *_: np.array([[1, 0]], np.float32))
    scores = E2Rank().score("q", ranked("ab").hits, ctx)
    np.testing.assert_array_equal(scores, [np.nan, -1.0])


def test_candidates_beyond_the_first_keep_their_order(tmp_path):
    ctx = Context(MemoryResources(TEXTS, tmp_path, HashEncoder()))
    result, _ = ctx.execute(E2Rank(candidates=2), ranked("cdba"))
    assert set(result.hits["doc_id"].to_list()[:2]) == {"c", "d"}
    assert result.hits["doc_id"].to_list()[2:] == ["b", "a"]
