"""The pages that there are: every folder of `app.ui.pages`, and what other packages bring under the entry point `triptych.pages`.

Nobody imports a page: it is found here, by the name `PAGE` (or `PART`) in `page.py` of its folder.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import entry_points

from app.ui.frame.page import Page, Panel, Part
from app.ui.web.session import HOME, UiState
from engine.errors import BadInput

FOLDER = "app.ui.pages"
GROUP = "triptych.pages"


@cache
def parts() -> tuple[Part, ...]:
    """Pages and parts in the order of the navigation, parts last. Raises BadInput for what another package brings and cannot be one."""
    folder = importlib.import_module(FOLDER)
    found: list[Part] = []
    for module in pkgutil.iter_modules(folder.__path__):
        here = importlib.import_module(f"{FOLDER}.{module.name}.page")
        found.append(here.PAGE if hasattr(here, "PAGE") else here.PART)
    for entry in entry_points(group=GROUP):
        brought = entry.load()
        if not isinstance(brought, Part):
            raise BadInput(f"{entry.value} is no page, though its package offers it as one; remove that package.")
        found.append(brought)
    distinct(found)
    return tuple(sorted(found, key=lambda part: (part.order, part.name) if isinstance(part, Page) else (10**9, "")))


def distinct(found: Iterable[Part]) -> None:
    """Refuse two parts that answer to the same name. Raises BadInput."""
    known: dict[tuple[str, str], str] = {}
    for part in found:
        named = [("page", part.name), *(("action", name) for name in part.actions)]
        named += [("panel", name) for name in part.panels]
        named += [("key", part.key)] if isinstance(part, Page) and part.key else []
        for what in named:
            if what in known:
                raise BadInput(f"The {what[0]} {what[1]!r} is offered by the pages {known[what]!r} and {part.name!r}.")
            known[what] = part.name


@cache
def pages() -> Mapping[str, Page]:
    """Pages that have an address, by name, in the order of the navigation."""
    return {part.name: part for part in parts() if isinstance(part, Page) and not part.view}


def navigation() -> tuple[Page, ...]:
    """Pages with an entry of their own."""
    return tuple(page for page in pages().values() if not page.under)


def views(name: str) -> tuple[Page, ...]:
    """What may stand in place of a page."""
    return tuple(part for part in parts() if isinstance(part, Page) and part.view and part.under == name)


def page(name: str) -> Page:
    """The page of this name; the first one where there is none."""
    return pages().get(name) or pages()[HOME]


def showing(state: UiState) -> Page:
    """What an address shows: its page, or what stands in place of it."""
    asked = state.option("view")
    return next((view for view in views(state.page) if view.view == asked), page(state.page))


@cache
def panels() -> Mapping[str, Panel]:
    """Every side pane by name."""
    return {name: panel for part in parts() for name, panel in part.panels.items()}


@cache
def carried() -> frozenset[str]:
    """The options of addresses that go along from page to page."""
    return frozenset(name for part in parts() for name in part.carried)
