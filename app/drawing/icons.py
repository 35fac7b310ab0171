"""The icon set: small stroke drawings in `assets/ui/icons`, put inline so that they take the color of their text."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from markupsafe import Markup

from engine.models.paths import assets_folder


def ui_assets() -> Path:
    """The folder with the stylesheet, the script and the icons."""
    return assets_folder() / "ui"


@cache
def icon(name: str) -> Markup:
    """One icon as decorative inline SVG; the control around it carries the label."""
    svg = (ui_assets() / "icons" / f"{name}.svg").read_text(encoding="utf-8").strip()
    return Markup(svg.replace("<svg ", f'<svg class="icon i-{name}" aria-hidden="true" focusable="false" ', 1))  # noqa: S704 - our own file
