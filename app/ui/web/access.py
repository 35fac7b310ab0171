"""What whoever asks may do, and how that reaches the page: it goes along with the request, from the door to the dispatcher."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """What this server lets one who asks do."""

    write: bool = True
    server_paths: bool = True
    """Paths typed on the page are read from the server's disk; only sensible for whoever started the server."""


OWNER = Access()
READER = Access(write=False, server_paths=False)

_asking: ContextVar[Access] = ContextVar("triptych_access")


def asking() -> Access:
    """The access of the request that is being answered. Raises LookupError outside of one: what did not come through the door may do nothing."""
    return _asking.get()


@contextmanager
def granted(access: Access) -> Iterator[None]:
    """The requests that are answered within, on this task and the threads that it starts, have this access."""
    token = _asking.set(access)
    try:
        yield
    finally:
        _asking.reset(token)
