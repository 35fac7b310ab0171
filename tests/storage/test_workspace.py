"""Opening, owning, naming: one process, any printable name, no newer schema, nothing outside the folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from engine.errors import BadInput, NotFound, ReadOnly, WorkspaceDamaged, WorkspaceInUse
from engine.serving.engine import Engine
from engine.workspace.database import migrations
from engine.workspace.database.recovery import DATABASE_NAME
from engine.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]


def test_second_process_is_told_who_has_it(tmp_path, workspace):
    code = f"from engine.workspace.workspace import Workspace; Workspace.open({str(workspace.folder)!r})"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "WorkspaceInUse" in result.stderr
    assert f"in use by PID {os.getpid()} (started 20" in result.stderr


def test_second_open_in_one_process_is_refused(workspace):
    with pytest.raises(WorkspaceInUse, match="which is this process"):
        Workspace.open(workspace.folder)


def test_reading_while_another_process_writes_names_the_pid(workspace):
    code = (
        f"from engine.workspace.workspace import Workspace; Workspace.open({str(workspace.folder)!r}, read_only=True)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert f"in use by PID {os.getpid()}" in result.stderr


def test_lock_is_free_after_close_and_after_a_failed_open(tmp_path):
    Workspace.open(tmp_path).close()
    (tmp_path / "triptych.duckdb").write_bytes(b"<html>" * 5_000)
    for _ in range(2):
        with pytest.raises(WorkspaceDamaged, match=r"triptych\.duckdb is damaged"):
            Workspace.open(tmp_path)


def test_nothing_is_printed_at_exit(tmp_path):
    code = (
        "from engine.workspace.workspace import Workspace\n"
        f"w = Workspace.open({str(tmp_path)!r}); print(w.query('SELECT 1 AS one').item()); w.create_collection('a')\n"
        "import threading; t = threading.Thread(target=lambda: w.query('SELECT 2 AS two')); t.start(); t.join()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "1\n", "")


# Root may write everything, so root becomes nobody, after everything that reads modules has been imported.
WITHOUT_POWERS = """
import os, tempfile
from engine.errors import ReadOnly
from engine.workspace.database.recovery import DATABASE_NAME
from engine.workspace.workspace import Workspace
with Workspace.open(tempfile.mkdtemp()) as w: w.documents.fetch(w.create_collection("warm").collection_id, ["x"])
if os.geteuid() == 0: os.seteuid(65534)
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user can reach, which pytest's own temporary folders are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name) / "shared"


def test_read_only_folder_reads_and_refuses_to_write(shared, make):
    folder = shared
    with Workspace.open(folder) as workspace:
        papers = workspace.create_collection("papers")
        workspace.documents.upsert(papers.collection_id, [make(1)], "f")
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    try:
        code = WITHOUT_POWERS + (
            f"w = Workspace.open({str(folder)!r}, read_only=True)\n"
            "c = w.collection('papers'); print(c.documents, w.documents.fetch(c.collection_id, ['d1'])['title'].to_list())\n"
            "try: w.documents.delete(c.collection_id, ['d1'])\n"
            "except ReadOnly as error: print(error)\n"
            "w.close()\n"
            f"try: Workspace.open({str(folder)!r})\n"
            "except ReadOnly as error: print(error)\n"
        )
        result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    finally:
        folder.chmod(0o755)
    lines = result.stdout.splitlines()
    assert len(lines) == 3, result.stderr
    assert lines[0] == "1 ['Title 1']"
    assert "open for reading only" in lines[1]
    assert "cannot be written" in lines[2]
    assert result.stderr == ""


def test_read_only_open_creates_nothing(tmp_path):
    with pytest.raises(WorkspaceDamaged, match="not a workspace"):
        Workspace.open(tmp_path / "none", read_only=True)
    assert not (tmp_path / "none").exists()


