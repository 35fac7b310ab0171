"""RM3 and Rocchio against values worked out by hand, and what they share.

The corpus: "cat dog dog fish" (4 terms), "cat bird" (2), "cow" (1); "cat" is in two of three rows, every other term in one.
"""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pytest

from engine.explain.why import QID, explain, why_not
from engine.feedback.base import QUERIES_NOTE, NewQuery
from engine.feedback.lexical import LexicalFeedback
from engine.feedback.rm3 import Rm3
from engine.feedback.rocchio import Rocchio
from engine.pipeline.context import Context
from engine.retrievers.bm25 import Bm25
from engine.testing.contracts import MemoryResources
from engine.types import Ranking

TEXTS = {"d1": "cat dog dog fish", "d2": "cat bird", "d3": "cow"}


def asked(query: str, *scored: tuple[str, float]) -> Ranking:
    rows = [(QID, doc_id, score) for doc_id, score in scored]
    schema = {"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}
    return Ranking.of([(QID, query)]).with_hits(pl.DataFrame(rows, schema=schema, orient="row"))


def learned(stage: LexicalFeedback, ranking: Ranking, folder: Path) -> NewQuery:
    _, span = Context(MemoryResources(TEXTS, folder)).execute(stage, ranking)
    found: NewQuery = span.details[QUERIES_NOTE][QID]
    return found


def test_rm3_by_hand(tmp_path: Path) -> None:
    """Shares 3/4 and 1/4. cat: 3/4 · 1/4 + 1/4 · 1/2 = .3125; dog: 3/4 · 2/4 = .375; fish .1875; bird .125.

    The two best, scaled by .6875: dog 6/11, cat 5/11. Mixed: cat .6 + .4 · 5/11, dog .4 · 6/11.
    """
    new = learned(Rm3(terms=2, original=0.6, common=1), asked("cat", ("d1", 3.0), ("d2", 1.0)), tmp_path)
    assert new.terms == pytest.approx({"cat": 0.6 + 0.4 * 5 / 11, "dog": 0.4 * 6 / 11})
    assert list(new.terms) == ["cat", "dog"]
    assert new.original == 0.6
    assert new.documents == pytest.approx({"d1": 0.3, "d2": 0.1})


def test_common_terms_are_not_added_and_stay_where_they_were_asked_for(tmp_path: Path) -> None:
    """cat is in 2/3 of the rows: the best two are dog .375 and fish .1875, that is 2/3 and 1/3."""
    new = learned(Rm3(terms=2, original=0.6, common=0.5), asked("cat", ("d1", 3.0), ("d2", 1.0)), tmp_path)
    assert new.terms == pytest.approx({"cat": 0.6, "dog": 0.4 * 2 / 3, "fish": 0.4 / 3})


def test_rm3_counts_documents_alike_where_scores_are_no_shares(tmp_path: Path) -> None:
    """With shares of 1/2: dog 1/4, fish 1/8, bird 1/4, cat 1/8 + 1/4 = 3/8; all of them sum to 1."""
    new = learned(Rm3(original=0, common=1), asked("cow", ("d1", 0.5), ("d2", -0.5)), tmp_path)
    assert new.terms == pytest.approx({"cat": 3 / 8, "bird": 1 / 4, "dog": 1 / 4, "fish": 1 / 8})
    assert list(new.terms) == ["cat", "bird", "dog", "fish"]  # ties in the order of the terms


def test_terms_of_the_query_share_its_part_by_how_often_it_holds_them(tmp_path: Path) -> None:
    new = learned(Rm3(original=1), asked("cat cow cat zebra", ("d1", 1.0)), tmp_path)
    assert new.terms == {"cat": 0.5, "cow": 0.25, "zebra": 0.25}


def test_rocchio_by_hand(tmp_path: Path) -> None:
    """With k1 = 0 a weight is the idf: c = ln 1.6 for cat, r = ln(8/3) for the others. d1 = (cat c, dog r, fish r), d2 = (cat c, bird r)."""
    c, r = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)
    first, second = math.hypot(c, r, r), math.hypot(c, r)
    half = 0.8 / 2
    new = learned(Rocchio(k1=0, alpha=2, beta=0.8, common=1), asked("cat cow", ("d1", 9.0), ("d2", 1.0)), tmp_path)
    assert new.terms == pytest.approx(
        {
            "cat": 2 / math.sqrt(2) + half * (c / first + c / second),
            "cow": 2 / math.sqrt(2),
            "bird": half * r / second,
            "dog": half * r / first,
            "fish": half * r / first,
        },
        rel=1e-6,
    )
    assert new.documents == {"d1": half, "d2": half}
    assert new.original == 2


def test_rocchio_keeps_the_largest_components_of_the_mean(tmp_path: Path) -> None:
    new = learned(Rocchio(k1=0, terms=1, common=1), asked("cow", ("d1", 9.0), ("d2", 1.0)), tmp_path)
    assert set(new.terms) == {"cow", "bird"}


@pytest.mark.parametrize("stage", [Rm3(common=1), Rocchio(common=1)], ids=lambda stage: stage.name)
def test_documents_without_the_words_of_the_query_are_found(stage: LexicalFeedback, tmp_path: Path) -> None:
    texts = TEXTS | {"d4": "dog fish"}
    resources = MemoryResources(texts, tmp_path)
    context = Context(resources)
    plain, _ = context.execute(Bm25(), asked("cat"))
    fed, _ = context.execute(Bm25() >> stage, asked("cat"))
    assert set(plain.hits["doc_id"]) == {"d1", "d2"}
    assert set(fed.hits["doc_id"]) == {"d1", "d2", "d4"}


def test_the_first_stage_of_another_kind_may_teach(tmp_path: Path) -> None:
    """A query of stop words has no terms of its own; those of the documents remain."""
    new = learned(Rm3(common=1), asked("the of", ("d2", 1.0)), tmp_path)
    assert new.terms == pytest.approx({"bird": 0.1, "cat": 0.1})  # halves of the documents' part


def test_explanations_are_of_the_new_query(tmp_path: Path) -> None:
    context = Context(MemoryResources(TEXTS | {"d4": "dog fish"}, tmp_path))
    pipeline = Bm25() >> Rm3(common=1)
    ranking, _ = context.execute(pipeline, asked("cat"))
    ((stage, told),) = explain(pipeline, "cat", "d4", context)
    assert stage == Rm3(common=1)
    assert {weight.term for weight in told.weights} == {"dog", "fish"}
    assert told.score == pytest.approx(ranking.hits.filter(doc_id="d4")["score"][0], rel=1e-6)
    assert [stage.name for stage, _ in explain(pipeline, "cat", "d1", context)] == ["bm25", "rm3"]


def test_why_not_tells_what_the_new_query_lost(tmp_path: Path) -> None:
    context = Context(MemoryResources(TEXTS | {"d4": "dog fish"}, tmp_path))
    pipeline = Bm25() >> Rm3(common=1, k=1)
    lost = why_not(pipeline, "cat", "d1", 10, context)
    assert lost.verdict == "below_cutoff"
    assert "before RM3 searched with a new query" in lost.sentence
    assert dict(lost.lists)["RM3"].endswith("below the cut-off of 1.")
    assert why_not(pipeline, "cat", "d3", 10, context).verdict == "no_shared_term"
    found = why_not(Bm25() >> Rm3(common=1), "cat", "d4", 10, context)
    assert found.verdict == "shown"
    assert [label for label, _ in found.lists] == ["BM25", "RM3"]
    assert dict(found.lists)["BM25"] == "It shares no term with the query."
