"""Long work that outlives the page and the process: rows in the database, one worker thread, resumable where it
stopped."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, cast

from engine.component import discover, lookup
from engine.errors import BadInput, StorageFull, TriptychError
from engine.network.budget import watched
from engine.serving.running import Halted, Running, Wish
from engine.system import ending
from engine.workspace.jobs import FINISHED, Job, Status, told
from engine.workspace.mailbox import Mailbox

if TYPE_CHECKING:
    from engine.serving.engine import Engine

_AFTER: dict[str, Status] = {"pause": "paused", "cancel": "cancelled", "stop": "interrupted"}
_AGAIN = 5.0  # seconds until a start that could not be written, because the disk is full, is tried again
ATTEMPTS = 3
"""Starts that may end with the death of the process, or of a worker that had to be left behind; then the job is set
aside."""
LONG = 1.0  # seconds after which a call of a model counts as one that may not end
GRACE = 2.0  # seconds that a cancelled job has for its step, before its worker is left behind
CLOSE_SECONDS = 5.0  # the same, when the workspace is closed and no signal is pressing
_LAST = 0.3  # seconds that a worker that was left behind has, before the database is closed under it
_TICK = 0.25  # seconds between looks at the mailbox and at a worker that is asked to halt
_BEHIND = 1.0  # seconds after the start for which a job that died lets others go first
log = logging.getLogger(__name__)


Runner: TypeAlias = "Callable[[Engine, Running], None]"
"""Does a job's work and keeps `running.counts`. Everything it commits must be safe to meet again when the job is
resumed."""


class Kind(Protocol):
    """What the queue needs to know of a kind of job (see engine.jobs.base.JobKind)."""

    ends_in_indexes: ClassVar[bool]
    resumable: ClassVar[bool]

    @classmethod
    def read(cls, params: Mapping[str, Any]) -> Kind:
        """From the parameters in a row. Raises BadInput."""
        ...

    def run(self, engine: Engine, running: Running) -> None:
        """Do the work."""
        ...


def _kind(name: str) -> type[Kind]:
    """Raises BadInput that lists the known kinds."""
    return cast("type[Kind]", lookup("jobs", name))


def _runner(name: str) -> Runner:
    """Loads the kind of this name. Raises BadInput that lists the known ones."""
    kind = _kind(name)
    return lambda engine, running: kind.read(running.job.params).run(engine, running)


def _resumable(job: Job) -> bool:
    """Whether its kind goes on where it stopped; one that is not installed may, once it is."""
    try:
        return _kind(job.kind).resumable
    except BadInput:
        return True


class Jobs:
    """The queue of an engine: which job is next, and the one worker that runs it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._records = engine.workspace.jobs
        self._read_only = engine.workspace.read_only
        self._changed = threading.Condition(threading.RLock())
        self._running: Running | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._keeper: threading.Thread | None = None
        self._mailbox = Mailbox(engine.workspace.folder)
        self._opened = time.monotonic()
        ending.tell(self)
        self._unstored: dict[str, tuple[Status, str]] = {}
        """How jobs ended whose rows could not be written, because the disk is full; the next start resumes them."""

    # commands

    def submit(self, kind: str, collection_id: str, params: Mapping[str, Any]) -> str:
        """Queue a job; it starts when the worker is free. Returns its id."""
        _runner(kind)
        job_id = self._records.add(kind, collection_id, params)
        self._tell()
        self._wake()
        return job_id

    def pause(self, job_id: str) -> None:
        """Halt a job so that `resume` continues it, also after a restart. Raises BadInput when it is finished, or
        cannot be continued."""
        if not _resumable(self.get(job_id)):
            raise BadInput(
                f"The job {job_id} cannot go on where it stopped, so it cannot be paused. Let it end, or cancel it."
            )
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
            if not _resumable(job):
                raise BadInput(f"The job {job_id} cannot go on where it stopped. Start it again.")
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
        """The job as it stands this moment. Raises NotFound."""
        return self._live(self._records.get(job_id))

    def list(self, limit: int = 50) -> Sequence[Job]:
        """Newest first."""
        return [self._live(job) for job in self._records.list(limit)]

    def unfinished(self, collection_id: str) -> tuple[Job, ...]:
        """Jobs on a collection that run, wait or are paused."""
        return tuple(self._live(job) for job in self._records.unfinished(collection_id))

    def builds(self, collection_id: str) -> bool:
        """Whether a job that waits or runs ends in indexes of the collection."""
        at_work = [job for job in self.unfinished(collection_id) if job.status in ("queued", "running")]
        kinds = discover("jobs")
        return any(getattr(kinds.get(job.kind), "ends_in_indexes", False) for job in at_work)

    def _live(self, job: Job) -> Job:
        """A job as its row and, where it runs here, its worker tell."""
        running = self._running
        if job.status != "running":
            return job
        if job.job_id in self._unstored:
            status, error = self._unstored[job.job_id]
            job = replace(job, status=status, error=error)
        if running is None or running.job.job_id != job.job_id or job.status != "running":
            return job
        progress, rate = running.progress, running.rate()
        left = None if progress.total is None else progress.total - progress.done
        return replace(
            job,
            phase=progress.phase,
            done=progress.done,
            total=progress.total,
            unit=progress.unit,
            counts=dict(running.counts),
            rate=rate,
            eta_s=left / rate if rate and left is not None else None,
            wish=running.wish or "",
        )

    # the worker

    def take_up(self, resume: bool) -> None:
        """At the start: jobs that were running when the program ended are interrupted; with `resume` they go on, and
        those that wait begin.

        The workspace's notices say so. A job whose starts kept ending the program is set aside: it fails, and only
        `resume` starts it again.
        """
        notices = self._engine.workspace.notices
        self._mailbox.clean()
        try:
            self._set_aside()
            self._give_up()
            interrupted = self._records.take_up("queued" if resume else "interrupted")
            self._tell()
        except StorageFull as error:
            notices.append(f"{error} Interrupted jobs wait until then.")
            return
        if interrupted:
            after = "go on where they stopped." if resume else "wait to be resumed."
            notices.append(f"{interrupted} interrupted job(s) {after}")
        self._opened = time.monotonic()  # the kinds are loaded by now, which takes longer than others are waited for
        if resume and self._records.next() is not None:
            self._wake()

    def _set_aside(self) -> None:
        for job in self._records.cut_off(ATTEMPTS):
            self._set(
                job.job_id,
                "failed",
                f"Set aside: the program ended {job.attempts} times while this job ran, last in the phase "
                f"{job.phase or 'start'!r}, or it did not stop when it was asked to. Once the cause is mended, try "
                f"again with: triptych jobs resume {job.job_id}",
            )
            self._engine.workspace.notices.append(
                f"A job ({job.kind}) was set aside after {job.attempts} starts that ended badly. Try it again "
                f"with: triptych jobs resume {job.job_id[:12]}"
            )

    def _give_up(self) -> None:
        for job in self._records.cut_off():
            if not _resumable(job):
                self._set(
                    job.job_id, "failed", "The program ended while this job ran, and it cannot go on. Start it again."
                )

    def _wake(self) -> None:
        with self._changed:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._work, name="triptych-jobs", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _work(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                if self._closing or self._thread is not me:
                    return
                try:
                    job = self._records.next()
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
                running = self._running = Running(job, self._records, counts=dict(job.counts), thread=me)
            self._run(running)

    def _run(self, running: Running) -> None:
        job = running.job
        status: Status
        status, error = "done", ""
        try:
            with watched(running.check):  # a job that waits for a server halts then, too
                _runner(job.kind)(self._engine, running)
        except Halted as halt:
            status = _AFTER[halt.wish]
        except TriptychError as problem:
            status, error = "failed", str(problem)
        except BaseException as problem:  # a panic of a native library is no Exception, and must not end the worker
            if not running.revoked:
                log.exception("job %s (%s) failed", job.job_id, job.kind)
            status, error = (
                "failed",
                f"Unexpected {type(problem).__name__}: {problem}. The log has the details; resuming the job "
                "tries again.",
            )
        with self._changed:
            if running.revoked:
                return
            try:
                self._records.store_progress(job.job_id, running.progress)
                self._set(job.job_id, status, error, running.counts)
            except Exception as problem:
                log.error("the end of job %s (%s) could not be stored: %s", job.job_id, status, problem)
                self._unstored[job.job_id] = (status, error or str(problem))
            self._running = None
            self._changed.notify_all()

    def _set(
        self,
        job_id: str,
        status: Status,
        error: str = "",
        counts: Mapping[str, Any] | None = None,
        *,
        in_order: bool = True,
    ) -> None:
        """Write a job's status, and tell everybody who waits for it."""
        self._records.set_status(job_id, status, error, counts, in_order=in_order)
        with self._changed:
            self._unstored.pop(job_id, None)
            self._changed.notify_all()
        self._tell()

    # other shells, and workers that do not halt

    def _tell(self) -> None:
        """Publish the unfinished jobs; a mailbox that cannot be written harms no job."""
        if self._read_only or self._closing:
            return
        try:
            found = [self._live(job) for job in self._records.pending()]
            self._mailbox.publish([told(job) for job in found])
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
        """Settle the job as it was asked to, refuse whatever its worker reports or writes from now on, and let another
        worker take its place."""
        running.revoked = True
        wish = running.wish or "stop"
        if running.thread is not None:
            self._engine.workspace.database.barred.add(running.thread)
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
    """Let models that run for longer than a step takes come to an end, so that the worker that was left behind ends as
    well."""
    providers = sys.modules.get("engine.encoders.providers")
    if providers is not None:
        providers.end_long_calls(LONG)
