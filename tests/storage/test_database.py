"""Commits that fail, with and without being durable, and the connection that comes back afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pytest

from engine.errors import StorageFailed, StorageFull, TriptychError, WorkspaceDamaged
from engine.workspace.database import recovery
from engine.workspace.workspace import Workspace
from tests.faults import damaging


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
    from engine.workspace.database import writelog

    monkeypatch.setattr(writelog, "_MOST", 20)
    monkeypatch.setattr(writelog, "_KEPT", 5)
    for n in range(60):
        workspace.set_setting("n", n)
    lines = (workspace.folder / writelog.LOG_NAME).read_text().splitlines()
    assert len(lines) <= 20
    assert "the setting 'n'" in lines[-1]


# a damaged file


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled") / "workspace"
    damaging.fill(folder)
    return folder


@pytest.fixture
def damaged(filled, tmp_path):
    """Makes a copy of the filled workspace with damage in the block where a table begins."""

    def make(table, *damages):
        folder = Path(shutil.copytree(filled, tmp_path / "damaged"))
        raw = bytearray((folder / recovery.DATABASE_NAME).read_bytes())
        for one in damages or (
            damaging.flip(damaging.FIRST_BLOCK + block_of(filled, table) * damaging.BLOCK + 999, 3),
        ):
            one.apply(raw)
        (folder / recovery.DATABASE_NAME).write_bytes(raw)
        return folder

    return make


def block_of(folder, table):
    """The first block of a table's data."""
    connection = recovery.connect(folder / recovery.DATABASE_NAME, read_only=True)
    try:
        sql = "SELECT min(block_id) FROM pragma_storage_info(?) WHERE block_id >= 0"
        return connection.execute(sql, [table]).fetchall()[0][0]
    finally:
        connection.close()


ACTS = {
    "a query": lambda w: w.query("SELECT * FROM documents"),
    "a few rows": lambda w: w.database.rows("SELECT * FROM documents"),
    "several queries": lambda w: w.documents.snapshot(w.collection("papers").collection_id),
    "a write": lambda w: w.database.execute("changing", "UPDATE documents SET title = title || '!'"),
    "a deletion": lambda w: w.documents.delete(w.collection("papers").collection_id, ["papers-1"]),
}


@pytest.mark.parametrize("act", list(ACTS))
def test_damage_is_named_with_the_file_and_the_remedy(damaged, act):
    with Workspace.open(damaged("documents")) as workspace:
        with pytest.raises(WorkspaceDamaged) as raised:
            ACTS[act](workspace)
        for said in (
            str(workspace.folder / recovery.DATABASE_NAME),
            "is damaged",
            "triptych doctor --salvage NEW",
            "triptych restore",
        ):
            assert said in str(raised.value)
        assert len(workspace.pipelines()) == 1, "what is sound goes on being read"
        workspace.set_setting("still", "writable")
        assert workspace.setting("still") == "writable"


def test_damage_met_in_the_middle_of_a_long_result(tmp_path, workspace):
    """Rows stream from the file while polars takes them, so the error comes from polars."""
    workspace.database.execute(
        "filling", "CREATE TABLE long AS SELECT range AS n, repeat(md5(range::VARCHAR), 9) AS text FROM range(300000)"
    )
    workspace.database.rows("CHECKPOINT")
    (last,) = workspace.database.rows("SELECT max(block_id) FROM pragma_storage_info('long')")[0]
    workspace.close()
    file = workspace.folder / recovery.DATABASE_NAME
    raw = bytearray(file.read_bytes())
    damaging.flip(damaging.FIRST_BLOCK + last * damaging.BLOCK + 5_000, 0).apply(raw)
    file.write_bytes(raw)
    with Workspace.open(workspace.folder) as again, pytest.raises(WorkspaceDamaged, match="is damaged"):
        again.query("SELECT * FROM long")


def test_a_fatal_error_ends_one_query_and_not_the_workspace(filled, damaged):
    """A block of text where numbers should be ends the whole instance of the database; it is opened again by itself."""
    one, other = block_of(filled, "documents"), block_of(filled, "collections")
    with Workspace.open(damaged("", damaging.swap(one, other))) as workspace:
        for _ in range(2):
            with pytest.raises(WorkspaceDamaged):
                workspace.query("SELECT * FROM documents")
            with pytest.raises(WorkspaceDamaged):
                workspace.collections()
            assert [saved.name for saved in workspace.pipelines()] == ["mine"]
            workspace.set_setting("still", "writable")


def test_a_reader_whose_instance_another_thread_ended_goes_on(workspace):
    """The error that every cursor meets after a fatal one."""
    met = []

    class Ended:
        def execute(self, *_):
            met.append(True)
            raise duckdb.FatalException(
                "FATAL Error: Failed: database has been invalidated because of a previous fatal error."
            )

    ended = Ended()
    ended.close = workspace.database.cursor().close
    workspace.database._local.slot.cursor = ended
    assert workspace.collections() == []
    assert met == [True]


def test_within_a_transaction_there_is_no_second_try_on_another_connection(workspace):
    """Its first half would be lost and its second half stored."""

    class Ended:
        def __init__(self, cursor):
            self.begin, self.rollback, self.close = cursor.begin, cursor.rollback, cursor.close

        def execute(self, sql, *_):
            raise duckdb.FatalException(
                'FATAL Error: Failed: database has been invalidated because of a previous fatal error.\nOriginal error: "x"'
            )

    def halves():
        with workspace.database.write("two halves"):
            workspace.set_setting("first", 1)
            workspace.database._local.slot.cursor = Ended(workspace.database.cursor())
            workspace.database.rows("SELECT 1")
            workspace.set_setting("second", 2)

    with pytest.raises(TriptychError, match="was not done"):
        halves()
    assert (workspace.setting("first"), workspace.setting("second")) == (None, None)


@pytest.mark.parametrize(
    "error",
    [
        duckdb.InternalException("INTERNAL Error: Attempted to access index 3 within vector of size 2"),
        duckdb.BinderException('Binder Error: Referenced column "Corrupted x" not found'),
        duckdb.ConversionException("Conversion Error: Could not convert string 'Corrupt database file' to INT32"),
    ],
)
def test_faults_of_ours_are_not_called_damage(workspace, error):
    def fail():
        with workspace.database.translated("the query"):
            raise error

    with pytest.raises(type(error)):
        fail()


def test_a_disk_that_reports_errors_is_named(workspace):
    def fail(error):
        with workspace.database.translated("adding 3 documents"):
            raise error

    for error in (
        duckdb.IOException('IO Error: Could not write file "x.duckdb.wal": Input/output error'),
        OSError(5, "Input/output error"),
    ):
        with pytest.raises(StorageFailed, match="adding 3 documents was not stored") as raised:
            fail(error)
        assert "repeating it is safe" in str(raised.value)
