"""Nobody but the owner can read a workspace, whatever the umask, and whatever an earlier version left."""

from __future__ import annotations

import os
import stat

import pytest

from engine.indexes.bm25 import Bm25Index
from engine.serving.building import build_index
from engine.workspace.creation import MARKER
from engine.workspace.database.recovery import WAL_NAME, set_aside
from engine.workspace.workspace import Workspace
from tests.encoders.tiny import write_model

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has access lists instead")


def modes(folder, *, but=()):
    """The permissions of a folder and everything in it, by path."""
    found = {path.relative_to(folder).as_posix(): stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*")}
    return {name: mode for name, mode in found.items() if not name.startswith(but or "?")} | {
        ".": stat.S_IMODE(folder.stat().st_mode)
    }


def work(folder, make):
    """Add, index, publish a model and set a file aside; the modes while it is open."""
    with Workspace.open(folder) as workspace:
        cid = workspace.create_collection("papers").collection_id
        for number in (1, 2):
            workspace.documents.upsert(cid, [make(number)], "f")
            build_index(workspace, cid, Bm25Index())
            workspace.database.rows("CHECKPOINT")
        workspace.set_setting("in the log", 1)
        build = workspace.generations.begin(cid, "dense")
        (workspace.models.work_folder("a" * 32) / "part").write_text("x")
        built = write_model(workspace.models.work_folder("b" * 32) / "tiny")
        for path in [built, *built.iterdir()]:
            path.chmod(0o755)
        workspace.models.publish(built, "tiny")
        (folder / "stray.wal").write_text("x")
        set_aside(folder / "stray.wal", copy=True)
        (folder / "stray.wal").unlink()
        assert (folder / WAL_NAME).exists()
        assert stat.S_IMODE(build.folder.stat().st_mode) == 0o700
        return modes(
            folder, but=("models/.work/",)
        )  # in there are other programs' files, behind a folder that is closed


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_only_the_owner_reads_what_is_made(tmp_path, make, umask):
    folder = tmp_path / "workspace"
    before = os.umask(umask)
    try:
        found = work(folder, make)
    finally:
        os.umask(before)
    assert {name for name, mode in found.items() if mode & 0o077} == set()
    assert {mode for name, mode in found.items() if (folder / name).is_dir()} == {0o700}
    assert {mode for name, mode in found.items() if (folder / name).is_file()} == {0o600}
    assert {MARKER, WAL_NAME, "triptych.lock", "writes.log", "models/tiny/card.json"} <= set(found)


def test_opening_for_writing_closes_what_an_earlier_version_left_open(tmp_path, make):
    folder, outside = tmp_path / "workspace", tmp_path / "outside"
    work(folder, make)
    outside.write_text("mine")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    mine = folder / "notes.txt"
    mine.write_text("mine")
    mine.chmod(0o644)
    outside.chmod(0o644)
    (folder / "indexes" / "link").symlink_to(outside)
    before = modes(folder)
    with Workspace.open(folder, read_only=True):
        pass
    assert modes(folder) == before, "reading changes nothing"
    with Workspace.open(folder):
        pass
    found = {name for name, mode in modes(folder, but=("models/.work/", "quarantine/")).items() if mode & 0o077}
    assert found == {"notes.txt", "indexes/link"}, "what is not ours stays as it is"
    assert stat.S_IMODE(outside.stat().st_mode) == 0o644
