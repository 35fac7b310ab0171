"""The rows of the jobs: what was asked, how far it is, how it ended, and what it could not take. Who runs them is
somebody else's matter."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import polars as pl

from engine.errors import NotFound
from engine.types import Progress

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from engine.workspace.database.database import Database

Status: TypeAlias = Literal["queued", "running", "paused", "interrupted", "done", "failed", "cancelled"]
FINISHED = ("done", "failed", "cancelled")
KEPT = 500
"""Finished jobs that are remembered, the newest."""
_MAX_PARAMS = 20_000  # characters of a job's parameters that other shells are told
_COLUMNS = (
    "j.job_id, j.kind, j.collection_id, c.name, j.params, j.status, j.phase, j.done, j.total, j.unit, j.error, "
    "j.counts, j.created_at, j.started_at, j.finished_at, j.attempts"
)
_FILE_COLUMNS = (
    "source",
    "status",
    "items_done",
    "added",
    "changed",
    "unchanged",
    "duplicate",
    "rejected",
    "queries",
    "judgments",
    "error",
)


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. `rate` is units a second over the last seconds, `eta_s` seconds to the end of the phase; None
    when unknown.

    wish: what a running job was asked to do, and does at its next step; "" otherwise. attempts: starts since it last
    halted in order.
    """

    job_id: str
    kind: str
    collection_id: str
    collection: str
    params: dict[str, Any]
    status: Status
    phase: str
    done: int
    total: int | None
    unit: str
    error: str
    counts: dict[str, Any]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    rate: float | None = None
    eta_s: float | None = None
    files: tuple[dict[str, Any], ...] = ()
    wish: Literal["", "pause", "cancel", "stop"] = ""
    attempts: int = 0

    @property
    def summary(self) -> str:
        """The outcome in a few words, never without what was rejected: "done, 120 added, 3 rejected"."""
        named = [
            f"{self.counts[name]:,} {name}"
            for name in ("added", "changed", "unchanged", "duplicate", "rejected")
            if self.counts.get(name)
        ]
        failed = self.counts.get("failed_files")
        return ", ".join([self.status, *named, *([f"{failed} file(s) failed"] if failed else [])])


