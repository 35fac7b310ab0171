"""What is chosen before a job is started: one panel that folds to a line, with a row for each kind of choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from markupsafe import Markup

from app.drawing import slots
from app.drawing.controls import button, check, select
from app.drawing.html import Child, classes, el
from app.drawing.icons import icon
from app.drawing.messages import empty
from app.results.evaluation import QuerySetView

UNKNOWN = "This pipeline is not saved in this workspace."
READING = "This workspace is open for reading only; nothing is kept."


def without_questions(title: str, text: str, *, write: bool) -> Markup:
    """What stands where a collection has no questions yet."""
    bring = button("Bring in questions", "panel", glyph="upload", look="primary", panel="questions")
    return empty("question", title, text, *([bring] if write else []))


def shell(
    title: str,
    short: str,
    rows: Sequence[Markup | None],
    foot: Child,
    *,
    key: str,
    opened: bool,
    alert: str = "",
    **attributes: str,
) -> Markup:
    """The panel. `short` stands for the choices while it is folded; `alert` is the id of a place for errors within it."""
    return el(
        "details",
        el(
            "summary",
            el("h2", title),
            el("span", short, class_="muted setup-short", dir="auto"),
            class_="panel-head",
        ),
        el("div", id=alert, class_="alerts") if alert else None,
        el("div", rows, class_="setup-rows"),
        el("div", foot, class_="setup-foot"),
        class_="panel",
        open=opened,
        data_key=key,
        aria_label=title,
        **attributes,
    )


def row(name: str, *content: Child) -> Markup:
    """One kind of choice."""
    return el("div", el("h3", name), el("div", *content, class_="setup-choice"), class_="setup-row")


def query_sets(sets: Sequence[QuerySetView], chosen: str, action: str, count: Callable[[QuerySetView], str]) -> Markup:
    """The query sets, each with what `count` says of it; a chosen one that is gone stays, and is said to be missing."""
    options = [(item.name, f"{item.name} ({count(item)})") for item in sets]
    if chosen not in {item.name for item in sets}:
        options.insert(0, (chosen, f"{chosen} (missing)"))
    return select("query-set", options, chosen, label="Query set", action=action, data_name="set")


def chosen_set(sets: Sequence[QuerySetView], name: str) -> QuerySetView | None:
    """The query set of this name."""
    return next((item for item in sets if item.name == name), None)


def places(names: Iterable[str]) -> dict[str, int]:
    """The place of each chosen name, which decides its mark."""
    return {name: i for i, name in enumerate(names)}


def checks(
    name: str,
    values: Iterable[str],
    chosen: Mapping[str, int],
    action: str,
    *,
    label: str,
    tip: Callable[[str], str] = lambda value: "",
    words: Callable[[str], str] = lambda value: "",
    marked: bool = False,
) -> Markup:
    """A list to check and uncheck. `chosen` gives the place of what is checked; `marked` shows it as the mark of a pipeline."""
    boxes = [
        check(
            name,
            value,
            value in chosen,
            slots.mark(chosen[value]) if marked and value in chosen else None,
            action,
            tip=tip(value),
            label=words(value),
        )
        for value in values
    ]
    return el("div", boxes, class_="checks", role="group", aria_label=label)


def start(label: str, action: str, *, alert: str = "", disabled: bool) -> Markup:
    """The button that starts the job."""
    return el(
        "button",
        icon("play"),
        el("span", label),
        type="button",
        class_=classes("btn", "btn-primary"),
        data_action=action,
        data_alert=alert or None,
        disabled=disabled,
    )
