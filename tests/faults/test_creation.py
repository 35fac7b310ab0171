"""A first start cut short at any step: the folder opens or is made again, and what others keep in it is untouched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import WorkspaceDamaged
from engine.workspace.database import migrations
from engine.workspace.database.recovery import DATABASE_NAME, WAL_NAME
from engine.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]
MAKING = Path(__file__).with_name("making.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the steps are forked")
@pytest.mark.parametrize("mode", ["kill", "fail"])
def test_a_start_cut_short_at_any_step_is_taken_up_again(tmp_path, mode):
    result = subprocess.run(
        [sys.executable, str(MAKING), mode, str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=400, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    steps = [json.loads(line) for line in result.stdout.splitlines()]
    assert [step for step in steps if "unexpected" in step] == [], result.stderr
    assert len(steps) > 20
    assert [step for step in steps if step["again"] != 0 or not step["mine"]] == []
    made = {step["made"] for step in steps[:-1]}
    assert made == ({-signal.SIGKILL} if mode == "kill" else {0, 1}), "0: made all the same, 1: refused in words"
    halves = {name.rstrip("0123456789abcdef") for step in steps for name in step["left"]}
    assert {"triptych-new-", DATABASE_NAME, "triptych.workspace"} & halves if mode == "kill" else halves


def half_made(folder, state):
    """What the version before left when its first start was cut short."""
    import duckdb

    folder.mkdir()
    (folder / "triptych.lock").write_text("17\n2026-01-01T00:00:00+00:00\n")
    if state == "empty":
        (folder / DATABASE_NAME).write_bytes(b"")
    elif state == "torn":
        (folder / DATABASE_NAME).write_bytes(b"\0" * 4096)
    elif state == "no table":
        duckdb.connect(str(folder / DATABASE_NAME)).close()
    elif state == "some migrations":
        with duckdb.connect(str(folder / DATABASE_NAME)) as connection, pytest.MonkeyPatch.context() as patch:
            known = migrations.available()
            patch.setattr(migrations, "available", lambda: {number: known[number] for number in (1, 2)})
            migrations.migrate(connection)


@pytest.mark.parametrize("state", ["lock only", "empty", "torn", "no table", "some migrations"])
def test_what_an_earlier_version_left_half_made_is_made_again(tmp_path, state):
    folder = tmp_path / "workspace"
    half_made(folder, state)
    with Workspace.open(folder) as workspace:
        assert workspace.notices == []
        workspace.create_collection("papers")
    with Workspace.open(folder) as workspace:
        assert workspace.collection("papers").documents == 0
    kept = [path.name for path in (folder / "quarantine").glob("*")]
    assert len(kept) == (state in ("empty", "torn", "no table")), "what is set aside is not deleted"


def test_a_database_without_content_beside_a_log_of_writes_is_not_made_anew(tmp_path):
    folder = tmp_path / "workspace"
    half_made(folder, "empty")
    (folder / "writes.log").write_text('{"seq": 3, "what": "adding 20 documents", "clean": true}\n')
    with pytest.raises(WorkspaceDamaged, match="is empty in a workspace that has been used"):
        Workspace.open(folder)
    assert sorted(path.name for path in folder.iterdir()) == [DATABASE_NAME, "triptych.lock", "writes.log"]


def test_a_log_whose_database_is_gone_is_not_taken_for_a_new_start(tmp_path):
    (tmp_path / WAL_NAME).write_bytes(b"x" * 100)
    with pytest.raises(WorkspaceDamaged, match="is missing from a workspace that has been used"):
        Workspace.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [WAL_NAME]
