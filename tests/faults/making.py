"""Processes that make a workspace and are killed, or fail to write, at each step of it: python making.py kill|fail FOLDER.

The parent has no thread and forks before anything is opened, so that a step costs no new start of Python. It prints one JSON line a step.
"""

from __future__ import annotations

import builtins
import errno
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from engine.errors import TriptychError
from engine.workspace import creation
from engine.workspace.database import migrations, recovery
from engine.workspace.workspace import Workspace

CALLS = ("open", "write", "fsync", "replace", "mkdir", "chmod", "ftruncate", "unlink", "rmdir")
EVERY = 45  # lines of the migrations between two kills
FOREIGN = {"notes.txt": "mine", "tmp-notes/deep.txt": "mine"}


class Steps:
    """Counts the steps of making a workspace, and acts at the nth: calls into the system, and lines of the migrations."""

    def __init__(self, mode: str, nth: int) -> None:
        self.mode, self.nth, self.count, self.lines = mode, nth, 0, 0

    def step(self) -> None:
        self.count += 1
        if self.count != self.nth:
            return
        if self.mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, "No space left on device")

    def arm(self) -> None:
        for owner, name in [(os, name) for name in CALLS] + [(builtins, "open")]:
            setattr(owner, name, self.wrapped(getattr(owner, name)))
        if self.mode == "kill":
            sys.settrace(self.trace)

    def wrapped(self, original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not (args and str(args[0]).startswith("/proc")):
                self.step()
            return original(*args, **kwargs)

        return call

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != migrations.__file__:
            return None

        def line(frame: FrameType, event: str, _: Any) -> Any:
            self.lines += 1
            if self.lines % EVERY == 0:
                self.step()
            return line

        return line


def forked(work: Any) -> int:
    """The exit code of a forked process that did the work; negative for a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            code = work()
        except BaseException as error:
            print(json.dumps({"unexpected": f"{type(error).__name__}: {error}"}), flush=True)
            code = 99
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def make(folder: Path, mode: str, nth: int, adopt: bool) -> int:
    steps = Steps(mode, nth)
    steps.arm()
    try:
        workspace = Workspace.open(folder, adopt=adopt)
        reached = steps.count
        steps.nth = 0
        workspace.close()
        return 0 if reached >= nth else 3
    except TriptychError:
        steps.nth = 0
        return 1


def reopen(folder: Path, adopt: bool) -> int:
    with Workspace.open(folder, adopt=adopt) as workspace:
        workspace.create_collection("papers")
    with Workspace.open(folder) as workspace:
        assert workspace.notices == []
        assert [collection.name for collection in workspace.collections()] == ["papers"]
    names = {path.name for path in folder.iterdir()} - {Path(name).parts[0] for name in FOREIGN}
    assert names <= creation.FILES | {"quarantine"}, names
    assert not (folder / recovery.WAL_NAME).exists()
    return 0


def main() -> None:
    mode, home = sys.argv[1], Path(sys.argv[2])
    for nth in range(1, 1_000):
        folder, adopt = home / str(nth), nth % 2 == (mode == "kill")
        if adopt:
            for name, text in FOREIGN.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(text)
        made = forked(lambda: make(folder, mode, nth, adopt))  # noqa: B023 - the fork ends within the turn
        left = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        again = forked(lambda: reopen(folder, adopt))  # noqa: B023
        mine = {name: (folder / name).read_text() for name in FOREIGN} == FOREIGN if adopt else True
        print(json.dumps({"step": nth, "made": made, "left": left, "again": again, "mine": mine}), flush=True)
        if made == 3:
            return


if __name__ == "__main__":
    main()
