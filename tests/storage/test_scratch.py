"""Scratch folders: gone at every end of a process but a kill, and after a kill with the next start; nobody else's is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.system import scratch as scratch_module
from engine.system.scratch import FILES, MARKER, discard, scratch, sweep
from engine.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]
HOLDER = """
import os, threading, time
import app.cli.main as cli
from engine.system.scratch import scratch

def hold():
    with scratch("test") as folder:
        open(folder + "/work", "w").close()
        os.write(1, folder.encode() + bytes([10]))
        time.sleep(60)

def work(prog_name):
    threading.Thread(target=hold, daemon=True).start()  # as a job does, whose thread is not told of signals
    hold()

cli.app = work
cli.main()
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files of this test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def ended(temporary, sign):
    """The two folders of a process that was ended by a signal, and its exit code."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
    ) as child:  # fmt: skip
        try:
            folders = [Path(child.stdout.readline().strip()) for _ in range(2)]
            assert [(folder / "work").exists() for folder in folders] == [True, True], folders
            assert sweep() == [], "its owner lives"
            child.send_signal(sign)
            child.wait(30)
        finally:
            child.kill()
    return folders, child.returncode


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, None)])
def test_a_process_that_is_told_to_end_leaves_none(temporary, sign, code):
    folders, found = ended(temporary, sign)
    assert code in (None, found)
    assert [folder.exists() for folder in folders] == [False, False]
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_swept_by_the_next_start(temporary, tmp_path, monkeypatch):
    folders, _ = ended(temporary, signal.SIGKILL)
    assert [folder.exists() for folder in folders] == [True, True]
    foreign = [
        temporary / "triptych-notes",
        temporary / f"triptych-test-{'a' * 32}",
        temporary / f"triptych-test-{'b' * 32}",
    ]
    for folder in foreign[:2]:
        folder.mkdir()
        (folder / "mine.txt").write_text("mine")
    foreign[2].symlink_to(folders[0].parent)
    (foreign[0] / MARKER).write_text("mine")
    with scratch("test") as held:
        assert sweep() == [], "a young marker may be about to be locked"
        now = time.time()
        monkeypatch.setattr(scratch_module.time, "time", lambda: now + 61)
        Workspace.open(tmp_path / "workspace").close()
        assert Path(held).is_dir()
    assert sorted(temporary.iterdir()) == sorted(foreign)
    assert (foreign[1] / "mine.txt").read_text() == "mine"


def test_a_scratch_folder_is_private_and_goes_when_the_work_fails(temporary):
    def work():
        with scratch("test") as folder:
            assert os.stat(folder).st_mode & 0o777 == os.stat(Path(folder).parent).st_mode & 0o777 == 0o700
            assert Path(folder).name == FILES
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert list(temporary.iterdir()) == []


def test_a_child_discards_what_its_dead_parent_made_and_no_other_folder(temporary):
    with scratch("test") as folder:
        discard(folder)
        assert list(temporary.iterdir()) == []
    other = temporary / "other" / "files"
    other.mkdir(parents=True)
    discard(str(other))
    assert list(temporary.iterdir()) == [temporary / "other"]
