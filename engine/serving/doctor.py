"""Examining a workspace folder: what is wrong, and what to do about it. Reads only."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.component import lookup
from engine.encoders.providers import ENVIRONMENT, available_providers, choose_provider
from engine.errors import BadInput, TriptychError, WorkspaceDamaged, WorkspaceInUse
from engine.models.catalogue import bundled_models
from engine.models.verify import verify_files
from engine.system import locking
from engine.system.quarantine import KEPT_DAYS, Quarantine
from engine.workspace.contents import survey
from engine.workspace.creation import read_marker
from engine.workspace.database import recovery, tables
from engine.workspace.database.probing import Probe, Unreadable
from engine.workspace.generations import INDEXES, Generation, Generations
from engine.workspace.records import row_hash
from engine.workspace.versions import library_versions
from engine.workspace.workspace import Workspace

_LOW, _VERY_LOW = 2_000_000_000, 200_000_000  # bytes free
_SAMPLE = 2_000  # documents whose content is hashed again


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was examined. `remedy` is empty where nothing needs doing."""

    level: Literal["ok", "note", "warning", "error"]
    what: str
    remedy: str = ""


def check(folder: Path | str, workspace: Workspace | None = None, probe: Probe | None = None) -> list[Finding]:
    """Examine a workspace: the folder when nobody has it open, or the open `workspace` of this process. Changes
    nothing.

    A folder is first read whole in a child process, the one of `probe` if given, so that a file which crashes the
    database ends no doctor.
    """
    folder = Path(folder).expanduser().absolute()
    findings = [*_environment(), *_folder(folder)]
    if workspace is not None:
        database = workspace.database

        def ask(sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
            try:
                return database.rows(sql, params)
            except TriptychError as error:
                raise Unreadable(str(error)) from error

        return findings + _opened(workspace, *_readable(ask))
    if not (folder / recovery.DATABASE_NAME).exists():
        what = f"{folder} holds no {recovery.DATABASE_NAME}"
        used = folder.is_dir() and ((folder / recovery.WAL_NAME).exists() or (folder / INDEXES).is_dir())
        if used:
            return [
                *findings,
                Finding("error", f"{what}, although it has been a workspace", "Restore the file from a backup."),
            ]
        return [*findings, Finding("note", what, "It becomes a workspace when you add documents to it.")]
    try:
        with probe or Probe(folder) as asked:
            asked.turn(folder / recovery.DATABASE_NAME)
            unreadable, found = _readable(asked.rows)
        findings += found
        if _CRASHED in unreadable:
            return findings
        findings += _length(folder)
        with Workspace.open(folder, read_only=True) as opened:
            return findings + _opened(opened, unreadable, [])
    except WorkspaceInUse as error:
        return [*findings, Finding("warning", str(error), "Examine it from there, or close it first.")]
    except TriptychError as error:
        return [*findings, Finding("error", str(error), "See the message; the file itself was not touched.")]


def worst(findings: list[Finding]) -> str:
    """The highest level found."""
    order = ("ok", "note", "warning", "error")
    return max((finding.level for finding in findings), key=order.index, default="ok")


def _environment() -> Iterator[Finding]:
    versions = library_versions()
    yield Finding("ok", "versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    try:
        available = available_providers()
        chosen = choose_provider("auto", available, "int8")
        others = [name for name in available if name != chosen.name]
        yield Finding("ok", f"encoders run on: {chosen.name}" + (f"; also here: {', '.join(others)}" if others else ""))
        if chosen.warning:
            yield Finding("note", chosen.warning)
    except ImportError as error:
        yield Finding("error", f"onnxruntime cannot be loaded: {error}", "pip install onnxruntime")
    except BadInput as error:
        yield Finding("error", str(error), f"set {ENVIRONMENT} to one of them, or remove it")


def _folder(folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        return
    if locking.is_held(folder):
        owner = locking.holder(folder)
        yield Finding(
            "note",
            f"in use by process {owner[0]} since {owner[1][:19].replace('T', ' ')} UTC"
            if owner
            else "in use by another process",
        )
    else:
        yield Finding("ok", "nobody has it open")
    free = shutil.disk_usage(folder).free
    level: Literal["ok", "warning", "error"] = "ok" if free > _LOW else "warning" if free > _VERY_LOW else "error"
    yield Finding(
        level,
        f"{free / 1e9:.1f} GB free on its disk",
        "" if level == "ok" else "Free some space before adding documents.",
    )
    yield from _quarantine(folder)


def _quarantine(folder: Path) -> Iterator[Finding]:
    """What was set aside: for good, or to be deleted after a while."""
    quarantine = Quarantine(folder)
    passing = {entry.name for entry in quarantine.moved()}
    kept = [name for name in quarantine.contents() if name not in passing]
    going = [name for name in quarantine.contents() if name in passing]
    if kept:
        yield Finding(
            "note",
            f"{len(kept)} file(s) in quarantine: {', '.join(kept[:5])}",
            "Delete them when you no longer need them.",
        )
    if going:
        yield Finding(
            "note",
            f"{len(going)} unfinished folder(s) of earlier runs in quarantine: {', '.join(going[:5])}",
            f"They are deleted {KEPT_DAYS} days after they were moved there.",
        )


def _length(folder: Path) -> Iterator[Finding]:
    """A database file that was cut can open and answer until the missing part is touched, so its length is compared
    with its block count.

    Free blocks at its end may never have been written: a process that is killed in a checkpoint leaves some that are
    only counted.
    """
    database = folder / recovery.DATABASE_NAME
    if (folder / recovery.WAL_NAME).exists():
        return  # blocks that only the write-ahead log knows of may not be in the file yet
    connection = recovery.open_read_only(folder)
    try:
        row = connection.execute("SELECT block_size, total_blocks - free_blocks FROM pragma_database_size()").fetchall()
        block, blocks = row[0]
    finally:
        connection.close()
    size = database.stat().st_size
    if size < blocks * block:
        yield Finding(
            "error",
            f"{database.name} has {size:,} bytes and should have at least {blocks * block:,}: it was cut",
            "Restore it from a backup.",
        )


# what can be read

_CRASHED = "(the file)"
_NEEDED = {"collections", "documents", "passages", "counters"}
_SALVAGE = (
    "`triptych doctor --salvage NEW` copies what is readable into a new folder; or restore a backup with "
    "`triptych restore FILE`."
)
_KEYS = 500  # rows of a table that are looked up by their primary key


def _readable(ask: tables.Ask) -> tuple[set[str], list[Finding]]:
    """Read every value of every table, each by itself. Returns the tables that are not whole, and what was found.

    A file that cannot be opened at all has no finding here unless it ended the child: opening it again says why.
    """
    try:
        known = tables.tables(ask)
    except Unreadable as error:
        if error.died:
            return {_CRASHED}, [Finding("error", f"{recovery.DATABASE_NAME} cannot be opened: {error}", _SALVAGE)]
        return set(), []
    unreadable, findings, rows = set(), [], 0
    for table in known:
        try:
            rows += int(ask(table.digest_sql(), ())[0][0])
            _looked_up(ask, table)
        except Unreadable as error:
            unreadable.add(table.name)
            findings.append(
                Finding("error", f"the table {table.name!r} is damaged: {_parts(ask, table)}{error}", _SALVAGE)
            )
    if not unreadable:
        findings.append(Finding("ok", f"all {rows:,} rows of {len(known)} tables can be read"))
    return unreadable, findings


def _looked_up(ask: tables.Ask, table: tables.Table) -> None:
    """Find rows by their primary key, whose index is stored apart from them. Raises Unreadable."""
    if not table.key:
        return
    name, key = tables.quoted(table.name), tables.quoted(table.key)
    step = max(1, int(ask(f"SELECT count(*) FROM {name}", ())[0][0]) // _KEYS)  # noqa: S608
    for (value,) in ask(f"SELECT {key} FROM {name} WHERE rowid % {step} = 0", ()):  # noqa: S608
        if not ask(f"SELECT 1 FROM {name} WHERE {key} = ?", (value,)):  # noqa: S608
            raise Unreadable(f"the row {value} is not found by its key")


def _parts(ask: tables.Ask, table: tables.Table) -> str:
    """Of which collections a damaged table can still be read, in words; empty where it is not about collections."""
    if not table.has("collection_id"):
        return ""
    try:
        collections = ask("SELECT collection_id, name FROM collections ORDER BY name", ())
    except Unreadable:
        return ""
    words = []
    for collection_id, name in collections:
        try:
            count = ask(table.digest_sql("collection_id = ?"), (collection_id,))[0][0]
            words.append(f"{int(count):,} rows of {name!r} can be read")
        except Unreadable:
            words.append(f"those of {name!r} cannot all be read")
    return ", ".join(words) + "; " if words else ""


def _opened(workspace: Workspace, unreadable: set[str], found: list[Finding]) -> list[Finding]:
    """What else an open workspace tells; a part that meets damage is named, and the others go on."""
    findings = list(found)
    parts: list[Callable[[Workspace], Iterator[Finding]]] = [_schema, _indexes, _models, _foreign]
    if not unreadable & _NEEDED:
        parts.insert(1, _rows)
    for part in parts:
        try:
            findings += part(workspace)
        except TriptychError as error:
            findings.append(Finding("error", str(error), _SALVAGE))
        except (ValueError, TypeError, KeyError) as error:  # rows that are not what the program writes
            findings.append(Finding("error", f"stored rows make no sense: {type(error).__name__}: {error}", _SALVAGE))
    return findings


def _schema(workspace: Workspace) -> Iterator[Finding]:
    version = workspace.database.rows("SELECT max(version) FROM schema_version")[0][0]
    yield Finding("ok", f"the database opens; schema {version}")


_AGAIN = "Delete and add these documents again."
_INVARIANTS = (
    (
        "documents stored twice under one id",
        "SELECT count(*) FROM (SELECT 1 FROM documents GROUP BY collection_id, doc_id HAVING count(*) > 1)",
        _AGAIN,
    ),
    (
        "documents of no collection",
        "SELECT count(*) FROM documents ANTI JOIN collections USING (collection_id)",
        "They take space only.",
    ),
    (
        "passages of no document",
        "SELECT count(*) FROM passages ANTI JOIN documents USING (doc_no)",
        "They take space only.",
    ),
    ("documents without a passage", "SELECT count(*) FROM documents ANTI JOIN passages USING (doc_no)", _AGAIN),
    (
        "passages that end beyond their text",
        "SELECT count(*) FROM passages JOIN documents USING (doc_no) WHERE end_char > length(text) OR start_char > "
        "end_char",
        _AGAIN,
    ),
    (
        "numbers beyond the counters",
        "SELECT count(*) FROM documents, counters WHERE doc_no >= next_doc_no",
        "Restore the database from a backup.",
    ),
    (
        "collections that share a name",
        "SELECT count(*) FROM (SELECT 1 FROM collections GROUP BY name HAVING count(*) > 1)",
        "Rename one of them.",
    ),
)


def _rows(workspace: Workspace) -> Iterator[Finding]:
    broken = False
    for what, sql, remedy in _INVARIANTS:
        count = workspace.query(sql).item()
        if count:
            broken = True
            yield Finding("error", f"{count} {what}", remedy)
    columns = "doc_id, title, text, authors, year, venue, url, metadata, content_hash"
    sample = workspace.query(f"SELECT {columns} FROM documents USING SAMPLE reservoir({_SAMPLE} ROWS) REPEATABLE (1)")  # noqa: S608
    altered = [row["doc_id"] for row in sample.iter_rows(named=True) if row_hash(row) != row["content_hash"]]
    if altered:
        broken = True
        yield Finding(
            "error",
            f"{len(altered)} of {len(sample)} documents differ from what was stored, first {altered[0]!r}",
            _AGAIN,
        )
    if not broken:
        count = workspace.query("SELECT count(*) FROM documents").item()
        yield Finding(
            "ok", f"{count:,} documents and their passages are consistent ({len(sample):,} compared with their hashes)"
        )


def _label(generation: Generation) -> str:
    """The index in words; two of one kind are told apart by them."""
    try:
        return str(lookup("indexes", generation.kind).model_validate(generation.params).label())  # type: ignore[attr-defined]
    except (TriptychError, ValueError):
        return generation.kind


def _size(count: int) -> str:
    return f"{count / 1e6:,.0f} MB" if count >= 1e6 else f"{count / 1e3:,.0f} kB"


def _indexes(workspace: Workspace) -> Iterator[Finding]:
    for collection in workspace.collections():
        for generation in workspace.generations.live(collection.collection_id):
            named = f"index {_label(generation)!r} of {collection.name!r}"
            try:
                Generations(workspace.database).open_folder(generation)
            except WorkspaceDamaged as error:
                yield Finding("error", f"{named}: {error}", "Build it again in the Library, or with `triptych index`.")
                continue
            if generation.revision != collection.revision:
                yield Finding(
                    "note", f"{named} does not know the newest changes", "Build it again to find what was added."
                )
            else:
                yield Finding("ok", f"{named}: {generation.rows:,} rows, intact")


def _foreign(workspace: Workspace) -> Iterator[Finding]:
    """What in the folder was not made by this program, and what it made and nothing refers to any more."""
    contents = survey(workspace.database)
    marker = read_marker(workspace.folder)
    beside = marker is not None and marker.adopted  # the folder held other files from the beginning
    foreign = [path for path in contents.foreign if not (beside and path.parent == workspace.folder)]
    if foreign:
        names = ", ".join(path.relative_to(workspace.folder).as_posix() for path in foreign[:5])
        yield Finding(
            "note",
            f"{len(foreign)} file(s) or folder(s) that Triptych did not make: {names}"
            + (" …" if len(foreign) > 5 else ""),
            "They are left alone. Move them where they belong, if they are not meant to be here.",
        )
    if contents.loose:
        yield Finding(
            "note",
            f"{len(contents.loose)} index folder(s) that nothing refers to",
            "They are moved to quarantine when the workspace is next opened for writing.",
        )


def _models(workspace: Workspace) -> Iterator[Finding]:
    """Every model's files against its card, and the models that indexes were built with but that are gone."""
    bundled, own = bundled_models(), workspace.models.cards()
    again = "Delete it and add it again on the Models page, or with `triptych models add --replace`."
    for name, problem in workspace.models.broken().items():
        yield Finding("error", f"model {name!r}: {problem}", again)
    for name, card in (bundled | own).items():
        try:
            verify_files(workspace.models.find(name), card)
        except WorkspaceDamaged as error:
            yield Finding("error", str(error), again if name in own else "Install Triptych again.")
        else:
            yield Finding("ok", f"model {name!r} ({card.family}): {_size(card.bytes)}, intact")
    for collection in workspace.collections():
        needed = {
            str(g.params["model"]) for g in workspace.generations.live(collection.collection_id) if "model" in g.params
        }
        for name in sorted(needed - set(bundled) - set(own)):
            yield Finding(
                "warning",
                f"an index of {collection.name!r} was built with the model {name!r}, which is not here",
                "Add the model, or drop the index.",
            )
