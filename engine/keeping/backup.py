"""A workspace as one file, and back.

All tables are read in one transaction, which sees one state however long it takes, and are written as Arrow files into
a zip archive. So a backup holds up no writer, reads every value on its way (damage shows when it is made, and not when
it is needed), and does not depend on the format of the database's own file. Indexes are left out: they are built again
from the documents.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine import __version__
from engine.errors import BadInput, TriptychError, WorkspaceDamaged
from engine.keeping.rebuilding import Rebuilding, refuse_used
from engine.models.card import CARD_FILE, read_card
from engine.models.verify import verify_files
from engine.workspace.database import migrations, tables
from engine.workspace.database.recovery import translate
from engine.workspace.generations import sync
from engine.workspace.models import checked_model_name

if TYPE_CHECKING:
    from engine.workspace.workspace import Workspace

FORMAT, VERSION = "triptych-backup", 1
MANIFEST = "manifest.json"
PIECE_BYTES, FEWEST, MOST = 32_000_000, 64, 65_536  # aim and bounds of a piece of a table: its bytes, its rows
MAX_MANIFEST, MAX_PIECE = 64_000_000, 2_000_000_000  # bytes, unfolded; what is larger than memory goes through the disk
_STRIDE = 1 << 20
_MEMBER = re.compile(r"tables/[a-z_]+/\d{6}\.arrow|models/[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Member(_Strict):
    """A file in the archive. `rows` is 0 for what is no part of a table."""

    name: str
    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    rows: int = Field(0, ge=0)


class Manifest(_Strict):
    """What an archive holds and where it came from. `tables` gives the members of each table in their order."""

    format: str
    version: int
    triptych: str
    schema_version: int = Field(ge=1)
    created_at: str
    write_seq: int
    tables: dict[str, tuple[Member, ...]]
    models: dict[str, tuple[Member, ...]]
    models_left_out: dict[str, str] = {}

    def members(self) -> list[Member]:
        """All of them."""
        return [member for found in (*self.tables.values(), *self.models.values()) for member in found]


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made or brought back."""

    file: str
    bytes: int
    rows: int
    tables: int
    models: tuple[str, ...]
    created_at: str
    write_seq: int
    models_left_out: dict[str, str]


# making


def backup(workspace: Workspace, file: Path, *, with_models: bool = False) -> Backup:
    """Write a backup of an open workspace. Raises BadInput where it cannot be there, StorageFull, WorkspaceDamaged."""
    file = file.expanduser().absolute()
    _refuse_target(workspace.folder, file)
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        with workspace.database.translated("the backup"):
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw:
                with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                    manifest = _write(workspace, archive, with_models)
                raw.flush()
                os.fsync(raw.fileno())
            _refuse_target(workspace.folder, file)
            os.replace(part, file)
            sync(file.parent)
    finally:
        part.unlink(missing_ok=True)
    return _view(file, manifest)


def _refuse_target(folder: Path, file: Path) -> None:
    if file.exists():
        raise BadInput(f"{file} is there already. Name a new file; nothing is ever written over.")
    if not file.parent.is_dir():
        raise BadInput(f"The folder {file.parent} does not exist. Create it, or choose another place.")
    if file.resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"{file} lies inside the workspace, and would be lost with it. Choose another place.")


def _view(file: Path, manifest: Manifest) -> Backup:
    return Backup(
        str(file),
        file.stat().st_size,
        sum(member.rows for member in manifest.members()),
        len(manifest.tables),
        tuple(manifest.models),
        manifest.created_at,
        manifest.write_seq,
        dict(manifest.models_left_out),
    )


def _write(workspace: Workspace, archive: zipfile.ZipFile, with_models: bool) -> Manifest:
    database, held = workspace.database, {}
    with database.reading():
        seq = int(database.rows("SELECT write_seq FROM counters")[0][0])
        schema = int(database.rows("SELECT max(version) FROM schema_version")[0][0])
        for table in tables.tables(database.rows):
            if table.copied:
                held[table.name] = tuple(_pieces(workspace, archive, table))
    models, left_out = _models(workspace, archive) if with_models else ({}, {})
    manifest = Manifest(
        format=FORMAT,
        version=VERSION,
        triptych=__version__,
        schema_version=schema,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        write_seq=seq,
        tables=held,
        models=models,
        models_left_out=left_out,
    )
    archive.writestr(MANIFEST, manifest.model_dump_json(indent=1))
    return manifest


