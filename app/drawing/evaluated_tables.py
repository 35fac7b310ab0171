"""The tables beside the drawings of an evaluation: latency by stage, questions, and what was run."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import charts, format, slots
from app.drawing.controls import cell_title, icon_button, panel_head
from app.drawing.html import classes, el, join
from app.drawing.tables import head, table
from app.results.evaluation import EvaluationView, QueryValues

PAGE = 15


def stages(view: EvaluationView) -> Markup:
    """What each stage of each pipeline takes."""
    timed = [(i, one) for i, one in enumerate(view.pipelines) if one.stages]
    slowest = max((stage.p95 for _, one in timed for stage in one.stages), default=0.0) or 1.0
    blocks = [
        el(
            "tbody",
            el("tr", el("th", slots.mark(i), el("span", one.name, dir="auto"), colspan=4, scope="rowgroup")),
            [
                el(
                    "tr",
                    el("td", stage.label),
                    el(
                        "td",
                        el(
                            "span",
                            el("i", style=f"width:{100 * stage.p95 / slowest:.1f}%"),
                            el("b", style=f"width:{100 * stage.p50 / slowest:.1f}%"),
                            class_="stage-bar",
                        ),
                    ),
                    el("td", format.milliseconds(stage.p50), class_="num"),
                    el("td", format.milliseconds(stage.p95), class_="num"),
                )
                for stage in one.stages
            ],
            class_=f"slot-{i % 4}",
        )
        for i, one in timed
    ]
    return join(
        panel_head("Latency by stage"),
        table(
            ("Stage", head(el("span", "Share", class_="sr-only")), "p50", "p95"),
            blocks,
            numbers=("p50", "p95"),
            look="stages",
            region="Latency by stage",
            wrap="stages-wrap",
            grouped=True,
        )
        if timed
        else el("p", "Runs of other systems have no times.", class_="muted"),
    )


def questions(rows_of: Sequence[QueryValues], names: Sequence[str], base: str, against: str, start: int) -> Markup:
    """The values of every question as text, a page of them: the largest difference first."""
    several = len(names) > 1 and against in names
    rows = sorted(rows_of, key=lambda row: (-_gap(row, against, base, several), row.qid))
    offset = start if start < len(rows) else 0
    part = rows[offset : offset + PAGE]
    last = offset + len(part)
    columns = [
        head(slots.mark(i), el("span", name, dir="auto", class_="th-name", title=name), num=True)
        for i, name in enumerate(names)
    ]
    return join(
        panel_head(
            "Questions",
            icon_button("Previous questions", "ev-page", "left", offset=max(0, offset - PAGE)) if offset else None,
            el("span", f"{offset + 1:,}–{last:,} of {len(rows):,}", class_="muted small"),
            icon_button("Next questions", "ev-page", "right", offset=last) if last < len(rows) else None,
            said="largest difference first" if several else "by id",
        ),
        table(
            (head(el("span", "Id", class_="sr-only")), "Question", *columns, "Difference" if several else None),
            [_question(row, names, against, base, several) for row in part],
            numbers=("Difference",),
            look="questions",
            region="Values of the questions",
        ),
    )


def _gap(row: QueryValues, against: str, base: str, several: bool) -> float:
    if not several:
        return 0.0
    value, other = row.values.get(against), row.values.get(base)
    return -1.0 if value is None or other is None else abs(value - other)


def _question(row: QueryValues, names: Sequence[str], against: str, base: str, several: bool) -> Markup:
    value, other = row.values.get(against), row.values.get(base)
    change = None if value is None or other is None else value - other
    look = "" if change is None or abs(change) <= charts.TIE else "up-text" if change > 0 else "down-text"
    return el(
        "tr",
        el("td", el("code", row.qid), class_="q-id"),
        el("td", opened(row.qid, row.text)),
        [
            el("td", "failed" if (cell := row.values.get(name)) is None else f"{cell:.3f}", class_="num")
            for name in names
        ],
        el("td", "–" if change is None else f"{change:+.3f}", class_=classes("num", look)) if several else None,
        data_key=row.qid,
    )


def opened(qid: str, text: str) -> Markup:
    """A question that opens in Compare."""
    return cell_title(text or qid, "ev-query", title=f"{qid}: {text}", clamp=True, qid=qid)


def what_ran(view: EvaluationView) -> Markup:
    """The pipelines as they were, and the command that runs them again."""
    return el(
        "details",
        el("summary", el("h2", "What was run"), class_="panel-head"),
        el(
            "p",
            "The same again, in one command: ",
            el("code", view.command),
            icon_button("Copy the command", "copy-text", "copy", text=view.command),
            class_="ev-command",
        )
        if view.command
        else None,
        el(
            "div",
            [
                el(
                    "div",
                    el("h3", slots.mark(i), el("span", one.name, dir="auto")),
                    el("pre", one.yaml, class_="yaml") if not one.imported else el("p", "A run of another system.", class_="muted"),
                )
                for i, one in enumerate(view.pipelines)
            ],
            class_="what-ran",
        ),
        class_="panel ev-what",
        data_key="ev-what",
    )  # fmt: skip
