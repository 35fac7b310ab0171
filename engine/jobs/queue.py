"""Long work that outlives the page and the process: rows in the database, one worker thread, resumable where it stopped."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import importlib
import json
import logging
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import polars as pl

from engine.errors import BadInput, Cancelled, NotFound, TriptychError
from engine.jobs.mailbox import Mailbox
from engine.network.budget import watched
from engine.system import ending
from engine.types import Progress

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from engine.workspace.workspace import Workspace

Status: TypeAlias = Literal["queued", "running", "paused", "interrupted", "done", "failed", "cancelled"]
Wish: TypeAlias = Literal["pause", "cancel", "stop"]
FINISHED = ("done", "failed", "cancelled")
_AFTER: dict[str, Status] = {"pause": "paused", "cancel": "cancelled", "stop": "interrupted"}
_WRITE_EVERY, _WINDOW = 0.5, 20.0  # seconds between progress rows; seconds that the rate is measured over
_AGAIN = 5.0  # seconds until a start that could not be written, because the disk is full, is tried again
ATTEMPTS = 3
"""Starts that may end with the death of the process, or of a worker that had to be left behind; then the job is set aside."""
KEPT = 500
"""Finished jobs that are remembered, the newest."""
LONG = 1.0  # seconds after which a call of a model counts as one that may not end
GRACE = 2.0  # seconds that a cancelled job has for its step, before its worker is left behind
CLOSE_SECONDS = 5.0  # the same, when the workspace is closed and no signal is pressing
_LAST = 0.3  # seconds that a worker that was left behind has, before the database is closed under it
_TICK = 0.25  # seconds between looks at the mailbox and at a worker that is asked to halt
_BEHIND = 1.0  # seconds after the start for which a job that died lets others go first
_MAX_PARAMS = 20_000  # characters of a job's parameters that other shells are told
_COLUMNS = "j.job_id, j.kind, j.collection_id, c.name, j.params, j.status, j.phase, j.done, j.total, j.unit, j.error, j.counts, j.created_at, j.started_at, j.finished_at, j.attempts"
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

    wish: what a running job was asked to do, and does at its next step; "" otherwise. attempts: starts since it last halted in order.
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


@dataclass(eq=False)
class Running:
    """The job that the worker is at: what it reports to, and what tells it to halt. Call it with a Progress; it may raise Halted.

    revoked: its worker did not halt in time and was left behind; whatever it reports or writes from then on is refused.
    """

    job: Job
    jobs: Jobs
    wish: Wish | None = None
    wished_at: float = 0.0
    revoked: bool = False
    thread: threading.Thread | None = None
    counts: dict[str, Any] = field(default_factory=dict)
    progress: Progress = field(default_factory=lambda: Progress("start", 0))
    _seen: deque[tuple[float, int]] = field(default_factory=deque)
    _written: float = 0.0

    def ask(self, wish: Wish) -> None:
        """Let the job halt at its next step."""
        self.wish, self.wished_at = wish, time.monotonic()

    def __call__(self, progress: Progress) -> None:
        if self.revoked:
            self.check()
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
    "add": ("engine.jobs.add", "run_add"),
    "index": ("engine.jobs.index", "run_index"),
    "evaluate": ("engine.evaluation.run", "run_evaluate"),
    "pool": ("engine.jobs.pool", "run_pool"),
    "disagree": ("engine.jobs.disagree", "run_disagree"),
    "calibrate": ("engine.evaluation.calibration", "run_calibrate"),
    "model-add": ("engine.jobs.model_add", "run_add_model"),
    "model-delete": ("engine.jobs.model_delete", "run_delete_model"),
    "model-bench": ("engine.jobs.model_bench", "run_bench_model"),
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
        self._keeper: threading.Thread | None = None
        self._mailbox = Mailbox(workspace.folder)
        self._opened = time.monotonic()
        ending.tell(self)
        self._unstored: dict[str, tuple[Status, str]] = {}
        """How jobs ended whose rows could not be written, because the disk is full; the next start resumes them."""

    # commands

    def submit(self, kind: str, collection_id: str, params: Mapping[str, Any]) -> str:
        """Queue a job; it starts when the worker is free. Returns its id."""
        _runner(kind)
        job_id = uuid.uuid4().hex
        self._db.execute(
            f"queueing a job to {kind}",
            "INSERT INTO jobs VALUES (?, ?, ?, ?::JSON, 'queued', '', 0, NULL, '', '', '{}', now()::TIMESTAMP, NULL, NULL, 0)",
            [job_id, kind, collection_id, json.dumps(dict(params))],
        )
        self._tell()
        self._wake()
        return job_id

    def pause(self, job_id: str) -> None:
        """Halt a job so that `resume` continues it, also after a restart. Raises BadInput when it is finished."""
        self._halt(job_id, "pause")

    def cancel(self, job_id: str) -> None:
        """End a job, within GRACE seconds even where its worker is inside native code. What it committed stays."""
        self._halt(job_id, "cancel")

    def _halt(self, job_id: str, wish: Wish) -> None:
        with self._changed:
            running = self._running
            if running is not None and running.job.job_id == job_id:
                running.ask(wish)
                self._tell()
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
            rate, eta, tuple(dict(zip(_FILE_COLUMNS, file, strict=True)) for file in files), wish or "", row[15],
        )  # fmt: skip

    # the worker

    def recover(self, resume: bool) -> int:
        """At the start: jobs that were running when the program ended are interrupted; with `resume` they are queued again, for `start`. Returns
        how many. A job whose starts kept ending so is set aside: it fails, and only `resume` starts it again."""
        self._mailbox.clean()
        self._set_aside()
        found = self._db.rows("SELECT count(*) FROM jobs WHERE status IN ('running', 'interrupted')")
        count = int(found[0][0])
        if count:
            status = "queued" if resume else "interrupted"
            self._db.execute(
                "taking up interrupted jobs",
                "UPDATE jobs SET status = ? WHERE status IN ('running', 'interrupted')",
                [status],
            )
        self._tell()
        return count

    def _set_aside(self) -> None:
        dead = self._select("WHERE j.status IN ('running', 'interrupted') AND j.attempts >= ?", [ATTEMPTS])
        for job in dead:
            self._set(
                job.job_id,
                "failed",
                f"Set aside: the program ended {job.attempts} times while this job ran, last in the phase {job.phase or 'start'!r}, or it did not "
                f"stop when it was asked to. Once the cause is mended, try again with: triptych jobs resume {job.job_id}",
            )
            self._workspace.notices.append(
                f"A job ({job.kind}) was set aside after {job.attempts} starts that ended badly. Try it again with: triptych jobs resume {job.job_id[:12]}"
            )

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
        found = self._select("WHERE j.status = 'queued' ORDER BY j.attempts, j.created_at, j.rowid LIMIT 1", [])
        return found[0] if found else None

    def _work(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                if self._closing or self._thread is not me:
                    return
                try:
                    job = self._next()
                    left = self._opened + _BEHIND - time.monotonic()
                    if job is not None and job.attempts and left > 0:
                        self._changed.wait(left)  # for a job that nothing speaks against
                        continue
                    if job is not None:
                        self._set(job.job_id, "running")
                except Exception as problem:  # the only worker must outlive a disk that is full for a while
                    log.error("the next job could not be started, trying again: %s", problem)
                    self._changed.wait(_AGAIN)
                    continue
                if job is None:
                    self._changed.wait()
                    continue
                running = self._running = Running(job, self, counts=dict(job.counts), thread=me)
            self._run(running)

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
            if not running.revoked:
                log.exception("job %s (%s) failed", job.job_id, job.kind)
            status, error = (
                "failed",
                f"Unexpected {type(problem).__name__}: {problem}. The log has the details; resuming the job tries again.",
            )
        with self._changed:
            if running.revoked:
                return
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

    def _set(
        self,
        job_id: str,
        status: Status,
        error: str = "",
        counts: Mapping[str, Any] | None = None,
        *,
        in_order: bool = True,
    ) -> None:
        """Write a job's status. A start counts as an attempt, until the job halts `in_order` or is queued by hand."""
        with self._db.write(f"a job is {status}") as cursor:
            cursor.execute("UPDATE jobs SET status = ?, error = ? WHERE job_id = ?", [status, error, job_id]).fetchall()
            if counts is not None:
                cursor.execute(
                    "UPDATE jobs SET counts = ?::JSON WHERE job_id = ?", [json.dumps(dict(counts)), job_id]
                ).fetchall()
            if status == "running":
                cursor.execute(
                    "UPDATE jobs SET started_at = coalesce(started_at, now()::TIMESTAMP), finished_at = NULL, attempts = attempts + 1 WHERE job_id = ?",
                    [job_id],
                ).fetchall()
            elif in_order:
                cursor.execute("UPDATE jobs SET attempts = 0 WHERE job_id = ?", [job_id]).fetchall()
            if status in FINISHED:
                cursor.execute("UPDATE jobs SET finished_at = now()::TIMESTAMP WHERE job_id = ?", [job_id]).fetchall()
                if status != "failed":
                    cursor.execute("DELETE FROM job_seen WHERE job_id = ?", [job_id]).fetchall()
                _prune(cursor)
        with self._changed:
            self._unstored.pop(job_id, None)
            self._changed.notify_all()
        self._tell()

    # other shells, and workers that do not halt

    def _tell(self) -> None:
        """Publish the unfinished jobs; a mailbox that cannot be written harms no job."""
        if self._db.read_only or self._closing:
            return
        try:
            found = self._select(
                "WHERE NOT list_contains(?::VARCHAR[], j.status) ORDER BY j.created_at, j.rowid", [[*FINISHED]]
            )
            self._mailbox.publish([_told(job) for job in found])
            with self._changed:
                if found and self._keeper is None and not self._closing:
                    self._keeper = threading.Thread(target=self._keep, name="triptych-mailbox", daemon=True)
                    self._keeper.start()
        except (OSError, TriptychError) as problem:
            log.warning("other shells cannot be told of the jobs: %s", problem)

    def _keep(self) -> None:
        """While a job runs, waits or is paused: read the mailbox, and leave a worker behind that does not halt."""
        while True:
            time.sleep(_TICK)
            try:
                self._mailbox.serve(self._answer)
                with self._changed:
                    running = self._running
                    if self._closing:
                        return
                    if (
                        running is not None
                        and running.wish == "cancel"
                        and time.monotonic() - running.wished_at > GRACE
                    ):
                        self._leave_behind(running)
                        self._wake()
                    if not self._mailbox.told:
                        self._keeper = None
                        return
            except Exception as problem:  # the disk may be full for a while
                if not self._closing:
                    log.error("the jobs could not be looked after, trying again: %s", problem)

    def _answer(self, verb: str, job_id: str) -> str:
        if verb != "cancel":
            raise BadInput(f"Another shell can cancel jobs, and not {verb[:40]!r}.")
        self.cancel(job_id)
        return self.get(job_id).status

    def _leave_behind(self, running: Running) -> None:
        """Settle the job as it was asked to, refuse whatever its worker reports or writes from now on, and let another worker take its place."""
        running.revoked = True
        wish = running.wish or "stop"
        if running.thread is not None:
            self._db.barred.add(running.thread)
            ending.abandon(running.thread)
        _end_long_calls()
        self._running, self._thread = None, None
        try:
            self._set(running.job.job_id, _AFTER[wish], "", dict(running.counts), in_order=False)
        except Exception as problem:
            log.error("the end of job %s could not be stored: %s", running.job.job_id, problem)
            self._unstored[running.job.job_id] = (_AFTER[wish], str(problem))
        log.warning(
            "job %s (%s) did not halt in time; its worker was left behind", running.job.job_id, running.job.kind
        )
        self._changed.notify_all()

    def stop_soon(self) -> None:
        """Let the running job halt at its next step, since the program ends. Does not block."""
        running = self._running
        if running is not None and running.wish is None:
            running.ask("stop")

    def close(self) -> None:
        """Stop the worker; the running job is interrupted at its next step and resumes on the next open. Idempotent.

        A worker that does not halt within seconds is left behind: what it writes later is refused.
        """
        with self._changed:
            self._closing = True
            self.stop_soon()
            self._changed.notify_all()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(ending.patience(CLOSE_SECONDS))
            with self._changed:
                running = self._running
                if thread.is_alive() and running is not None:
                    self._leave_behind(running)
            thread.join(_LAST)  # a graph that was ended lets its worker go, which then is done with the database
        self._mailbox.close()