def _pieces(workspace: Workspace, archive: zipfile.ZipFile, table: tables.Table) -> Iterator[Member]:
    """The rows of a table in order, in pieces of about PIECE_BYTES."""
    end = int(workspace.database.rows(table.end_sql())[0][0])
    first, step, number = 0, FEWEST, 0
    while first < end:
        frame = workspace.database.query(table.range_sql(first, first + step))
        first += step
        step = _next_step(step, frame)
        if len(frame):
            buffer = io.BytesIO()
            frame.write_ipc(buffer)
            yield _add(archive, f"tables/{table.name}/{number:06}.arrow", io.BytesIO(buffer.getvalue()), len(frame))
            number += 1


def _next_step(step: int, frame: pl.DataFrame) -> int:
    """How many rows come next: towards PIECE_BYTES, growing by at most four times, shrinking at once."""
    size = max(1, frame.estimated_size())
    return int(min(max(step * PIECE_BYTES / size, FEWEST), step * 4, MOST))


def _add(archive: zipfile.ZipFile, name: str, source: IO[bytes], rows: int = 0) -> Member:
    digest, total = hashlib.sha256(), 0
    with archive.open(name, "w", force_zip64=True) as target:
        while chunk := source.read(_STRIDE):
            digest.update(chunk)
            total += len(chunk)
            target.write(chunk)
    return Member(name=name, bytes=total, sha256=digest.hexdigest(), rows=rows)


def _models(workspace: Workspace, archive: zipfile.ZipFile) -> tuple[dict[str, tuple[Member, ...]], dict[str, str]]:
    """The workspace's own models that are what their cards say, and why the others are not in the backup."""
    held: dict[str, tuple[Member, ...]] = {}
    left_out = workspace.models.broken()
    for name, card in workspace.models.cards().items():
        folder = workspace.models.folder / name
        try:
            verify_files(folder, card)
        except WorkspaceDamaged as error:
            left_out[name] = str(error)
            continue
        members = []
        for part in (CARD_FILE, *card.files):
            with (folder / part).open("rb") as source:
                members.append(_add(archive, f"models/{name}/{part}", source))
        held[name] = tuple(members)
    return held, left_out


# bringing back


def restore(file: Path, target: Path) -> Backup:
    """Make a new workspace of a backup. All of it is verified before the folder appears.

    Raises BadInput where the folder is not empty or the file is no backup, WorkspaceDamaged where it is damaged or
    newer, StorageFull.
    """
    file, target = file.expanduser().absolute(), target.expanduser().absolute()
    refuse_used(target)
    if not file.is_file():
        raise BadInput(f"{file} does not exist. Check the spelling.")
    import duckdb

    try:
        with zipfile.ZipFile(file) as archive:
            manifest = _manifest(archive, file)
            infos = _checked_members(archive, manifest, file)
            _refuse_small_disk(sum(info.file_size for info in infos.values()), target)
            with Rebuilding(target, manifest.schema_version) as made:
                _load(archive, infos, manifest, made, file)
                made.publish()
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise _damaged(file, f"it is no whole zip archive ({error})") from error
    except TriptychError:
        raise
    except (duckdb.Error, pl.exceptions.PolarsError, OSError) as error:
        raise (translate(error, "the restored workspace") or _damaged(file, str(error).splitlines()[0])) from error
    return _view(file, manifest)


def _damaged(file: Path, reason: str) -> WorkspaceDamaged:
    return WorkspaceDamaged(f"The backup {file} is damaged: {reason}. Nothing was restored; use another backup.")


def _manifest(archive: zipfile.ZipFile, file: Path) -> Manifest:
    foreign = BadInput(f"{file} is no backup of a workspace. `triptych backup FILE` makes one.")
    try:
        info = archive.getinfo(MANIFEST)
    except KeyError:
        raise foreign from None
    if info.file_size > MAX_MANIFEST:
        raise _damaged(file, f"its {MANIFEST} has {info.file_size:,} bytes")
    try:
        raw: Any = json.loads(_read(archive, info, file))
    except ValueError as error:
        raise _damaged(file, f"its {MANIFEST} cannot be read ({error})") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise foreign
    if raw.get("version") != VERSION:
        raise WorkspaceDamaged(
            f"{file} was written by another version of Triptych ({raw.get('triptych')!s:.40}). Upgrade Triptych, "
            "then restore it."
        )
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        raise _damaged(file, f"its {MANIFEST} is not as it was written ({error.error_count()} faults)") from error
    migrations.check(manifest.schema_version, str(file))
    return manifest


