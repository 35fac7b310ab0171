"""Opening the database file so that nothing is lost silently: damaged or foreign write-ahead logs are set aside and named."""

from __future__ import annotations

import os
import re
import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from engine import locking, migrations
from engine.errors import StorageFull, TriptychError, WorkspaceDamaged, WorkspaceInUse
from engine.writelog import Entry, WriteLog

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DATABASE_NAME = "triptych.duckdb"
WAL_NAME = DATABASE_NAME + ".wal"
MEMORY_LIMIT = "1GB"
_FULL = ("no space left", "disk quota", "file too large", "errno 28", "errno 122", "out of disk", "not enough space")
_TORN = re.compile(r"entry at byte position (\d+)")


def translate(error: BaseException, doing: str) -> TriptychError | None:
    """A database or system error as one the user can act on; None for the ones that are ours to fix."""
    text = str(error)
    if any(sign in text.lower() for sign in _FULL):
        return StorageFull(
            f"The disk is full: {doing} was not stored, and what was there before is unchanged. Free some space and try again; repeating it is safe."
        )
    if type(error).__name__ == "OutOfMemoryException":
        return TriptychError(
            f"{doing} needs more memory than the database may use ({MEMORY_LIMIT}). Nothing was changed; work on fewer rows at a time."
        )
    return None


def connect(path: Path, *, read_only: bool) -> DuckDBPyConnection:
    """Open a database file that may reach no other file, no network and no extension. Raises duckdb.Error."""
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
        "memory_limit": MEMORY_LIMIT,
        "lock_configuration": "true",
    }
    return duckdb.connect(str(path), read_only=read_only, config=config)


def set_aside(file: Path, *, copy: bool = False) -> Path:
    """Move (or copy) a file into `quarantine/` under a name with the time; returns the new path. Nothing there is ever deleted."""
    shelf = file.parent / "quarantine"
    shelf.mkdir(exist_ok=True)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    target = shelf / f"{stamp}-{file.name}"
    if copy:
        shutil.copy2(file, target)
    else:
        os.replace(file, target)
    return target


def _refusal(folder: Path, error: Exception) -> TriptychError:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if "lock on file" in text:
        owner = re.search(r"PID (\d+)", str(error))
        if owner is None or locking.is_held(folder):
            return locking.in_use(folder)
        return WorkspaceInUse(
            f"The workspace {folder} is in use by PID {owner[1]}. Close it there, or choose another folder."
        )
    full = translate(error, "opening the workspace")
    if full is not None:
        return full
    return WorkspaceDamaged(
        f"The database {folder / DATABASE_NAME} cannot be read: {text}. Nothing was changed. Restore the file from a backup, or move it "
        "away and add your documents again; `triptych doctor` examines the folder."
    )


def open_read_only(folder: Path) -> DuckDBPyConnection:
    """Open for reading; changes no file. Raises WorkspaceInUse, WorkspaceDamaged."""
    import duckdb

    if not (folder / DATABASE_NAME).is_file():
        raise WorkspaceDamaged(
            f"{folder} holds no {DATABASE_NAME}, so it is not a workspace. Check the path, or create one by adding documents."
        )
    try:
        connection = connect(folder / DATABASE_NAME, read_only=True)
    except duckdb.Error as error:
        if "WAL" in str(error):
            raise WorkspaceDamaged(
                f"The write-ahead log {folder / WAL_NAME} is damaged or foreign. Open the workspace for writing once to set it aside: {error}"
            ) from error
        raise _refusal(folder, error) from error
    version = migrations.schema_version(connection)
    if version != migrations.latest():
        connection.close()
        migrations.check(version, str(folder))
        raise WorkspaceDamaged(
            f"{folder} has schema {version}, this program reads {migrations.latest()}. Open it for writing once to bring it up to date."
        )
    return connection


def open_writable(folder: Path, log: WriteLog) -> tuple[DuckDBPyConnection, list[str], bool]:
    """Open or create for writing. Returns the connection, what recovery did in words, and whether the last session ended in order.

    Raises WorkspaceDamaged when the database file is damaged, missing from a used folder, or of a newer schema.
    """
    database, wal = folder / DATABASE_NAME, folder / WAL_NAME
    entries = log.entries()
    empty = not database.exists() or not database.stat().st_size
    if empty and (wal.exists() or any(entry.seq for entry in entries)):
        found = "is empty in" if database.exists() else "is missing from"
        raise WorkspaceDamaged(
            f"{database} {found} a workspace that has been used. Restore it from a backup, or choose another folder."
        )
    clean = not wal.exists() and (not entries or entries[-1].clean)
    kept = set_aside(wal, copy=True) if wal.exists() and wal.stat().st_size else None
    connection, notices = _connect_past_damage(folder, kept)
    try:
        migrations.check(migrations.schema_version(connection), str(folder))
        if kept is not None:
            connection.execute(
                "CHECKPOINT"
            ).fetchall()  # folds a good log in; one that DuckDB did not recognize stays where it was
            if not notices and wal.exists() and wal.stat().st_size:
                connection.close()
                wal.unlink()
                notices.append(f"{wal.name} was no log of this database and was moved to {_short(kept)}.")
                connection = connect(database, read_only=False)
        migrations.migrate(connection)
        found = connection.execute("SELECT write_seq FROM counters").fetchall()[0][0]
    except BaseException:
        connection.close()
        raise
    lost = [entry for entry in entries if entry.seq > found]
    if lost:
        notices.append(_rolled_back(lost, kept))
    elif kept is not None and not notices:
        kept.unlink()
    log.rewrite([Entry(found, "opened")])
    return connection, notices, clean


def _connect_past_damage(folder: Path, kept: Path | None) -> tuple[DuckDBPyConnection, list[str]]:
    """Connect; when the write-ahead log is refused, first cut it before the damaged entry, then do without it. `kept` is its copy."""
    import duckdb

    database, wal = folder / DATABASE_NAME, folder / WAL_NAME
    notices: list[str] = []
    for _ in range(3):
        try:
            return connect(database, read_only=False), notices
        except duckdb.Error as error:
            text = str(error)
            if "WAL" not in text or kept is None or not wal.exists():
                raise _refusal(folder, error) from error
            torn = _TORN.search(text)
            if torn is not None and not notices:
                os.truncate(wal, int(torn[1]))
                notices.append(
                    f"{wal.name} was damaged at byte {torn[1]}; what came before it was recovered, and the whole log was kept as {_short(kept)}."
                )
            else:
                wal.unlink()
                notices = [
                    f"{wal.name} does not belong to this state of the database ({text.splitlines()[0]}) and was moved to {_short(kept)}."
                ]
    raise WorkspaceDamaged(f"The database {database} cannot be opened, even without its write-ahead log.")


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def _rolled_back(lost: list[Entry], kept: Path | None) -> str:
    named = "; ".join(entry.what for entry in lost[-5:])
    more = f" (and {len(lost) - 5} before)" if len(lost) > 5 else ""
    where = f" The damaged log was kept as {_short(kept)}." if kept is not None else ""
    return (
        f"{len(lost)} write(s) were rolled back, because the write-ahead log was cut or removed: {named}{more}. "
        f"Unfinished jobs repeat them by themselves; add the files of finished ones again.{where}"
    )
