"""Follow a job until it ends: a bar with rate and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from app.cli.base import EXIT_INTERRUPTED, Run, console, fail, printable
from engine.errors import TriptychError
from engine.system import ending

if TYPE_CHECKING:
    from app.results.search import JobView, RejectionView
    from app.verbs.services import Services

ENDED = ("done", "failed", "cancelled", "paused")
POLL_SECONDS = 0.1
LINE_SECONDS = 5.0
SHOWN_REJECTIONS = 5


def follow(run: Run, services: Services, job_id: str) -> JobView:
    """Wait for a job, showing how far it is. Ctrl-C pauses it and ends the command with 130; a failed job raises TriptychError."""
    try:
        with _reporter(run) as show:
            while (job := services.job(job_id)).status not in ENDED:
                show(job)
                time.sleep(POLL_SECONDS)
    except (KeyboardInterrupt, RuntimeError) as error:
        if ending.number() != signal.SIGINT and not isinstance(error, KeyboardInterrupt):
            raise
        services.pause(job_id)
        fail(
            run.as_json,
            "Interrupted",
            f"Paused; what was done so far is kept. Go on with: triptych jobs resume {job_id} --workspace {services.folder}",
            EXIT_INTERRUPTED,
        )
    if job.status == "failed":
        raise TriptychError(f"{job.label} failed: {job.error} Once that is mended: triptych jobs resume {job_id}")
    return job


def report(run: Run, services: Services, job: JobView) -> None:
    """Print what a job came to, and the first rows that it skipped."""
    skipped = services.rejections(job.job_id, 0, 1000 if run.as_json else SHOWN_REJECTIONS)
    run.emit({"job": job, "rejections": skipped}, lambda out: _show(out, job, skipped))
    if job.status == "cancelled":
        raise typer.Exit(EXIT_INTERRUPTED)


def told(job: JobView) -> str:
    """How far a job is, in a line: "add: 1,200 of 4,800 documents, 310/s, 12 s left"."""
    if job.wish:
        return "stopping after this step" if job.wish != "pause" else "pausing after this step"
    if not job.done and job.total is None:
        return printable(job.phase or job.status)
    total = f" of {job.total:,}" if job.total else ""
    rate = f", {_rate(job.rate)}" if job.rate else ""
    left = f", {_duration(job.eta_seconds)} left" if job.eta_seconds is not None and job.status == "running" else ""
    return printable(f"{job.phase or job.status}: {job.done:,}{total} {job.unit}{rate}{left}")


def counted(job: JobView) -> str:
    """What a job did, by kind: "120 added, 3 rejected"."""
    told = (
        (name.replace("_", " "), count) for name, count in job.counts.items() if name not in ("items_done", "files")
    )
    return ", ".join(f"{count:,} {name}" for name, count in told if count)


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"


def _duration(seconds: float) -> str:
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _show(out: Any, job: JobView, skipped: tuple[RejectionView, ...]) -> None:
    what = counted(job)
    out.print(printable(f"{job.label}: {job.status}" + (f" ({what})" if what else "")))
    for row in skipped:
        out.print("  " + printable(f"skipped {row.place}: {row.reason}"), soft_wrap=True)
    more = job.counts.get("rejected", 0) - len(skipped)
    if skipped and more > 0:
        out.print(f"  and {more:,} more: triptych jobs show {job.job_id}", soft_wrap=True)


@contextmanager
def _reporter(run: Run) -> Iterator[Callable[[JobView], None]]:
    if run.as_json:
        yield lambda job: None
    elif not sys.stderr.isatty():
        yield _Lines()
    else:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        line = TextColumn("{task.fields[line]}", markup=False)
        with Progress(
            SpinnerColumn(), BarColumn(bar_width=24), line, console=console(sys.stderr), transient=True
        ) as bar:
            task = bar.add_task("", line="", total=None)
            yield lambda job: bar.update(task, completed=job.done, total=job.total, line=told(job))


class _Lines:
    """A line at each new phase, and every few seconds within one."""

    def __init__(self) -> None:
        self.at = time.monotonic()
        self.phase: str | None = None

    def __call__(self, job: JobView) -> None:
        now = time.monotonic()
        if job.status == "running" and (job.phase != self.phase or now - self.at >= LINE_SECONDS):
            self.at, self.phase = now, job.phase
            print(told(job), file=sys.stderr, flush=True)
