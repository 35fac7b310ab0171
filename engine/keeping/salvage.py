"""Copying everything that is readable out of a damaged workspace into a new one. The original is only read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from engine.errors import BadInput, WorkspaceDamaged
from engine.keeping import mending
from engine.keeping.rebuilding import Rebuilding, refuse_used
from engine.models.catalogue import own_models
from engine.models.verify import verify_files
from engine.system import locking
from engine.system.scratch import scratch
from engine.workspace.creation import REPORT
from engine.workspace.database import migrations, recovery, tables
from engine.workspace.database.probing import Probe, Unreadable
from engine.workspace.database.tables import Table
from engine.workspace.models import MODELS

RANGE, VECTOR = 4_096, 1_024  # rows read at a time, and the fewest that a damaged range is divided into
MAX_NAMED = 10_000
_HEADER, _HEADERS = 4_096, 3


@dataclass(frozen=True, slots=True)
class Lost:
    """Rows of one table that could not be copied: `places` [first, end) in the table, the ids that could still be read,
    and why."""

    table: str
    rows: int
    places: tuple[int, int]
    ids: tuple[str, ...]
    reason: str


@dataclass(slots=True)
class Salvaged:
    """What became of a salvage. `rows` counts what was copied by table, `mended` says what was made anew or set
    right."""

    folder: str
    new: str
    outcome: Literal["complete", "partial"] = "complete"
    rows: dict[str, int] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    models_lost: dict[str, str] = field(default_factory=dict)
    left_out: str = "Indexes are not copied: build them again in the Library, or with `triptych index`."

    def lose(self, table: str, rows: int, places: tuple[int, int], ids: tuple[str, ...], reason: str) -> None:
        """Note rows that are not in the copy."""
        self.lost.append(Lost(table, rows, places, ids[:MAX_NAMED], reason))


def salvage(folder: Path, new: Path, probe: Probe | None = None) -> Salvaged:
    """Copy what is readable of the workspace in `folder` into a new workspace `new`, and write down in it what is not.

    Raises BadInput where `new` is not empty or lies inside, WorkspaceInUse, and WorkspaceDamaged where nothing can be
    read at all.
    """
    folder, new = folder.expanduser().absolute(), new.expanduser().absolute()
    if not (folder / recovery.DATABASE_NAME).is_file():
        raise BadInput(f"{folder} holds no {recovery.DATABASE_NAME}, so there is nothing to salvage.")
    if new.resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"{new} lies inside the damaged workspace. Name a folder elsewhere.")
    refuse_used(new)
    if locking.is_held(folder):
        raise locking.in_use(folder)
    result = Salvaged(str(folder), str(new))
    with Rebuilding(new, migrations.latest()) as made, probe or Probe(folder / recovery.DATABASE_NAME) as asked:
        asked.turn(folder / recovery.DATABASE_NAME)
        _find_source(asked, folder, made.aside, result)
        known = _known_tables(asked, folder)
        for table in made.tables.values():
            if table.copied and table.name in known:
                _copy_table(asked, known[table.name], made, result)
            elif table.copied:
                result.lose(table.name, 0, (0, 0), (), "the table is not there")
        if not any(rows for name, rows in result.rows.items() if name != "counters"):
            raise _nothing(folder, result.lost[0].reason if result.lost else "it is empty")
        gone = any(lost.table == "passages" for lost in result.lost)
        mending.mend(made.cursor, result.lose, result.mended.append, passages_lost=gone)
        _copy_models(folder, made.models, result)
        if result.lost or result.models_lost:
            result.outcome = "partial"
        made.publish()
    report = new / REPORT
    report.write_text(json.dumps(asdict(result), indent=1), "utf-8")
    report.chmod(0o600)
    return result


def _known_tables(probe: Probe, folder: Path) -> dict[str, Table]:
    migrations.check(_version(probe) or 0, str(folder))
    try:
        found = {table.name: table for table in tables.tables(probe.rows)}
    except Unreadable as error:
        raise _nothing(folder, str(error)) from error
    if not found:
        raise _nothing(folder, "it has no tables")
    return found


def _nothing(folder: Path, reason: str) -> WorkspaceDamaged:
    return WorkspaceDamaged(
        f"Nothing in {folder / recovery.DATABASE_NAME} can be read ({reason}), so there is nothing to copy, and "
        "no new folder was made. "
        "Restore a backup with `triptych restore FILE`, or add your documents again to a new workspace."
    )


# the source


def _find_source(probe: Probe, folder: Path, aside: Path, result: Salvaged) -> None:
    """Leave the probe at a file that can be read: the original where it opens for reading, else a copy of it that was
    repaired."""
    database = folder / recovery.DATABASE_NAME
    try:
        probe.rows("SELECT count(*) FROM duckdb_tables()")
        if _version(probe) in (None, migrations.latest()):
            return
    except Unreadable:
        pass
    reason = ""
    for number, (what, patch) in enumerate(_repairs(database)):
        home = aside / f"copy{number}"
        home.mkdir()
        for name in (recovery.DATABASE_NAME, recovery.WAL_NAME):
            if (folder / name).exists():
                shutil.copyfile(folder / name, home / name)
        patch(home / recovery.DATABASE_NAME)
        probe.turn(home / recovery.DATABASE_NAME)
        try:
            notices = _recovered(probe, home)
            probe.rows("SELECT count(*) FROM duckdb_tables()")
        except Unreadable as error:
            reason = reason or str(error)  # that of the file as it is says most
            shutil.rmtree(home)
            continue
        result.mended += notices
        if what:
            result.lose("(header)", 0, (0, 0), (), f"{what} ({reason})")
        return
    raise _nothing(folder, reason)


def _version(probe: Probe) -> int | None:
    """The schema of the file; None where its row cannot be read."""
    try:
        return int(probe.rows("SELECT max(version) FROM schema_version")[0][0])
    except (Unreadable, TypeError):
        return None


def _recovered(probe: Probe, home: Path) -> list[str]:
    """Open the copy for writing, which deals with its log and its schema; where that fails because rows are damaged,
    reading may do."""
    try:
        return probe.recover(home)
    except Unreadable:
        probe.rows("SELECT 1")
        return []


def _repairs(database: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """What to try on a copy, the least first. The second and third header take turns, one for each checkpoint; the
    first is always the same."""

    def header(number: int, raw: bytes) -> Callable[[Path], None]:
        def patch(copy: Path) -> None:
            with copy.open("r+b") as file:
                file.seek(number * _HEADER)
                file.write(raw)

        return patch

    yield "", lambda copy: None
    with database.open("rb") as file:
        headers = [file.read(_HEADER) for _ in range(_HEADERS)]
    for bad, good in ((1, 2), (2, 1)):
        yield (
            f"header {bad + 1} of the database is damaged, so the other one was used: what was written after its "
            "checkpoint may be missing or altered",
            header(bad, headers[good]),
        )
    fresh = _fresh_header(database)
    if fresh:
        yield (
            "header 1 of the database is damaged and was made anew; its write-ahead log, if any, was not used",
            header(0, fresh),
        )


def _fresh_header(database: Path) -> bytes:
    """The first header of a new database of this version of DuckDB."""
    with scratch("header") as folder:
        file = Path(folder) / recovery.DATABASE_NAME
        recovery.connect(file, read_only=False).close()
        return file.read_bytes()[:_HEADER]


# rows


def _copy_table(probe: Probe, table: Table, made: Rebuilding, result: Salvaged) -> None:
    result.rows[table.name] = 0
    try:
        end = int(probe.rows(table.end_sql())[0][0])
    except Unreadable as error:
        end, reason = _estimated_end(probe, table), str(error)
        if not end:
            result.lose(table.name, 0, (0, 0), (), reason)
            return
    for first in range(0, end, RANGE):
        _copy_range(probe, table, (first, min(first + RANGE, end)), made, result)


def _estimated_end(probe: Probe, table: Table) -> int:
    try:
        found = probe.rows("SELECT estimated_size FROM duckdb_tables() WHERE table_name = ?", [table.name])
    except Unreadable:
        return 0
    return int(found[0][0]) if found else 0


def _copy_range(probe: Probe, table: Table, places: tuple[int, int], made: Rebuilding, result: Salvaged) -> None:
    """Copy the rows of a range; where that fails, those of its halves, until the halves are as small as what is read at
    once anyway."""
    piece = made.aside / "piece.arrow"
    try:
        probe.store(table.range_sql(*places), piece)
        frame = pl.read_ipc(piece)
        _insert(frame, table, places, made, result)
    except Unreadable as error:
        first, end = places
        if end - first > VECTOR:
            middle = first + (end - first) // 2
            _copy_range(probe, table, (first, middle), made, result)
            _copy_range(probe, table, (middle, end), made, result)
            return
        ids, count = _ids(probe, table, places, piece)
        result.lose(table.name, count, places, ids, str(error))
    finally:
        piece.unlink(missing_ok=True)


def _insert(frame: pl.DataFrame, table: Table, places: tuple[int, int], made: Rebuilding, result: Salvaged) -> None:
    """Add what was read. Rows that break a rule of the schema, as only altered ones can, are found one by one and left
    out."""
    import duckdb as database

    try:
        made.load(table, frame)
        result.rows[table.name] += len(frame)
    except (database.Error, pl.exceptions.PolarsError) as error:
        if len(frame) == 1:
            result.lose(table.name, 1, places, _names(frame), f"altered: {_short(error)}")
            return
        half = len(frame) // 2
        _insert(frame[:half], table, places, made, result)
        _insert(frame[half:], table, places, made, result)


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


_NAMING = ("doc_id", "qid", "name", "key", "job_id", "passage_no", "collection_id")


def _names(frame: pl.DataFrame) -> tuple[str, ...]:
    """The ids of rows: their first column that names things."""
    for name in (*(n for n in _NAMING if n in frame.columns), *frame.columns[:1]):
        return tuple(map(str, frame[name].to_list()))
    return ()


def _ids(probe: Probe, table: Table, places: tuple[int, int], piece: Path) -> tuple[tuple[str, ...], int]:
    """The ids in a range that cannot be read as a whole, as far as their column can; and how many rows it has."""
    columns = [name for name, _ in table.columns]
    for name in (*(n for n in _NAMING if n in columns), *columns):
        try:
            probe.store(table.range_sql(*places, columns=(name,)), piece)
        except Unreadable:
            continue
        values = tuple(map(str, pl.read_ipc(piece)[name].to_list()))
        return (values if name in _NAMING else ()), len(values)
    return (), places[1] - places[0]


def _copy_models(folder: Path, target: Path, result: Salvaged) -> None:
    """Copy the workspace's own models whose files are what their cards say."""
    for path in sorted((folder / MODELS).glob("[!.]*")):
        try:
            card = own_models(folder / MODELS)[path.name]
            verify_files(path, card)
            target.mkdir(exist_ok=True)
            shutil.copytree(path, target / path.name)
            verify_files(target / path.name, card)
            result.models.append(path.name)
        except (WorkspaceDamaged, KeyError, OSError) as error:
            shutil.rmtree(target / path.name, ignore_errors=True)
            result.models_lost[path.name] = str(error) if not isinstance(error, KeyError) else "its card cannot be read"
