"""What inside a workspace folder is this program's own: it has a name of our pattern *and* holds what only we write.
Nothing else is deleted.

Links are never followed: a folder that is reached through one belongs to whoever made the link.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

ID = re.compile(r"[0-9a-f]{32}")
MANIFEST = "manifest.json"
BUILD_PREFIX = "tmp-"
_MOST = 64 << 20  # bytes of a manifest that is read at all


def is_folder(path: Path) -> bool:
    """Whether this is a folder itself, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Whether this is a regular file itself, and no link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def is_within(path: Path, workspace: Path) -> bool:
    """Whether the path lies below the workspace folder with no link on the way, itself included."""
    try:
        below = path.relative_to(workspace)
        return bool(below.parts) and os.path.realpath(path) == os.path.join(os.path.realpath(workspace), below)
    except (OSError, ValueError):
        return False


def build_id(name: str) -> str | None:
    """The id in the name of a build's folder, `tmp-<id>`; None where it is no such name."""
    found = name.removeprefix(BUILD_PREFIX)
    return found if name.startswith(BUILD_PREFIX) and ID.fullmatch(found) else None


def manifest_of(folder: Path, generation_id: str) -> dict[str, Any] | None:
    """The manifest in an index folder or a build's folder; None where there is none that names this id."""
    path = folder / MANIFEST
    if not (ID.fullmatch(generation_id) and is_folder(folder) and is_file(path)):
        return None
    try:
        if path.stat().st_size > _MOST:
            return None
        about = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(about, dict) and about.get("generation_id") == generation_id
    return about if ours and {"collection_id", "kind"} <= set(about) else None


def listed_files(folder: Path) -> set[str] | None:
    """The files that the manifest of a published index lists, itself included; None where the folder is no published
    index."""
    about = manifest_of(folder, folder.name)
    files = about.get("files") if about is not None else None
    if not isinstance(files, list):
        return None
    return {str(entry["name"]) for entry in files if isinstance(entry, dict) and "name" in entry} | {MANIFEST}


def delete_listed(folder: Path, names: Collection[str], proof: str = MANIFEST) -> bool:
    """Delete these files of a folder (relative, with `/`) and the folders that held them; whether the whole folder is
    gone then.

    What is not listed stays where it is. `proof`, the file that shows whose the folder is, goes last, and only when the
    others have gone.
    """
    if not is_folder(folder):
        return False
    homes = {folder} | {parent for name in names for parent in (folder / name).parents if parent.is_relative_to(folder)}
    left = False
    for home, _, files in os.walk(folder, topdown=False):
        for path in sorted((Path(home, file) for file in files), key=lambda path: path == folder / proof):
            if path.relative_to(folder).as_posix() not in names or not is_file(path):
                continue
            if path == folder / proof and left:
                continue
            try:
                path.unlink()
            except OSError:
                left = True  # Windows keeps files that somebody has open; the next start tries again
        if Path(home) in homes:
            with suppress(OSError):
                os.rmdir(home)
    return not os.path.lexists(folder)


def delete_folder(folder: Path, workspace: Path) -> bool:
    """Delete a folder that this program made and filled, with everything in it; whether it is gone. Does nothing
    through a link."""
    if is_folder(folder) and is_within(folder, workspace):
        shutil.rmtree(folder, ignore_errors=True)
    return not os.path.lexists(folder)
