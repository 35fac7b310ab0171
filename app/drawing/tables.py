"""Tables, marked up alike everywhere: heads with their scope, numbers to the right, wide ones scroll in a frame of their own."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from markupsafe import Markup

from app.drawing.html import Child, classes, el


def head(*children: Child, num: bool = False, class_: str = "", **attributes: str | int | None) -> Markup:
    """The head of a column; `num` aligns it with the numbers beneath."""
    return el("th", *children, scope="col", class_=classes("num" if num else "", class_) or None, **attributes)


def table(
    heads: Iterable[str | Markup | None],
    rows: Child,
    *,
    numbers: Collection[str] = (),
    look: str = "",
    caption: str = "",
    region: str = "",
    wrap: str = "table-wrap",
    grouped: bool = False,
    scroll: str = "",
) -> Markup:
    """A table that scrolls where it is too wide.

    `heads` are names, or what `head` gave; `numbers` names those that stand above numbers. `rows` are `tr` elements, or with `grouped` whole
    `tbody` elements. `region` names a table that is likely to scroll, so that the keyboard reaches it; `scroll` is the key under which its
    place is remembered.
    """
    cells = [
        one if one is None or isinstance(one, Markup) else head(one, num=one in numbers, dir="auto") for one in heads
    ]
    frame = {"tabindex": "0", "role": "region", "aria_label": region} if region else {}
    return el(
        "div",
        el(
            "table",
            el("caption", caption, class_="sr-only") if caption else None,
            el("thead", el("tr", cells)),
            rows if grouped else el("tbody", rows),
            class_=classes("table", look),
        ),
        class_=wrap,
        data_scroll=scroll or None,
        **frame,
    )
