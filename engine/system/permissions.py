"""Only the owner reads a workspace: folders 0700, files 0600, whatever the umask. Windows keeps its own access
lists."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

FOLDER, FILE = 0o700, 0o600


def tighten(path: Path) -> None:
    """Take the rights of everybody but the owner away. Links, and what belongs to another user, are left as they
    are."""
    if os.name == "nt":
        return
    with suppress(OSError):
        found = os.lstat(path)
        kept = FOLDER if stat.S_ISDIR(found.st_mode) else FILE if stat.S_ISREG(found.st_mode) else 0
        mode = stat.S_IMODE(found.st_mode)
        if kept and found.st_uid == os.geteuid() and mode & ~kept:
            os.chmod(path, mode & kept)


def tighten_tree(folder: Path) -> None:
    """`tighten` a folder and everything in it."""
    for home, _, files in os.walk(folder):
        tighten(Path(home))
        for file in files:
            tighten(Path(home, file))


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter, in a parent that exists; one that is there stays as it is. Raises
    OSError."""
    try:
        path.mkdir(mode=FOLDER)
    except FileExistsError:
        if not path.is_dir():
            raise
    return path


def private_opener(path: str, flags: int) -> int:
    """For `open(…, opener=private_opener)`: a file that is created is its owner's only."""
    return os.open(path, flags, FILE)