def _end_long_calls() -> None:
    """Let models that run for longer than a step takes come to an end, so that the worker that was left behind ends as well."""
    providers = sys.modules.get("engine.encoders.providers")
    if providers is not None:
        providers.end_long_calls(LONG)


def _told(job: Job) -> dict[str, Any]:
    """What other shells are told of a job."""
    params = job.params if len(json.dumps(job.params)) <= _MAX_PARAMS else {}
    return {
        "job_id": job.job_id, "kind": job.kind, "collection_id": job.collection_id or "", "collection": job.collection, "params": params,
        "status": job.status, "phase": job.phase, "done": job.done, "total": job.total, "unit": job.unit, "wish": job.wish,
        "created_at": job.created_at.isoformat(), "started_at": job.started_at.isoformat() if job.started_at else None,
    }  # fmt: skip


def job_told(told: Mapping[str, Any]) -> Job:
    """A job as its owner tells of it in the mailbox. Raises KeyError, TypeError or ValueError on what no owner writes."""
    started = told["started_at"]
    return Job(
        str(told["job_id"]), str(told["kind"]), str(told["collection_id"]), str(told["collection"]), dict(told["params"]), told["status"],
        str(told["phase"]), int(told["done"]), None if told["total"] is None else int(told["total"]), str(told["unit"]), "", {},
        datetime.fromisoformat(told["created_at"]), datetime.fromisoformat(started) if started else None, None, wish=told["wish"],
    )  # fmt: skip


def _prune(cursor: DuckDBPyConnection) -> None:
    """Forget the oldest finished jobs beyond KEPT, with their journals; those that a judging queue names stay."""
    old = cursor.execute(
        "SELECT job_id FROM jobs WHERE list_contains(?::VARCHAR[], status) AND job_id NOT IN (SELECT job_id FROM judging_queues) "
        "ORDER BY finished_at DESC, rowid DESC OFFSET ?",
        [[*FINISHED], KEPT],
    ).fetchall()
    ids = [row[0] for row in old]
    for table in ("jobs", "job_files", "job_seen", "rejections") if ids else ():
        cursor.execute(f"DELETE FROM {table} WHERE list_contains(?::VARCHAR[], job_id)", [ids]).fetchall()
