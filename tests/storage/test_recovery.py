"""What opening does with a damaged, foreign, cut or missing write-ahead log, and with a damaged database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.errors import WorkspaceDamaged
from engine.serving.doctor import check, worst
from engine.workspace.database.recovery import DATABASE_NAME, WAL_NAME
from engine.workspace.workspace import Workspace
from tests.conftest import ROOT, ended_in_order

WRITER = """
import os, sys
from engine.types import Record
from engine.workspace.workspace import Workspace
workspace = Workspace.open(sys.argv[1])
cid = workspace.create_collection("papers").collection_id
workspace.database.rows("CHECKPOINT")
for batch in range(5):
    records = [Record(f"d{batch}-{n}", title=f"batch {batch}", text="x" * 50) for n in range(20)]
    workspace.documents.upsert(cid, records, f"file{batch}")
os._exit(0)
"""


@pytest.fixture(scope="module")
def ended_hard(tmp_path_factory):
    """A workspace whose process ended without closing it: five batches are in the write-ahead log only."""
    folder = tmp_path_factory.mktemp("hard") / "workspace"
    subprocess.run([sys.executable, "-c", WRITER, str(folder)], cwd=ROOT, check=True)
    assert (folder / WAL_NAME).stat().st_size > 10_000
    return folder


@pytest.fixture
def folder(ended_hard, tmp_path):
    return Path(shutil.copytree(ended_hard, tmp_path / "workspace"))


def documents(workspace):
    return workspace.collection("papers").documents


def quarantined(folder):
    return sorted(path.name.split("-", 3)[-1] for path in (folder / "quarantine").glob("*"))


def test_a_hard_end_loses_nothing_and_needs_no_word(folder):
    assert not ended_in_order(folder)
    with Workspace.open(folder) as workspace:
        assert documents(workspace) == 100
        assert workspace.notices == []
    assert quarantined(folder) == []
    assert ended_in_order(folder)
    with Workspace.open(folder) as workspace:
        assert documents(workspace) == 100


def test_cut_log_says_what_was_rolled_back(folder):
    wal = folder / WAL_NAME
    os.truncate(wal, wal.stat().st_size - 100)
    with Workspace.open(folder) as workspace:
        assert documents(workspace) == 80
        (notice,) = workspace.notices
    assert notice.startswith("1 write(s) were rolled back")
    assert "adding 20 documents from file4" in notice
    assert quarantined(folder) == [WAL_NAME]
    with Workspace.open(folder) as workspace:
        assert workspace.notices == [], "it is said once"
        assert documents(workspace) == 80


def test_removed_log_says_what_was_rolled_back(folder):
    (folder / WAL_NAME).unlink()
    with Workspace.open(folder) as workspace:
        assert documents(workspace) == 0
        (notice,) = workspace.notices
    assert notice.startswith("5 write(s) were rolled back")
    assert "file0" in notice
    assert "file4" in notice


def test_log_altered_in_the_middle_is_recovered_up_to_there(folder):
    wal = folder / WAL_NAME
    size = wal.stat().st_size
    with wal.open("r+b") as file:
        file.seek(size * 7 // 10)
        file.write(b"\xff\xff\xff")
    altered = wal.read_bytes()
    with Workspace.open(folder) as workspace:
        assert documents(workspace) == 60
        notices = workspace.notices
    assert "damaged at byte" in notices[0]
    assert "2 write(s) were rolled back" in notices[1]
    assert "adding 20 documents from file3" in notices[1]
    (kept,) = (folder / "quarantine").iterdir()
    assert kept.read_bytes() == altered, "the whole damaged log is kept"


def test_log_of_another_database_is_set_aside(folder, tmp_path):
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-c", WRITER, str(other)], cwd=ROOT, check=True)
    foreign = (other / WAL_NAME).read_bytes()
    with Workspace.open(folder) as workspace:
        assert documents(workspace) == 100
    (folder / WAL_NAME).write_bytes(foreign)
    with Workspace.open(folder) as workspace:
        assert documents(workspace) == 100
        (notice,) = workspace.notices
    assert "does not belong to this state of the database" in notice
    (kept,) = (folder / "quarantine").iterdir()
    assert kept.read_bytes() == foreign


def test_older_log_of_the_same_database_is_set_aside(folder):
    old = (folder / WAL_NAME).read_bytes()
    with Workspace.open(folder) as workspace:
        workspace.set_setting("later", True)
    (folder / WAL_NAME).write_bytes(old)
    with Workspace.open(folder) as workspace:
        assert documents(workspace) == 100
        assert workspace.setting("later") is True
        assert len(workspace.notices) == 1
    assert quarantined(folder) == [WAL_NAME]


def test_garbage_in_place_of_the_log_is_set_aside(folder):
    with Workspace.open(folder) as workspace:
        assert documents(workspace) == 100
    garbage = os.urandom(30_000)
    (folder / WAL_NAME).write_bytes(garbage)
    with Workspace.open(folder) as workspace:
        assert documents(workspace) == 100
        assert "was no log of this database" in workspace.notices[0]
        workspace.set_setting("works", 1)
    (kept,) = (folder / "quarantine").iterdir()
    assert kept.read_bytes() == garbage
    with Workspace.open(folder) as workspace:
        assert workspace.setting("works") == 1
        assert workspace.notices == []


def test_reading_only_does_not_repair(folder):
    wal = folder / WAL_NAME
    with wal.open("r+b") as file:
        file.seek(wal.stat().st_size // 2)
        file.write(b"\xff\xff\xff")
    before = wal.read_bytes()
    with pytest.raises(WorkspaceDamaged, match="Open the workspace for writing once"):
        Workspace.open(folder, read_only=True)
    assert wal.read_bytes() == before


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_database_is_named_by_doctor(folder, share):
    Workspace.open(folder).close()
    database = folder / DATABASE_NAME
    os.truncate(database, int(database.stat().st_size * share))
    before = database.read_bytes()
    errors = [finding for finding in check(folder) if finding.level == "error"]
    assert errors
    assert DATABASE_NAME in errors[0].what
    assert errors[0].remedy
    assert database.read_bytes() == before


def test_emptied_database_is_not_filled_anew(folder):
    Workspace.open(folder).close()
    os.truncate(folder / DATABASE_NAME, 0)
    with pytest.raises(WorkspaceDamaged, match="is empty in a workspace that has been used"):
        Workspace.open(folder)
    assert worst(check(folder)) == "error"
    assert (folder / DATABASE_NAME).stat().st_size == 0


def test_missing_database_of_a_used_workspace_is_not_recreated(folder):
    for name in (DATABASE_NAME, WAL_NAME):
        (folder / name).unlink()
    with pytest.raises(WorkspaceDamaged, match="is missing from a workspace that has been used"):
        Workspace.open(folder)
    assert not (folder / DATABASE_NAME).exists()


def test_text_file_in_place_of_the_database(tmp_path):
    (tmp_path / DATABASE_NAME).write_text("<html>not found</html>" * 1_000)
    with pytest.raises(WorkspaceDamaged, match="not a valid DuckDB database file"):
        Workspace.open(tmp_path)
    findings = check(tmp_path)
    assert any(finding.level == "error" and DATABASE_NAME in finding.what for finding in findings)


def test_a_log_that_was_set_aside_is_never_deleted(folder, monkeypatch):
    wal = folder / WAL_NAME
    os.truncate(wal, wal.stat().st_size - 100)
    before = wal.read_bytes()
    Workspace.open(folder).close()
    for path in (folder / "quarantine").iterdir():
        os.utime(path, (0, 0))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 366 * 86_400)
    Workspace.open(folder).close()
    (kept,) = (folder / "quarantine").iterdir()
    assert kept.read_bytes() == before
