"""Which folder is a workspace, and making one so that a start cut short at any moment is taken up again.

A marker, `triptych.workspace`, says that a folder is ours. A workspace is made in `triptych-new-<id>/` inside its
folder: the database is written, migrated and flushed there and renamed into place, and the marker is renamed after it.
So a folder in the making holds the lock and perhaps that scratch folder, or a whole database without a marker, and both
are recognized.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

from engine.errors import BadInput, ReadOnly, StorageFull, TriptychError, WorkspaceDamaged
from engine.system import belongings, locking
from engine.system.permissions import private_folder, private_opener, tighten
from engine.system.quarantine import FOLDER as QUARANTINE
from engine.system.quarantine import STAMPED, Quarantine
from engine.workspace.database import migrations, recovery
from engine.workspace.database.writelog import LOG_NAME, NEW_LOG_NAME, WriteLog
from engine.workspace.generations import INDEXES, sync
from engine.workspace.mailbox import FOLDER as MAILBOX
from engine.workspace.models import MODELS

MARKER = "triptych.workspace"
SERVER = "server.json"
"""Where the server that runs on a workspace can be reached, for other programs of the same user."""
REPORT = "salvage-report.json"
"""What could not be read of the workspace that this one was salvaged from."""
FORMAT = 1
_SCRATCH = re.compile(r"triptych-new-[0-9a-f]{32}")
SYSTEM = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "lost+found"})
"""What systems put into folders by themselves; a folder that holds nothing else is empty."""
UPLOADS = ("tmp", "uploads")
FILES = frozenset(
    {recovery.DATABASE_NAME, recovery.WAL_NAME, f"{recovery.WAL_NAME}.checkpoint", f"{recovery.WAL_NAME}.recovery"}
    | {locking.LOCK_NAME, MARKER, LOG_NAME, NEW_LOG_NAME, SERVER, REPORT}
)
FOLDERS = frozenset({INDEXES, MODELS, QUARANTINE, MAILBOX, UPLOADS[0], f"{recovery.DATABASE_NAME}.tmp"})
"""The names in a workspace that are this program's; beside them it makes only `tmp-<id>` and `triptych-new-<id>`."""
_TABLES = frozenset({"schema_version", "counters", "collections", "documents", "jobs"})
_HEADERS = 3 * 4096
"""Bytes of a database file that holds nothing but its headers."""

Found: TypeAlias = Literal["workspace", "unmarked", "blank"]


@dataclass(frozen=True, slots=True)
class Marker:
    """What the marker says. adopted: the folder held other files when the workspace was made, so its own permissions
    are not ours to change."""

    workspace_id: str
    adopted: bool