class JobRecords:
    """The jobs of a workspace, as they were last written."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, kind: str, collection_id: str, params: Mapping[str, Any]) -> str:
        """A new job that waits. Returns its id."""
        job_id = uuid.uuid4().hex
        self._db.execute(
            f"queueing a job to {kind}",
            "INSERT INTO jobs VALUES (?, ?, ?, ?::JSON, 'queued', '', 0, NULL, '', '', '{}', now()::TIMESTAMP, "
            "NULL, NULL, 0)",
            [job_id, kind, collection_id, json.dumps(dict(params))],
        )
        return job_id

    def get(self, job_id: str) -> Job:
        """Raises NotFound."""
        found = self._select("WHERE j.job_id = ?", [job_id])
        if not found:
            raise NotFound(f"There is no job {job_id!r}.")
        return found[0]

    def list(self, limit: int = 50) -> Sequence[Job]:
        """Newest first."""
        return self._select("ORDER BY j.created_at DESC, j.rowid DESC LIMIT ?", [limit])

    def pending(self) -> Sequence[Job]:
        """All that have not finished, oldest first."""
        return self._select(
            "WHERE NOT list_contains(?::VARCHAR[], j.status) ORDER BY j.created_at, j.rowid", [[*FINISHED]]
        )

    def next(self) -> Job | None:
        """The one of those that wait which is to start first; those that died before come last."""
        found = self._select("WHERE j.status = 'queued' ORDER BY j.attempts, j.created_at, j.rowid LIMIT 1", [])
        return found[0] if found else None

    def cut_off(self, attempts: int = 0) -> Sequence[Job]:
        """Those that ran when the program ended, after at least so many starts."""
        return self._select("WHERE j.status IN ('running', 'interrupted') AND j.attempts >= ?", [attempts])

    def ids(self) -> tuple[str, ...]:
        """Of all jobs that are remembered."""
        return tuple(str(row[0]) for row in self._db.rows("SELECT job_id FROM jobs"))

    def unfinished(self, collection_id: str) -> tuple[Job, ...]:
        """Jobs on a collection that run, wait or are paused."""
        return tuple(
            self._select(
                "WHERE j.collection_id = ? AND NOT list_contains(?::VARCHAR[], j.status)", [collection_id, [*FINISHED]]
            )
        )

    def resumable(self) -> tuple[str, ...]:
        """Ids of the jobs that may still go on: the unfinished ones, and those that failed in the last week."""
        rows = self._db.rows(
            "SELECT job_id FROM jobs WHERE status NOT IN ('done', 'cancelled', 'failed') "
            "OR (status = 'failed' AND finished_at > now()::TIMESTAMP - INTERVAL 7 DAY)"
        )
        return tuple(str(row[0]) for row in rows)

    def rejections(self, job_id: str, offset: int = 0, limit: int = 100) -> pl.DataFrame:
        """place, reason, excerpt of the input rows that a job could not take, in the order met."""
        return self._db.query(
            "SELECT place, reason, excerpt FROM rejections WHERE job_id = ? ORDER BY number, rowid LIMIT ? OFFSET ?",
            [job_id, limit, offset],
        )

    def _select(self, rest: str, params: Sequence[Any]) -> Sequence[Job]:
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM jobs j LEFT JOIN collections c USING (collection_id) {rest}", params
        )
        return [self._view(row) for row in rows]

    def _view(self, row: tuple[Any, ...]) -> Job:
        status: Status = row[5]
        if status == "running" and self._db.read_only:
            status = "interrupted"  # whoever ran it is gone, or this process could not have opened the database
        files = self._db.rows(
            f"SELECT {', '.join(_FILE_COLUMNS)} FROM job_files WHERE job_id = ? ORDER BY ordinal LIMIT 500", [row[0]]
        )
        return Job(
            row[0],
            row[1],
            row[2],
            row[3] or "",
            json.loads(row[4]),
            status,
            row[6],
            row[7],
            row[8],
            row[9],
            row[10],
            json.loads(row[11]),
            row[12],
            row[13],
            row[14],
            files=tuple(dict(zip(_FILE_COLUMNS, file, strict=True)) for file in files),
            attempts=row[15],
        )

    # changes

    def take_up(self, status: Status) -> int:
        """After a start: give those that ran when the program ended another status. Returns how many."""
        count = int(self._db.rows("SELECT count(*) FROM jobs WHERE status IN ('running', 'interrupted')")[0][0])
        if count:
            self._db.execute(
                "taking up interrupted jobs",
                "UPDATE jobs SET status = ? WHERE status IN ('running', 'interrupted')",
                [status],
            )
        return count

    def store_progress(self, job_id: str, progress: Progress) -> None:
        """Write how far a job is."""
        self._db.execute(
            "the progress of a job",
            "UPDATE jobs SET phase = ?, done = ?, total = ?, unit = ? WHERE job_id = ?",
            [progress.phase, progress.done, progress.total, progress.unit, job_id],
        )

    def set_status(
        self,
        job_id: str,
        status: Status,
        error: str = "",
        counts: Mapping[str, Any] | None = None,
        *,
        in_order: bool = True,
    ) -> None:
        """Write how a job stands. A start counts as an attempt, until the job halts `in_order` or is queued by hand."""
        with self._db.write(f"a job is {status}") as cursor:
            cursor.execute("UPDATE jobs SET status = ?, error = ? WHERE job_id = ?", [status, error, job_id]).fetchall()
            if counts is not None:
                cursor.execute(
                    "UPDATE jobs SET counts = ?::JSON WHERE job_id = ?", [json.dumps(dict(counts)), job_id]
                ).fetchall()
            if status == "running":
                cursor.execute(
                    "UPDATE jobs SET started_at = coalesce(started_at, now()::TIMESTAMP), finished_at = NULL, "
                    "attempts = attempts + 1 WHERE job_id = ?",
                    [job_id],
                ).fetchall()
            elif in_order:
                cursor.execute("UPDATE jobs SET attempts = 0 WHERE job_id = ?", [job_id]).fetchall()
            if status in FINISHED:
                cursor.execute("UPDATE jobs SET finished_at = now()::TIMESTAMP WHERE job_id = ?", [job_id]).fetchall()
                if status != "failed":
                    cursor.execute("DELETE FROM job_seen WHERE job_id = ?", [job_id]).fetchall()
                _prune(cursor)


def told(job: Job) -> dict[str, Any]:
    """What other shells are told of a job."""
    params = job.params if len(json.dumps(job.params)) <= _MAX_PARAMS else {}
    return {
        "job_id": job.job_id,
        "kind": job.kind,
        "collection_id": job.collection_id or "",
        "collection": job.collection,
        "params": params,
        "status": job.status,
        "phase": job.phase,
        "done": job.done,
        "total": job.total,
        "unit": job.unit,
        "wish": job.wish,
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at.isoformat() if job.started_at else None,
    }


def job_told(told: Mapping[str, Any]) -> Job:
    """A job as its owner tells of it in the mailbox. Raises KeyError, TypeError or ValueError on what no owner
    writes."""
    started = told["started_at"]
    return Job(
        str(told["job_id"]),
        str(told["kind"]),
        str(told["collection_id"]),
        str(told["collection"]),
        dict(told["params"]),
        told["status"],
        str(told["phase"]),
        int(told["done"]),
        None if told["total"] is None else int(told["total"]),
        str(told["unit"]),
        "",
        {},
        datetime.fromisoformat(told["created_at"]),
        datetime.fromisoformat(started) if started else None,
        None,
        wish=told["wish"],
    )


def _prune(cursor: DuckDBPyConnection) -> None:
    """Forget the oldest finished jobs beyond KEPT, with their journals; those that a judging queue names stay."""
    old = cursor.execute(
        "SELECT job_id FROM jobs WHERE list_contains(?::VARCHAR[], status) AND job_id NOT IN (SELECT job_id FROM "
        "judging_queues) ORDER BY finished_at DESC, rowid DESC OFFSET ?",
        [[*FINISHED], KEPT],
    ).fetchall()
    ids = [row[0] for row in old]
    for table in ("jobs", "job_files", "job_seen", "rejections") if ids else ():
        cursor.execute(f"DELETE FROM {table} WHERE list_contains(?::VARCHAR[], job_id)", [ids]).fetchall()
