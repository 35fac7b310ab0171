"""How Gradio's own surroundings are dressed: system fonts only (nothing is fetched), and our stylesheet and script in the head."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from app.drawing.html import el, join
from app.drawing.icons import ui_assets
from app.ui.web.dispatch import Asset, Site

if TYPE_CHECKING:
    from gradio.themes import Base

SANS = ("system-ui", "-apple-system", "Segoe UI", "Noto Sans", "Liberation Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Noto Sans Mono", "Liberation Mono", "monospace")
FILES = "/ui"


def theme() -> Base:
    """Gradio's base theme on the system's own fonts."""
    from gradio.themes import Base

    return Base(font=list(SANS), font_mono=list(MONO))


def versioned(asset: Asset) -> str:
    """The address of a file, with its hash, so that a browser never shows an old one."""
    digest = hashlib.sha256(asset.path.read_bytes()).hexdigest()[:12]
    return f"{FILES}/{asset.name}?v={digest}"


def head(site: Site) -> str:
    """What goes into the head of the page."""
    early = Asset("early.js", ui_assets() / "early.js")
    return str(
        join(
            el("link", rel="icon", type="image/svg+xml", href=f"{FILES}/favicon.svg"),
            [el("link", rel="stylesheet", href=versioned(asset)) for asset in site.styles],
            el("script", src=versioned(early)),
            [el("script", src=versioned(asset), defer=True) for asset in site.scripts],
        )
    )
