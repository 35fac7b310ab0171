"""Long work that outlives the page and the process: rows in the database, one worker thread, resumable where it stopped."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import importlib
import json
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import polars as pl

from engine.budget import watched
from engine.errors import BadInput, Cancelled, NotFound, TriptychError
from engine.types import Progress

if TYPE_CHECKING:
    from engine.workspace import Workspace

Status: TypeAlias = Literal["queued", "running", "paused", "interrupted", "done", "failed", "cancelled"]
Wish: TypeAlias = Literal["pause", "cancel", "stop"]
FINISHED = ("done", "failed", "cancelled")
_AFTER: dict[str, Status] = {"pause": "paused", "cancel": "cancelled", "stop": "interrupted"}
_WRITE_EVERY, _WINDOW = 0.5, 20.0  # seconds between progress rows; seconds that the rate is measured over
_AGAIN = 5.0  # seconds until a start that could not be written, because the disk is full, is tried again
_COLUMNS = "j.job_id, j.kind, j.collection_id, c.name, j.params, j.status, j.phase, j.done, j.total, j.unit, j.error, j.counts, j.created_at, j.started_at, j.finished_at"
_FILE_COLUMNS = (
    "source", "status", "items_done", "added", "changed", "unchanged", "duplicate", "rejected", "queries", "judgments", "error",
)  # fmt: skip
log = logging.getLogger(__name__)


class Halted(Cancelled):
    """Raised inside a job's work by its progress sink when the job was asked to pause, to be cancelled, or to stop with the program."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(
            {
                "pause": "The job was paused.",
                "cancel": "The job was cancelled.",
                "stop": "The program is closing; the job resumes next time.",
            }[wish]
        )
        self.wish = wish


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. `rate` is units a second over the last seconds, `eta_s` seconds to the end of the phase; None when unknown.

    wish: what a running job was asked to do, and does at its next step; "" otherwise.
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


@dataclass(eq=False)
class Running:
    """The job that the worker is at: what it reports to, and what tells it to halt. Call it with a Progress; it may raise Halted."""

    job: Job
    jobs: Jobs
    wish: Wish | None = None
    counts: dict[str, Any] = field(default_factory=dict)
    progress: Progress = field(default_factory=lambda: Progress("start", 0))
    _seen: deque[tuple[float, int]] = field(default_factory=deque)
    _written: float = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        changed = (progress.phase, progress.unit) != (self.progress.phase, self.progress.unit)
        if changed or progress.done < self.progress.done:
            self._seen.clear()
        self.progress = progress
        self._seen.append((now, progress.done))
        while len(self._seen) > 2 and self._seen[0][0] < now - _WINDOW:
            self._seen.popleft()
        if changed or now - self._written >= _WRITE_EVERY:
            self._written = now
            self.jobs.store_progress(self.job.job_id, progress)
        self.check()

    def check(self) -> None:
        """Raise Halted when the job was asked to pause, cancel or stop. Call it where there is no progress to tell."""
        if self.wish is not None:
            raise Halted(self.wish)

    def halted(self) -> bool:
        """Whether `check` would raise."""
        return self.wish is not None

    def rate(self) -> float | None:
        """Units a second over the last seconds."""
        if len(self._seen) < 2:
            return None
        (then, before), (now, done) = self._seen[0], self._seen[-1]
        return (done - before) / (now - then) if now > then and done > before else None


Runner: TypeAlias = "Callable[[Workspace, Running], None]"
"""Does a job's work and keeps `running.counts`. Everything it commits must be safe to meet again when the job is resumed."""


RUNNERS = {
    "add": ("engine.ingest", "run_add"),
    "index": ("engine.indexing", "run_index"),
    "evaluate": ("engine.evaluation_job", "run_evaluate"),
    "pool": ("engine.pool_job", "run_pool"),
    "disagree": ("engine.disagreement_job", "run_disagree"),
    "calibrate": ("engine.calibration_job", "run_calibrate"),
    "model-add": ("engine.models.adding", "run_add_model"),
    "model-delete": ("engine.models.removing", "run_delete_model"),
    "model-bench": ("engine.models.benchmarks", "run_bench_model"),
}
"""Module and function of each kind of job; loaded when a job of it is queued."""


