# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters
"""Adding files to a collection: read in a child process, stored in batches, journaled in the same transaction,
resumable to the item."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import polars as pl
from pydantic import ValidationError

from engine.component import parse
from engine.errors import BadInput, Cancelled, NotFound
from engine.jobs.base import JobKind, some
from engine.readers.base import ReaderOptions
from engine.readers.sandbox import Batch, FileFinished, FileStarted, Source, expand, read_in_child
from engine.types import Item, Judgment, Progress, Query, Record, Rejected
from engine.workspace.database import arrow
from engine.workspace.documents import OUTCOMES, Chunker, Duplicates

if TYPE_CHECKING:
    from engine.serving.engine import Engine
    from engine.serving.running import Running
    from engine.workspace.workspace import Workspace

BATCH_ITEMS, BATCH_CHARS, BATCH_SECONDS = 2_000, 20_000_000, 5.0
MAX_STORED_REJECTIONS = 10_000
DEFAULT_CHUNKER: Mapping[str, Any] = {"sentences": {}}
COUNTED = ("items_done", *OUTCOMES, "queries", "judgments")


@dataclass(eq=False)
class File:
    """One file of a job, as journaled. `items_done` is where a resumed job goes on; `stamp` changes when the file does.

    status: "reading", "done", or "failed" when it gave nothing but rejections.
    """

    ordinal: int
    label: str
    stamp: str
    status: str = "reading"
    error: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    skip: int = 0
    """Items at the start that an earlier attempt has stored."""
    size: int = 0
    read: int = 0
    """Bytes of it that the reader has taken; 0 where that is not known."""


def parse_chunker(raw: Mapping[str, Any]) -> Chunker:
    """A chunker from {"name": {parameters}}. Raises BadInput."""
    return cast(Chunker, parse("chunkers", raw))


class AddJob(JobKind, name="add"):
    """Reads files, folders and zips into a collection, then updates indexes. A file that failed is counted and named,
    and the others are stored."""

    ends_in_indexes: ClassVar[bool] = True
    before_indexes: ClassVar[tuple[str, ...]] = ("", "start", "add")

    paths: tuple[str, ...] = ()
    options: dict[str, Any] | None = None
    """Fields of ReaderOptions."""
    duplicates: Duplicates | None = None
    chunker: dict[str, Any] | None = None
    """Else that of the collection, else DEFAULT_CHUNKER."""
    then_index: tuple[Any, ...] | None = None

    def label(self) -> str:
        """The names of what is read."""
        return f"Add {some([Path(path).name for path in self.paths])}"

    def run(self, engine: Engine, running: Running) -> None:
        """Raises BadInput when nothing could be read at all."""
        files = Ingest(engine.workspace, self, running).run()
        failed = [file for file in files if file.status == "failed"]
        if failed and not any(file.counts["items_done"] > file.counts["rejected"] for file in files):
            raise BadInput(f"None of the {len(failed)} file(s) could be read. {failed[0].label}: {failed[0].error}")
        if self.then_index:
            from engine.jobs.index import index_all

            index_all(engine.workspace, running, self.then_index)


class Ingest:
    """One add job at work: gathers what the readers send, and stores it batch by batch."""

    def __init__(self, workspace: Workspace, asked: AddJob, running: Running) -> None:
        self._workspace, self._asked, self._running = workspace, asked, running
        self._db, self._job_id = workspace.database, running.job.job_id
        self._collection_id = running.job.collection_id
        self._duplicates: Duplicates = asked.duplicates or "replace"
        try:
            self._options = ReaderOptions.model_validate(asked.options or {})
        except ValidationError as error:
            raise BadInput(f"The reading options cannot be used: {error}") from error
        found = self._db.rows("SELECT settings FROM collections WHERE collection_id = ?", [self._collection_id])
        if not found:
            raise NotFound("The collection to add to was deleted.")
        self._chunker = parse_chunker(asked.chunker or json.loads(found[0][0]).get("chunker") or DEFAULT_CHUNKER)
        self._files = self._journaled()
        self._pending: list[tuple[File, Item]] = []
        self._touched: set[str] = set()
        self._chars, self._flushed = 0, time.monotonic()
        self._cleaned: Counter[str] = Counter(running.counts.get("cleaned", {}))

    def _journaled(self) -> dict[str, File]:
        names = ", ".join(COUNTED)
        rows = self._db.rows(
            f"SELECT ordinal, source, stamp, status, error, {names} FROM job_files WHERE job_id = ? ORDER BY ordinal",
            [self._job_id],
        )
        counts = [Counter(dict(zip(COUNTED, row[5:], strict=True))) for row in rows]
        return {
            row[1]: File(row[0], row[1], row[2], row[3], row[4], found) for row, found in zip(rows, counts, strict=True)
        }

    def run(self) -> list[File]:
        """Read and store what is left; returns all files as they stand afterwards. Raises Halted, StorageFull,
        BadInput."""
        sources = expand(self._asked.paths)
        if not sources:
            raise BadInput("There is nothing to add: no file was given, or the folders are empty.")
        packed = any(source.format == "zip" for source in sources)  # whose inner files are longer
        self._bytes = 0 if packed else sum(source.bytes for source in sources)
        stamps = {source.label: _stamp(source.path) for source in sources}
        done = {label for label, file in self._files.items() if file.status != "reading"}
        left = [source for source in sources if source.format == "zip" or source.label not in done]
        self._report()
        if not left:
            return list(self._files.values())
        events = read_in_child(left, self._options, should_stop=self._running.halted, skip=done)
        try:
            for event in events:
                self._take(event, sources, stamps)
        except Cancelled:
            self._running.check()  # says whether it was paused, cancelled or interrupted
            raise
        finally:
            events.close()  # type: ignore[attr-defined]
        self._flush()
        return list(self._files.values())

    def _take(
        self, event: FileStarted | Batch | FileFinished, sources: Sequence[Source], stamps: Mapping[str, str]
    ) -> None:
        if isinstance(event, FileStarted):
            self._start(event, _stamp_of(event, sources, stamps))
            return
        file = self._files[event.path]
        if isinstance(event, FileFinished):
            self._touched.add(file.label)
            file.status = "done"  # with its last items, which may still wait to be stored
            self._cleaned.update(event.cleaned or {})
        if isinstance(event, Batch):
            self._gather(file, event)

    def _gather(self, file: File, batch: Batch) -> None:
        before, step = file.read, (min(batch.bytes_read, file.size) - file.read) / max(1, len(batch.items))
        for number, item in enumerate(batch.items, start=1):
            file.read = max(0, round(before + step * number))
            if file.skip:
                file.skip -= 1
                continue
            if not self._pending:
                self._flushed = time.monotonic()  # a batch waits from its first item on
            self._pending.append((file, item))
            self._touched.add(file.label)
            self._chars += len(item.text) if isinstance(item, Record) else 0
            if (
                len(self._pending) >= BATCH_ITEMS
                or self._chars >= BATCH_CHARS
                or time.monotonic() - self._flushed >= BATCH_SECONDS
            ):
                self._flush()

    def _start(self, event: FileStarted, stamp: str) -> None:
        file = self._files.get(event.path)
        if file is None:
            file = self._files[event.path] = File(len(self._files), event.path, stamp)
        elif file.stamp != stamp:
            # Changed while the job was interrupted: it is read from the start, and what ids were met is forgotten.
            self._db.execute(
                "starting over with a changed file", "DELETE FROM job_seen WHERE job_id = ?", [self._job_id]
            )
            file.stamp, file.counts = stamp, Counter()
        file.skip, file.size = file.counts["items_done"], event.bytes

    def _flush(self) -> None:
        """Store what was gathered, with the journal of the files it came from, in one transaction."""
        if not self._pending and not self._touched:
            return
        self._running.check()
        pending, touched = self._pending, self._touched
        self._pending, self._touched, self._chars = [], set(), 0
        documents = self._workspace.documents
        records = [(file, item) for file, item in pending if isinstance(item, Record)]
        rejected = [item for _, item in pending if isinstance(item, Rejected)]
        with self._db.write(
            f"adding {len(pending)} items from {pending[-1][0].label if pending else 'files'}"
        ) as cursor:
            if records:
                stored = documents.upsert(
                    self._collection_id,
                    [item for _, item in records],
                    [file.label for file, _ in records],
                    duplicates=self._duplicates,
                    chunker=self._chunker,
                    job_id=self._job_id,
                )
                _count_outcomes(records, stored.outcomes)
                rejected += stored.rejected
            documents.add_queries(self._collection_id, [item for _, item in pending if isinstance(item, Query)])
            documents.add_judgments(self._collection_id, [item for _, item in pending if isinstance(item, Judgment)])
            _count_others(pending)
            self._store_rejections(cursor, rejected)
            self._journal(cursor, [self._files[label] for label in sorted(touched)], rejected)
            cursor.execute(
                "UPDATE jobs SET counts = ?::JSON WHERE job_id = ?", [json.dumps(self._summed()), self._job_id]
            ).fetchall()
        self._flushed = time.monotonic()
        self._report()

    def _store_rejections(self, cursor: Any, rejected: Sequence[Rejected]) -> None:
        if not rejected:
            return
        known = int(cursor.execute("SELECT count(*) FROM rejections WHERE job_id = ?", [self._job_id]).fetchall()[0][0])
        kept = rejected[: max(0, MAX_STORED_REJECTIONS - known)]
        rows = pl.DataFrame(
            [(known + i, item.place, item.reason, item.excerpt) for i, item in enumerate(kept)],
            schema={"number": pl.Int64, "place": pl.String, "reason": pl.String, "excerpt": pl.String},
            orient="row",
        )
        with arrow.lent(cursor, refused=rows):
            cursor.execute(
                "INSERT INTO rejections SELECT ?, number, place, reason, excerpt FROM refused", [self._job_id]
            ).fetchall()

    def _journal(self, cursor: Any, files: Sequence[File], rejected: Sequence[Rejected]) -> None:
        for file in files:
            if file.status != "reading":
                file.status = "failed" if 0 < file.counts["items_done"] == file.counts["rejected"] else "done"
            file.error = file.error or next((item.reason for item in rejected if item.place.startswith(file.label)), "")
        rows = pl.DataFrame(
            [
                (
                    file.ordinal,
                    file.label,
                    file.stamp,
                    file.status,
                    file.error if file.status == "failed" else "",
                    *(file.counts[name] for name in COUNTED),
                )
                for file in files
            ],
            schema=["ordinal", "source", "stamp", "status", "error", *COUNTED],
            orient="row",
        )
        names = "ordinal, source, stamp, status, error, " + ", ".join(COUNTED)
        with arrow.lent(cursor, journal=rows):
            cursor.execute(
                "DELETE FROM job_files WHERE job_id = ? AND ordinal IN (SELECT ordinal FROM journal)", [self._job_id]
            ).fetchall()
            cursor.execute(
                f"INSERT INTO job_files (job_id, {names}) SELECT ?, {names} FROM journal", [self._job_id]
            ).fetchall()

    def _sum(self, name: str) -> int:
        return sum(file.counts[name] for file in self._files.values())

    def _summed(self) -> dict[str, Any]:
        """What the job's counts say."""
        files = self._files.values()
        counts: dict[str, Any] = {name: self._sum(name) for name in COUNTED}
        counts["files"] = sum(file.status != "reading" for file in files)
        counts["failed_files"] = sum(file.status == "failed" for file in files)
        return counts | ({"cleaned": dict(self._cleaned)} if self._cleaned else {})

    def _report(self) -> None:
        """Tell how far the job is. The total is estimated from the bytes that were read."""
        self._running.counts |= self._summed()
        known = [file for file in self._files.values() if file.status != "reading" or file.read]
        read = sum(file.read if file.status == "reading" else file.size for file in known)
        items, done = sum(file.counts["items_done"] for file in known), self._sum("items_done")
        total = max(done, round(items * self._bytes / read)) if read and items and self._bytes else None
        self._running(Progress("add", done, total, "records"))


