"""Vector feedback against values worked out by hand, on vectors in a plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.errors import BadInput
from engine.explain.why import QID, explain
from engine.feedback.base import QUERIES_NOTE, Example, NewQuery
from engine.feedback.vector_average import VectorAverage
from engine.feedback.vector_rocchio import VectorRocchio
from engine.feedback.vectors import VectorFeedback
from engine.pipeline.context import Context
from engine.pipeline.stages import PipelineSpec
from engine.retrievers.dense import Dense
from engine.testing.contracts import HashEncoder, MemoryResources
from engine.types import FloatRows, Ranking

DIRECTIONS = {"east": (1, 0), "north": (0, 1), "west": (-1, 0), "northeast": (0.6, 0.8)}


class Compass(HashEncoder):
    """Texts that name a direction, as vectors of length 1."""

    def __init__(self) -> None:
        super().__init__(dimensions=2, name="compass")

    def encode_queries(self, texts: Sequence[str]) -> FloatRows:
        """float32 [texts, 2]."""
        return np.array([DIRECTIONS[text] for text in texts], np.float32).reshape(-1, 2)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(MemoryResources({"e": "east", "n": "north", "w": "west", "ne": "northeast"}, tmp_path, Compass()))


def asked(*scored: tuple[str, float]) -> Ranking:
    rows = [(QID, doc_id, score) for doc_id, score in scored]
    schema = {"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}
    return Ranking.of([(QID, "east")]).with_hits(pl.DataFrame(rows, schema=schema, orient="row"))


def moved(stage: VectorFeedback, ranking: Ranking, context: Context) -> tuple[NewQuery, dict[str, float]]:
    found, span = context.execute(stage, ranking)
    return span.details[QUERIES_NOTE][QID], dict(found.hits.select("doc_id", "score").iter_rows())


def test_the_average_counts_the_query_as_much_as_a_document(context: Context) -> None:
    """(east + north) / 2 points northeast; at length 1 it is (1, 1) / √2."""
    new, scores = moved(VectorAverage(documents=1), asked(("n", 1.0), ("w", 0.5)), context)
    assert scores == pytest.approx({"ne": 1.4 * 0.5**0.5, "e": 0.5**0.5, "n": 0.5**0.5, "w": -(0.5**0.5)}, abs=1e-6)
    assert new.original == 0.5
    assert new.documents == {"n": 0.5}


def test_rocchio_weighs_the_query_against_the_mean(context: Context) -> None:
    """.4 · (1, 0) + .6 / 2 · ((0, 1) + (-1, 0)) = (.1, .3); at length 1 it is (1, 3) / √10."""
    new, scores = moved(VectorRocchio(alpha=0.4, beta=0.6), asked(("n", 1.0), ("w", 0.5)), context)
    assert new.parts is not None
    np.testing.assert_allclose(new.parts.sum(axis=0), np.array([1, 3]) / 10**0.5, atol=1e-6)
    assert scores == pytest.approx({"ne": 3 / 10**0.5, "n": 3 / 10**0.5, "e": 1 / 10**0.5, "w": -1 / 10**0.5}, abs=1e-6)
    assert new.documents == {"n": 0.3, "w": 0.3}


def test_without_hits_the_query_stays(context: Context) -> None:
    _, scores = moved(VectorRocchio(), asked(), context)
    assert scores == pytest.approx({"e": 1.0, "ne": 0.6, "n": 0.0, "w": -1.0}, abs=1e-6)


def test_a_document_teaches_by_its_passage_nearest_to_the_query(context: Context) -> None:
    """Rows stand in the order of the texts: e, n, w, ne. Of north, west and northeast, northeast is nearest to east."""
    new = VectorAverage().new_query("east", [Example("long", 1.0, np.array([1, 2, 3]))], context)
    assert new.parts is not None
    np.testing.assert_allclose(new.parts[1] / np.linalg.norm(new.parts[1]), (0.6, 0.8), atol=1e-6)


def test_vectors_that_cancel_find_nothing_and_do_not_fail(context: Context) -> None:
    _, scores = moved(VectorAverage(documents=1), asked(("w", 1.0)), context)
    assert scores == {}


def test_the_score_splits_over_the_query_and_the_documents(context: Context) -> None:
    pipeline = Dense(k=2) >> VectorRocchio()
    ranking, _ = context.execute(pipeline, asked())
    told = dict(explain(pipeline, "east", "n", context))[VectorRocchio()]
    assert told.exact
    assert told.score == pytest.approx(ranking.hits.filter(doc_id="n")["score"][0], abs=1e-6)
    assert {weight.term for weight in told.weights} == {"the query", "document e", "document ne"}


def test_weights_of_nothing_are_refused() -> None:
    with pytest.raises(BadInput, match="cannot both be 0"):
        PipelineSpec.from_yaml("pipeline:\n- dense\n- vector_rocchio: {alpha: 0, beta: 0}\n")


class Passages:
    """Resources in which the first document has two passages and the third row belongs to no live document."""

    def __init__(self, resources: MemoryResources) -> None:
        self.snapshot = resources.snapshot

    def row_docs(self, spec: object) -> np.ndarray:
        """The position of each row's document."""
        return np.array([2, 0, -1, 0], np.int32)


def test_rows_of_documents(context: Context, tmp_path: Path) -> None:
    resources = MemoryResources({"a": "east", "b": "north", "c": "west"}, tmp_path / "other", Compass())
    several = Context(Passages(resources))  # type: ignore[arg-type]
    found = several.rows(Dense().index_spec(), pl.Series(["a", "b", "c", "gone", "a"]))
    assert {doc_id: rows.tolist() for doc_id, rows in found.items()} == {"a": [1, 3], "c": [0]}
    assert several.rows(Dense().index_spec(), pl.Series([], dtype=pl.String)) == {}


def test_a_text_is_encoded_once_in_whatever_company(tmp_path: Path) -> None:
    class Counting(Compass):
        asked: list[str]

        def encode_queries(self, texts: Sequence[str]) -> FloatRows:
            """As the compass does."""
            self.asked.extend(texts)
            return super().encode_queries(texts)

    encoder = Counting()
    encoder.asked = []
    context = Context(MemoryResources({}, tmp_path, encoder))
    first = context.query_vectors("compass", ["east", "north", "east"])
    second = context.query_vectors("compass", ["west", "north"])
    assert encoder.asked == ["east", "north", "west"]
    np.testing.assert_array_equal(first, [(1, 0), (0, 1), (1, 0)])
    np.testing.assert_array_equal(second, [(-1, 0), (0, 1)])
    assert context.query_vectors("compass", []).shape == (0, 2)
