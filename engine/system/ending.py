"""The end of the program on Ctrl-C or SIGTERM: within seconds, whatever native code is at that hears of no signal.

A signal is heard here even while the main thread is inside native code: the interpreter's handler, written in C, puts
its number into a socket on which a thread waits. Jobs are asked to stop at once; what has not ended by itself after
`LIMIT` seconds is ended. The database survives that.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, Protocol

from engine.system import scratch

LIMIT = 2.2
"""Seconds from the signal to the end of the process, at most."""
WAIT = 1.2
"""Seconds from the signal for which closing may wait for threads; what is left closes the database."""
LEAST = 0.1
GIVEN_UP = 0.4
"""Seconds after LIMIT until the process is ended where native code holds the interpreter, so that nothing of ours can
run; with exit code 1."""


class Stoppable(Protocol):
    """What is told when the program is to end."""

    def stop_soon(self) -> None:
        """Ask running work to stop at its next step; must not block."""
        ...


_stoppable: weakref.WeakSet[Any] = weakref.WeakSet()
_abandoned: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
_numbers: list[int] = []
_asked: list[float] = []
"""When the end was first asked for."""


def tell(work: Stoppable) -> None:
    """Call `work.stop_soon` as soon as the end is asked for; the work is not kept alive by this."""
    _stoppable.add(work)


def abandon(thread: threading.Thread) -> None:
    """Remember a thread that does not end, so that `leave` does not wait for it."""
    _abandoned.add(thread)


def patience(most: float) -> float:
    """Seconds that closing may wait for a thread: `most`, or what the signal that ends the program has left."""
    return max(LEAST, min(most, _asked[0] + WAIT - time.monotonic())) if _asked else most


def leave(code: int) -> NoReturn:
    """Exit with `code`; at once after a signal, since taking the interpreter apart can last on a busy machine and no
    countdown is heard then, and where an abandoned thread would hold it. Call it when everything is closed."""
    if _numbers or any(thread.is_alive() for thread in list(_abandoned)):
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        scratch.delete_all()
        os._exit(code)
    sys.exit(code)


@contextmanager
def watched() -> Iterator[None]:
    """While a command runs in the main thread: SIGTERM ends it in order (exit code 143), and it and Ctrl-C end it
    within LIMIT seconds."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hear, write = socket.socketpair()
    write.setblocking(False)
    former = [(number, signal.signal(number, _raise)) for number in (signal.SIGINT, signal.SIGTERM)]
    descriptor = signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(hear,), name="ending", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in former:
            signal.signal(number, handler)
        write.close()  # which ends the listener, unless its countdown runs


def number() -> int:
    """The first signal that reached the main thread, 0 without one. A query that it interrupts raises RuntimeError
    instead of what the handler raised, so whoever catches that may ask here."""
    return _numbers[0] if _numbers else 0


def _raise(number: int, frame: Any) -> NoReturn:
    _numbers.append(number)
    _asked.append(time.monotonic())  # the listener may come to it later than the closing does
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _listen(hear: socket.socket) -> None:
    with hear:
        while heard := hear.recv(16):
            numbers = [number for number in heard if number in (signal.SIGINT, signal.SIGTERM)]
            if numbers:
                _count_down(128 + numbers[0])


def _count_down(code: int) -> NoReturn:
    _asked.append(time.monotonic())
    # Its clock needs no interpreter, which what closes may hold: to close a database is one call.
    faulthandler.dump_traceback_later(LIMIT + GIVEN_UP, exit=True, file=open(os.devnull, "w"))  # noqa: SIM115
    for work in list(_stoppable):
        work.stop_soon()
    time.sleep(LIMIT)
    scratch.delete_all()
    os._exit(code)
