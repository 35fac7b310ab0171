"""Opening the database file so that nothing is lost silently: damaged or foreign write-ahead logs are set aside and
named."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import BadInput, StorageFailed, StorageFull, TriptychError, WorkspaceDamaged, WorkspaceInUse
from engine.system import locking
from engine.system.quarantine import Quarantine
from engine.workspace.database import migrations
from engine.workspace.database.writelog import Entry, WriteLog

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

DATABASE_NAME = "triptych.duckdb"
WAL_NAME = DATABASE_NAME + ".wal"
MEMORY_LIMIT = "1GB"
_FULL = ("no space left", "disk quota", "file too large", "errno 28", "errno 122", "out of disk", "not enough space")
_FAILED = re.compile(
    r"Could not (write|sync|truncate|move|remove|create)\b.*input/output error|fsync failed|\[Errno "
    r"5\]|read-only file system|\[Errno 30\]",
    re.IGNORECASE | re.DOTALL,
)
_DAMAGED = re.compile(
    r"Corrupt database file|Data Corruption Error|\bCorrupted \w|appears to be corrupted|Could not read enough "
    r"bytes|Could not read from file"
    r"|not a valid DuckDB database file|mode that is not recognized by this version|Failed to deserialize"
)
_STORAGE_KINDS = (
    "Error",
    "IOException",
    "SerializationException",
    "FatalException",
    "InternalException",
    "ComputeError",
)
"""Kinds of error in which DuckDB, or polars on its behalf, speaks of the file. All others are about the statement."""
_RESTARTED = "database has been invalidated"
_ABOUT_LOG = re.compile(r"WAL file|This WAL|\.wal\b")
_TORN = re.compile(r"entry at byte position (\d+)")


def translate(error: BaseException, doing: str) -> TriptychError | None:
    """A database or system error as one the user can act on; None for the ones that are ours to fix."""
    text = str(error)
    if any(sign in text.lower() for sign in _FULL):
        return StorageFull(
            f"The disk is full: {doing} was not stored, and what was there before is unchanged. Free some space "
            "and try again; repeating it is safe."
        )
    if _FAILED.search(text):
        return StorageFailed(
            f"The disk reported an error, so {doing} was not stored ({_first_line(text)}); what was there before "
            "is unchanged. Check the disk "
            "and its cable or mount, make a backup with `triptych backup`, and try again; repeating it is safe."
        )
    if "surrogate" in text.lower():
        return BadInput(
            f"{doing[:1].upper()}{doing[1:]} was refused: a text holds half of a character (a lone surrogate), "
            "which is no valid Unicode. Leave it out."
        )
    if type(error).__name__ == "OutOfMemoryException" or "external error: Out of Memory Error" in text:
        return TriptychError(
            f"{doing} needs more memory than the database may use ({MEMORY_LIMIT}). Nothing was changed; work on "
            "fewer rows at a time."
        )
    return None


def _first_line(text: str) -> str:
    return text.splitlines()[0][:300] if text else "no reason was given"


def is_damage(error: BaseException) -> bool:
    """Whether the database says that its file is damaged. An error of a statement, or an internal one without such a
    sign, is none."""
    return type(error).__name__ in _STORAGE_KINDS and _DAMAGED.search(str(error)) is not None


def is_restart(error: BaseException) -> bool:
    """Whether an earlier error, perhaps of another thread, has ended the whole instance, so that the file must be
    opened again."""
    return _RESTARTED in str(error)


def damage(folder: Path, error: BaseException, doing: str) -> WorkspaceDamaged:
    """The error that a user sees where `is_damage` holds: what happened, to which file, and what to do."""
    found = _DAMAGED.search(str(error))
    lines = [line for line in str(error).splitlines() if found is None or found[0] in line]
    return WorkspaceDamaged(
        f"The database {folder / DATABASE_NAME} is damaged; {doing} met it "
        f"({_first_line(lines[0] if lines else str(error))}). Nothing was changed. `triptych doctor` says what is "
        "still readable, and `triptych doctor --salvage NEW` copies that into a new folder; where there is a "
        "backup, `triptych restore FILE` brings it back into a new folder."
    )


def ended(error: BaseException, doing: str) -> TriptychError:
    """What a thread is told whose work was lost because another one's fatal error ended the instance."""
    return TriptychError(
        f"The database had to be opened again after an error elsewhere ({_first_line(str(error).splitlines()[-1])}), "
        f"so {doing} was not done. Try again; repeating it is safe."
    )


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
    """Move (or copy) a file into `quarantine/` beside it for good, under a name with the time; returns the new path."""
    return Quarantine(file.parent).keep(file, copy=copy)


