"""Judging act by act: what is kept, what is taken back, and what a queue offers next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from engine.errors import BadInput, NotFound
from engine.types import ITEMS, Judgment, Query
from engine.workspace.database import migrations
from engine.workspace.judging import Pair, new_queue_id
from engine.workspace.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "ws") as opened:
        opened.create_collection("papers")
        opened.documents.add_queries(opened.collection("papers").collection_id, [Query("1", "one"), Query("2", "two")])
        yield opened


def pair(workspace: Workspace, doc_id: str = "a", assessor: str = "ann", qid: str = "1") -> Pair:
    return Pair(workspace.collection("papers").collection_id, "default", qid, doc_id, assessor)


def standing(workspace: Workspace) -> list[tuple[str, str, int, str]]:
    rows = workspace.documents.judgments(pair(workspace).collection_id)
    return rows.select("doc_id", "assessor", "rating", "note").rows()


def test_a_judgment_keeps_who_when_what_was_shown_and_the_note(workspace: Workspace) -> None:
    one = pair(workspace)
    workspace.judging.judge(one, 2, note="clear", shown={"queue": "q", "position": 3})
    (row,) = workspace.documents.judgments(one.collection_id).rows(named=True)
    assert (row["qid"], row["doc_id"], row["rating"], row["assessor"], row["note"]) == ("1", "a", 2, "ann", "clear")
    assert json.loads(row["shown"]) == {"queue": "q", "position": 3}
    assert row["judged_at"] is not None
    workspace.judging.judge(one, 1)
    assert standing(workspace) == [("a", "ann", 1, "clear")], "the note stays"
    events = workspace.judging.events(one.collection_id, "default")
    assert events.select("event_no", "action", "rating").rows() == [(1, "judge", 2), (2, "judge", 1)]


def test_undo_goes_back_act_by_act_and_touches_nobody_else(workspace: Workspace) -> None:
    judging, key = workspace.judging, pair(workspace).collection_id
    workspace.documents.add_judgments(key, [Judgment("1", "a", 3, "qrels.txt line 1")])
    judging.judge(pair(workspace), 1)
    judging.judge(pair(workspace, assessor="bob"), 0)
    judging.judge(pair(workspace), 2)
    judging.skip(pair(workspace, "b"))
    judging.note(pair(workspace), "unsure")
    assert standing(workspace)[-1] == ("a", "ann", 2, "unsure")
    undone = [judging.undo(key, "default", "ann") for _ in range(5)]
    assert [(u.action, u.doc_id, u.rating) if u else None for u in undone] == [
        ("note", "a", 2), ("skip", "b", None), ("judge", "a", 1), ("judge", "a", None), None
    ]  # fmt: skip
    assert standing(workspace) == [("a", "imported", 3, ""), ("a", "bob", 0, "")]
    assert json.loads(workspace.documents.judgments(key)["shown"][0]) == {"from": "qrels.txt line 1"}


def test_undo_restores_when_it_was_judged_so_that_the_latest_stays_the_latest(workspace: Workspace) -> None:
    key = pair(workspace).collection_id
    workspace.judging.judge(pair(workspace), 1)
    workspace.judging.judge(pair(workspace, assessor="bob"), 0)
    workspace.judging.judge(pair(workspace), 2)
    assert workspace.documents.settled_judgments(key).rows() == [("1", "a", 2)]
    workspace.judging.undo(key, "default", "ann")
    assert workspace.documents.settled_judgments(key).rows() == [("1", "a", 0)]


def test_a_removed_judgment_comes_back_with_undo(workspace: Workspace) -> None:
    judging = workspace.judging
    assert not judging.remove(pair(workspace))
    judging.judge(pair(workspace), 3, note="n")
    assert judging.remove(pair(workspace))
    assert standing(workspace) == []
    judging.undo(pair(workspace).collection_id, "default", "ann")
    assert standing(workspace) == [("a", "ann", 3, "n")]


def test_a_note_before_the_rating_joins_it(workspace: Workspace) -> None:
    workspace.judging.note(pair(workspace), "first thoughts")
    assert standing(workspace) == []
    workspace.judging.judge(pair(workspace), 1)
    assert standing(workspace) == [("a", "ann", 1, "first thoughts")]


def test_the_rule_decides_which_judgment_counts(workspace: Workspace) -> None:
    key = pair(workspace).collection_id
    for assessor, rating in (("ann", 0), ("bob", 0), ("cyd", 2)):
        workspace.judging.judge(pair(workspace, assessor=assessor), rating)
    assert workspace.documents.settled_judgments(key).rows() == [("1", "a", 2)]
    workspace.judging.rule(key, "default", "majority")
    assert workspace.documents.settled_judgments(key).rows() == [("1", "a", 0)]
    assert workspace.documents.judgment_rule(key, "other") == "latest"
    with pytest.raises(BadInput, match="latest, majority, median"):
        workspace.judging.rule(key, "default", "loudest")


def queue(workspace: Workspace, *pairs: tuple[str, str]) -> str:
    queue_id, key = new_queue_id(), pair(workspace).collection_id
    workspace.judging.begin(queue_id, key, "default", {"order": "pool"})
    workspace.judging.started(queue_id, "job")
    begun = workspace.judging.queue(queue_id)
    assert (begun.job_id, begun.ready_at) == ("job", None)
    rows = [(i, qid, doc_id, '{"BM25": 1}', 0.5 if i else None) for i, (qid, doc_id) in enumerate(pairs)]
    workspace.judging.fill(queue_id, "evaluation", pl.DataFrame(rows, ITEMS, orient="row"))
    return queue_id


def test_a_queue_offers_what_this_assessor_has_not_seen(workspace: Workspace) -> None:
    queue_id = queue(workspace, ("1", "a"), ("1", "b"), ("2", "a"))
    judging = workspace.judging

    def next_of(assessor: str, **options: object) -> tuple[int, str, str] | None:
        found = judging.next(queue_id, assessor, **options)  # type: ignore[arg-type]
        return None if found is None else (found.position, found.qid, found.doc_id)

    assert next_of("ann") == (0, "1", "a")
    judging.judge(pair(workspace), 1)
    judging.skip(pair(workspace, "b"))
    assert next_of("ann") == (2, "2", "a")
    assert next_of("ann", skipped=True) == (1, "1", "b")
    assert next_of("ann", after=2) is None
    assert next_of("bob") == (0, "1", "a")
    assert (judging.counts(queue_id, "ann"), judging.counts(queue_id, "bob")) == ((3, 1, 1), (3, 0, 0))
    judging.judge(pair(workspace, "b"), 0)
    assert judging.counts(queue_id, "ann") == (3, 2, 0)
    assert next_of("ann", skipped=True) is None
    judging.undo(pair(workspace).collection_id, "default", "ann")
    judging.undo(pair(workspace).collection_id, "default", "ann")
    assert next_of("ann") == (1, "1", "b")
    item = judging.item(queue_id, 2)
    assert (item.found, item.effect) == ({"BM25": 1}, 0.5)
    with pytest.raises(NotFound, match="no document 3"):
        judging.item(queue_id, 3)


def test_queues_and_acts_go_with_their_set_and_collection(workspace: Workspace) -> None:
    key = pair(workspace).collection_id
    queue_id = queue(workspace, ("1", "a"))
    assert [one.queue_id for one in workspace.judging.queues(key)] == [queue_id]
    workspace.judging.judge(pair(workspace), 1)
    workspace.judging.rule(key, "default", "median")
    workspace.documents.delete_query_set(key, "default")
    queue(workspace, ("1", "a"))
    workspace.delete_collection("papers")
    for table in ("judging_events", "judging_queues", "judging_items", "judgment_rules", "judgments"):
        assert workspace.query(f"SELECT count(*) AS n FROM {table}").item() == 0, table
    with pytest.raises(NotFound):
        workspace.judging.queue(queue_id)


def test_a_workspace_of_the_version_before_keeps_its_judgments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = migrations.available()
    with monkeypatch.context() as patched:
        patched.setattr(migrations, "available", lambda: {1: known[1], 2: known[2]})
        connection = __import__("duckdb").connect(str(tmp_path / "triptych.duckdb"))
        assert migrations.migrate(connection) == [1, 2]
        connection.execute("INSERT INTO collections VALUES ('c', 'papers', '', now()::TIMESTAMP, 0, '{}')").fetchall()
        connection.execute(
            "INSERT INTO judgments VALUES ('c', '1', 'a', 2, 'imported', now()::TIMESTAMP, 'hard')"
        ).fetchall()
        connection.close()
    with Workspace.open(tmp_path) as workspace:
        (row,) = workspace.documents.judgments("c", "hard").rows(named=True)
        assert (row["rating"], row["note"], row["shown"]) == (2, "", "{}")
        old = Pair("c", "hard", "1", "a", "imported")
        workspace.judging.judge(old, 0)
        workspace.judging.undo("c", "hard", "imported")
        assert workspace.documents.settled_judgments("c", "hard").rows() == [("1", "a", 2)]
