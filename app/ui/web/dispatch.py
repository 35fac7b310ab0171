"""One door for everything the page asks: bounded, checked, and every failure turned into an answer."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.drawing.controls import button
from app.drawing.messages import error_box
from app.ui.web.access import Access
from app.ui.web.protocol import Args, Reply
from app.ui.web.session import HOME, UiState
from app.ui.web.uploads import Uploads
from app.verbs.base import REFUSED
from app.verbs.services import Services
from engine.errors import ReadOnly, TriptychError

log = logging.getLogger("triptych.ui")

ALERT = "tp-alert"
"""The region of the frame in which errors stand, unless the page asks for another one."""


@dataclass(frozen=True, slots=True)
class Ui:
    """What an action works with. For one who may only read, the services keep nothing and the uploads stay as they are."""

    services: Services
    access: Access
    uploads: Uploads


Handler = Callable[[Ui, UiState, Args], Reply]


@dataclass(frozen=True, slots=True)
class Action:
    """A thing that the page can ask for. `slow` ones wait in a line of their own.

    `writes` is refused to readers at once, with what leads to it (a question, a preview). It protects nothing: what a reader's services
    may not do is declared at the verbs, and a test compares the two.

    The others are for the script: of calls of an action that `replaces` only the last is asked and shown; a step back or forward leaves
    behind what `moves`; a `quiet` one changes no address and waits for nothing; after one with `top` the page is shown from its top;
    one that `lists` brings a list of documents, whose first can be reached by the Tab key.
    """

    run: Handler
    writes: bool = False
    slow: bool = False
    replaces: bool = False
    moves: bool = False
    quiet: bool = False
    top: bool = False
    lists: bool = False


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that the page loads: its name in the address, and where it lies."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Site:
    """What is served: the frame as HTML, what the page may ask for and which names its requests may hold, and the files that it loads."""

    actions: Mapping[str, Action]
    pages: Collection[str] = (HOME,)
    panels: Collection[str] = ()
    alerts: Collection[str] = ()
    html: str = ""
    styles: tuple[Asset, ...] = ()
    scripts: tuple[Asset, ...] = ()


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

    def __init__(self, ui: Ui, site: Site, *, running: int = 4, waiting: int = 64, patience: float = 30.0) -> None:
        self.ui = ui
        self.site = site
        self._fast = Line(running, waiting, patience)
        self._slow = Line(2, 8, patience)

    def _for(self, access: Access) -> Ui:
        if access.write:
            return replace(self.ui, access=access)
        return Ui(self.ui.services.for_reading(), access, self.ui.uploads.for_reading())

    def call(self, payload: Any, access: Access | None = None) -> dict[str, Any]:
        """Answer one request: {"action", "url", "args", "alert"}, by default with all the access that there is.

        Never raises; errors come back as a box in the region `alert`.
        """
        ui = self._for(access or self.ui.access)
        request = payload if isinstance(payload, dict) else {}
        name = request.get("action")
        wanted = request.get("alert")
        alert = wanted if isinstance(wanted, str) and wanted in self.site.alerts else ALERT
        try:
            action = self.site.actions.get(name) if isinstance(name, str) else None
            if action is None:
                return _failed(alert, "BadInput", f"There is no action called {str(name)[:60]!r}; reload the page.")
            if action.writes and not ui.access.write:
                raise ReadOnly(REFUSED)
            url = request.get("url")
            state = UiState.from_query(url if isinstance(url, str) else "", self.site.pages, self.site.panels)
            with (self._slow if action.slow else self._fast).place():
                reply = action.run(ui, state, Args(request.get("args")))
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
