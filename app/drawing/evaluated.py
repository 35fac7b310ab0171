"""A finished evaluation: the leaderboard with what it is compared with, what is wrong with it, and the drawings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from app.drawing import charts, evaluated_tables, format, history, leaderboard, scatter, slots
from app.drawing.controls import button, select
from app.drawing.html import classes, el, join
from app.drawing.icons import icon
from app.drawing.leaderboard import CORRECTION_CHOICES, TEST_CHOICES
from app.results.evaluation import EvaluationView, QueryValues

FORMS = (("csv", "CSV"), ("markdown", "Markdown"), ("latex", "LaTeX"), ("parquet", "Parquet"))
MOST_FAILURES = 8


@dataclass(frozen=True, slots=True)
class Chosen:
    """How a finished evaluation is looked at."""

    sort: str = leaderboard.NAME
    measure: str = ""
    against: str = ""
    group: str = ""
    tests: bool = False
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """An evaluation with the values of the measure that the drawings show."""

    view: EvaluationView
    rows: tuple[QueryValues, ...] = ()
    bounds: Markup | None = None
    """What unjudged documents could change, where that was asked for."""
    words: Mapping[str, str] = field(default_factory=dict)


def results(shown: Shown, chosen: Chosen) -> Markup:
    """The leaderboard with everything drawn from it."""
    view = shown.view
    return join(
        el(
            "section",
            _title(view, chosen),
            _stale(view),
            leaderboard.table(
                view,
                dict(shown.words),
                sort=chosen.sort,
                measure=chosen.measure,
                against=chosen.against,
                tests=chosen.tests,
            )
            if view.finished
            else None,
            leaderboard.legend(view) if view.finished else None,
            _doubts(view) if view.finished and shown.bounds is None else None,
            _unfinished(view),
            _failures(view),
            class_="panel",
            aria_label="Leaderboard",
        ),
        el("section", shown.bounds, class_="panel", aria_label="What unjudged documents could change")
        if shown.bounds is not None
        else None,
        _drawings(shown, chosen) if view.finished and shown.rows else None,
    )


def _doubts(view: EvaluationView) -> Markup | None:
    """Where not all of the first ten was judged, one may ask what the rest could change."""
    if len(view.pipelines) < 2 or all(one.judged is None or one.judged >= 1 for one in view.pipelines):
        return None
    return el(
        "button",
        icon("question"),
        el("span", "What could unjudged documents change?"),
        type="button",
        class_="btn btn-quiet doubts",
        data_action="ev-set",
        data_name="bounds",
        data_value="yes",
    )


def _title(view: EvaluationView, chosen: Chosen) -> Markup:
    baselines = [(one.name, one.name) for one in view.pipelines]
    return el(
        "div",
        el("h2", "Leaderboard"),
        el("span", f"{view.query_set}, {history.when(view.created_at)}", class_="muted small", dir="auto"),
        el("span", class_="grow"),
        [
            el("span", "against", class_="muted small"),
            select("against-base", baselines, view.baseline, label="Compare with", action="ev-set", data_name="base"),
            select("against-test", TEST_CHOICES, view.test, label="Test", action="ev-set", data_name="test"),
            select(
                "against-correction",
                CORRECTION_CHOICES,
                view.correction,
                label="Correction",
                action="ev-set",
                data_name="correction",
            ),
        ]
        if len(view.pipelines) > 1
        else None,
        el(
            "button",
            "Hide tests" if chosen.tests else "Show tests",
            type="button",
            class_="btn btn-small",
            data_action="ev-set",
            data_name="tests",
            data_value="" if chosen.tests else "yes",
            title="Differences with their intervals, p values, effect sizes, and means without unjudged hits",
        )
        if view.finished
        else None,
        el("div", _report(), _exports(view), class_="ev-out") if view.evaluation_id and view.finished else None,
        class_="panel-head ev-title",
    )


def _report() -> Markup:
    hint = "Everything about this evaluation as one file that opens from disk"
    return button("Report", "ev-report", glyph="document", hint=hint)


def _exports(view: EvaluationView) -> Markup:
    tables = [
        el(
            "div",
            el("span", name, class_="menu-name"),
            [button(label, "ev-export", look="quiet", format=form, table=key) for form, label in FORMS],
            class_="menu-row",
        )
        for key, name in (("leaderboard", "Leaderboard"), ("queries", "Every question"))
    ]
    runs = [
        button(format.shorten(one.name, 30), "ev-run-file", look="quiet", hint="As a TREC run", name=one.name)
        for one in view.pipelines
    ]
    return el(
        "details",
        el("summary", icon("download"), el("span", "Export"), class_="btn"),
        el(
            "div",
            tables,
            el("div", el("span", "TREC run", class_="menu-name"), runs, class_="menu-row"),
            class_="menu",
        ),
        class_="menu-box",
        data_menu=True,
    )


def _stale(view: EvaluationView) -> Markup | None:
    if not view.stale:
        return None
    return el(
        "div",
        icon("warning"),
        el(
            "p",
            el("b", "Stale. "),
            f"Since this was measured {_listed(view.stale)}. ",
            "The numbers are those of then.",
            dir="auto",
        ),
        el("div", button("Run it again", "ev-again", glyph="play"), class_="box-actions"),
        class_="box box-warn",
        role="status",
    )


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _unfinished(view: EvaluationView) -> Markup | None:
    if view.finished:
        return None
    return el(
        "div",
        icon("info"),
        el("p", "This evaluation is not finished; the questions that are done are kept, and it goes on from there."),
        el("div", button("Go on", "ev-again", glyph="play"), class_="box-actions"),
        class_="box box-note",
        role="status",
    )


def _failures(view: EvaluationView) -> Markup | None:
    if not view.failures:
        return None
    count = format.plural(len({failure.qid for failure in view.failures}), "question")
    rows = [
        el("tr", el("td", one.pipeline, dir="auto"), el("td", el("code", one.qid)), el("td", one.error, dir="auto"))
        for one in view.failures[:MOST_FAILURES]
    ]
    more = len(view.failures) - len(rows)
    return el(
        "details",
        el("summary", icon("warning"), f"A pipeline failed on {count}, which are in no mean"),
        el("table", el("tbody", rows), class_="table"),
        el("p", f"and {more:,} more; the export of every question has them all", class_="muted small")
        if more
        else None,
        class_="failures",
    )


def _drawings(shown: Shown, chosen: Chosen) -> Markup:
    view, rows = shown.view, shown.rows
    names = [one.name for one in view.pipelines]
    several = len(names) > 1 and chosen.against in names
    return join(
        el(
            "div",
            el("span", "Shown below", class_="muted small"),
            _segments("ev-measure", view.metrics, chosen.measure),
            class_="row ev-measures",
        )
        if len(view.metrics) > 1
        else None,
        el("section", _differences(shown, chosen, names), class_="panel", aria_label="Question by question")
        if several
        else None,
        el(
            "div",
            el(
                "section",
                el("div", el("h2", f"{chosen.measure} and speed"), class_="panel-head"),
                scatter.drawing(scatter.points(view.pipelines, chosen.measure), chosen.measure),
                class_="panel",
                aria_label="Measure against latency",
            ),
            el("section", evaluated_tables.stages(view), class_="panel", aria_label="Latency by stage"),
            class_="ev-pair",
        ),
        _heat(rows, names, chosen),
        el(
            "section",
            evaluated_tables.questions(rows, names, view.baseline, chosen.against, chosen.offset),
            class_="panel",
            id="ev-table",
            aria_label="Table of questions",
        ),
        evaluated_tables.what_ran(view),
    )


def _heat(rows: Sequence[QueryValues], names: Sequence[str], chosen: Chosen) -> Markup:
    """The value of every question by every pipeline, grouped by a field of the questions where one is chosen."""
    fields = groupings(rows)
    tags = {row.qid: row.tags.get(chosen.group, "") for row in rows} if chosen.group else {}
    grouping = [
        el("span", "grouped by", class_="muted small"),
        select(
            "group",
            [("-", "nothing"), *((name, name) for name in fields)],
            chosen.group or "-",
            label="Group by",
            action="ev-set",
            data_name="group",
        ),
    ]
    return el(
        "section",
        el(
            "div",
            el("h2", "Every question"),
            el("span", "darker is better", class_="muted small"),
            el("span", class_="heat-scale", aria_hidden="true"),
            el("span", class_="grow"),
            grouping if fields else None,
            class_="panel-head",
        ),
        charts.heat(rows, names, tags, chosen.measure, chosen.group),
        class_="panel",
        aria_label="Heat map",
    )


def groupings(rows: Sequence[QueryValues], most: int = 30) -> list[str]:
    """Fields of the questions by which they can be grouped: more than one value, few values, and values that repeat."""
    values: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for row in rows:
        for name, value in row.tags.items():
            values.setdefault(name, set()).add(value)
            counts[name] = counts.get(name, 0) + 1
    return sorted(name for name in values if 2 <= len(values[name]) <= min(most, counts[name] // 2))


def _segments(action: str, options: Sequence[str], chosen: str) -> Markup:
    return el(
        "div",
        [
            el(
                "button",
                name,
                type="button",
                class_=classes("segment", "is-current" if name == chosen else ""),
                aria_pressed=str(name == chosen).lower(),
                data_action=action,
                data_value=name,
            )
            for name in options
        ],
        class_="segments",
        role="group",
        aria_label="Metric of the drawings",
    )


def _differences(shown: Shown, chosen: Chosen, names: Sequence[str]) -> Markup:
    base = shown.view.baseline
    found = charts.differences(shown.rows, chosen.against, base)
    wins = sum(one.difference > charts.TIE for one in found)
    losses = sum(one.difference < -charts.TIE for one in found)
    others = [(name, name) for name in names if name != base]
    return join(
        el(
            "div",
            el("h2", "Question by question"),
            el("span", class_="grow"),
            slots.mark(names.index(chosen.against)),
            select("against", others, chosen.against, label="Pipeline", action="ev-against"),
            el("span", "against", class_="muted small"),
            slots.mark(names.index(base)),
            el("span", base, class_="bars-base", dir="auto"),
            class_="panel-head",
        ),
        charts.bars(found, chosen.against, base, chosen.measure, names.index(chosen.against)),
        el(
            "p",
            el("span", f"better on {wins:,}", class_="up-text"),
            el("span", f"equal on {len(found) - wins - losses:,}"),
            el("span", f"worse on {losses:,}", class_="down-text"),
            el("span", "A bar opens its question in Compare.", class_="muted"),
            class_="bars-facts small",
        ),
    )
