"""An index that keeps no vectors and no exact scores, as one that holds codes only, or is elsewhere: stages and explanations say so and go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import NotExact
from engine.explain.why import QID, explain, why_not
from engine.feedback.base import QUERIES_NOTE
from engine.feedback.vector_rocchio import VectorRocchio
from engine.pipeline.context import Context
from engine.retrievers.dense import Dense
from engine.selectors.mmr import Mmr
from engine.testing.contracts import MemoryResources, sentences
from engine.types import FloatRows, Ranking

TEXTS = {f"d{i}": text for i, text in enumerate(sentences(40).values())}
ASKED = Ranking.of([(QID, "scientific papers")])
MESSAGE = "This index keeps codes only."


class Codes:
    """What `dense` opens, without what only vectors can tell."""

    def __init__(self, index: Any) -> None:
        self.numbers, self.fingerprint, self.width, self.search = (
            index.numbers, index.fingerprint, index.width, index.search,
        )  # fmt: skip

    def vectors(self, rows: Any) -> FloatRows:
        raise NotExact(MESSAGE)

    def scores(self, vector: FloatRows, rows: Any = None) -> FloatRows:
        raise NotExact(MESSAGE)


class CodedResources(MemoryResources):
    def index(self, spec: Any) -> Any:
        return Codes(super().index(spec))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(CodedResources(TEXTS, tmp_path))


def test_an_explanation_is_the_score_of_the_list(context: Context) -> None:
    dense = Dense(k=5)
    best, score = context.run(dense, ASKED).hits.select("doc_id", "score").row(0)
    ((stage, told),) = explain(dense, "scientific papers", best, context)
    assert (stage, told.exact, told.score, told.weights, told.note) == (dense, False, score, (), MESSAGE)
    below = next(doc for doc in TEXTS if doc not in context.run(dense, ASKED).hits["doc_id"])
    assert explain(dense, "scientific papers", below, context) == []


def test_why_a_document_is_missing_is_told_as_far_as_it_is_known(context: Context) -> None:
    dense = Dense(k=5)
    hits = context.run(dense, ASKED).hits["doc_id"]
    assert why_not(dense, "scientific papers", hits[1], 5, context).lists == (("Dense", "Rank 2."),)
    below = next(doc for doc in TEXTS if doc not in hits)
    missing = why_not(dense, "scientific papers", below, 5, context)
    assert (missing.verdict, missing.sentence) == ("below_cutoff", f"Not among the first 5. {MESSAGE}")


def test_feedback_searches_for_the_query_as_it_is_and_says_so(context: Context) -> None:
    pipeline = Dense(k=5) >> VectorRocchio(k=5)
    found, root = context.execute(pipeline, ASKED)
    span = root.children[1]
    assert found.hits.equals(context.run(Dense(k=5), ASKED).hits)
    assert span.details[QUERIES_NOTE][QID].documents == {}
    assert span.stage.facts(span, QID) == [MESSAGE]
    told = explain(pipeline, "scientific papers", found.hits["doc_id"][0], context)
    assert [(stage.name, one.note) for stage, one in told] == [("dense", MESSAGE), ("vector_rocchio", MESSAGE)]


def test_what_cannot_do_without_vectors_hands_the_error_on(context: Context) -> None:
    with pytest.raises(NotExact, match="codes only"):
        context.run(Dense(k=5) >> Mmr(), ASKED)


def test_a_filter_is_given_as_the_index_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An index that is elsewhere knows no rows, but numbers of units."""
    heard: list[Any] = []
    spec = Dense().index_spec()
    resources = MemoryResources(TEXTS, tmp_path)
    index = resources.index(spec)
    search = type(index).search

    def listening(self: Any, queries: Any, k: int, allowed: Any = None, effort: Any = None) -> Any:
        heard.append(allowed)
        return search(self, queries, k, allowed, effort)

    monkeypatch.setattr(type(index), "search", listening)
    third = np.arange(40) % 3 == 0
    by_mask = Context(resources, third).run(Dense(k=5), ASKED)
    monkeypatch.setattr(type(spec), "by_number", True)
    by_number = Context(resources, third).run(Dense(k=5), ASKED)
    assert heard[0].tolist() == third.tolist()
    assert heard[1].tolist() == index.numbers[third].tolist()
    assert by_number.hits.equals(by_mask.hits)
