"""E²Rank against vectors that can be multiplied by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from engine.context import Context
from engine.rerankers.base import RERANK_NOTE
from engine.rerankers.e2rank import E2Rank
from engine.testing import HashEncoder, MemoryResources
from engine.types import Ranking

TEXTS = {"a": "alpha beta gamma", "b": "beta delta", "c": "omega psi", "d": "alpha psi"}


def ranked(order):
    asked = Ranking.of([("q", "alpha question")])
    rows = [("q", doc_id, float(-place)) for place, doc_id in enumerate(order)]
    return asked.with_hits(pl.DataFrame(rows, schema=["qid", "doc_id", "score"], orient="row"))


def test_the_query_is_encoded_together_with_the_first_hits(tmp_path):
    encoder = HashEncoder()
    ctx = Context(MemoryResources(TEXTS, tmp_path, encoder))
    result, root = ctx.execute(E2Rank(documents=2, words=2), ranked("badc"))
    written = "alpha question [1] beta delta [2] alpha beta"
    vector = encoder.encode_queries([written])[0].astype(float)
    vectors = encoder.encode_documents([TEXTS[doc_id] for doc_id in "badc"]).astype(float)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = dict(zip("badc", vectors @ vector, strict=True))
    scores = dict(root.details[RERANK_NOTE].select("doc_id", "score").iter_rows())
    assert scores == pytest.approx(expected, abs=1e-6)
    assert result.hits["doc_id"].to_list() == sorted(TEXTS, key=lambda doc_id: (-expected[doc_id], doc_id))


def test_candidates_beyond_the_first_keep_their_order(tmp_path):
    ctx = Context(MemoryResources(TEXTS, tmp_path, HashEncoder()))
    result, _ = ctx.execute(E2Rank(candidates=2), ranked("cdba"))
    assert set(result.hits["doc_id"].to_list()[:2]) == {"c", "d"}
    assert result.hits["doc_id"].to_list()[2:] == ["b", "a"]
