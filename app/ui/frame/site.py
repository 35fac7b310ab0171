"""What is served, put together from the frame and the pages that were found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.drawing.icons import ui_assets
from app.ui.frame import frame, grading, registry, shell
from app.ui.frame.page import Page, Part
from app.ui.web.dispatch import ALERT, Action, Asset, Site

FRAME = Part(
    name="frame",
    actions={**frame.ACTIONS, **grading.ACTIONS},
    alerts=(ALERT, "tp-dialog-alert", "tp-side"),
    styles=("triptych.css",),
    scripts=("morph.js", "uploads.js", "flow.js", "charts.js", "years.js", "judge.js", "threshold.js"),
)
LAST = "triptych.js"
"""The script that attaches the frame to the page, when all others are there."""
ASPECTS = ("replaces", "moves", "quiet", "top", "lists")
"""What the script knows of an action."""


def site() -> Site:
    """The frame and all pages. Raises BadInput where two of them, or two packages, do not go together."""
    parts = (FRAME, *registry.parts())
    registry.distinct(parts)
    actions = {name: action for part in parts for name, action in part.actions.items()}
    return Site(
        actions=actions,
        pages=tuple(registry.pages()),
        panels=tuple(registry.panels()),
        alerts=frozenset(name for part in parts for name in part.alerts),
        html=str(shell.frame(json.dumps(known(actions), separators=(",", ":")))),
        styles=_assets(parts, "styles"),
        scripts=(*_assets(parts, "scripts"), Asset(LAST, ui_assets() / LAST)),
    )


def known(actions: Mapping[str, Action]) -> dict[str, Any]:
    """What the script is told: the pages, what sets some actions apart, and what on a page waits for jobs."""
    pages = {
        page.name: {"title": page.title, "key": page.key, "asked": page.asked} for page in registry.pages().values()
    }
    apart = {what: [name for name, action in actions.items() if getattr(action, what)] for what in ASPECTS}
    waiting = [place for part in registry.parts() if isinstance(part, Page) for place in part.waiting]
    return {"pages": pages, "actions": apart, "waiting": ", ".join(dict.fromkeys(waiting))}


def _assets(parts: tuple[Part, ...], kind: str) -> tuple[Asset, ...]:
    """The files of all parts, each once. Those of another folder than the frame's begin with the name of their part."""
    found = {}
    for part in parts:
        for name in getattr(part, kind):
            address = name if part.folder is None else f"{part.name}.{name}"
            found[address] = Asset(address, (part.folder or ui_assets()) / name)
    return tuple(found.values())