def _count_outcomes(records: Sequence[tuple[File, Record]], outcomes: Sequence[str] | np.ndarray[Any, Any]) -> None:
    for (file, _), outcome in zip(records, outcomes, strict=True):
        file.counts[str(outcome)] += 1


def _count_others(pending: Sequence[tuple[File, Item]]) -> None:
    for file, item in pending:
        file.counts["items_done"] += 1
        if isinstance(item, Rejected):
            file.counts["rejected"] += 1
        elif isinstance(item, Query):
            file.counts["queries"] += 1
        elif isinstance(item, Judgment):
            file.counts["judgments"] += 1


def _stamp(path: Path) -> str:
    """Size and time of last change of a file, or of all files of a folder. Empty when it cannot be read; the reader
    will say why."""
    try:
        found = [one.stat() for one in (path.rglob("*") if path.is_dir() else [path]) if one.is_file()]
    except OSError:
        return ""
    return f"{len(found)}:{sum(one.st_size for one in found)}:{max((one.st_mtime_ns for one in found), default=0)}"


def _stamp_of(event: FileStarted, sources: Sequence[Source], stamps: Mapping[str, str]) -> str:
    """The stamp of a source, or of the archive that a file came out of."""
    if event.path in stamps:
        return stamps[event.path]
    return next(
        (stamps[source.label] for source in sources if event.path.startswith(source.label + "/")), str(event.bytes)
    )
