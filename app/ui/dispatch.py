"""One door for everything the page asks: bounded, checked, and every failure turned into an answer."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from app.services import Services
from app.ui.protocol import Args, Reply
from app.ui.session import UiState
from app.ui.uploads import Uploads
from app.ui.views.controls import button
from app.ui.views.messages import error_box
from engine.errors import ReadOnly, TriptychError

log = logging.getLogger("triptych.ui")

ALERTS = (
    "tp-alert",
    "lib-add-alert",
    "tp-dialog-alert",
    "tp-editor-status",
    "tp-side",
    "cal-alert",
    "ev-alert",
    "jd-alert",
    "bl-alert",
    "questions-alert",
    "md-alert",
)


@dataclass(frozen=True, slots=True)
class Access:
    """What this server lets the page do."""

    write: bool = True
    server_paths: bool = True
    """Paths typed on the page are read from the server's disk; only sensible on one's own computer."""


@dataclass(frozen=True, slots=True)
class Ui:
    """What an action works with."""

    services: Services
    access: Access
    uploads: Uploads


Handler = Callable[[Ui, UiState, Args], Reply]


@dataclass(frozen=True, slots=True)
class Action:
    """A thing that the page can ask for. `writes` is refused on a read-only server; `slow` ones wait in a line of their own."""

    run: Handler
    writes: bool = False
    slow: bool = False


class Busy(Exception):
    """The line is full, or the wait in it was too long."""


class Line:
    """At most `running` at once and `waiting` behind them; the rest is told to come back, so that nothing piles up."""

    def __init__(self, running: int, waiting: int, patience: float) -> None:
        self._slots = threading.BoundedSemaphore(running)
        self._room = threading.BoundedSemaphore(running + waiting)
        self._patience = patience

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the line. Raises Busy."""
        if not self._room.acquire(blocking=False):
            raise Busy
        try:
            if not self._slots.acquire(timeout=self._patience):
                raise Busy
            try:
                yield
            finally:
                self._slots.release()
        finally:
            self._room.release()


class Dispatcher:
    """Finds the action, checks what came with it, runs it in line, and answers."""

    def __init__(
        self, ui: Ui, actions: dict[str, Action], *, running: int = 4, waiting: int = 64, patience: float = 30.0
    ) -> None:
        self.ui = ui
        self._actions = actions
        self._fast = Line(running, waiting, patience)
        self._slow = Line(2, 8, patience)

    def call(self, payload: Any) -> dict[str, Any]:
        """Answer one request: {"action", "url", "args", "alert"}. Never raises; errors come back as a box in the region `alert`."""
        request = payload if isinstance(payload, dict) else {}
        name = request.get("action")
        wanted = request.get("alert")
        alert = wanted if isinstance(wanted, str) and wanted in ALERTS else "tp-alert"
        try:
            action = self._actions.get(name) if isinstance(name, str) else None
            if action is None:
                return _failed(alert, "BadInput", f"There is no action called {str(name)[:60]!r}; reload the page.")
            if action.writes and not self.ui.access.write:
                raise ReadOnly(
                    "This server shows the workspace for reading only; changes are made where it was started for writing."
                )
            url = request.get("url")
            state = UiState.from_query(url if isinstance(url, str) else "")
            with (self._slow if action.slow else self._fast).place():
                reply = action.run(self.ui, state, Args(request.get("args")))
            reply.regions.setdefault(alert, None)
            return reply.as_json()
        except TriptychError as error:
            return _failed(alert, type(error).__name__, str(error))
        except Busy:
            return _failed(alert, "Busy", "Other requests are still running. Try again in a moment.")
        except Exception:
            reference = secrets.token_hex(4)
            log.exception("action %r failed (reference %s)", name, reference)
            return _failed(
                alert,
                "",
                f"This is a fault of Triptych, not yours. The log of the server names it under the reference {reference}; trying again does no harm.",
            )


def _failed(alert: str, kind: str, message: str) -> dict[str, Any]:
    actions = [button("Go to the Library", "go", page="library")] if kind == "IndexNotReady" else []
    failed = Reply({alert: error_box(kind, message, *actions)}, say=message).as_json()
    return {**failed, "failed": True}
