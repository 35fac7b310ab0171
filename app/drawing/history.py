"""Earlier evaluations of a collection, and what changed between two of them."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import format, tables
from app.drawing.controls import cell_title, chip, icon_button, panel_head
from app.drawing.html import Child, classes, el, join
from app.results.evaluation import ChangedMean, EvaluationChanges, EvaluationSummary

MOST = 12
SAME = 5e-5
MOST_MEANS = 60
STATES = {"current": "Current", "stale": "Stale", "stopped": "Not finished"}


def when(stamp: str) -> str:
    """ "2026-05-02 10:11" of an ISO time."""
    return stamp.replace("T", " ")[:16]


def state_of(one: EvaluationSummary) -> str:
    """ "current", "stale" or "stopped"."""
    return "stopped" if not one.finished else "stale" if one.stale else "current"


def table(found: Sequence[EvaluationSummary], shown: str, compared: str, *, every: bool, write: bool) -> Markup | None:
    """The evaluations, newest first; `shown` is on the page, `compared` beside it."""
    if not found:
        return None
    part = found if every else found[:MOST]
    return el(
        "section",
        panel_head("History", said=format.plural(len(found), "evaluation")),
        tables.table(
            ("When", "Query set", "Questions", "Pipelines", "Best", "State", ""),
            [_row(one, shown, compared, write) for one in part],
            numbers=("Questions",),
            look="history",
        ),
        el(
            "button",
            f"Show all {len(found):,}",
            type="button",
            class_="btn btn-quiet",
            data_action="ev-set",
            data_name="all",
            data_value="yes",
        )
        if len(part) < len(found)
        else None,
        class_="panel",
        aria_label="History",
    )


def _row(one: EvaluationSummary, shown: str, compared: str, write: bool) -> Markup:
    here = one.evaluation_id == shown
    state = state_of(one)
    names = ", ".join(one.pipelines)
    best = "" if one.mean is None else f"{one.best}: {one.measure} {one.mean:.3f}"
    return el(
        "tr",
        el(
            "td",
            cell_title(when(one.created_at), "ev-open", title=one.evaluation_id, current=here, id=one.evaluation_id),
            class_="history-when",
        ),
        el("td", one.query_set, dir="auto"),
        el("td", format.count(one.queries), class_="num"),
        el("td", el("span", names, class_="clamp", title=names, dir="auto")),
        el("td", el("span", best, class_="clamp", title=best), dir="auto"),
        el("td", chip(STATES[state], f"ev-{state}", ", ".join(one.stale))),
        el("td", _tools(one, here, shown, compared, write), class_="cell-tools"),
        class_=classes("is-current" if here else ""),
        data_key=one.evaluation_id,
    )


def _tools(one: EvaluationSummary, here: bool, shown: str, compared: str, write: bool) -> list[Child]:
    beside = one.evaluation_id == compared
    return [
        icon_button(
            "No longer compare with this one" if beside else "What changed since this one?",
            "ev-changes",
            "compare",
            pressed=beside,
            id="" if beside else one.evaluation_id,
        )
        if shown and not here
        else None,
        icon_button("Delete", "ev-ask-delete", "trash", id=one.evaluation_id) if write else None,
    ]


def changes(found: EvaluationChanges) -> Markup:
    """What is different between two evaluations: what was asked, what it was asked of, and the values."""
    return el(
        "section",
        panel_head(
            "What changed",
            icon_button("Close", "ev-changes", "close", id=""),
            said=f"from {when(found.before.created_at)} to {when(found.after.created_at)}",
        ),
        _settings(found) if found.settings else el("p", "The same query set, pipelines, documents and judgments."),
        _values(found),
        class_="panel ev-changes",
        aria_label="What changed",
    )


def _settings(found: EvaluationChanges) -> Markup:
    return el(
        "dl",
        [
            [
                el("dt", one.what, dir="auto"),
                el("dd", _lines(one.before, one.after)),
            ]
            for one in found.settings
        ],
        class_="changed",
    )


def _lines(before: str, after: str) -> Markup:
    """Both sides; of long ones, as pipelines are, only the lines that differ."""
    if "\n" not in before and "\n" not in after:
        return join(
            el("del", before or "nothing", dir="auto"), el("span", " → "), el("ins", after or "nothing", dir="auto")
        )
    from difflib import ndiff

    kept = [line for line in ndiff(before.splitlines(), after.splitlines()) if line[:2] in ("- ", "+ ")]
    return el(
        "pre",
        [el("del" if line[0] == "-" else "ins", line + "\n") for line in kept],
        class_="changed-lines",
    )


def _values(found: EvaluationChanges) -> Markup | None:
    if not found.means:
        return el("p", "They have no pipeline and metric in common.", class_="muted")
    alone = [one for one in found.means if (one.before is None) != (one.after is None)]
    both = [one for one in found.means if one.before is not None and one.after is not None]
    moved = sorted((one for one in both if abs(_gap(one)) >= SAME), key=lambda one: -abs(_gap(one)))
    same = len(both) - len(moved)
    rows = [
        el(
            "tr",
            el("td", one.pipeline, dir="auto"),
            el("td", one.measure),
            el("td", _number(one.before), class_="num"),
            el("td", _number(one.after), class_="num"),
            _change(one.before, one.after),
        )
        for one in [*moved, *alone][:MOST_MEANS]
    ]
    numbers = ("Before", "After", "Change")
    return join(
        tables.table(("Pipeline", "Metric", *numbers), rows, numbers=numbers) if rows else None,
        el(
            "p",
            f"{format.plural(same, 'mean')} did not move." if same > 1 else "One mean did not move.",
            class_="muted small",
        )
        if same
        else None,
    )


def _gap(one: ChangedMean) -> float:
    return (one.after or 0.0) - (one.before or 0.0)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _change(before: float | None, after: float | None) -> Markup:
    if before is None or after is None:
        return el("td", "–", class_="num muted")
    change = after - before
    return el("td", f"{change:+.4f}", class_=classes("num", "up-text" if change > 0 else "down-text"))
