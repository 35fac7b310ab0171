"""One folder that holds everything: the database, the index generations and the models. This process is its only
writer."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import atexit
import json
import shutil
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import polars as pl

from engine.errors import BadInput, NotFound, WorkspaceDamaged
from engine.system import scratch
from engine.system.locking import WorkspaceLock
from engine.system.permissions import FOLDER
from engine.system.quarantine import KEPT_DAYS, Quarantine
from engine.workspace import creation
from engine.workspace.calibrations import Calibrations
from engine.workspace.contents import tighten_workspace
from engine.workspace.database.database import Database
from engine.workspace.documents import DocumentStore
from engine.workspace.evaluations import Evaluations
from engine.workspace.generations import Generations
from engine.workspace.jobs import JobRecords
from engine.workspace.judging import Judging
from engine.workspace.models import Models
from engine.workspace.runs import Runs
from engine.workspace.shelf import Shelf
from engine.workspace.votes import Blind

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_NAME = 200
MAX_DESCRIPTION = 1_000


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of documents. `revision` grows with every change; `collection_id` never changes and names nothing
    outside."""

    collection_id: str
    name: str
    description: str
    created_at: datetime
    revision: int
    documents: int
    passages: int
    settings: dict[str, Any]


def checked_name(name: str, what: str = "collection") -> str:
    """A usable name in Unicode form C. Any printable name is data, `../x` and `CON` included. Raises BadInput."""
    clean = unicodedata.normalize("NFC", name).strip()
    if not clean:
        raise BadInput(f"A {what} needs a name.")
    if len(clean) > MAX_NAME:
        raise BadInput(f"The name of a {what} has at most {MAX_NAME} characters; this one has {len(clean)}.")
    if not clean.isprintable():
        raise BadInput(f"The {what} name {clean!r} holds characters that cannot be printed; leave them out.")
    return clean


def _checked_description(description: str) -> str:
    clean = description.strip()
    if len(clean) > MAX_DESCRIPTION:
        raise BadInput(f"A description has at most {MAX_DESCRIPTION:,} characters; this one has {len(clean):,}.")
    return clean