def is_about_log(error: Exception) -> bool:
    """Whether opening failed because of the write-ahead log."""
    return bool(_ABOUT_LOG.search(str(error)))


def is_locked(error: Exception) -> bool:
    """Whether opening failed because another process has the database open."""
    return "lock on file" in str(error)


def without_database(folder: Path) -> WorkspaceDamaged:
    """The error for a workspace whose database is gone."""
    database = folder / DATABASE_NAME
    state = "is empty in" if database.exists() else "is missing from"
    return WorkspaceDamaged(
        f"{database} {state} a workspace that has been used. Restore it from a backup, or choose another folder."
    )


def refusal(folder: Path, error: Exception) -> TriptychError:
    """Why a database cannot be opened, as an error that names the remedy."""
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if is_locked(error):
        owner = re.search(r"PID (\d+)", str(error))
        if owner is None or locking.is_held(folder):
            return locking.in_use(folder)
        return WorkspaceInUse(
            f"The workspace {folder} is in use by PID {owner[1]}. Close it there, or choose another folder."
        )
    full = translate(error, "opening the workspace")
    if full is not None:
        return full
    if is_damage(error):
        return damage(folder, error, "opening the workspace")
    return WorkspaceDamaged(
        f"The database {folder / DATABASE_NAME} cannot be read: {text}. Nothing was changed. `triptych doctor` "
        "examines the folder; restore the file from a backup, or move it away and add your documents again."
    )


def open_read_only(folder: Path) -> DuckDBPyConnection:
    """Open for reading; changes no file. Raises WorkspaceInUse, WorkspaceDamaged."""
    import duckdb

    if not (folder / DATABASE_NAME).is_file():
        raise WorkspaceDamaged(
            f"{folder} holds no {DATABASE_NAME}, so it is not a workspace. Check the path, or create one by "
            "adding documents."
        )
    try:
        connection = connect(folder / DATABASE_NAME, read_only=True)
    except duckdb.Error as error:
        if is_about_log(error):
            raise WorkspaceDamaged(
                f"The write-ahead log {folder / WAL_NAME} is damaged or foreign. Open the workspace for writing "
                f"once to set it aside: {error}"
            ) from error
        raise refusal(folder, error) from error
    try:
        version = migrations.schema_version(connection)
    except duckdb.Error as error:
        connection.close()
        raise refusal(folder, error) from error
    if version != migrations.latest():
        connection.close()
        migrations.check(version, str(folder))
        raise WorkspaceDamaged(
            f"{folder} has schema {version}, this program reads {migrations.latest()}. Open it for writing once "
            "to bring it up to date."
        )
    return connection


def open_writable(folder: Path, log: WriteLog) -> tuple[DuckDBPyConnection, list[str]]:
    """Open for writing. Returns the connection, and what recovery did in words.

    Raises WorkspaceDamaged when the database file is damaged, missing from a used folder, or of a newer schema.
    """
    import duckdb

    database, wal = folder / DATABASE_NAME, folder / WAL_NAME
    entries = log.entries()
    if not database.exists() or not database.stat().st_size:
        raise without_database(folder)
    logged = wal.exists() and wal.stat().st_size > 0
    log_file = _Log(wal, _copy(wal) if logged else None)
    try:
        connection, notices = _connect_past_damage(folder, log_file)
        try:
            migrations.check(migrations.schema_version(connection), str(folder))
            if logged and _fold(connection, wal) and not notices:
                connection.close()
                notices.append(f"{wal.name} was no log of this database and was moved to {log_file.remove()}.")
                connection = connect(database, read_only=False)
            if _is_lost(connection):
                connection = connect(database, read_only=False)
            migrations.migrate(connection)
            found = int(connection.execute("SELECT write_seq FROM counters").fetchall()[0][0])
        except BaseException:
            connection.close()
            raise
    except duckdb.Error as error:
        raise refusal(folder, error) from error
    lost = [entry for entry in entries if entry.seq > found]
    if lost:
        notices.append(_rolled_back(lost, log_file))
    elif not notices:
        log_file.forget()
    log.rewrite([Entry(found, "opened")])
    return connection, notices