def test_every_write_is_refused_when_read_only(tmp_path, make):
    with Engine.open(tmp_path) as engine:
        workspace = engine.workspace
        cid = workspace.create_collection("c").collection_id
    with Engine.open(tmp_path, read_only=True) as engine:
        workspace = engine.workspace
        for write in (
            lambda: workspace.create_collection("x"),
            lambda: workspace.rename_collection("c", "x"),
            lambda: workspace.delete_collection("c"),
            lambda: workspace.documents.upsert(cid, [make(1)], "f"),
            lambda: workspace.generations.begin(cid, "bm25"),
            lambda: engine.jobs.submit("index", cid, {}),
            lambda: workspace.save_pipeline("p", "x"),
            lambda: workspace.add_to_shortlist(cid, "d1"),
            lambda: workspace.set_setting("a", 1),
        ):
            with pytest.raises(ReadOnly, match="open for reading only"):
                write()


def test_newer_schema_is_refused_and_untouched(tmp_path):
    with Workspace.open(tmp_path) as workspace:
        workspace.database.execute(
            "test", "INSERT INTO schema_version VALUES (?, now()::TIMESTAMP)", [migrations.latest() + 1]
        )
    before = (tmp_path / "triptych.duckdb").read_bytes()
    for read_only in (False, True):
        with pytest.raises(
            WorkspaceDamaged,
            match=rf"newer version of Triptych \(schema {migrations.latest() + 1}, this program reads up to {migrations.latest()}\)",
        ):
            Workspace.open(tmp_path, read_only=read_only)
    assert (tmp_path / "triptych.duckdb").read_bytes() == before


def test_a_migration_that_fails_leaves_the_version_before_it(tmp_path, monkeypatch):
    import duckdb

    connection = duckdb.connect(str(tmp_path / "x.duckdb"))
    monkeypatch.setattr(migrations, "available", lambda: {1: "0001_workspace.sql", 2: "0002_missing.py"})
    with pytest.raises(ModuleNotFoundError):
        migrations.migrate(connection)
    assert migrations.schema_version(connection) == 1
    monkeypatch.undo()
    assert migrations.migrate(connection) == list(range(2, migrations.latest() + 1))
    assert migrations.migrate(connection) == []
    connection.close()


def test_recorded_searches_of_an_older_workspace_are_deleted(tmp_path):
    import duckdb

    with Workspace.open(tmp_path) as workspace:
        file = workspace.folder / DATABASE_NAME
    connection = duckdb.connect(str(file))
    connection.execute(
        "CREATE TABLE query_log (ts TIMESTAMP, query VARCHAR); INSERT INTO query_log VALUES (now(), 'private')"
    )
    connection.execute("ALTER TABLE jobs DROP COLUMN attempts; DELETE FROM schema_version WHERE version >= 5")
    connection.close()
    with Workspace.open(tmp_path) as workspace:
        tables = workspace.query("SELECT table_name FROM information_schema.tables")["table_name"].to_list()
        assert "query_log" not in tables
        assert "shortlist" in tables


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "CON", ".hidden", "'; drop table collections; --", "日本語", "x" * 200, "a\\b", "%00"]
)
def test_any_printable_name_is_data(workspace, name):
    created = workspace.create_collection(name)
    assert created.name == name
    assert workspace.collection(name) == created
    assert created.collection_id.isalnum()
    before = {path.name for path in workspace.folder.iterdir()}
    assert workspace.rename_collection(name, "plain").collection_id == created.collection_id
    assert {path.name for path in workspace.folder.iterdir()} == before
    assert not (workspace.folder.parent / "x").exists()


@pytest.mark.parametrize("name", ["", "   ", "a\x00b", "a\nb", "a\u202eb", "\ud800", "x" * 201])
def test_unusable_names_are_refused(workspace, name):
    with pytest.raises(BadInput):
        workspace.create_collection(name)
    assert workspace.collections() == []


def test_names_are_unique_after_unicode_normalization(workspace):
    workspace.create_collection("Café")
    with pytest.raises(BadInput, match="already a collection"):
        workspace.create_collection("Cafe\u0301 ")
    with pytest.raises(NotFound, match="Collections: 'Café'"):
        workspace.collection("Cafe")


