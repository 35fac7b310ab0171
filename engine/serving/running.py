"""A job at work: what its progress is told to, and what makes it halt."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from engine.errors import Cancelled
from engine.types import Progress

if TYPE_CHECKING:
    from engine.workspace.jobs import Job, JobRecords

Wish: TypeAlias = Literal["pause", "cancel", "stop"]
_WRITE_EVERY, _WINDOW = 0.5, 20.0  # seconds between progress rows; seconds that the rate is measured over


class Halted(Cancelled):
    """Raised inside a job's work by its progress sink when the job was asked to pause, to be cancelled, or to stop with
    the program."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(
            {
                "pause": "The job was paused.",
                "cancel": "The job was cancelled.",
                "stop": "The program is closing; the job resumes next time.",
            }[wish]
        )
        self.wish = wish


@dataclass(eq=False)
class Running:
    """The job that the worker is at: what it reports to, and what tells it to halt. Call it with a Progress; it may
    raise Halted.

    revoked: its worker did not halt in time and was left behind; whatever it reports or writes from then on is refused.
    """

    job: Job
    records: JobRecords
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
            self.records.store_progress(self.job.job_id, progress)
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
