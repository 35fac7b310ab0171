"""A disk that is really full: a small file system in memory, filled up."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.errors import StorageFull
from engine.indexes.bm25 import Bm25Index
from engine.serving.building import build_index
from engine.serving.engine import Engine
from engine.types import Record
from engine.workspace.workspace import Workspace

MEGABYTE = 1_000_000


@pytest.fixture
def disk(tmp_path):
    """A file system of 24 MB."""
    mount = shutil.which("mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    if mount is None or os.name == "nt" or os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"mounting a small file system is not allowed here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def leave(disk: Path, free: int, block: int = 65_536) -> Path:
    """Fill the disk except for `free` bytes; removing the returned file frees it again."""
    ballast = disk / "ballast"
    status = os.statvfs(disk)
    with ballast.open("wb") as file:
        for _ in range(max(0, status.f_bavail * status.f_frsize - free) // block):
            file.write(b"\0" * block)
    return ballast


def documents(batch):
    source = random.Random(batch)
    return [Record(f"d{batch}-{n}", text=source.randbytes(400).hex()) for n in range(500)]


def test_commit_on_a_full_disk(disk, workspace_of):
    workspace, cid = workspace_of(disk)
    workspace.documents.upsert(cid, documents(0), "f")
    before = workspace.documents.content_hash(cid)
    ballast = leave(disk, MEGABYTE)
    stored, refused = 1, None
    for batch in range(1, 40):
        try:
            workspace.documents.upsert(cid, documents(batch), "f")
            stored += 1
            before = workspace.documents.content_hash(cid)
        except StorageFull as error:
            refused = str(error)
            break
    assert refused is not None
    assert refused.startswith("The disk is full: adding 500 documents")
    assert "Free some space and try again" in refused
    assert workspace.documents.content_hash(cid) == before, "reading goes on, and shows what was there before"
    with pytest.raises(StorageFull):
        workspace.documents.upsert(cid, documents(batch), "f")
    workspace.close()
    with Workspace.open(disk / "workspace") as still_full:
        assert still_full.documents.content_hash(cid) == before
    ballast.unlink()
    workspace, _ = workspace_of(disk)
    assert workspace.documents.upsert(cid, documents(batch), "f").added == 500
    assert workspace.documents.upsert(cid, documents(batch), "f").unchanged == 500
    workspace.close()
    with Workspace.open(disk / "workspace") as again:
        assert again.notices == []
        assert again.collection("papers").documents == 500 * (stored + 1)
        snapshot = again.documents.snapshot(cid)
        assert snapshot.doc_ids.n_unique() == len(snapshot)


def test_index_on_a_full_disk(disk, workspace_of):
    workspace, cid = workspace_of(disk)
    workspace.documents.upsert(cid, documents(0), "f")
    old = build_index(workspace, cid, Bm25Index())
    workspace.documents.upsert(cid, documents(1), "f")
    workspace.database.rows("CHECKPOINT")
    ballast = leave(disk, 100_000)
    with pytest.raises(StorageFull):
        build_index(workspace, cid, Bm25Index())
    assert workspace.generations.live(cid) == [old]
    assert len(Bm25Index().open(workspace.generations.open_folder(old)).numbers) == 500, "the old index serves"
    ballast.unlink()
    assert build_index(workspace, cid, Bm25Index()).rows == 1_000
    assert not list(workspace.folder.glob("tmp-*"))


def test_job_on_a_full_disk_fails_with_the_reason_and_resumes(disk, workspace_of, tmp_path):
    workspace, cid = workspace_of(disk)
    engine = Engine(workspace)
    file = tmp_path / "many.jsonl"
    file.write_text(
        "".join(json.dumps({"_id": r.doc_id, "text": r.text}) + "\n" for b in range(20) for r in documents(b))
    )
    ballast = leave(disk, 3 * MEGABYTE)
    job_id = engine.jobs.submit("add", cid, {"paths": [str(file)]})
    job = engine.jobs.wait(job_id, 60)
    assert job.status == "failed"
    assert "The disk is full" in job.error
    ballast.unlink()
    engine.jobs.resume(job_id)
    job = engine.jobs.wait(job_id, 60)
    assert (job.status, job.error, job.counts["added"], job.counts["duplicate"]) == ("done", "", 10_000, 0)
    assert workspace.collection("papers").documents == 10_000
    engine.close()


def test_making_a_workspace_on_a_full_disk_is_refused_and_done_later(disk):
    """At each amount of room that creation can run out of; a file of somebody else's lies beside."""
    words = []
    for free in (0, 4_096, 12_288, 16_384, 40_960, 300_000, 700_000, 1_100_000, 1_600_000):
        folder = disk / str(free)
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
        ballast = leave(disk, free, 4_096)
        try:
            Workspace.open(folder, adopt=True).close()
        except StorageFull as error:
            words.append(str(error))
        ballast.unlink()
        with Workspace.open(folder, adopt=True) as workspace:
            assert workspace.notices == []
            workspace.create_collection("papers")
        assert not list(folder.glob("triptych-new-*"))
        assert (folder / "notes.txt").read_text() == "mine"
        shutil.rmtree(folder)
    assert len(words) >= 4
    assert all("Free some space and try again" in word for word in words)


@pytest.fixture
def workspace_of():
    opened = []

    def open_in(folder):
        workspace = Workspace.open(folder / "workspace")
        opened.append(workspace)
        if not workspace.collections():
            workspace.create_collection("papers")
        return workspace, workspace.collection("papers").collection_id

    yield open_in
    for workspace in opened:
        workspace.close()
