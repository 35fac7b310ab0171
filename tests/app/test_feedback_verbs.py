"""Pipelines with feedback through the verbs: who found a hit, why, and where another was lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.drawing import reader
from app.verbs.services import Services
from engine.types import Record

PAPERS = [
    Record("wings", "Wings of birds", "Feathers lift birds while they glide."),
    Record("feathers", "Feathers that glide", "Feathers let animals glide far."),
    Record("soup", "Onion soup", "Slow heat turns onions sweet."),
    Record("bread", "Sourdough bread", "Flour, water and patience."),
]
EXPANDED = "pipeline:\n- bm25\n- rm3: {common: 1}\n"
MOVED = "pipeline:\n- dense: {k: 2}\n- vector_rocchio: {documents: 1}\n- mmr: {k: 2}\n"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("workspace")) as opened:
        opened.create_collection("papers", "Four papers")
        key = opened.engine.workspace.collection("papers").collection_id
        opened.engine.workspace.documents.upsert(key, PAPERS, "test")
        opened.save_pipeline("Expanded", EXPANDED)
        opened.save_pipeline("Moved", MOVED)
        assert opened.wait(opened.index("papers")).status == "done"
        yield opened


def test_a_hit_that_only_the_new_query_finds_says_so(services: Services) -> None:
    assert [card.doc_id for card in services.search("papers", "birds", "BM25").cards] == ["wings"]
    wings, feathers = services.search("papers", "birds", "Expanded").cards
    assert [found.label for found in wings.found_by] == ["BM25", "RM3"]
    assert [found.label for found in feathers.found_by] == ["RM3"]


def test_its_explanation_marks_the_words_that_were_added(services: Services) -> None:
    (told,) = services.document("papers", "feathers", query="birds", pipeline="Expanded").explanations
    assert (told.label, told.family, told.exact, told.rank) == ("RM3", "rm3", True, 2)
    assert {"feather", "glide"} <= {mark.token for mark in told.attributions if mark.start >= 0}
    assert sum(mark.weight for mark in told.attributions) == pytest.approx(told.score)


def test_stages_after_one_another_are_timed_and_searched(services: Services) -> None:
    found = services.search("papers", "animals that fly", "Moved")
    assert [stage.label for stage in found.stages] == ["Dense", "vector Rocchio", "MMR 0.7"]
    assert len(found.cards) == 2
    lost = services.why_not("papers", "animals that fly", ["Moved"], "bread")[0]
    assert lost.verdict == "below_cutoff"
    assert "MMR 0.7 did not select it" in lost.sentence


def test_a_moved_vector_is_told_as_meaning_and_not_as_words(services: Services) -> None:
    """Its bars are drawn in the color of the semantic match; those of an expanded query in the lexical one."""
    view = services.document("papers", "wings", query="animals that fly", pipeline="Moved")
    assert [(told.family, told.evidence) for told in view.explanations] == [
        ("dense", "semantic"),
        ("vector_rocchio", "semantic"),
    ]
    moved = str(reader.explanation(view.explanations[1], view.text))
    assert "t-semantic" in moved
    assert "t-lexical" not in moved
    words = services.document("papers", "feathers", query="birds", pipeline="Expanded").explanations
    assert [(told.family, told.evidence) for told in words] == [("rm3", "lexical")]