def read_marker(folder: Path) -> Marker | None:
    """The marker of a folder; None where there is none, or it is not ours. Raises WorkspaceDamaged on that of a newer
    program."""
    try:
        raw: Any = json.loads((folder / MARKER).read_bytes())
        version, workspace_id, adopted = int(raw["format"]), str(raw["id"]), bool(raw["adopted"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if version > FORMAT:
        raise WorkspaceDamaged(
            f"{folder} was made by a newer version of Triptych (format {version}, this program reads up to {FORMAT}). "
            "Upgrade Triptych, or choose another workspace folder; nothing was changed."
        )
    return Marker(workspace_id, adopted)


def examine(folder: Path, *, adopt: bool = False) -> Found:
    """What a folder is: a marked workspace, one without its marker, or blank: empty, absent, or left by a start that
    was cut short.

    With `adopt` a folder of other files counts as blank. Changes nothing. Raises BadInput where the folder is somebody
    else's, WorkspaceDamaged, WorkspaceInUse.
    """
    try:
        names = sorted(set(os.listdir(folder)) - SYSTEM) if folder.is_dir() else []
        if MARKER in names and not os.access(folder / MARKER, os.R_OK):
            return "workspace"  # what cannot be read is refused by the lock, in its own words
    except OSError as error:
        raise BadInput(
            f"{folder} cannot be reached: {error.strerror}. Check its permissions, or choose another folder."
        ) from error
    if read_marker(folder) is not None:
        return "workspace"
    if _has_our_database(folder, used=_is_used(folder)):
        return "unmarked"
    others = [name for name in names if not _is_of_a_start(folder / name)]
    taken = [name for name in others if name in FILES | FOLDERS]
    if taken and adopt:
        raise BadInput(
            f"{folder} holds {taken[0]!r}, which is the name of something in a workspace. Choose another folder; "
            "nothing was changed."
        )
    if others and not adopt:
        shown = ", ".join(repr(name) for name in others[:3]) + (" …" if len(others) > 3 else "")
        beside = "; or give --adopt before the command, which makes a workspace beside them and leaves them alone"
        raise BadInput(
            f"{folder} holds other files ({shown}) and is no workspace. Choose a new or empty "
            f"folder{'' if taken else beside}."
        )
    return "blank"


def prepare(folder: Path, *, adopt: bool = False) -> None:
    """Make the workspace where the folder is blank, and the marker where it is missing. The caller holds the lock.

    Raises what `examine` raises, StorageFull, and TriptychError where the folder cannot be written.
    """
    found = examine(folder, adopt=adopt)
    _clear_scratch(folder)
    if found == "workspace":
        return
    beside = [name for name in os.listdir(folder) if not _is_of_a_start(folder / name)] if found == "blank" else []
    try:
        if found == "blank":
            _set_aside(folder)
            _make(folder, adopted=bool(set(beside) - SYSTEM))
        else:
            _mark(folder, folder / f"triptych-new-{uuid.uuid4().hex}", adopted=False)
    except OSError as error:
        if found == "unmarked":
            return  # a full disk: it is recognized by its database once more next time
        raise _unmade(folder, error) from error


def _is_used(folder: Path) -> bool:
    """Whether the log of writes knows of any."""
    return any(entry.seq for entry in WriteLog(folder).entries())


def _has_our_database(folder: Path, *, used: bool) -> bool:
    """Whether the database is one of this program's. False where nothing was ever written to it.

    Raises WorkspaceDamaged where it cannot be read or is missing although there was one, BadInput where it is another
    program's.
    """
    import duckdb

    database, wal = folder / recovery.DATABASE_NAME, folder / recovery.WAL_NAME
    size = database.stat().st_size if database.is_file() else 0
    if not size:
        if used or (wal.exists() and not database.exists()):
            raise recovery.without_database(folder)
        return False
    try:
        connection = recovery.connect(database, read_only=True)
    except duckdb.Error as error:
        if recovery.is_about_log(error) and locking.holder(folder) is not None:
            return True  # a damaged log of a workspace that has been open; opening it sets the log aside
        if size <= _HEADERS and not used and not recovery.is_locked(error):
            return False
        raise recovery.refusal(folder, error) from error
    try:
        rows = connection.execute("SELECT table_name FROM information_schema.tables").fetchall()
    finally:
        connection.close()
    tables = {row[0] for row in rows}
    if tables >= _TABLES:
        return True
    if tables:
        raise BadInput(
            f"{database} is a database of another program. Choose another folder for the workspace; nothing was "
            "changed."
        )
    return False


def _is_of_a_start(path: Path) -> bool:
    """Whether this is something that a start leaves behind that was cut short, of this version or an earlier one."""
    name = path.name
    if name in (recovery.DATABASE_NAME, recovery.WAL_NAME):
        return belongings.is_file(path)  # `_has_our_database` has looked at it, and `_set_aside` deletes nothing
    if name == QUARANTINE:
        return belongings.is_folder(path) and all(STAMPED.match(kept.name) for kept in path.iterdir())
    if name == locking.LOCK_NAME:
        return belongings.is_file(path) and (not path.stat().st_size or locking.holder(path.parent) is not None)
    if name in (LOG_NAME, NEW_LOG_NAME):
        return belongings.is_file(path) and (not path.stat().st_size or bool(WriteLog(path.parent, name).entries()))
    return bool(_SCRATCH.fullmatch(name)) and _is_scratch(path)


def _is_scratch(folder: Path) -> bool:
    """Whether a folder holds only what `_make` writes."""
    return belongings.is_folder(folder) and all(
        belongings.is_file(path) and path.name.startswith((recovery.DATABASE_NAME, MARKER)) for path in folder.iterdir()
    )


def _clear_scratch(folder: Path) -> None:
    """Delete what `_make` left behind when it was cut short; no more than that is ever in it."""
    for path in [path for path in folder.iterdir() if _SCRATCH.fullmatch(path.name) and _is_scratch(path)]:
        _delete_scratch(path)


def _set_aside(folder: Path) -> None:
    """Move a database without content, and its log, out of the way; an earlier version left it there when its first
    start was cut short."""
    for path in (folder / recovery.DATABASE_NAME, folder / recovery.WAL_NAME):
        if belongings.is_file(path):
            Quarantine(folder).keep(path)


def _delete_scratch(scratch: Path) -> None:
    with suppress(OSError):
        for path in scratch.iterdir():
            path.unlink()
        scratch.rmdir()


def _make(folder: Path, *, adopted: bool) -> None:
    """The database made aside and renamed into place, then the marker."""
    import duckdb

    scratch = folder / f"triptych-new-{uuid.uuid4().hex}"
    try:
        private_folder(scratch)
        database = scratch / recovery.DATABASE_NAME
        connection = recovery.connect(database, read_only=False)
        try:
            migrations.migrate(connection)
            connection.execute("CHECKPOINT").fetchall()
        finally:
            connection.close()
        if (scratch / recovery.WAL_NAME).exists():
            raise StorageFull(f"The new database in {folder} was not stored whole. Free some space and try again.")
        tighten(database)
        sync(database)
        sync(scratch)
        os.replace(database, folder / recovery.DATABASE_NAME)
        sync(folder)
        _mark(folder, scratch, adopted=adopted)
    except duckdb.Error as error:
        raise _unmade(folder, error) from error
    finally:
        _delete_scratch(scratch)


def _mark(folder: Path, scratch: Path, *, adopted: bool) -> None:
    """Write the marker, whole or not at all."""
    private_folder(scratch)
    try:
        if os.path.lexists(folder / MARKER):
            Quarantine(folder).keep(folder / MARKER)
        about = {
            "format": FORMAT,
            "id": uuid.uuid4().hex,
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "adopted": adopted,
        }
        with open(scratch / MARKER, "w", encoding="utf-8", opener=private_opener) as file:
            file.write(json.dumps(about) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch / MARKER, folder / MARKER)
        sync(folder)
    finally:
        _delete_scratch(scratch)


def _unmade(folder: Path, error: Exception) -> TriptychError:
    known = recovery.translate(error, f"the new workspace {folder}")
    if known is not None:
        return known
    if isinstance(error, PermissionError):
        return ReadOnly(
            f"The workspace {folder} cannot be made: {error.strerror}. Change its permissions, or choose another "
            "folder."
        )
    return TriptychError(
        f"The workspace {folder} could not be made: {str(error).splitlines()[0]}. Opening it again makes it anew."
    )
