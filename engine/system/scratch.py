"""Scratch folders below the system's folder for temporary files: gone at the end, and swept by the next start where the
end was a kill.

Each is `triptych-<purpose>-<id>/` with a marker that its process holds locked, which no dead process does, and `files/`
for the work.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.system import belongings, locking
from engine.system.permissions import FILE, private_folder

MARKER, FILES = "triptych.scratch", "files"
_NAME = re.compile(r"triptych-[a-z]+-[0-9a-f]{32}")
_SETTLED = 60.0
"""Seconds after which a marker that nobody holds was left behind; a younger one may be about to be locked."""
_live: dict[Path, int] = {}


@contextmanager
def scratch(purpose: str) -> Iterator[str]:
    """The path of a new private folder for one word of purpose, deleted with its contents at the end of the `with`, or
    of the process."""
    home = private_folder(Path(tempfile.gettempdir()).resolve() / f"triptych-{purpose}-{uuid.uuid4().hex}")
    try:
        _live[home] = os.open(home / MARKER, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), FILE)
        locking.try_lock(_live[home])
        yield str(private_folder(home / FILES))
    finally:
        _delete(home)


def discard(folder: str) -> None:
    """Delete what `scratch` gave, for a child that outlives the process which asked for it."""
    shutil.rmtree(folder, ignore_errors=True)
    home = Path(folder).parent
    if _NAME.fullmatch(home.name):
        shutil.rmtree(home, ignore_errors=True)


def sweep() -> list[str]:
    """Delete the scratch folders of processes that are dead; returns their names.

    Only this user's, of our name, with our marker in them, which nobody holds locked.
    """
    swept = []
    with suppress(OSError):
        for home in sorted(Path(tempfile.gettempdir()).resolve().glob("triptych-*")):
            if _NAME.fullmatch(home.name) and belongings.is_folder(home) and _is_left(home):
                shutil.rmtree(home, ignore_errors=True)
                swept.append(home.name)
    return swept


def _is_left(home: Path) -> bool:
    marker = home / MARKER
    if not belongings.is_file(marker):
        return False
    try:
        found = marker.stat()
        own = os.name == "nt" or found.st_uid == home.stat().st_uid == os.geteuid()
        if not own or time.time() - found.st_mtime < _SETTLED:
            return False
        descriptor = os.open(marker, os.O_RDWR)
    except OSError:
        return False
    try:
        return locking.try_lock(descriptor)
    finally:
        os.close(descriptor)


def _delete(home: Path) -> None:
    descriptor = _live.pop(home, None)
    if descriptor is not None:
        with suppress(OSError):
            os.close(descriptor)
    shutil.rmtree(home, ignore_errors=True)


@atexit.register
def delete_all() -> None:
    """Delete what this process has left; runs at its end, after every workspace has been closed, because it was
    registered before."""
    for home in list(_live):
        _delete(home)
