"""Buttons, selects and labels. What they do is named in `data-action`; the script delegates, no element carries code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from app.drawing.html import Child, classes, el
from app.drawing.icons import icon

GLYPHS = ("●", "■", "▲", "◆")
"""One shape for each pipeline slot, so that columns are told apart without color."""


def button(label: str, action: str, /, *, glyph: str = "", look: str = "", hint: str = "", **data: Any) -> Markup:
    """A text button. `look`: "", "primary", "quiet" or "danger". Keyword arguments become data attributes."""
    return el(
        "button",
        icon(glyph) if glyph else None,
        el("span", label),
        type="button",
        class_=classes("btn", f"btn-{look}" if look else ""),
        title=hint or None,
        **_data(action, data),
    )


def example_button() -> Markup:
    """Brings in the example collection."""
    hint = "A few hundred papers about retrieval, with judged questions and pipelines to try"
    return button("Add the example collection", "add-example", glyph="library", hint=hint)


def icon_button(
    label: str, action: str, glyph: str, /, *, pressed: bool | None = None, look: str = "", **data: Any
) -> Markup:
    """A button that is only an icon; `label` is its accessible name and tooltip. `pressed` makes it a toggle."""
    return el(
        "button",
        icon(glyph),
        type="button",
        class_=classes("icon-btn", look),
        title=label,
        aria_label=label,
        aria_pressed=None if pressed is None else str(pressed).lower(),
        **_data(action, data),
    )


def cell_title(
    text: str, action: str, /, *, title: str = "", clamp: bool = False, current: bool = False, **data: Any
) -> Markup:
    """The button in a table that opens what its row is about. `clamp` keeps long texts to two lines."""
    return el(
        "button",
        el("span", text, class_="clamp") if clamp else text,
        type="button",
        class_="cell-title",
        title=title or None,
        aria_current="true" if current else None,
        dir="auto",
        **_data(action, data),
    )


def hit_title(title: str, doc_id: str, /, *, clamp: str = "clamp", tip: str = "") -> Markup:
    """The title of a hit, which opens the document in the reader. `clamp` is the class that keeps it to some lines."""
    return el(
        "button",
        el("span", title, class_=clamp) if clamp else title,
        type="button",
        class_="hit-title",
        data_action="read",
        data_doc=doc_id,
        title=tip or None,
        dir="auto",
    )


def panel_head(title: Child, /, *tools: Markup | None, said: str = "") -> Markup:
    """The heading of a panel, what is said of it in short, and at its end what can be done with it."""
    return el(
        "div",
        el("h2", title),
        el("span", said, class_="muted small", dir="auto") if said else None,
        [el("span", class_="grow"), *tools] if tools else None,
        class_="panel-head",
    )


def _data(action: str, data: dict[str, Any]) -> dict[str, Any]:
    named = {f"data_{key}": value for key, value in data.items() if value is not None}
    return {"data_action": action, **named}


def select(
    field: str, options: Sequence[tuple[str, str]], value: str, *, label: str, action: str = "", **attributes: Any
) -> Markup:
    """A native select. With `action`, choosing runs it."""
    return el(
        "select",
        [el("option", text, value=key, selected=key == value) for key, text in options],
        data_field=field,
        aria_label=label,
        data_change=action or None,
        autocomplete="off",
        **{"class_": "select", **attributes},
    )


def drop_zone(action: str, formats: str, /, *, label: str, line: str, alert: str) -> Markup:
    """Where files are dropped or chosen; `action` runs with them when they have come up.

    `line` and `alert` are the ids of the elements that show the progress and what went wrong.
    """
    return el(
        "label",
        icon("upload"),
        el("span", el("b", "Drop files here"), " or choose them"),
        el("small", formats),
        el(
            "input",
            type="file",
            multiple=True,
            class_="sr-only",
            data_upload=action,
            data_line=line,
            data_alert=alert,
            aria_label=label,
        ),
        class_="drop",
        data_drop=True,
    )


def switch(label: str, action: str, field: str, options: Mapping[str, str], value: str, /, **data: Any) -> Markup:
    """One choice of a few, all of them in sight. The chosen key goes to `action` as `field`."""
    return el(
        "div",
        [
            el(
                "button",
                text,
                type="button",
                class_=classes("switch-item", "is-current" if key == value else ""),
                aria_pressed=str(key == value).lower(),
                **_data(action, {field: key, **data}),
            )
            for key, text in options.items()
        ],
        class_="switch",
        role="group",
        aria_label=label,
    )


def slot_mark(slot: int) -> Markup:
    """The shape and color of a pipeline slot."""
    return el("span", GLYPHS[slot % 4], class_=f"slot-mark slot-{slot % 4}", aria_hidden="true")


def chip(text: str, look: str = "", title: str = "") -> Markup:
    """A small label."""
    return el("span", text, class_=classes("chip", f"chip-{look}" if look else ""), title=title or None)


def kbd(key: str) -> Markup:
    """A key as printed on the keyboard."""
    return el("kbd", key)


def check(
    name: str, value: str, checked: bool, mark: Markup | None, action: str, *, tip: str = "", label: str = ""
) -> Markup:
    """A checkbox that looks like a chip; changing it runs `action` with `name` and `value`."""
    return el(
        "label",
        el(
            "input",
            type="checkbox",
            checked=checked,
            data_change=action,
            data_name=name,
            data_value=value,
            aria_label=label or value,
            aria_description=tip or None,
        ),
        mark,
        el("span", label or value, class_="check-name", dir="auto"),
        class_=classes("check", "is-on" if checked else ""),
        data_tip=tip or None,
        data_key=f"{name}-{value}",
    )
