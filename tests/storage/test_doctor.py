"""What doctor sees: each kind of damage is named with a remedy, and a sound workspace is all right."""

from __future__ import annotations

import os
import shutil

import pytest

from engine.indexes.bm25 import Bm25Index
from engine.serving.building import build_index
from engine.serving.doctor import check, worst
from engine.workspace.database import migrations
from engine.workspace.workspace import Workspace


@pytest.fixture
def sound(tmp_path, make):
    with Workspace.open(tmp_path) as workspace:
        cid = workspace.create_collection("papers").collection_id
        workspace.documents.upsert(cid, [make(n) for n in range(5)], "f")
        build_index(workspace, cid, Bm25Index())
    return tmp_path


def problems(folder, workspace=None):
    return [finding for finding in check(folder, workspace) if finding.level != "ok"]


def test_sound_workspace(sound):
    assert problems(sound) == []
    said = " ".join(finding.what for finding in check(sound))
    for expected in (
        f"schema {migrations.latest()}",
        "5 documents and their passages are consistent",
        "index 'BM25 · english' of 'papers': 5 rows, intact",
        "duckdb 2",
        "GB free",
        "nobody has it open",
    ):
        assert expected in said


def test_open_workspace_is_examined_in_place(sound):
    with Workspace.open(sound) as workspace:
        (note,) = problems(sound, workspace)
        assert note.what.startswith(f"in use by process {os.getpid()} since 20")
        assert "5 documents" in " ".join(finding.what for finding in check(sound, workspace))


def test_folder_that_is_no_workspace(tmp_path):
    assert worst(check(tmp_path / "none")) == "note"
    (tmp_path / "indexes").mkdir()
    (error,) = [finding for finding in check(tmp_path) if finding.level == "error"]
    assert "although it has been a workspace" in error.what
    assert list(tmp_path.iterdir()) == [tmp_path / "indexes"], "nothing was created"


def test_hardware_that_is_used_is_named_and_remote_services_are_not(sound, monkeypatch):
    monkeypatch.delenv("TRIPTYCH_PROVIDER", raising=False)
    built = ["AzureExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: built)
    (said,) = [finding.what for finding in check(sound) if "encoders run on" in finding.what]
    assert said == "encoders run on: cpu; also here: cuda"
    monkeypatch.setenv("TRIPTYCH_PROVIDER", "directml")
    (note,) = problems(sound)
    assert "'directml' is not part of the installed onnxruntime" in note.what
    monkeypatch.setenv("TRIPTYCH_PROVIDER", "tpu")
    (error,) = problems(sound)
    assert (error.level, error.remedy) == ("error", "set TRIPTYCH_PROVIDER to one of them, or remove it")


@pytest.mark.parametrize(
    ("sql", "what"),
    [
        ("DELETE FROM documents WHERE doc_id = 'd1'", "1 passages of no document"),
        ("DELETE FROM passages WHERE passage_no = 1", "1 documents without a passage"),
        ("UPDATE passages SET end_char = 10000 WHERE passage_no = 1", "1 passages that end beyond their text"),
        ("UPDATE documents SET title = 'changed behind its back' WHERE doc_id = 'd1'", "1 of 5 documents differ from what was stored, first 'd1'"),
        ("INSERT INTO documents SELECT * REPLACE (doc_no + 100 AS doc_no) FROM documents WHERE doc_no = 1", "1 documents stored twice under one id"),
        ("UPDATE counters SET next_doc_no = 3", "3 numbers beyond the counters"),
        ("DELETE FROM collections", "5 documents of no collection"),
        ("INSERT INTO collections SELECT * REPLACE ('x' AS collection_id) FROM collections", "1 collections that share a name"),
    ],
)  # fmt: skip
def test_inconsistent_rows_are_counted(sound, sql, what):
    with Workspace.open(sound) as workspace:
        workspace.cursor().execute(sql).fetchall()
    found = [finding for finding in problems(sound) if finding.what == what]
    assert len(found) == 1
    assert found[0].level == "error"
    assert found[0].remedy


def test_damaged_stale_and_orphaned_indexes(sound, make):
    with Workspace.open(sound) as workspace:
        cid = workspace.collection("papers").collection_id
        workspace.documents.upsert(cid, [make(9)], "f")
        generation = workspace.generations.live(cid)[0]
    (note,) = problems(sound)
    assert (note.level, "does not know the newest changes" in note.what) == ("note", True)
    (sound / "indexes" / "mine").mkdir()
    shutil.copytree(generation_folder := sound / "indexes" / generation.generation_id, sound / "indexes" / ("0" * 32))
    (sound / "indexes" / generation.generation_id / "numbers.npy").write_bytes(b"")
    manifest = (generation_folder / "manifest.json").read_text().replace(generation.generation_id, "0" * 32)
    (sound / "indexes" / ("0" * 32) / "manifest.json").write_text(manifest)
    found = {finding.what: finding.level for finding in problems(sound)}
    assert found["1 index folder(s) that nothing refers to"] == "note"
    assert found["1 file(s) or folder(s) that Triptych did not make: indexes/mine"] == "note"
    assert ["numbers.npy has 0 bytes" in what for what, level in found.items() if level == "error"] == [True]


def test_quarantine_and_low_space_are_mentioned(sound, monkeypatch):
    import shutil
    from types import SimpleNamespace

    (sound / "quarantine").mkdir()
    (sound / "quarantine" / "old.wal").write_text("x")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    found = problems(sound)
    assert {finding.level for finding in found} == {"note", "error"}
    assert "old.wal" in " ".join(finding.what for finding in found)
    assert "0.0 GB free" in " ".join(finding.what for finding in found)
