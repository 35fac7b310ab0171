"""Sparse retrieval with a model small enough to compute by hand: scores, rarity, explanations, what was searched for."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from engine.encoders.sparse import SparseEncoder
from engine.encoders.tokens import readable
from engine.errors import BadInput
from engine.explain.why import explain, why_not
from engine.pipeline.context import Context
from engine.pipeline.explanation import TermWeight
from engine.retrievers.sparse import TERMS_NOTE, Sparse
from engine.testing.contracts import HashEncoder, MemoryResources
from engine.types import Ranking
from tests.encoders.test_sparse import IDF
from tests.encoders.tiny import write_sparse

# by the tiny model: a gives red 1 and blue 2 (added), b green 1 and blue 3, c red 1 and blue 3; a query's red counts 2, blue 0.5, green 3
TEXTS = {"a": "red", "b": "green green blue", "c": "blue red"}


@pytest.fixture
def resources(tmp_path: Path) -> MemoryResources:
    encoder = SparseEncoder.load(write_sparse(tmp_path / "terms", query_weights=IDF))
    return MemoryResources(TEXTS, tmp_path / "indexes", encoder)


def found(stage: Sparse, query: str, resources: MemoryResources) -> list[tuple[str, float]]:
    ranking, _ = Context(resources).execute(stage, Ranking.of([("q", query)]))
    return [(doc_id, round(score, 4)) for doc_id, score in ranking.hits.select("doc_id", "score").iter_rows()]


def test_scores_are_inner_products(resources: MemoryResources) -> None:
    assert found(Sparse(model="terms"), "red blue", resources) == [("c", 3.5), ("a", 3.0), ("b", 1.5)]
    assert found(Sparse(model="terms"), "blue", resources) == [("b", 1.5), ("c", 1.5), ("a", 1.0)]
    assert found(Sparse(model="terms", k=1), "green", resources) == [("b", 3.0)]
    assert found(Sparse(model="terms"), "passage: unknown", resources) == []


def test_rarity_as_counted_in_the_collection(resources: MemoryResources) -> None:
    once, twice = (
        math.log(1 + 2.5 / 1.5),
        math.log(1 + 1.5 / 2.5),
    )  # green stands in one of three texts, red and blue in two
    counted = Sparse(model="terms", idf="collection")
    expected = [("c", 4 * twice), ("a", 3 * twice), ("b", 3 * twice)]
    assert found(counted, "red blue", resources) == [(doc_id, round(score, 4)) for doc_id, score in expected]
    assert found(counted, "green", resources) == [("b", round(once, 4))]
    assert found(counted, "query:", resources) == [], "what the model counts nothing counts nothing"


def test_queries_that_the_model_weighs(tmp_path: Path) -> None:
    resources = MemoryResources(TEXTS, tmp_path / "indexes", SparseEncoder.load(write_sparse(tmp_path / "terms")))
    # the query "red" is [CLS] 1, red 1, blue 2; every text has [CLS] 1
    assert found(Sparse(model="terms"), "red", resources) == [("c", 8.0), ("b", 7.0), ("a", 6.0)]
    with pytest.raises(BadInput, match="look queries up"):
        found(Sparse(model="terms", idf="collection"), "red", resources)


def test_added_terms_are_told_from_literal_ones(resources: MemoryResources) -> None:
    ((_, told),) = explain(Sparse(model="terms"), "red blue", "a", Context(resources))
    assert told.weights == (TermWeight("red", 2.0, 0, 3), TermWeight("blue", 1.0, -1, -1))
    assert (told.exact, told.score) == (True, 3.0)
    assert "1 term does not stand in the text" in told.note
    assert "33% of the score" in told.note
    ((_, told),) = explain(Sparse(model="terms"), "green blue", "b", Context(resources))
    assert told.weights == (
        TermWeight("green", 3.0, 0, 5),
        TermWeight("green", 0.0, 6, 11),
        TermWeight("blue", 1.5, 12, 16),
    )
    assert "added" not in told.note


def test_what_was_searched_for_is_in_the_trace(resources: MemoryResources) -> None:
    asked = Ranking.of([("q", "blue red"), ("p", "green"), ("r", "unknown")])
    _, span = Context(resources).execute(Sparse(model="terms"), asked)
    assert span.details[TERMS_NOTE].rows() == [("q", "red", 2.0), ("q", "blue", 0.5), ("p", "green", 3.0)]


def test_a_document_without_a_common_term(resources: MemoryResources) -> None:
    missing = why_not(Sparse(model="terms"), "green", "a", 10, Context(resources))
    assert missing.verdict == "no_shared_term"


def test_a_query_is_encoded_once_a_request(resources: MemoryResources) -> None:
    context = Context(resources)
    rows = context.query_terms("terms", ["red", "blue", "red", ""])
    assert rows.indptr.tolist() == [0, 1, 2, 3, 3]
    assert rows.weights.tolist() == [2.0, 0.5, 2.0]
    resources.encoder("terms").query_weights[:] = 9.0  # type: ignore[attr-defined]
    assert context.query_terms("terms", ["blue", "green"]).weights.tolist() == [0.5, 9.0]
    assert len(context.query_terms("terms", [])) == 0


def test_a_dense_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="needs a sparse model"):
        found(Sparse(model="hash"), "red", MemoryResources(TEXTS, tmp_path, HashEncoder()))


def test_tokens_as_people_read_them() -> None:
    assert readable(["##ing", "\u2581word", "\u0120gpt", "plain", "\u2581"]) == [
        "…ing",
        "word",
        "gpt",
        "plain",
        "\u2581",
    ]