def _checked_members(archive: zipfile.ZipFile, manifest: Manifest, file: Path) -> dict[str, zipfile.ZipInfo]:
    """The entries of the archive by name, once each, named as we name them, and no larger than they say. Raises
    WorkspaceDamaged."""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if info.filename == MANIFEST:
            continue
        if not _MEMBER.fullmatch(info.filename) or info.filename in found:
            raise _damaged(file, f"it holds {info.filename!r:.120}, which no backup does")
        if info.filename.startswith("tables/") and info.file_size > MAX_PIECE:
            raise _damaged(file, f"{info.filename} would unfold to {info.file_size:,} bytes")
        found[info.filename] = info
    listed = {member.name: member for member in manifest.members()}
    for name in sorted(listed.keys() ^ found.keys()):
        raise _damaged(file, f"{name} is {'missing' if name in listed else 'not in its manifest'}")
    for name, member in listed.items():
        if found[name].file_size != member.bytes:
            raise _damaged(file, f"{name} has {found[name].file_size:,} bytes instead of {member.bytes:,}")
    for name, members in (*_prefixed("tables", manifest.tables), *_prefixed("models", manifest.models)):
        for member in members:
            if not member.name.startswith(name):
                raise _damaged(file, f"{member.name} is listed under {name}")
    return found


def _prefixed(kind: str, held: dict[str, tuple[Member, ...]]) -> list[tuple[str, tuple[Member, ...]]]:
    return [(f"{kind}/{name}/", members) for name, members in held.items()]


def _refuse_small_disk(needed: int, target: Path) -> None:
    from engine.errors import StorageFull

    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise StorageFull(
            f"Restoring needs about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free beside {target}. "
            "Free some space."
        )


def _unfold(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: IO[bytes], file: Path) -> str:
    """Write one entry to `target`, never more than it says; returns its sha256. Raises WorkspaceDamaged."""
    import zlib

    digest, total = hashlib.sha256(), 0
    try:
        with archive.open(info) as source:
            while total <= info.file_size and (chunk := source.read(_STRIDE)):
                digest.update(chunk)
                total += len(chunk)
                target.write(chunk)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _damaged(file, f"{info.filename} cannot be unpacked ({error})") from error
    if total != info.file_size:
        raise _damaged(file, f"{info.filename} unfolds to something else than it says")
    return digest.hexdigest()


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: Path) -> bytes:
    buffer = io.BytesIO()
    _unfold(archive, info, buffer, file)
    return buffer.getvalue()


def _load(
    archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo], manifest: Manifest, made: Rebuilding, file: Path
) -> None:
    expected = {name for name, table in made.tables.items() if table.copied}
    for name in sorted(expected ^ manifest.tables.keys()):
        raise _damaged(file, f"the table {name!r} is {'missing' if name in expected else 'none of this schema'}")
    for name, members in manifest.tables.items():
        for member in members:
            buffer = io.BytesIO()
            _verified(archive, infos, member, buffer, file)
            frame = pl.read_ipc(buffer)
            columns = [column for column, _ in made.tables[name].columns]
            if len(frame) != member.rows or frame.columns != columns:
                raise _damaged(file, f"{member.name} has other rows or columns than it should")
            made.load(made.tables[name], frame)
    for name, members in manifest.models.items():
        folder = made.models / checked_model_name(name)
        folder.mkdir(parents=True, mode=0o700)
        for member in members:
            with (folder / member.name.rpartition("/")[2]).open("wb") as part:
                _verified(archive, infos, member, part, file)
        verify_files(folder, read_card(folder))


def _verified(
    archive: zipfile.ZipFile, infos: dict[str, zipfile.ZipInfo], member: Member, target: IO[bytes], file: Path
) -> None:
    if _unfold(archive, infos[member.name], target, file) != member.sha256:
        raise _damaged(file, f"the content of {member.name} was altered")
    if isinstance(target, io.BytesIO):
        target.seek(0)
