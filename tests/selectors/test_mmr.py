"""Maximal marginal relevance against values worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.explain.why import why_not
from engine.pipeline.context import Context
from engine.retrievers.dense import Dense
from engine.selectors.base import SELECTION_NOTE, document_vectors
from engine.selectors.mmr import Mmr, maximal_marginal_relevance
from engine.testing.contracts import HashEncoder, MemoryResources
from engine.types import Ranking

VECTORS = np.array([[1, 0], [1, 0], [0.6, 0.8], [0, 1]], np.float32)
RELEVANCE = np.array([1.0, 0.9, 0.5, 0.2])


def test_a_selection_by_hand() -> None:
    """First .5 · 1. Then .45 - .5 · 1 = -.05 | .25 - .5 · .6 = -.05 | .1 - 0 = .1: the last. Then -.05 | .25 - .5 · .8 = -.15: the second."""
    chosen = maximal_marginal_relevance(RELEVANCE, VECTORS, 0.5, 4)
    assert chosen.order.tolist() == [0, 3, 1, 2]
    assert chosen.columns["value"] == pytest.approx([0.5, 0.1, -0.05, -0.15])
    assert chosen.columns["likeness"] == pytest.approx([0.0, 0.0, 1.0, 0.8])
    assert chosen.columns["relevance"] == pytest.approx([1.0, 0.2, 0.9, 0.5])


def test_opposites_count_for_a_document() -> None:
    """Likeness may be negative: .2 - .5 · -1 = .6 wins over .45 - .5 · 1."""
    vectors = np.array([[1, 0], [1, 0], [-1, 0]], np.float32)
    assert maximal_marginal_relevance(np.array([1.0, 0.9, 0.2]), vectors, 0.5, 3).order.tolist() == [0, 2, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(1, 15), st.integers(0, 9))
def test_relevance_alone_keeps_the_order(relevance: list[float], k: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(len(relevance), 3)).astype(np.float32)
    chosen = maximal_marginal_relevance(np.array(sorted(relevance, reverse=True)), vectors, 1.0, k)
    assert chosen.order.tolist() == list(range(min(k, len(relevance))))


@given(st.integers(1, 12), st.integers(0, 99), st.sampled_from([0.0, 0.3, 0.7]))
def test_each_choice_is_the_best_that_is_left(count: int, seed: int, balance: float) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, 3)).astype(np.float32)
    relevance = np.sort(random.random(count))[::-1]
    order = maximal_marginal_relevance(relevance, vectors, balance, count).order.tolist()
    assert sorted(order) == list(range(count))
    products = (vectors @ vectors.T).astype(np.float64)
    for place in range(1, count):
        before, left = order[:place], order[place:]
        values = [balance * relevance[d] - (1 - balance) * products[d, before].max() for d in left]
        assert values[0] == pytest.approx(max(values), abs=1e-5)


def test_a_document_stands_for_the_mean_of_its_passages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """b has two passages; c is not in the index."""
    context = Context(MemoryResources({"a": "red", "b": "red", "b2": "blue", "c": "green"}, tmp_path))
    spec = Dense().index_spec()
    monkeypatch.setattr(context, "rows", lambda spec, ids: {"a": np.array([0]), "b": np.array([1, 2])})
    red, blue = HashEncoder().encode_documents(["red", "blue"]).astype(np.float64)
    found = document_vectors(pl.Series(["b", "c", "a"]), spec, context)
    np.testing.assert_allclose(found[0], (red + blue) / np.linalg.norm(red + blue), atol=1e-5)
    np.testing.assert_array_equal(found[1], 0)
    np.testing.assert_allclose(found[2], red / np.linalg.norm(red), atol=1e-5)


def ranking(*scored: tuple[str, float]) -> Ranking:
    rows = [("q", doc_id, score) for doc_id, score in scored]
    schema = {"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}
    return Ranking.of([("q", "cats")]).with_hits(pl.DataFrame(rows, schema=schema, orient="row"))


def test_as_a_stage_a_copy_waits_for_something_new(tmp_path: Path) -> None:
    texts = {"a": "cats sleep", "copy": "cats sleep", "other": "rockets fly"}
    given_ = ranking(("a", 6.0), ("copy", 5.8), ("other", 4.0), ("beyond", 1.0))
    found, span = Context(MemoryResources(texts, tmp_path)).execute(Mmr(relevance=0.5, candidates=3), given_)
    assert found.hits["doc_id"].to_list() == ["a", "other", "copy"]
    assert found.hits["score"].to_list() == [1.0, 1 / 2, 1 / 3]
    table = span.details[SELECTION_NOTE]
    assert table["received"].to_list() == [1, 3, 2]
    assert table["relevance"].to_list() == pytest.approx([1.0, 0.0, 0.9])
    assert table["likeness"][2] == pytest.approx(1.0)


def test_relevance_alone_keeps_the_incoming_list(tmp_path: Path) -> None:
    texts = {f"d{i}": f"text {i}" for i in range(6)}
    given_ = ranking(*((f"d{i}", float(i // 2)) for i in range(6)))
    found, _ = Context(MemoryResources(texts, tmp_path)).execute(Mmr(relevance=1), given_)
    assert found.hits["doc_id"].to_list() == given_.hits["doc_id"].to_list()


def test_why_not_names_the_selector(tmp_path: Path) -> None:
    context = Context(MemoryResources({"a": "cats sleep", "b": "cats sleep", "c": "rockets fly"}, tmp_path))
    missing = why_not(Dense() >> Mmr(k=1), "cats", "c", 10, context)
    assert (missing.verdict, missing.sentence) == ("below_cutoff", "It was at rank 3, and MMR 0.7 did not select it.")
