"""Commits that fail, with and without being durable, and the connection that comes back afterwards."""

from __future__ import annotations

import duckdb
import pytest

from engine import recovery
from engine.errors import StorageFull, TriptychError
from engine.workspace import Workspace


class FailingCommit:
    """A cursor whose commit reports a full disk, after committing or instead of it."""

    def __init__(self, cursor, *, durable):
        self._cursor, self._durable = cursor, durable

    def commit(self):
        if self._durable:
            self._cursor.commit()
        raise duckdb.IOException("IO Error: Could not write file: No space left on device")


def write_with(monkeypatch, workspace, *, durable):
    commit = type(workspace.database)._commit
    with monkeypatch.context() as patch:
        patch.setattr(
            type(workspace.database),
            "_commit",
            lambda self, cursor, seq: commit(self, FailingCommit(cursor, durable=durable), seq),
        )
        workspace.set_setting("a", 1)


def test_commit_that_reports_an_error_and_is_durable_counts_as_done(workspace, monkeypatch):
    write_with(monkeypatch, workspace, durable=True)
    assert workspace.setting("a") == 1


def test_commit_that_fails_leaves_nothing_and_the_workspace_usable(workspace, papers, make, monkeypatch):
    workspace.documents.upsert(papers.collection_id, [make(1)], "f")
    with pytest.raises(StorageFull, match="the setting 'a' was not stored"):
        write_with(monkeypatch, workspace, durable=False)
    assert workspace.setting("a") is None
    assert workspace.documents.snapshot(papers.collection_id).doc_ids.to_list() == ["d1"]
    workspace.set_setting("a", 2)
    assert workspace.setting("a") == 2


def test_snapshot_is_not_renewed_by_a_write_that_failed(workspace, papers, make, monkeypatch):
    store, cid = workspace.documents, papers.collection_id
    store.upsert(cid, [make(1)], "f")
    before = store.snapshot(cid)
    commit = type(workspace.database)._commit
    with monkeypatch.context() as patch:
        patch.setattr(
            type(workspace.database),
            "_commit",
            lambda self, cursor, seq: commit(self, FailingCommit(cursor, durable=False), seq),
        )
        with pytest.raises(StorageFull):
            store.upsert(cid, [make(2)], "f")
    assert store.snapshot(cid) is before
    assert store.revision(cid) == before.revision
    assert store.upsert(cid, [make(2)], "f").added == 1


def test_a_connection_that_could_not_be_opened_again_is_tried_again(workspace, monkeypatch):
    def full(*_, **__):
        raise duckdb.IOException("IO Error: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "connect", full)
        with pytest.raises(duckdb.IOException):
            workspace.database._reconnect()
        with pytest.raises(StorageFull):
            workspace.collections()
    assert workspace.collections() == []


def test_a_closed_workspace_says_so(tmp_path):
    workspace = Workspace.open(tmp_path)
    workspace.close()
    workspace.close()
    with pytest.raises(TriptychError, match="is closed"):
        workspace.collections()


def test_the_log_of_writes_stays_short(workspace, monkeypatch):
    from engine import writelog

    monkeypatch.setattr(writelog, "_MOST", 20)
    monkeypatch.setattr(writelog, "_KEPT", 5)
    for n in range(60):
        workspace.set_setting("n", n)
    lines = (workspace.folder / writelog.LOG_NAME).read_text().splitlines()
    assert len(lines) <= 20
    assert "the setting 'n'" in lines[-1]
