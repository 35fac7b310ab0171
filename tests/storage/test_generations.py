"""Publishing an index: one commit point, immutable and verified files, no orphans, and the old generation until the new one stands."""

from __future__ import annotations

import json
import os
import time

import pytest

from engine.errors import StorageFull, WorkspaceDamaged
from engine.system.quarantine import Quarantine
from engine.workspace.generations import INDEXES, MANIFEST
from engine.workspace.workspace import Workspace


def publish(workspace, cid, content=b"one", params=None, job_id="", revision=1):
    build = workspace.generations.begin(cid, "bm25", params or {}, job_id)
    (build.folder / "a.bin").write_bytes(content)
    (build.folder / "b.bin").write_bytes(b"b" * 100)
    return build.publish(params or {}, "fp", revision, rows=3, dim=0, details={"terms": 4})


def folders(workspace):
    return sorted(path.name for path in (workspace.folder / INDEXES).glob("*")) + sorted(
        path.name for path in workspace.folder.glob("tmp-*")
    )


def test_publish_replaces_the_generation_of_the_same_parameters(workspace, papers):
    cid = papers.collection_id
    first = publish(workspace, cid)
    other = publish(workspace, cid, params={"k1": 2.0})
    second = publish(workspace, cid, b"two", revision=2)
    assert [g.generation_id for g in workspace.generations.live(cid)] == [other.generation_id, second.generation_id]
    assert workspace.generations.find(cid, "bm25", {}) == second
    assert workspace.generations.live(cid, "dense") == []
    assert (second.rows, second.bytes, second.details, second.revision) == (3, 103, {"terms": 4}, 2)
    assert folders(workspace) == sorted([other.generation_id, second.generation_id])
    assert (workspace.generations.open_folder(second) / "a.bin").read_bytes() == b"two"
    assert not workspace.generations.folder(first.generation_id).exists()


def test_manifest_says_what_the_files_hold(workspace, papers):
    generation = publish(workspace, papers.collection_id)
    about = json.loads((workspace.generations.folder(generation.generation_id) / MANIFEST).read_text())
    assert about["files"][0] == {
        "name": "a.bin",
        "bytes": 3,
        "sha256": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
    }
    assert about["fingerprint"] == "fp"
    assert set(about["versions"]) >= {"python", "numpy", "duckdb"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "a.bin").unlink(), r"No such file.*a\.bin"),
        (lambda f: (f / "a.bin").write_bytes(b"on"), r"a\.bin has 2 bytes instead of 3"),
        (lambda f: (f / "a.bin").write_bytes(b"onf"), r"contents of a\.bin were altered"),
        (lambda f: (f / MANIFEST).unlink(), r"No such file.*manifest"),
        (lambda f: (f / MANIFEST).write_text("{}"), "manifest was altered, or belongs to another generation"),
        (lambda f: (f / "c.bin").write_bytes(b"x"), r"c\.bin does not belong"),
    ],
)
def test_damaged_generation_is_refused(workspace, papers, damage, message):
    generation = publish(workspace, papers.collection_id)
    damage(workspace.generations.folder(generation.generation_id))
    with pytest.raises(WorkspaceDamaged, match=message):
        workspace.generations.open_folder(generation)


def test_size_is_checked_on_every_open(workspace, papers):
    generation = publish(workspace, papers.collection_id)
    folder = workspace.generations.open_folder(generation)
    (folder / "b.bin").write_bytes(b"b" * 99)
    with pytest.raises(WorkspaceDamaged, match="99 bytes"):
        workspace.generations.open_folder(generation)


def test_files_of_two_generations_mixed_are_refused(workspace, papers):
    cid = papers.collection_id
    first = publish(workspace, cid, b"one")
    second = publish(workspace, cid, b"two", params={"x": 1})
    here, there = (workspace.generations.folder(g.generation_id) for g in (first, second))
    (here / "a.bin").write_bytes((there / "a.bin").read_bytes())
    with pytest.raises(WorkspaceDamaged, match=r"a\.bin were altered"):
        workspace.generations.open_folder(first)
    (here / MANIFEST).write_bytes((there / MANIFEST).read_bytes())
    with pytest.raises(WorkspaceDamaged, match="belongs to another generation"):
        workspace.generations.open_folder(first)
    assert workspace.generations.open_folder(second) == there


