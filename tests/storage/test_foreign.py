"""Files that somebody else put into a workspace, or that were there before it: nothing that this program did not make is ever removed."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.errors import BadInput, WorkspaceDamaged
from engine.indexes.bm25 import Bm25Index
from engine.serving.building import build_index
from engine.serving.doctor import check, worst
from engine.system.quarantine import Quarantine
from engine.types import Record
from engine.workspace.creation import MARKER
from engine.workspace.database.recovery import DATABASE_NAME
from engine.workspace.workspace import Workspace

HEX = "0123456789abcdef" * 2
PLACES = ("", "indexes", "models", "models/.work", "models/.old", "models/.trash", "quarantine", "tmp", "tmp/uploads")
NAMES = st.sampled_from(
    (
        "my-index", "tmp-notes", "tmp-xyz", f"tmp-{HEX}", HEX, f"tmp-{HEX}0", "notes.txt", "manifest.json", ".hidden", "triptych-new-x",
        f"triptych-new-{HEX}", "backup.duckdb", "job-1", "é 日本", f"20200101-000000-000000-{HEX}", f"{HEX}{HEX}", f"{HEX}.jobs",
    )
)  # fmt: skip
THINGS = st.lists(
    st.tuples(st.sampled_from(PLACES), NAMES, st.sampled_from(["file", "folder", "link", "manifest"])),
    min_size=1, max_size=8, unique_by=lambda thing: thing[:2],
)  # fmt: skip


def tree(folder):
    """Every path below a folder with what it holds: text, the goal of a link, or None for a folder."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path) if path.is_symlink() else None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }  # fmt: skip


def put(folder, things, elsewhere):
    """Make the things; returns what of them must be there afterwards, as `tree` says it."""
    made = set()
    for place, name, kind in things:
        home = folder / place
        home.mkdir(parents=True, exist_ok=True)
        path = home / name
        if kind == "file":
            path.write_text("mine")
        elif kind == "link":
            path.symlink_to(elsewhere)
        else:
            (path / "deep").mkdir(parents=True)
            (path / "deep" / "file").write_text("mine")
            if kind == "manifest":
                (path / "manifest.json").write_text(json.dumps({"generation_id": "another", "files": []}))
        made.add(path)
    return {
        name: held for name, held in tree(folder).items() if any((folder / name).is_relative_to(path) for path in made)
    }


EVERYWHERE = [
    ("", "tmp-xyz", "folder"), ("", f"tmp-{HEX}", "folder"), ("", f"tmp-{HEX}0", "link"), ("indexes", HEX, "manifest"),
    ("indexes", "my-index", "folder"), ("models", "my-index", "folder"), ("models/.work", HEX, "folder"), ("models/.old", HEX, "folder"),
    ("models/.trash", HEX, "file"), ("quarantine", f"20200101-000000-000000-{HEX}", "folder"), ("tmp", "notes.txt", "file"),
]  # fmt: skip


@given(things=THINGS)
@example(things=EVERYWHERE)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_lies_in_a_workspace_survives_everything(things):
    with tempfile.TemporaryDirectory() as scratch:
        folder, elsewhere = Path(scratch) / "workspace", Path(scratch) / "elsewhere"
        (elsewhere / "deep").mkdir(parents=True)
        (elsewhere / "deep" / "file").write_text("far")
        (elsewhere / "manifest.json").write_text(
            json.dumps({"generation_id": HEX, "collection_id": "c", "kind": "bm25", "files": []})
        )
        Workspace.open(folder).close()
        mine, far = put(folder, things, elsewhere), tree(elsewhere)
        with Workspace.open(folder) as workspace:
            assert workspace.notices == []
            for name in ("kept", "gone"):
                cid = workspace.create_collection(name).collection_id
                workspace.documents.upsert(cid, [Record("a", text="one two")], "f")
                build_index(workspace, cid, Bm25Index())
                workspace.documents.upsert(cid, [Record("b", text="two three")], "f")
                build_index(workspace, cid, Bm25Index())
            workspace.generations.begin(cid, "dense")  # never finished
            workspace.delete_collection("gone")
        with Workspace.open(folder) as workspace:
            assert len(workspace.notices) == 1
            assert check(folder, workspace)
        found = tree(folder)
        assert {name: found.get(name, "lost") for name in mine} == mine
        assert tree(elsewhere) == far


@pytest.fixture
def sound(tmp_path):
    with Workspace.open(tmp_path / "workspace") as workspace:
        cid = workspace.create_collection("papers").collection_id
        workspace.documents.upsert(cid, [Record("a", text="one two")], "f")
        generation = build_index(workspace, cid, Bm25Index())
    return tmp_path / "workspace", generation


def test_what_was_put_into_an_index_folder_outlives_the_index(sound):
    folder, generation = sound
    notes = folder / "indexes" / generation.generation_id / "notes"
    notes.mkdir()
    (notes / "mine.txt").write_text("mine")
    (notes / "far").symlink_to(folder.parent)
    with Workspace.open(folder) as workspace:
        workspace.generations.drop(generation.generation_id)
    assert set(tree(notes.parent)) == {"notes", "notes/mine.txt", "notes/far"}
    with Workspace.open(folder) as workspace:
        assert workspace.notices == []
        foreign = [finding.what for finding in check(folder, workspace) if "did not make" in finding.what]
    assert foreign == [f"1 file(s) or folder(s) that Triptych did not make: indexes/{generation.generation_id}"]


