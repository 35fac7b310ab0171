"""One process owns a workspace: an operating-system lock that dies with its holder, on a file that says who holds it.

filelock would do, but on Windows it locks the first byte, and hides what the file says.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType

from engine.errors import ReadOnly, WorkspaceInUse
from engine.system.permissions import tighten

LOCK_NAME = "triptych.lock"
_FAR = 1 << 30  # Windows locks a range of bytes and hides it from readers, so the locked byte lies beyond the text.


def try_lock(descriptor: int) -> bool:
    """Try to take the exclusive lock without waiting. It belongs to the open file, so a second open in one process is
    refused too."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holder(folder: Path) -> tuple[int, str] | None:
    """PID and start time written by the last owner; None when there was none."""
    try:
        pid, started = (folder / LOCK_NAME).read_text("utf-8").splitlines()[:2]
        return int(pid), started
    except (OSError, ValueError):
        return None


def in_use(folder: Path, detail: str = "") -> WorkspaceInUse:
    """The error that names the owner."""
    owner = holder(folder)
    who = "another process" if owner is None else f"PID {owner[0]} (started {owner[1]})"
    if owner is not None and owner[0] == os.getpid():
        who += ", which is this process"
    return WorkspaceInUse(
        f"The workspace {folder} is in use by {who}. Close it there, or choose another folder.{detail}"
    )


class WorkspaceLock:
    """Holds the lock from construction to `release`. Raises WorkspaceInUse, or ReadOnly when the folder cannot be
    written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            self._descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            raise ReadOnly(
                f"The workspace folder {folder} cannot be written ({error.strerror}). Open it for reading only, "
                "or change its permissions."
            ) from error
        if not try_lock(self._descriptor):
            os.close(self._descriptor)
            raise in_use(folder)
        tighten(folder / LOCK_NAME)
        text = f"{os.getpid()}\n{datetime.now().astimezone().isoformat(timespec='seconds')}\n"
        with suppress(OSError):  # the lock holds without its text, which only tells others who has it
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, text.encode())

    def release(self) -> None:
        """Give the lock up; the file stays, because removing it would race with the next owner."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> WorkspaceLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_held(folder: Path) -> bool:
    """Whether some process holds the lock now."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDWR)
    except OSError:
        return False
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)
