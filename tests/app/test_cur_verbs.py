"""CUR through the verbs with the bundled cross-encoder: built when asked for, what it costs, what it read, and documents that come and go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.verbs.services import Services
from engine.types import Record

PAPERS = [
    Record("wings", "Wings of birds", "Feathers lift birds while they glide."),
    Record("feathers", "Feathers that glide", "Feathers let animals glide far."),
    Record("soup", "Onion soup", "Slow heat turns onions sweet."),
    Record("bread", "Sourdough bread", "Flour, water and patience."),
    Record("stars", "The age of stars", "Their light tells what burns in them."),
    Record("rivers", "Rivers and their beds", "Water moves stones."),
]
FEW = "pipeline:\n- cur: {queries: 4, anchors: 2, rescored: 2, k: 10}\n"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with Services(tmp_path_factory.mktemp("workspace")) as opened:
        opened.create_collection("papers", "Six papers")
        key = opened.engine.workspace.collection("papers").collection_id
        opened.engine.workspace.documents.upsert(key, PAPERS, "test")
        yield opened


def test_it_is_built_where_a_pipeline_asks_and_says_before_what_that_takes(services: Services) -> None:
    assert not any(spec.kind == "cur" for spec in services.needed_indexes())
    services.save_pipeline("Few", FEW)
    (absent,) = [view for view in services.collection("papers").indexes if view.kind == "cur"]
    assert absent.state == "absent"
    assert absent.note == "24 pairs for the cross-encoder, about 1 min at 200 a second"
    done = services.wait(services.index("papers", services.needed_indexes(["Few"])))
    assert done.status == "done"
    (ready,) = [view for view in services.collection("papers").indexes if view.kind == "cur"]
    assert (ready.state, ready.rows) == ("ready", 6)
    assert ready.bytes > 0


def test_a_search_reads_four_of_six_documents_and_tells_which(services: Services) -> None:
    found = services.search("papers", "how do birds fly?", "Few")
    assert len(found.cards) == 6
    unrolled = services.stages("papers", "how do birds fly?", "Few")
    assert ["read 4 of 6 documents, estimated the others"] in [list(column.facts) for column in unrolled.columns]
    told = [
        services.document("papers", paper.doc_id, query="how do birds fly?", pipeline="Few").explanations[0]
        for paper in PAPERS
    ]
    assert sum(explanation.exact for explanation in told) == 4
    assert all(explanation.note.startswith("Approximate") for explanation in told if not explanation.exact)


def test_documents_that_come_and_go(services: Services) -> None:
    key = services.engine.workspace.collection("papers").collection_id
    services.delete_documents("papers", ["stars"])
    assert "stars" not in {card.doc_id for card in services.search("papers", "old stars", "Few").cards}
    services.engine.workspace.documents.upsert(key, [Record("stars", "Stars again", "They are old.")], "test")
    assert "stars" not in {card.doc_id for card in services.search("papers", "old stars", "Few").cards}
    assert services.wait(services.index("papers", services.needed_indexes(["Few"]))).status == "done"
    assert "stars" in {card.doc_id for card in services.search("papers", "old stars", "Few").cards}
    assert services.engine.generation(key, services.needed_indexes(["Few"])[0]).details["pairs"] < 24  # type: ignore[union-attr]
