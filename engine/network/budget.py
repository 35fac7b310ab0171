"""How long a request may take in all, and who may end it before: a server that sends a byte now and then must not
outlast either."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from engine.errors import Unreachable

Check = Callable[[], None]
SLICE_S = 0.2
"""How often someone who waits looks whether to go on waiting."""


def _nothing() -> None:
    """Nobody wants to end anything."""


_WATCH: ContextVar[Check] = ContextVar("watch", default=_nothing)


class Overdue(Unreachable):
    """A server was not done in time."""


@contextmanager
def watched(check: Check) -> Iterator[None]:
    """Within it, `check` is called while a server is waited for, besides the checks around it; it raises to end the
    waiting."""
    outer = _WATCH.get()

    def both() -> None:
        outer()
        check()

    token = _WATCH.set(both)
    try:
        yield
    finally:
        _WATCH.reset(token)


@dataclass(frozen=True, slots=True)
class Budget:
    """The time for one request to `host`, from connecting to the last byte. ends: in terms of `time.monotonic()`;
    seconds: as it was given."""

    host: str
    seconds: float
    ends: float
    check: Check = _nothing

    @classmethod
    def of(cls, host: str, seconds: float, check: Check = _nothing) -> Budget:
        """A budget that begins now."""
        return cls(host, seconds, time.monotonic() + seconds, check)

    def left(self) -> float:
        """Seconds that are left, more than 0. Raises Overdue where there are none, and what the checks raise."""
        _WATCH.get()()
        self.check()
        left = self.ends - time.monotonic()
        if left <= 0:
            raise Overdue(
                f"{self.host} was not done within {self.seconds:g} s, so the connection was closed. Try again, "
                "or allow more time."
            )
        return left

    def sleep(self, seconds: float) -> None:
        """Wait, as far as time is left. Raises what `left` raises."""
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0:
            time.sleep(min(rest, SLICE_S, self.left()))


def told_to_wait(header: str) -> float:
    """Seconds that a Retry-After asks for; 0 where it does not, or names a date."""
    return float(header) if header.isascii() and header.isdigit() and len(header) < 20 else 0.0