def test_orphans_are_swept_into_quarantine_and_deleted_a_week_later(tmp_path, monkeypatch):
    with Workspace.open(tmp_path) as workspace:
        cid = workspace.create_collection("c").collection_id
        kept = publish(workspace, cid)
        build = workspace.generations.begin(cid, "dense")
        (build.folder / "half.bin").write_text("half")
        unpublished = publish(workspace, cid, params={"x": 1})
        workspace.database.execute(
            "test", "DELETE FROM generations WHERE generation_id = ?", [unpublished.generation_id]
        )
    with Workspace.open(tmp_path) as workspace:
        assert folders(workspace) == [kept.generation_id]
        assert (
            "Moved 2 unfinished folder(s) of an earlier run to quarantine, to be deleted in 7 days"
            in workspace.notices[0]
        )
        assert workspace.query("SELECT count(*) AS n FROM builds").item() == 0
        assert workspace.generations.open_folder(kept)
    shelf = Quarantine(tmp_path)
    assert sorted(name.split("-", 3)[-1] for name in shelf.contents()) == sorted(
        [unpublished.generation_id, f"tmp-{build.generation_id}"]
    )
    mine = shelf.folder / f"20200101-000000-000000-{'a' * 32}"
    mine.mkdir()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 6.9 * 86_400)
    Workspace.open(tmp_path).close()
    assert len(shelf.contents()) == 3
    monkeypatch.setattr(time, "time", lambda: now + 7.1 * 86_400)
    Workspace.open(tmp_path).close()
    assert shelf.contents() == [mine.name], "what was not written down when it was moved is somebody else's"
    assert shelf.moved() == []


def test_build_of_an_unfinished_job_is_taken_up_again(tmp_path):
    with Workspace.open(tmp_path) as workspace:
        cid = workspace.create_collection("c").collection_id
        workspace.database.execute(
            "test",
            "INSERT INTO jobs VALUES ('j', 'index', ?, '{}', 'paused', '', 0, NULL, '', '', '{}', now()::TIMESTAMP, NULL, NULL, 0)",
            [cid],
        )
        build = workspace.generations.begin(cid, "dense", {"m": 1}, "j")
        (build.folder / "partial").mkdir()
        (build.folder / "partial" / "shard").write_text("work")
        (build.folder / "half.bin").write_text("half")
    with Workspace.open(tmp_path) as workspace:
        assert workspace.generations.begin(cid, "dense", {"m": 2}, "j").generation_id != build.generation_id
        again = workspace.generations.begin(cid, "dense", {"m": 1}, "j")
        assert again.generation_id == build.generation_id
        assert [path.name for path in again.folder.iterdir()] == ["partial"], (
            "half-written files are gone, finished shards stay"
        )
        assert workspace.generations.begin(cid, "dense", {"m": 1}, "j").generation_id != build.generation_id, (
            "not twice at once"
        )


def test_full_disk_while_publishing_keeps_the_old_generation(workspace, papers, monkeypatch):
    cid = papers.collection_id
    old = publish(workspace, cid)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match="Free some space and try again"):
        publish(workspace, cid, b"two")
    monkeypatch.undo()
    assert workspace.generations.find(cid, "bm25", {}) == old
    assert (workspace.generations.open_folder(old) / "a.bin").read_bytes() == b"one"
    assert publish(workspace, cid, b"two").generation_id != old.generation_id


def test_failure_before_the_row_publishes_nothing(workspace, papers, monkeypatch):
    cid = papers.collection_id

    def broken(*_):
        raise RuntimeError("killed here")

    monkeypatch.setattr(type(workspace.generations), "_insert", broken)
    with pytest.raises(RuntimeError):
        publish(workspace, cid)
    assert workspace.generations.live(cid) == []
    assert not list((workspace.folder / INDEXES).iterdir())


def test_drop_removes_row_and_files(workspace, papers):
    generation = publish(workspace, papers.collection_id)
    workspace.generations.drop(generation.generation_id)
    assert workspace.generations.live(papers.collection_id) == []
    assert folders(workspace) == []


def test_abandon_removes_the_build(workspace, papers):
    build = workspace.generations.begin(papers.collection_id, "bm25")
    build.abandon()
    assert folders(workspace) == []
    assert workspace.query("SELECT count(*) AS n FROM builds").item() == 0
