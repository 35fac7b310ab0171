"""Which texts a recipe may train on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import BadInput, NotFound
from engine.training.corpus import fold, held_out, read_ids, refuse_excluded, refuse_questions, training_texts
from engine.types import Query, Record
from engine.workspace.workspace import Workspace

LONG = "Word " * 50


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "ws") as opened:
        cid = opened.create_collection("papers").collection_id
        records = [Record(f"p{i:02d}", f"Title {i}", LONG) for i in range(12)]
        records += [
            Record("untitled", "", LONG),
            Record("short", "A title", "few words"),
            Record("twin", "title: 3!", LONG + "again"),
        ]
        opened.documents.upsert(cid, records, "test")
        opened.documents.add_queries(cid, [Query("1", "What is a title?")], "some set")
        other = opened.create_collection("other").collection_id
        opened.documents.add_queries(other, [Query("1", "Elsewhere")])
        yield opened


def test_excluded_documents_and_their_twins_stay_out(workspace: Workspace) -> None:
    texts = training_texts(workspace, "papers", ["p03", "p05", "not here"])
    assert texts.doc_ids == [f"p{i:02d}" for i in range(12) if i not in (3, 5)]
    assert (texts.excluded, texts.short) == (3, 2)
    assert texts.titles[0] == "Title 0"
    assert texts.units[0].startswith("Title 0. Word Word")


def test_nothing_is_excluded_unless_asked(workspace: Workspace) -> None:
    texts = training_texts(workspace, "papers")
    assert (len(texts), texts.excluded) == (13, 0)


def test_a_list_that_belongs_to_another_collection_is_refused(workspace: Workspace) -> None:
    with pytest.raises(BadInput, match="None of the 2 excluded ids"):
        training_texts(workspace, "papers", ["W99-1", "W99-2"])


def test_too_few_documents_are_refused(workspace: Workspace) -> None:
    with pytest.raises(BadInput, match="leaves 7 documents"):
        training_texts(workspace, "papers", [f"p{i:02d}" for i in range(5)])  # and p03's twin


def test_an_unknown_collection_is_refused(workspace: Workspace) -> None:
    with pytest.raises(NotFound):
        training_texts(workspace, "nothing")


def test_an_excluded_document_among_those_to_train_on_is_refused() -> None:
    refuse_excluded(["a", "b"], ["c"])
    with pytest.raises(BadInput, match="'b'"):
        refuse_excluded(["a", "b"], ["c", "b"])


@pytest.mark.parametrize("question", ["what is a TITLE", "elsewhere."])
def test_a_question_of_any_query_set_is_refused_as_training_query(workspace: Workspace, question: str) -> None:
    texts = training_texts(workspace, "papers")
    refuse_questions(texts.titles, texts)
    with pytest.raises(BadInput, match="only measure"):
        refuse_questions(["fine", question], texts)


def test_the_held_out_slice_is_drawn_by_the_seed(workspace: Workspace) -> None:
    texts = training_texts(workspace, "papers")
    kept, developed = held_out(texts, 5, seed=1)
    assert len(kept) == 8
    assert len(developed) == 5
    assert sorted(kept + developed) == list(range(13))
    assert held_out(texts, 5, seed=1) == (kept, developed)
    assert held_out(texts, 5, seed=2) != (kept, developed)
    with pytest.raises(BadInput, match="cannot be held out"):
        held_out(texts, 6, seed=1)


def test_a_list_of_ids_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("a\n\n b \n", "utf-8")
    assert read_ids(path) == ("a", "b")
    path.write_text("\n", "utf-8")
    with pytest.raises(BadInput, match="names no documents"):
        read_ids(path)
    with pytest.raises(BadInput, match="cannot be read"):
        read_ids(tmp_path / "absent.txt")


def test_folding_keeps_letters_and_digits_only() -> None:
    assert fold("  Straße-2:  “Q&A”") == "strasse 2 q a"