@pytest.mark.parametrize("linked", ["index", "indexes"])
def test_an_index_reached_by_a_link_is_not_deleted(sound, linked):
    folder, generation = sound
    path = folder / "indexes" if linked == "indexes" else folder / "indexes" / generation.generation_id
    goal = folder.parent / "elsewhere"
    shutil.move(path, goal)
    path.symlink_to(goal)
    before = tree(goal)
    with Workspace.open(folder) as workspace:
        workspace.generations.drop(generation.generation_id)
    Workspace.open(folder).close()
    assert tree(goal) == before
    assert path.is_symlink()


def test_an_index_whose_manifest_is_damaged_goes_to_quarantine_for_good(sound):
    folder, generation = sound
    home = folder / "indexes" / generation.generation_id
    (home / "manifest.json").write_text("{}")
    before = tree(home)
    with Workspace.open(folder) as workspace:
        workspace.generations.drop(generation.generation_id)
    assert not home.exists()
    (kept,) = Quarantine(folder).contents()
    assert tree(folder / "quarantine" / kept) == before
    assert Quarantine(folder).moved() == []


def test_a_manifest_that_lists_files_elsewhere_deletes_none(sound):
    folder, generation = sound
    home = folder / "indexes" / generation.generation_id
    victim = folder / "victim"
    victim.write_text("mine")
    about = json.loads((home / "manifest.json").read_text())
    about["files"] += [{"name": name, "bytes": 4, "sha256": ""} for name in ("../../victim", str(victim))]
    (home / "manifest.json").write_text(json.dumps(about))
    with Workspace.open(folder) as workspace:
        workspace.generations.drop(generation.generation_id)
    assert victim.read_text() == "mine"


def test_a_build_that_is_a_link_is_not_emptied(sound):
    folder, _ = sound
    with Workspace.open(folder) as workspace:
        cid = workspace.collection("papers").collection_id
        workspace.database.execute(
            "test", "INSERT INTO jobs VALUES ('j', 'index', ?, '{}', 'paused', '', 0, NULL, '', '', '{}', now()::TIMESTAMP, NULL, NULL, 0)", [cid]
        )  # fmt: skip
        build = workspace.generations.begin(cid, "dense", {}, "j")
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.txt").write_text("mine")
    build.folder.rmdir()
    build.folder.symlink_to(elsewhere)
    with Workspace.open(folder) as workspace:
        assert workspace.generations.begin(cid, "dense", {}, "j").generation_id != build.generation_id
    assert tree(elsewhere) == {"mine.txt": b"mine"}


def test_a_folder_of_other_files_becomes_a_workspace_only_when_asked(tmp_path):
    folder = tmp_path / "mine"
    (folder / "photos").mkdir(parents=True)
    (folder / "photos" / "cat.jpg").write_bytes(b"cat")
    folder.chmod(0o755)
    before = tree(folder)
    with pytest.raises(BadInput, match=r"holds other files \('photos'\) and is no workspace.*--adopt"):
        Workspace.open(folder)
    assert tree(folder) == before, "not even a lock was left"
    with Workspace.open(folder, adopt=True) as workspace:
        workspace.create_collection("papers")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755, "what others may see of the folder is not ours to change"
    with Workspace.open(folder) as workspace:
        assert [collection.name for collection in workspace.collections()] == ["papers"]
        assert [finding.what for finding in check(folder, workspace) if "did not make" in finding.what] == []
    assert tree(folder)["photos/cat.jpg"] == b"cat"


@pytest.mark.parametrize(
    "name", ["indexes", "models", "tmp", DATABASE_NAME, "triptych.lock", "writes.log", "quarantine"]
)
def test_a_folder_that_uses_the_names_of_a_workspace_is_not_adopted(tmp_path, name):
    folder = tmp_path / "mine"
    (folder / name).mkdir(parents=True)
    (folder / name / "file").write_text("mine")
    before = tree(folder)
    for adopt in (False, True):
        with pytest.raises(BadInput, match=name):
            Workspace.open(folder, adopt=adopt)
    assert tree(folder) == before


def test_folders_that_systems_fill_by_themselves_are_empty(tmp_path):
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".DS_Store").write_bytes(b"x")
    Workspace.open(tmp_path).close()
    assert (tmp_path / ".DS_Store").read_bytes() == b"x"


def test_the_database_of_another_program_is_refused_and_untouched(tmp_path):
    import duckdb

    with duckdb.connect(str(tmp_path / DATABASE_NAME)) as connection:
        connection.execute("CREATE TABLE collections (mine INTEGER)")
    before = tree(tmp_path)
    for adopt in (False, True):
        with pytest.raises(BadInput, match="database of another program"):
            Workspace.open(tmp_path, adopt=adopt)
    assert tree(tmp_path) == before


def test_a_workspace_of_the_version_before_gets_its_marker(sound):
    folder, generation = sound
    (folder / MARKER).unlink()
    (folder / "notes.txt").write_text("mine")
    assert worst(check(folder)) == "note"
    assert not (folder / MARKER).exists(), "reading changes nothing"
    with Workspace.open(folder) as workspace:
        assert workspace.notices == []
        assert workspace.generations.live(workspace.collection("papers").collection_id) == [generation]
    assert json.loads((folder / MARKER).read_text())["adopted"] is False
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_marker_of_a_newer_version_is_refused_and_one_that_is_torn_made_anew(sound):
    folder, _ = sound
    (folder / MARKER).write_text(json.dumps({"format": 2, "id": "x", "adopted": False}))
    with pytest.raises(WorkspaceDamaged, match="newer version of Triptych"):
        Workspace.open(folder)
    (folder / MARKER).write_text('{"form')
    Workspace.open(folder).close()
    assert json.loads((folder / MARKER).read_text())["format"] == 1
    (kept,) = (folder / "quarantine").iterdir()
    assert kept.read_text() == '{"form'