@dataclass
class _Log:
    """The write-ahead log as it was found, and its copy in quarantine; there is none when the disk has no room for
    it."""

    file: Path
    copy: Path | None

    def remove(self) -> str:
        """Take the log away without deleting its content; returns where that is, in words."""
        if self.copy is None:
            self.copy = set_aside(self.file)
        else:
            self.file.unlink()
        return f"{self.copy.parent.name}/{self.copy.name}"

    def cut(self, size: int) -> str | None:
        """Cut the log, when there is a copy of the whole; returns where that is, in words."""
        if self.copy is None:
            return None
        os.truncate(self.file, size)
        return f"{self.copy.parent.name}/{self.copy.name}"

    def forget(self) -> None:
        """The log was sound, so its copy is of no use."""
        if self.copy is not None:
            self.copy.unlink()


def _copy(wal: Path) -> Path | None:
    """A copy in quarantine, made before anything can change the log; None when the disk is full."""
    try:
        return set_aside(wal, copy=True)
    except OSError:
        return None


def _fold(connection: DuckDBPyConnection, wal: Path) -> bool:
    """Fold a good log into the database. True when it is still there afterwards, which means that DuckDB did not
    recognize it."""
    import duckdb

    try:
        connection.execute("CHECKPOINT").fetchall()
    except duckdb.Error:
        return False  # the disk is full: the log stays in use
    return wal.exists() and wal.stat().st_size > 0


def _is_lost(connection: DuckDBPyConnection) -> bool:
    """Whether a fatal error has invalidated the instance, as a checkpoint on a full disk does."""
    import duckdb

    try:
        connection.execute("SELECT 1").fetchall()
    except duckdb.Error:
        connection.close()
        return True
    return False


def _connect_past_damage(folder: Path, log_file: _Log) -> tuple[DuckDBPyConnection, list[str]]:
    """Connect; when the write-ahead log is refused, first cut it before the damaged entry, then do without it."""
    import duckdb

    database, wal = folder / DATABASE_NAME, folder / WAL_NAME
    notices: list[str] = []
    for _ in range(3):
        try:
            return connect(database, read_only=False), notices
        except duckdb.Error as error:
            text = str(error)
            if not _ABOUT_LOG.search(text) or not wal.exists() or translate(error, "opening the workspace") is not None:
                raise
            torn = _TORN.search(text)
            kept = log_file.cut(int(torn[1])) if torn is not None and not notices else None
            if torn is not None and kept is not None:
                notices = [
                    f"{wal.name} was damaged at byte {torn[1]}; what came before it was recovered, and the whole "
                    f"log was kept as {kept}."
                ]
            else:
                reason = text.splitlines()[0]
                notices = [
                    f"{wal.name} does not belong to this state of the database ({reason}) and was moved to "
                    f"{log_file.remove()}."
                ]
    raise WorkspaceDamaged(f"The database {database} cannot be opened, even without its write-ahead log.")


def _rolled_back(lost: list[Entry], log_file: _Log) -> str:
    named = "; ".join(entry.what for entry in lost[-5:])
    more = f" (and {len(lost) - 5} before)" if len(lost) > 5 else ""
    where = f" The damaged log was kept as {log_file.copy.parent.name}/{log_file.copy.name}." if log_file.copy else ""
    return (
        f"{len(lost)} write(s) were rolled back, because the write-ahead log was cut or removed: {named}{more}. "
        f"Unfinished jobs repeat them by themselves; add the files of finished ones again.{where}"
    )