class Workspace(Shelf):
    """Open with `Workspace.open`; close it, or use it in a `with`."""

    def __init__(self, folder: Path, database: Database, lock: WorkspaceLock | None) -> None:
        self.folder = folder
        self.read_only = database.read_only
        self.notices: list[str] = database.notices
        self._db = database
        self._lock = lock
        self.documents = DocumentStore(database)
        self.generations = Generations(database)
        self.evaluations = Evaluations(database)
        self.runs = Runs(database)
        self.judging = Judging(database)
        self.blind = Blind(database)
        self.calibrations = Calibrations(database)
        self.models = Models(folder)
        self.jobs = JobRecords(database)
        atexit.register(self.close)

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        read_only: bool = False,
        adopt: bool = False,
    ) -> Workspace:
        """Open a workspace folder, as storage: no job goes on by it (see engine.serving.engine). It is created unless
        `read_only`.

        A folder that holds other files becomes a workspace only with `adopt`, which leaves them alone. `notices` tells
        what recovery did. Raises BadInput, WorkspaceInUse, WorkspaceDamaged, ReadOnly, StorageFull.
        """
        folder = Path(folder).expanduser().absolute()
        try:
            is_file = folder.exists() and not folder.is_dir()
        except OSError as error:
            raise BadInput(
                f"{folder} cannot be reached: {error.strerror}. Check its permissions, or choose another folder."
            ) from error
        if is_file:
            raise BadInput(f"{folder} is a file; a workspace is a folder.")
        if read_only:
            return cls(folder, Database(folder, read_only=True), None)
        creation.examine(folder, adopt=adopt)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=FOLDER, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"The workspace folder {folder} cannot be created: {error.strerror}. Choose another one."
            ) from error
        lock = WorkspaceLock(folder)
        try:
            creation.prepare(folder, adopt=adopt)
            workspace = cls(folder, Database(folder, read_only=False), lock)
        except BaseException:
            lock.release()
            raise
        try:
            tighten_workspace(workspace.database)
            workspace._sweep()
        except BaseException:
            workspace.close()
            raise
        return workspace

    def _sweep(self) -> None:
        """Settle what an earlier run left: folders that nothing refers to, before any job of this run makes new
        ones."""
        Quarantine(self.folder).expire()
        scratch.sweep()
        swept = self.generations.sweep() + self.models.sweep(self.jobs.resumable(), self.jobs.ids())
        if swept:
            self.notices.append(
                f"Moved {len(swept)} unfinished folder(s) of an earlier run to quarantine, to be deleted in "
                f"{KEPT_DAYS} days: {', '.join(swept[:5])}."
            )

    def close(self) -> None:
        """Close the database and give the lock up. Idempotent."""
        atexit.unregister(self.close)
        self._db.close()
        if self._lock is not None:
            self._lock.release()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # the database

    @property
    def database(self) -> Database:
        """For the engine's own modules; everything else has a method."""
        return self._db

    def cursor(self) -> DuckDBPyConnection:
        """This thread's cursor."""
        return self._db.cursor()

    def query(self, sql: str, params: Sequence[Any] = ()) -> pl.DataFrame:
        """Read rows. Values go through parameters only."""
        return self._db.query(sql, params)

    # collections

    def collections(self) -> list[Collection]:
        """All collections by name."""
        rows = self._db.rows(
            "SELECT c.collection_id, c.name, c.description, c.created_at, c.revision, coalesce(d.n, 0), "
            "coalesce(p.n, 0), c.settings FROM collections c LEFT JOIN (SELECT collection_id, count(*) AS n FROM "
            "documents GROUP BY ALL) d USING (collection_id) LEFT JOIN (SELECT collection_id, count(*) AS n FROM "
            "passages GROUP BY ALL) p USING (collection_id) ORDER BY lower(c.name), c.name"
        )
        return [Collection(a, b, c, d, e, f, g, json.loads(h)) for a, b, c, d, e, f, g, h in rows]

    def collection(self, name: str) -> Collection:
        """The collection of this name. Raises NotFound that lists the known ones."""
        wanted = unicodedata.normalize("NFC", name).strip()
        known = self.collections()
        for collection in known:
            if collection.name == wanted:
                return collection
        names = ", ".join(repr(collection.name) for collection in known) or "none yet"
        raise NotFound(f"There is no collection {name!r}. Collections: {names}.")

    def create_collection(
        self, name: str, description: str = "", settings: Mapping[str, Any] | None = None
    ) -> Collection:
        """Raises BadInput when the name is taken or unusable, or the description too long."""
        name, description = checked_name(name), _checked_description(description)
        with self._db.write(f"creating the collection {name!r}") as cursor:
            self._refuse_taken(name)
            cursor.execute(
                "INSERT INTO collections VALUES (?, ?, ?, now()::TIMESTAMP, 0, ?::JSON)",
                [uuid.uuid4().hex, name, description, json.dumps(dict(settings or {}))],
            ).fetchall()
        return self.collection(name)

    def rename_collection(self, name: str, new_name: str) -> Collection:
        """Only the name changes; documents, indexes and links stay."""
        collection, new_name = self.collection(name), checked_name(new_name)
        if new_name != collection.name:
            with self._db.write(f"renaming the collection {name!r}") as cursor:
                self._refuse_taken(new_name)
                cursor.execute(
                    "UPDATE collections SET name = ? WHERE collection_id = ?", [new_name, collection.collection_id]
                ).fetchall()
        return self.collection(new_name)

    def describe_collection(self, name: str, description: str) -> Collection:
        """Replace the description; empty removes it. Raises BadInput when it is too long."""
        collection, description = self.collection(name), _checked_description(description)
        self._db.execute(
            f"describing the collection {name!r}",
            "UPDATE collections SET description = ? WHERE collection_id = ?",
            [description, collection.collection_id],
        )
        return self.collection(name)

    def _refuse_taken(self, name: str) -> None:
        if self._db.rows("SELECT 1 FROM collections WHERE name = ?", [name]):
            raise BadInput(f"There is already a collection {name!r}. Choose another name.")

    def delete_collection(self, name: str) -> None:
        """Delete a collection with its documents, indexes, queries, judgments, evaluations, calibrations and shortlist.
        Raises BadInput while a job works on it."""
        collection = self.collection(name)
        key = [collection.collection_id]
        busy = self.jobs.unfinished(collection.collection_id)
        if busy:
            raise BadInput(
                f"{len(busy)} job(s) still work on {name!r} (first: {busy[0].job_id}). Cancel them, then delete "
                "the collection."
            )
        generations = self.generations.live(collection.collection_id)
        with self._db.write(f"deleting the collection {name!r}") as cursor:
            self.evaluations.delete_of(collection.collection_id)
            self.runs.delete_of(collection.collection_id)
            self.judging.delete_of(collection.collection_id)
            self.blind.delete_of(collection.collection_id)
            self.calibrations.delete_of(collection.collection_id)
            for table in ("passages", "documents", "queries", "judgments", "shortlist", "collections"):
                cursor.execute(f"DELETE FROM {table} WHERE collection_id = ?", key).fetchall()
        for generation in generations:
            self.generations.drop(generation.generation_id)
        self.documents.forget(collection.collection_id)

    def revision(self, collection_id: str) -> int:
        """Grows with every change of the documents; cheap. Raises NotFound."""
        return self.documents.revision(collection_id)

    def disk_free(self) -> int:
        """Free bytes on the workspace's disk. Raises WorkspaceDamaged when the folder is gone."""
        try:
            return shutil.disk_usage(self.folder).free
        except OSError as error:
            raise WorkspaceDamaged(f"The workspace folder {self.folder} cannot be read: {error.strerror}.") from error
