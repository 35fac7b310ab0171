"""Index generations: built aside, verified, published by one inserted row, immutable from then on.

build in `tmp-<id>/` -> hash and fsync -> manifest -> rename to `indexes/<id>/` -> insert the row (the commit point) ->
remove what it replaces.
"""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import hashlib
import json
import os
import threading
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.component import parse
from engine.errors import BadInput, TriptychError, WorkspaceDamaged
from engine.system import belongings
from engine.system.belongings import MANIFEST
from engine.system.permissions import private_folder, tighten, tighten_tree
from engine.system.quarantine import Quarantine
from engine.workspace.versions import library_versions

if TYPE_CHECKING:
    from engine.workspace.database.database import Database

INDEXES = "indexes"
_COLUMNS = (
    "generation_id, collection_id, kind, params, fingerprint, revision, rows, dim, bytes, manifest_sha256, details, "
    "created_at"
)
RESUMABLE = ("queued", "running", "paused", "interrupted")


def canonical(params: Mapping[str, Any]) -> str:
    """Parameters as the JSON text that identifies them."""
    return json.dumps(params, sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Generation:
    """One published index. `params` and `kind` say what was asked, `fingerprint` what it was built with, `revision` of
    which state."""

    generation_id: str
    collection_id: str
    kind: str
    params: dict[str, Any]
    fingerprint: str
    revision: int
    rows: int
    dim: int
    bytes: int
    manifest_sha256: str
    details: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Build:
    """An index under construction: write its files into `folder`. It starts empty, or with the subfolders of the
    attempt that it resumes."""

    generation_id: str
    collection_id: str
    kind: str
    folder: Path
    _owner: Generations

    def publish(
        self, params: Mapping[str, Any], fingerprint: str, revision: int, rows: int, dim: int,
        versions: Mapping[str, str] | None = None, details: Mapping[str, Any] | None = None,
    ) -> Generation:  # fmt: skip
        """Make the index live and retire the one it replaces. Raises StorageFull; the old generation then still
        serves."""
        return self._owner.publish(self, params, fingerprint, revision, rows, dim, versions, details)

    def abandon(self) -> None:
        """Give the build up and remove its files."""
        self._owner.abandon(self)


def file_sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Flush a file or folder to the disk; folders cannot be flushed on Windows."""
    if os.name == "nt" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() or os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _seal(folder: Path) -> list[dict[str, Any]]:
    """Flush every file and say what it holds."""
    files = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST):
        sync(path)
        files.append(
            {"name": path.relative_to(folder).as_posix(), "bytes": path.stat().st_size, "sha256": file_sha256(path)}
        )
    return files


def _table(text: str) -> dict[str, Any]:
    """A stored object; what is none says so under a name that no index has."""
    found = json.loads(text)
    return found if isinstance(found, dict) else {"unreadable": found}


class Generations:
    """The published indexes of a workspace and the builds under way."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._folder = database.folder
        self._quarantine = Quarantine(database.folder)
        self._lock = threading.Lock()
        self._active: set[str] = set()
        self._verified: set[str] = set()
        self._live: dict[str, tuple[int, list[Generation]]] = {}
        self.epoch = 0
        """Grows whenever something is published or dropped."""

    # building

    def begin(self, collection_id: str, kind: str, params: Mapping[str, Any] | None = None, job_id: str = "") -> Build:
        """Start a build, or take up the one that this job was interrupted in (same collection, kind and parameters)."""
        asked = canonical(params or {})
        with self._db.write(f"starting a {kind} index") as cursor:
            found = cursor.execute(
                "SELECT generation_id FROM builds WHERE collection_id = ? AND kind = ? AND params = ?::JSON AND "
                "job_id = ? AND job_id <> ''",
                [collection_id, kind, asked, job_id],
            ).fetchall()
            free = [row[0] for row in found if row[0] not in self._active and belongings.is_folder(self._build(row[0]))]
            generation_id = free[0] if free else uuid.uuid4().hex
            if not free:
                cursor.execute(
                    "INSERT INTO builds VALUES (?, ?, ?, ?::JSON, ?, now()::TIMESTAMP)",
                    [generation_id, collection_id, kind, asked, job_id],
                ).fetchall()
            self._active.add(generation_id)
        build = Build(generation_id, collection_id, kind, self._build(generation_id), self)
        try:
            with self._db.translated(f"the {kind} index"):
                private_folder(build.folder)  # only once its row is there: a folder without one is somebody else's
                for path in build.folder.iterdir():
                    if belongings.is_file(path):
                        path.unlink()
        except BaseException:
            self.release(build)
            raise
        return build

    def _build(self, generation_id: str) -> Path:
        return self._folder / f"{belongings.BUILD_PREFIX}{generation_id}"

    def publish(
        self, build: Build, params: Mapping[str, Any], fingerprint: str, revision: int, rows: int, dim: int,
        versions: Mapping[str, str] | None, details: Mapping[str, Any] | None,
    ) -> Generation:  # fmt: skip
        with self._db.translated(f"the {build.kind} index"):
            tighten_tree(build.folder)
            files = _seal(build.folder)
            about = {
                "generation_id": build.generation_id,
                "collection_id": build.collection_id,
                "kind": build.kind,
                "params": dict(params),
                "fingerprint": fingerprint,
                "revision": revision,
                "rows": rows,
                "dim": dim,
                "versions": dict(versions or library_versions()),
                "details": dict(details or {}),
                "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "files": files,
            }
            (build.folder / MANIFEST).write_text(json.dumps(about, indent=1, sort_keys=True), "utf-8")
            tighten(build.folder / MANIFEST)
            sync(build.folder / MANIFEST)
            sync(build.folder)
            home = private_folder(self._folder / INDEXES)
            target = home / build.generation_id
            os.replace(build.folder, target)
            sync(home)
            sync(self._folder)
        try:
            old = self._insert(build, about, target)
        except BaseException:
            self._remove_folder(build.generation_id)
            raise
        with self._lock:
            self._active.discard(build.generation_id)
            self.epoch += 1
        for generation_id in old:
            self._remove_folder(generation_id)
        return self.get(build.generation_id)

    def _insert(self, build: Build, about: Mapping[str, Any], target: Path) -> list[str]:
        """The commit point of a publication; returns the generations that it replaces."""
        size = sum(entry["bytes"] for entry in about["files"])
        params = canonical(about["params"])
        with self._db.write(f"publishing a {build.kind} index of {about['rows']} rows") as cursor:
            same = "collection_id = ? AND kind = ? AND params = ?::JSON"
            old = [
                row[0]
                for row in cursor.execute(
                    f"DELETE FROM generations WHERE {same} RETURNING generation_id",
                    [build.collection_id, build.kind, params],
                ).fetchall()
            ]
            cursor.execute("DELETE FROM builds WHERE generation_id = ?", [build.generation_id]).fetchall()
            cursor.execute(
                "INSERT INTO generations VALUES (?, ?, ?, ?::JSON, ?, ?, ?, ?, ?, ?, ?::JSON, now()::TIMESTAMP)",
                [
                    build.generation_id,
                    build.collection_id,
                    build.kind,
                    params,
                    about["fingerprint"],
                    about["revision"],
                    about["rows"],
                    about["dim"],
                    size,
                    file_sha256(target / MANIFEST),
                    canonical(about["details"]),
                ],
            ).fetchall()
        return old

    def abandon(self, build: Build) -> None:
        self.release(build)
        belongings.delete_folder(build.folder, self._folder)
        self._db.execute(
            "giving up an index build", "DELETE FROM builds WHERE generation_id = ?", [build.generation_id]
        )

    def release(self, build: Build) -> None:
        """Let go of an interrupted build, keeping its files for the job that will resume it."""
        with self._lock:
            self._active.discard(build.generation_id)

    # reading

    def get(self, generation_id: str) -> Generation:
        """Raises WorkspaceDamaged when it is not published."""
        found = self._select("WHERE generation_id = ?", [generation_id])
        if not found:
            raise WorkspaceDamaged(f"The index {generation_id} is not published.")
        return found[0]

    def live(self, collection_id: str, kind: str | None = None) -> list[Generation]:
        """The newest generation of every (kind, parameters), oldest first. Costs a look-up unless something was
        published since."""
        epoch, known = self._live.get(collection_id, (-1, []))
        if epoch != self.epoch:
            epoch = self.epoch
            newest = {
                (g.kind, canonical(g.params)): g for g in self._select("WHERE collection_id = ?", [collection_id])
            }
            known = list(newest.values())
            self._live[collection_id] = (epoch, known)
        return [generation for generation in known if kind in (None, generation.kind)]

    def find(self, collection_id: str, kind: str, params: Mapping[str, Any]) -> Generation | None:
        """The live generation of one specification."""
        asked = canonical(params)
        return next((g for g in self.live(collection_id, kind) if canonical(g.params) == asked), None)

    def _select(self, where: str, params: list[Any]) -> list[Generation]:
        rows = self._db.rows(f"SELECT {_COLUMNS} FROM generations {where} ORDER BY created_at, rowid", params)
        names = _COLUMNS.split(", ")
        return [
            Generation(**{**dict(zip(names, row, strict=True)), "params": _table(row[3]), "details": _table(row[10])})
            for row in rows
        ]

    def folder(self, generation_id: str) -> Path:
        """Where a generation's files are; not verified."""
        return self._folder / INDEXES / generation_id

    def open_folder(self, generation: Generation) -> Path:
        """The verified folder: sizes always, contents (sha256) when this process opens it first. Raises
        WorkspaceDamaged that names the file."""
        folder = self.folder(generation.generation_id)
        manifest = folder / MANIFEST
        try:
            if file_sha256(manifest) != generation.manifest_sha256:
                raise WorkspaceDamaged(
                    f"{self._named(generation)}: its manifest was altered, or belongs to another generation."
                )
            about = json.loads(manifest.read_text("utf-8"))
            self._verify(folder, about["files"], generation, contents=generation.generation_id not in self._verified)
        except OSError as error:
            raise WorkspaceDamaged(
                f"{self._named(generation)}: {error.strerror}: {Path(str(error.filename)).name}."
            ) from error
        self._verified.add(generation.generation_id)
        return folder

    def _verify(self, folder: Path, files: list[dict[str, Any]], generation: Generation, *, contents: bool) -> None:
        present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
        extra = present - {entry["name"] for entry in files}
        if extra:
            raise WorkspaceDamaged(f"{self._named(generation)}: {sorted(extra)[0]} does not belong to it.")
        for entry in files:
            path = folder / entry["name"]
            size = path.stat().st_size
            if size != entry["bytes"]:
                raise WorkspaceDamaged(
                    f"{self._named(generation)}: {entry['name']} has {size} bytes instead of {entry['bytes']}."
                )
            if contents and file_sha256(path) != entry["sha256"]:
                raise WorkspaceDamaged(f"{self._named(generation)}: the contents of {entry['name']} were altered.")

    @staticmethod
    def _named(generation: Generation) -> str:
        return f"The {generation.kind} index {generation.generation_id[:8]} is damaged and must be built again"

    # removal

    def drop(self, generation_id: str) -> None:
        """Delete one generation: the row first, then the files. Readers that have them open keep what they mapped."""
        self._db.execute("dropping an index", "DELETE FROM generations WHERE generation_id = ?", [generation_id])
        self.epoch += 1
        self._remove_folder(generation_id)

    def _remove_folder(self, generation_id: str) -> None:
        """Delete the files that the manifest lists, and nothing else. Where the system keeps open files, the next start
        sweeps them; a folder whose manifest is damaged does not say what is ours in it, and goes to quarantine for
        good."""
        self._verified.discard(generation_id)
        folder = self.folder(generation_id)
        if not belongings.is_folder(folder) or not belongings.is_within(folder, self._folder):
            return
        if not self._let_go(folder):
            return
        names = belongings.listed_files(folder)
        if names is not None:
            belongings.delete_listed(folder, names)
        else:
            with suppress(OSError):
                self._quarantine.keep(folder)

    def _let_go(self, folder: Path) -> bool:
        """Tell the index that it goes; false where what it owns elsewhere cannot be reached, and the next start has to
        try again."""
        try:
            about = json.loads((folder / MANIFEST).read_text("utf-8"))
            index: Any = parse("indexes", {about["kind"]: about["params"]})
        except (OSError, ValueError, KeyError, TypeError, BadInput):
            return True  # without a manifest, or of a component that is no longer installed
        try:
            index.dropped(folder)
        except TriptychError:
            return False
        return True

    def sweep(self) -> list[str]:
        """Move folders that no row knows any more, and builds that no unfinished job will resume, to quarantine;
        returns which, in words.

        Only what is surely a published index (its name is an id, and its manifest names that id) or a build (its row is
        there); other folders are somebody else's.
        """
        known = {row[0] for row in self._db.rows("SELECT generation_id FROM generations")}
        builds = {row[0] for row in self._db.rows("SELECT generation_id FROM builds")}
        resumable = self._resumable()
        home = self._folder / INDEXES
        indexes = sorted(home.iterdir()) if belongings.is_folder(home) else []
        orphans = [path for path in indexes if path.name not in known and belongings.listed_files(path) is not None]
        for folder in sorted(self._folder.glob(f"{belongings.BUILD_PREFIX}*")):
            build = belongings.build_id(folder.name)
            if build is not None and build in builds and build not in resumable:
                orphans.append(folder)
        moved = [path for path in filter(self._let_go, orphans) if self._quarantine.take(path) is not None]
        stale = sorted(build for build in builds - resumable if not os.path.lexists(self._build(build)))
        if stale:
            self._db.execute(
                "forgetting abandoned builds",
                "DELETE FROM builds WHERE list_contains(?::VARCHAR[], generation_id)",
                [stale],
            )
        return [path.relative_to(self._folder).as_posix() for path in moved]

    def _resumable(self) -> set[str]:
        """Builds that run, or that an unfinished job will take up."""
        marks = ", ".join("?" for _ in RESUMABLE)
        rows = self._db.rows(
            f"SELECT b.generation_id FROM builds b JOIN jobs j USING (job_id) WHERE j.status IN ({marks})", RESUMABLE
        )
        return {row[0] for row in rows} | self._active