def _runner(kind: str) -> Runner:
    if kind not in RUNNERS:
        raise BadInput(f"There is no kind of job called {kind!r}. Kinds: {', '.join(RUNNERS)}.")
    module, name = RUNNERS[kind]
    runner: Runner = getattr(importlib.import_module(module), name)
    return runner


class Jobs:
    """The queue of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._db = workspace.database
        self._changed = threading.Condition(threading.RLock())
        self._running: Running | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._unstored: dict[str, tuple[Status, str]] = {}
        """How jobs ended whose rows could not be written, because the disk is full; the next start resumes them."""

    # commands

    def submit(self, kind: str, collection_id: str, params: Mapping[str, Any]) -> str:
        """Queue a job; it starts when the worker is free. Returns its id."""
        _runner(kind)
        job_id = uuid.uuid4().hex
        self._db.execute(
            f"queueing a job to {kind}",
            "INSERT INTO jobs VALUES (?, ?, ?, ?::JSON, 'queued', '', 0, NULL, '', '', '{}', now()::TIMESTAMP, NULL, NULL)",
            [job_id, kind, collection_id, json.dumps(dict(params))],
        )
        self._wake()
        return job_id

    def pause(self, job_id: str) -> None:
        """Halt a job so that `resume` continues it, also after a restart. Raises BadInput when it is finished."""
        self._halt(job_id, "pause")

    def cancel(self, job_id: str) -> None:
        """End a job. What it committed stays."""
        self._halt(job_id, "cancel")

    def _halt(self, job_id: str, wish: Wish) -> None:
        with self._changed:
            running = self._running
            if running is not None and running.job.job_id == job_id:
                running.wish = wish
                return
            job = self.get(job_id)
            if job.status in FINISHED:
                raise BadInput(f"The job {job_id} is already {job.status}.")
            self._set(job_id, _AFTER[wish])

    def resume(self, job_id: str) -> None:
        """Put a paused, interrupted or failed job back into the queue; it goes on where it stopped."""
        with self._changed:
            job = self.get(job_id)
            if job.status not in ("paused", "interrupted", "failed"):
                raise BadInput(
                    f"The job {job_id} is {job.status}; only paused, interrupted and failed jobs can be resumed."
                )
            self._set(job_id, "queued")
        self._wake()

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Block until the job is finished or halted, or `timeout` seconds have passed; returns it as it stands."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._changed:
                job = self.get(job_id)
                left = 0.2 if deadline is None else min(0.2, deadline - time.monotonic())
                if job.status not in ("queued", "running") or left <= 0:
                    return job
                self._changed.wait(left)  # short, so that Ctrl-C is heard on every system

    # views

    def get(self, job_id: str) -> Job:
        """Raises NotFound."""
        found = self._select("WHERE j.job_id = ?", [job_id])
        if not found:
            raise NotFound(f"There is no job {job_id!r}.")
        return found[0]

    def list(self, limit: int = 50) -> Sequence[Job]:
        """Newest first."""
        return self._select("ORDER BY j.created_at DESC, j.rowid DESC LIMIT ?", [limit])

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
        job_id, status, phase, done, total, unit = row[0], row[5], row[6], row[7], row[8], row[9]
        running, rate, counts, wish = self._running, None, json.loads(row[11]), None
        error = row[10]
        if status == "running" and job_id in self._unstored:
            status, error = self._unstored[job_id]
        elif status == "running" and self._db.read_only:
            status = "interrupted"  # whoever ran it is gone, or this process could not have opened the database
        if running is not None and running.job.job_id == job_id and status == "running":
            progress, rate, wish = running.progress, running.rate(), running.wish
            phase, done, total, unit = progress.phase, progress.done, progress.total, progress.unit
            counts = dict(running.counts)
        eta = (total - done) / rate if rate and total is not None else None
        files = self._db.rows(
            f"SELECT {', '.join(_FILE_COLUMNS)} FROM job_files WHERE job_id = ? ORDER BY ordinal LIMIT 500", [job_id]
        )
        return Job(
            job_id, row[1], row[2], row[3] or "", json.loads(row[4]), status, phase, done, total, unit, error, counts, row[12], row[13], row[14],
            rate, eta, tuple(dict(zip(_FILE_COLUMNS, file, strict=True)) for file in files), wish or "",
        )  # fmt: skip

    # the worker

    def recover(self, resume: bool) -> int:
        """At the start: jobs that were running when the program ended are interrupted; with `resume` they are queued again, for `start`. Returns
        how many."""
        found = self._db.rows("SELECT count(*) FROM jobs WHERE status IN ('running', 'interrupted')")
        count = int(found[0][0])
        if count:
            status = "queued" if resume else "interrupted"
            self._db.execute(
                "taking up interrupted jobs",
                "UPDATE jobs SET status = ? WHERE status IN ('running', 'interrupted')",
                [status],
            )
        return count

    def start(self) -> None:
        """Take up the jobs that are queued."""
        if self._next() is not None:
            self._wake()

    def _wake(self) -> None:
        with self._changed:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._work, name="triptych-jobs", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _next(self) -> Job | None:
        found = self._select("WHERE j.status = 'queued' ORDER BY j.created_at, j.rowid LIMIT 1", [])
        return found[0] if found else None

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._closing:
                    return
                try:
                    job = self._next()
                    if job is not None:
                        self._set(job.job_id, "running")
                except Exception as problem:  # the only worker must outlive a disk that is full for a while
                    log.error("the next job could not be started, trying again: %s", problem)
                    self._changed.wait(_AGAIN)
                    continue
                if job is None:
                    self._changed.wait()
                    continue
                self._running = Running(job, self, counts=dict(job.counts))
            self._run(self._running)

    def _run(self, running: Running) -> None:
        job = running.job
        status: Status
        status, error = "done", ""
        try:
            with watched(running.check):  # a job that waits for a server halts then, too
                _runner(job.kind)(self._workspace, running)
        except Halted as halt:
            status = _AFTER[halt.wish]
        except TriptychError as problem:
            status, error = "failed", str(problem)
        except BaseException as problem:  # a panic of a native library is no Exception, and must not end the worker
            log.exception("job %s (%s) failed", job.job_id, job.kind)
            status, error = (
                "failed",
                f"Unexpected {type(problem).__name__}: {problem}. The log has the details; resuming the job tries again.",
            )
        with self._changed:
            try:
                self.store_progress(job.job_id, running.progress)
                self._set(job.job_id, status, error, running.counts)
            except Exception as problem:
                log.error("the end of job %s (%s) could not be stored: %s", job.job_id, status, problem)
                self._unstored[job.job_id] = (status, error or str(problem))
            self._running = None
            self._changed.notify_all()

    def store_progress(self, job_id: str, progress: Progress) -> None:
        """Write how far a job is."""
        self._db.execute(
            "the progress of a job",
            "UPDATE jobs SET phase = ?, done = ?, total = ?, unit = ? WHERE job_id = ?",
            [progress.phase, progress.done, progress.total, progress.unit, job_id],
        )

    def _set(self, job_id: str, status: Status, error: str = "", counts: Mapping[str, Any] | None = None) -> None:
        with self._db.write(f"a job is {status}") as cursor:
            cursor.execute("UPDATE jobs SET status = ?, error = ? WHERE job_id = ?", [status, error, job_id]).fetchall()
            if counts is not None:
                cursor.execute(
                    "UPDATE jobs SET counts = ?::JSON WHERE job_id = ?", [json.dumps(dict(counts)), job_id]
                ).fetchall()
            if status == "running":
                cursor.execute(
                    "UPDATE jobs SET started_at = coalesce(started_at, now()::TIMESTAMP), finished_at = NULL WHERE job_id = ?",
                    [job_id],
                ).fetchall()
            if status in FINISHED:
                cursor.execute("UPDATE jobs SET finished_at = now()::TIMESTAMP WHERE job_id = ?", [job_id]).fetchall()
                if status != "failed":
                    cursor.execute("DELETE FROM job_seen WHERE job_id = ?", [job_id]).fetchall()
        with self._changed:
            self._unstored.pop(job_id, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Stop the worker; the running job is interrupted at its next step and resumes on the next open. Idempotent."""
        with self._changed:
            self._closing = True
            if self._running is not None and self._running.wish is None:
                self._running.wish = "stop"
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
