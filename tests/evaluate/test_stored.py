"""What a workspace keeps of query sets and evaluations, through restarts and from workspaces of the version before."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from engine.errors import NotFound
from engine.types import RUN_FAILURES, RUN_HITS, RUN_TIMES, VALUES, Judgment, Query, Ran
from engine.workspace.database import migrations
from engine.workspace.workspace import Workspace


def test_sets_keep_their_queries_and_judgments_apart(tmp_path: Path) -> None:
    with Workspace.open(tmp_path) as workspace:
        store, key = workspace.documents, workspace.create_collection("papers").collection_id
        other = workspace.create_collection("other").collection_id
        assert store.add_queries(key, [Query("1", "one"), Query("2", "two")], "hard") == 2
        store.add_queries(key, [Query("1", "eins")])
        store.add_queries(other, [Query("1", "elsewhere")], "hard")
        store.add_judgments(key, [Judgment("1", "a", 1)], query_set="hard")
        store.add_judgments(key, [Judgment("1", "a", 2), Judgment("1", "b", 0)])
        store.add_judgments(key, [Judgment("1", "a", 3)], "me")
        assert store.queries(key, "hard")["text"].to_list() == ["one", "two"]
        assert store.queries(key)["text"].to_list() == ["eins"]
        assert store.query_sets(key).rows() == [("default", 1, 1, 3), ("hard", 2, 1, 1)]
        assert store.settled_judgments(key).rows() == [("1", "a", 3), ("1", "b", 0)]
        store.add_judgments(key, [Judgment("1", "a", 2)])
        assert store.settled_judgments(key).rows()[0] == ("1", "a", 2), "given last"
        assert store.judgments(key).select("doc_id", "rating", "assessor").rows() == [
            ("b", 0, "imported"),
            ("a", 3, "me"),
            ("a", 2, "imported"),
        ], "an assessor has one judgment of a document"
        assert store.add_queries(key, [Query("1", "uno"), Query("1", "un")]) == 1
        assert store.queries(key)["text"].to_list() == ["un"], "the last one of an id replaces those before"
        assert store.settled_judgments(key, "hard").rows() == [("1", "a", 1)]
        assert not store.remove_judgment(key, "1", "b", "imported", "hard")
        assert store.delete_query_set(key, "hard") == 2
        assert store.query_sets(key)["query_set"].to_list() == ["default"]
        assert store.queries(other, "hard")["text"].to_list() == ["elsewhere"]


def test_a_workspace_of_the_version_before_keeps_its_queries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = migrations.available()
    monkeypatch.setattr(migrations, "available", lambda: {1: newest[1]})
    with Workspace.open(tmp_path) as workspace:
        key = workspace.create_collection("papers").collection_id
        workspace.database.execute("test", "INSERT INTO queries VALUES (?, '1', 'how', '{}')", [key])
        workspace.database.execute(
            "test", "INSERT INTO judgments VALUES (?, '1', 'a', 2, 'imported', now()::TIMESTAMP)", [key]
        )
    monkeypatch.undo()
    with Workspace.open(tmp_path) as workspace:
        assert workspace.documents.queries(key)["text"].to_list() == ["how"]
        assert workspace.documents.settled_judgments(key).rows() == [("1", "a", 2)]
        workspace.documents.add_judgments(key, [Judgment("1", "a", 0)])
        assert workspace.documents.judgments(key)["rating"].to_list() == [0], "the old row was the same assessor's"


def ran(*qids: str) -> Ran:
    return Ran(
        qids,
        pl.DataFrame([("BM25", qid, doc, 1 / 3) for qid in qids for doc in "ba"], schema=RUN_HITS, orient="row"),
        pl.DataFrame([("BM25", qid, "", "total", 1.5) for qid in qids], schema=RUN_TIMES, orient="row"),
        pl.DataFrame([("Dense", qid, "no index") for qid in qids], schema=RUN_FAILURES, orient="row"),
    )


def test_an_evaluation_comes_back_and_goes_on_by_its_key(tmp_path: Path) -> None:
    facts = {"revision": 1, "content_hash": "c", "queries_hash": "q", "fingerprints": {"BM25": "f"}}
    with Workspace.open(tmp_path) as workspace:
        key = workspace.create_collection("papers").collection_id
        begun = workspace.evaluations.begin(key, "default", "k", {"a": 1}, **facts)  # type: ignore[arg-type]
        assert begun.finished_at is None
        workspace.evaluations.keep(begun.evaluation_id, ran("1", "2"))
    with Workspace.open(tmp_path) as workspace:
        again = workspace.evaluations.begin(key, "default", "k", {"b": 2}, **facts)  # type: ignore[arg-type]
        assert again == begun
        workspace.evaluations.keep(again.evaluation_id, ran("3"))
        whole, expected = workspace.evaluations.ran(begun.evaluation_id), Ran.together([ran("1", "2"), ran("3")])
        assert whole.qids == ("1", "2", "3")
        for part in ("hits", "times", "failures"):
            assert getattr(whole, part).equals(getattr(expected, part))
        for value in (0.5, None):  # measured twice: the last values stay
            values = pl.DataFrame([("1", "BM25", "AP", value), ("2", "BM25", "AP", 0.1)], schema=VALUES, orient="row")
            workspace.evaluations.finish(begun.evaluation_id, {"metrics": ["AP"]}, "j", values)
        assert workspace.evaluations.values(begun.evaluation_id).equals(values)
        stored = workspace.evaluations.get(begun.evaluation_id)
        assert (stored.spec, stored.judgments_hash, stored.finished_at is None) == ({"metrics": ["AP"]}, "j", False)
        fresh = workspace.evaluations.begin(key, "default", "k2", {}, **facts)  # type: ignore[arg-type]
        assert [e.evaluation_id for e in workspace.evaluations.list(key)] == [fresh.evaluation_id, begun.evaluation_id]
        workspace.evaluations.delete(fresh.evaluation_id)
        with pytest.raises(NotFound, match=fresh.evaluation_id):
            workspace.evaluations.get(fresh.evaluation_id)
        workspace.delete_collection("papers")
        for table in ("evaluations", "evaluation_hits", "evaluation_queries", "evaluation_values"):
            assert workspace.query(f"SELECT count(*) AS n FROM {table}").item() == 0, table
