"""What was deleted stays gone: on every route, by every family of retrieval, also after a restart and beyond the number of what lives."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.verbs.services import Services
from engine.errors import NotFound
from engine.types import Record

PIPELINES = ("BM25", "Sparse", "Dense", "Late", "Hybrid")
GONE = "p2"


def papers() -> list[Record]:
    return [
        Record(f"p{n}", f"Sparse retrieval study {n}", "We rank documents by terms.", year=2000 + n, venue=f"Venue {n}")
        for n in range(6)
    ]


def test_a_deleted_document_is_absent_on_every_route_after_a_restart(tmp_path: Path) -> None:
    with Services(tmp_path) as services:
        services.create_collection("papers")
        workspace = services.engine.workspace
        workspace.documents.upsert(workspace.collection("papers").collection_id, papers(), "test")
        assert services.wait(services.index("papers", services.needed_indexes(PIPELINES)), 120).status == "done"
        services.shortlist_add("papers", GONE)
        assert all(
            GONE in {card.doc_id for card in services.search("papers", "sparse retrieval", name).cards}
            for name in PIPELINES
        )
        assert services.delete_documents("papers", [GONE]) == 1
    with Services(tmp_path) as services:
        living = {f"p{n}" for n in range(6)} - {GONE}
        for name in PIPELINES:
            found = services.search("papers", "sparse retrieval", name, k=100)
            assert {card.doc_id for card in found.cards} == living, f"{name}: all that live, and nothing else"
            assert "Venue 2" not in {value.value for facet in found.facets for value in facet.values}
        for column in services.compare("papers", "sparse retrieval", PIPELINES[:4]).columns:
            assert {hit.card.doc_id for hit in column.hits} == living
        ledger = services.ledger("papers", "sparse retrieval", "Hybrid")
        assert ledger is not None
        assert {row.doc_id for row in ledger.rows} == living
        assert [one.verdict for one in services.why_not("papers", "sparse retrieval", ["BM25", "Dense"], GONE)] == [
            "not_in_collection",
            "not_in_collection",
        ]
        assert GONE not in {card.doc_id for card in services.more_like_this("papers", "p3")}
        assert {card.doc_id for card in services.search("papers", "", "BM25").cards} == living
        assert services.find_documents("papers", "study 2") == ()
        assert services.shortlist("papers") == ()
        with pytest.raises(NotFound):
            services.document("papers", GONE)


def test_a_document_that_was_added_again_with_changes_is_only_what_it_is_now(tmp_path: Path) -> None:
    changed = Record(GONE, "Onion soup", "Slow heat turns onions sweet.", year=1999, venue="Kitchen")
    with Services(tmp_path) as services:
        services.create_collection("papers")
        workspace = services.engine.workspace
        key = workspace.collection("papers").collection_id
        for records in (papers(), [changed]):
            workspace.documents.upsert(key, records, "test")
            assert services.wait(services.index("papers", services.needed_indexes(PIPELINES)), 120).status == "done"
    with Services(tmp_path) as services:
        living = {f"p{n}" for n in range(6)}
        lexical = services.search("papers", "sparse retrieval", "BM25", k=100)
        assert {card.doc_id for card in lexical.cards} == living - {GONE}
        assert services.search("papers", "study 2", "BM25", k=1).cards[0].doc_id != GONE
        assert [card.doc_id for card in services.search("papers", "onions", "BM25").cards] == [GONE]
        for name in PIPELINES:
            found = services.search("papers", "sparse retrieval", name, k=100)
            shown = {card.doc_id: (card.title, card.snippet) for card in found.cards}
            assert "Sparse" not in str(shown.get(GONE, "")), name
            places = {value.value for facet in found.facets for value in facet.values}
            assert "Venue 2" not in places
            assert GONE not in shown or list(shown)[-1] == GONE, f"{name}: soup is the least like retrieval"
        assert services.more_like_this("papers", "p3")[-1].doc_id == GONE
        assert services.find_documents("papers", "study 2") == ()
        assert services.document("papers", GONE).title == "Onion soup"
        services.shortlist_add("papers", GONE)
        for form in ("bibtex", "ris", "csv"):
            text = services.export_shortlist("papers", form)
            assert "Onion soup" in text
            assert "study 2" not in text
