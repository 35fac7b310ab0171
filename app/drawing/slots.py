"""The marks of pipelines where more than four stand together: the accent families of Compare, then the same with hollow shapes."""

from __future__ import annotations

from markupsafe import Markup

from app.drawing.html import el

SHAPES = ("●", "■", "▲", "◆", "○", "□", "△", "◇")


def shape(index: int) -> str:
    """The shape of the pipeline at this place; from the ninth on, its number."""
    return SHAPES[index] if index < len(SHAPES) else str(index + 1)


def mark(index: int) -> Markup:
    """Shape and color."""
    return el("span", shape(index), class_=f"slot-mark slot-{index % 4}", aria_hidden="true")
