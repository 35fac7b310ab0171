"""How Gradio's own surroundings are dressed: system fonts only (nothing is fetched), and our stylesheet and script in the head."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from app.drawing.html import el, join
from app.drawing.icons import ui_assets

if TYPE_CHECKING:
    from gradio.themes import Base

SANS = ("system-ui", "-apple-system", "Segoe UI", "Noto Sans", "Liberation Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Noto Sans Mono", "Liberation Mono", "monospace")
FILES = "/ui"
SCRIPTS = ("morph.js", "uploads.js", "flow.js", "charts.js", "years.js", "judge.js", "threshold.js", "triptych.js")
STYLES = ("triptych.css", "evaluate.css", "calibrate.css", "judge.css", "models.css", "unrolled.css")


def theme() -> Base:
    """Gradio's base theme on the system's own fonts."""
    from gradio.themes import Base

    return Base(font=list(SANS), font_mono=list(MONO))


def versioned(name: str) -> str:
    """The address of one of our files, with its hash, so that a browser never shows an old one."""
    digest = hashlib.sha256((ui_assets() / name).read_bytes()).hexdigest()[:12]
    return f"{FILES}/{name}?v={digest}"


def head() -> str:
    """What goes into the head of the page."""
    return str(
        join(
            el("link", rel="icon", type="image/svg+xml", href=f"{FILES}/favicon.svg"),
            [el("link", rel="stylesheet", href=versioned(name)) for name in STYLES],
            el("script", src=versioned("early.js")),
            [el("script", src=versioned(name), defer=True) for name in SCRIPTS],
        )
    )