def test_deleting_a_collection_leaves_the_others(workspace, make):
    kept, gone = workspace.create_collection("kept"), workspace.create_collection("gone")
    for collection in (kept, gone):
        workspace.documents.upsert(collection.collection_id, [make(1), make(2)], "f")
        workspace.add_to_shortlist(collection.collection_id, "d1")
    workspace.delete_collection("gone")
    assert [c.name for c in workspace.collections()] == ["kept"]
    assert workspace.collection("kept").documents == 2
    assert workspace.query("SELECT count(*) AS n FROM documents").item() == 2
    assert workspace.query("SELECT count(*) AS n FROM passages").item() == 2
    with pytest.raises(NotFound):
        workspace.documents.snapshot(gone.collection_id)


def test_the_database_reaches_no_file_and_no_extension(workspace, tmp_path):
    import duckdb

    for sql in (
        "SELECT * FROM read_text('/etc/hostname')",
        "INSTALL fts",
        f"ATTACH '{tmp_path}/o.db'",
        f"COPY collections TO '{tmp_path}/o.csv'",
    ):
        with pytest.raises(duckdb.PermissionException):
            workspace.cursor().execute(sql)
    with pytest.raises(duckdb.InvalidInputException):
        workspace.cursor().execute("SET enable_external_access = true")
    local = pl.DataFrame({"a": [1]})
    with pytest.raises(duckdb.CatalogException):
        workspace.query("SELECT * FROM local")
    assert len(local) == 1


def test_threads_get_right_answers(workspace):
    wrong = []

    def ask(thread: int) -> None:
        for i in range(40):
            found = workspace.query("SELECT ?::BIGINT AS a, count(*) AS n FROM range(?)", [thread, 1_000 + thread])
            if found.row(0) != (thread, 1_000 + thread):
                wrong.append((thread, i, found.row(0)))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_write_that_raises_leaves_nothing(workspace):
    def write() -> None:
        with workspace.database.write("outer") as cursor:
            cursor.execute("INSERT INTO settings VALUES ('a', '1')").fetchall()
            with workspace.database.write("nested") as inner:
                inner.execute("INSERT INTO settings VALUES ('b', '1')").fetchall()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert workspace.setting("a") is None
    assert workspace.setting("b") is None
    workspace.set_setting("c", [1])
    assert workspace.setting("c") == [1]


def test_shelf(workspace, papers):
    cid = papers.collection_id
    assert workspace.save_pipeline("mine", "a: 1").yaml == "a: 1"
    workspace.save_pipeline("mine", "a: 2")
    with pytest.raises(BadInput, match="already a pipeline"):
        workspace.save_pipeline("mine", "a: 3", replace=False)
    assert [p.yaml for p in workspace.pipelines()] == ["a: 2"]
    with pytest.raises(NotFound, match="Saved: mine"):
        workspace.delete_pipeline("other")
    workspace.delete_pipeline("mine")
    workspace.add_to_shortlist(cid, "d2", "first")
    workspace.add_to_shortlist(cid, "d1")
    workspace.add_to_shortlist(cid, "d2", "again")
    assert workspace.shortlist(cid).select("doc_id", "note").rows() == [("d2", "again"), ("d1", "")]
    assert workspace.remove_from_shortlist(cid, ["d2", "dx"]) == 1


def test_a_collection_is_described_and_the_rest_of_it_stays(workspace):
    workspace.create_collection("plain", "first", {"chunker": {"none": {}}})
    described = workspace.describe_collection("plain", "  On calibration  ")
    assert (described.description, described.settings) == ("On calibration", {"chunker": {"none": {}}})
    assert workspace.describe_collection("plain", "").description == ""
    for change in (workspace.describe_collection, workspace.create_collection):
        with pytest.raises(BadInput, match="at most 1,000 characters; this one has 1,001"):
            change("plain", "x" * 1001)
    with pytest.raises(NotFound, match="'plain'"):
        workspace.describe_collection("other", "x")
