"""Reports as one self-contained HTML file each: of an evaluation, of one query side by side, of a calibration."""

from __future__ import annotations

from markupsafe import Markup

from app.drawing import charts, evaluated, evaluated_tables, format, leaderboard, scatter, slots
from app.drawing.html import el, join
from app.report import calibration as report_calibration
from app.report import flow as report_flow
from app.report import parts
from app.results.evaluation import EvaluatedHit, EvaluationView, MeasureCell
from app.results.report import CalibrationReport, ComparisonReport, EvaluationReport, ReportedQuery

BARS_OF_ALL, FEWEST_BARS = 2_000, 60
"""Bars in all drawings together, and in one at least, so that no report grows without bound."""


def evaluation(report: EvaluationReport) -> str:
    """The report of a finished evaluation."""
    view = report.view
    names = [one.name for one in view.pipelines]
    title = f"{view.collection}: {view.query_set}"
    head = join(
        el("p", "Evaluation", class_="kicker"),
        el("h1", title, dir="auto"),
        parts.chips(
            (
                format.plural(len(names), "pipeline"),
                format.plural(view.queries, "judged question"),
                f"measured {when(view.created_at)}",
            )
        ),
        el("p", *verdict(view, report.measure), class_="verdict", dir="auto"),
        _stale(view),
    )
    differing = "chosen" if report.chosen else "those on which the pipelines differ most"
    sections: list[parts.Section] = [
        ("leaderboard", "Leaderboard", _leaderboard(report)),
        ("tests", "Differences and tests", parts.comparisons(view)),
        ("questions", f"{report.measure}, question by question", _bars(report)),
        (
            "latency",
            f"{report.measure} and speed",
            el(
                "div",
                el("figure", scatter.drawing(scatter.points(view.pipelines, report.measure), report.measure)),
                el("div", evaluated_tables.stages(view), class_="stages-part"),
                class_="pair",
            ),
        ),
        ("map", f"{report.measure} of every question", _heat(report)),
        (
            "side-by-side",
            "Side by side",
            join(el("p", f"Questions: {differing}.", class_="muted"), [_query(one, report) for one in report.queries])
            if report.queries
            else None,
        ),
        (
            "calibration",
            "Calibration",
            report_calibration.section(report.calibration) if report.calibration is not None else None,
        ),
        ("values", "Values", parts.values(report.rows, names, report.measure)),
        ("pipelines", "Pipelines", parts.configuration([(one.name, one.yaml) for one in view.pipelines])),
        ("origin", "Where this comes from", parts.origin(report.origin)),
    ]
    return parts.page(f"{title} – Triptych", head, sections, report.origin)


def comparison(report: ComparisonReport) -> str:
    """The report of one query through several pipelines."""
    result = report.result
    columns = tuple(
        report_flow.FlowColumn(
            column.pipeline.name,
            i,
            tuple(
                EvaluatedHit(hit.card.rank, hit.card.doc_id, hit.card.title, hit.card.score, hit.card.rating)
                for hit in column.hits
            ),
            format.milliseconds(column.took_ms),
            column.error,
        )
        for i, column in enumerate(result.columns)
    )
    head = join(
        el("p", "One query, side by side", class_="kicker"),
        el("h1", result.query, dir="auto"),
        parts.chips(
            (
                result.collection,
                f"first {result.k}",
                "judged question" if result.judged else "",
                *(f"{name}: {values}" for name, values in report.filters),
            )
        ),
        [el("p", notice, class_="muted") for notice in result.notices],
    )
    slot = {column.pipeline.name: i for i, column in enumerate(result.columns)}
    sections: list[parts.Section] = [
        ("side-by-side", "Side by side", report_flow.board(columns)),
        ("agreement", "Agreement", parts.agreement(result)),
        ("ledger", "Fusion ledger", parts.ledgers(report.ledgers, slot)),
        ("latency", "Latency by stage", parts.latency(result)),
        ("pipelines", "Pipelines", parts.configuration([(c.pipeline.name, c.pipeline.yaml) for c in result.columns])),
        ("origin", "Where this comes from", parts.origin(report.origin)),
    ]
    return parts.page(f"{format.shorten(result.query, 80)} – Triptych", head, sections, report.origin)


def calibration(report: CalibrationReport) -> str:
    """The report of a stored calibration by itself."""
    view = report.view
    title = f"{view.collection}: {view.query_set}"
    head = join(
        el("p", "Calibration", class_="kicker"),
        el("h1", title, dir="auto"),
        parts.chips((format.plural(len(view.pipelines), "pipeline"), f"measured {when(view.created_at)}")),
    )
    fitted = [(f"{part.name}, {method.label}", method.yaml) for part in view.pipelines for method in part.methods]
    sections: list[parts.Section] = [
        ("calibration", "Scores and probabilities", report_calibration.section(view)),
        ("pipelines", "Pipelines with their fitted maps", parts.configuration(fitted)),
        ("origin", "Where this comes from", parts.origin(report.origin)),
    ]
    return parts.page(f"{title}, calibration – Triptych", head, sections, report.origin)


def when(stamp: str) -> str:
    """A time stamp to the minute."""
    return stamp[:16].replace("T", " ")


def verdict(view: EvaluationView, measure: str) -> list[Markup | str]:
    """Who is best by one measure, and whether that can be told from the baseline, in a sentence."""
    known = [
        (cell.mean, one.name, cell) for one in view.pipelines if (cell := _cell(one.cells, measure)) and cell.mean is not None
    ]  # fmt: skip
    if not known:
        return ["No pipeline has a value."]
    mean, name, cell = max(known, key=lambda row: row[0])
    said: list[Markup | str] = [el("b", name, dir="auto"), f" has the highest {measure}, {mean:.3f}"]
    if cell.low is not None and cell.high is not None:
        said.append(f" ({cell.low:.3f} to {cell.high:.3f})")
    if len(view.pipelines) < 2:
        return [*said, "."]
    if name == view.baseline:
        better = [one.name for one in view.pipelines if (c := _cell(one.cells, measure)) and c.significant == -1]
        tail = (
            f"; {len(better)} of {len(view.pipelines) - 1} others are significantly worse."
            if better
            else "; no other is significantly worse."
        )
        return [*said, tail]
    p = (
        ""
        if cell.p_corrected is None
        else " (p < 0.001)"
        if cell.p_corrected < 0.001
        else f" (p = {cell.p_corrected:.3f})"
    )
    p = p.replace("p < ", "p\u00a0<\u00a0").replace("p = ", "p\u00a0=\u00a0")
    words = (
        f"significantly better than {view.baseline}"
        if cell.significant > 0
        else f"not significantly better than {view.baseline}"
    )
    return [*said, f"; it is {words}{p}."]  # fmt: skip


def _cell(cells: tuple[MeasureCell, ...], measure: str) -> MeasureCell | None:
    return next((cell for cell in cells if cell.measure == measure), None)


def _stale(view: EvaluationView) -> Markup | None:
    if not view.stale:
        return None
    told = "; ".join(view.stale)
    return el("p", el("b", "Stale. "), f"Since this was measured: {told}. The numbers are those of then.", class_="box box-warn", dir="auto")  # fmt: skip


def _leaderboard(report: EvaluationReport) -> Markup:
    view = report.view
    return join(
        leaderboard.table(view, report.words, sort=leaderboard.NAME, measure="", against="", still=True),
        leaderboard.legend(view),
        parts.condensed(view),
        el("dl", [[el("dt", name), el("dd", words)] for name, words in report.words.items() if words], class_="words"),
        parts.failures(view),
    )


def _bars(report: EvaluationReport) -> Markup | None:
    view = report.view
    others = [(i, one.name) for i, one in enumerate(view.pipelines) if one.name != view.baseline]
    if not others or not report.rows:
        return None
    most = max(FEWEST_BARS, min(charts.MOST_BARS, BARS_OF_ALL // len(others)))
    drawn = []
    for i, name in others:
        found = charts.differences(report.rows, name, view.baseline)
        wins = sum(one.difference > charts.TIE for one in found)
        losses = sum(one.difference < -charts.TIE for one in found)
        drawn.append(
            el(
                "figure",
                el(
                    "figcaption",
                    slots.mark(i),
                    el("b", name, dir="auto"),
                    el("span", f" against {view.baseline}: ", class_="muted", dir="auto"),
                    el("span", f"better on {wins:,}", class_="up-text"),
                    f", equal on {len(found) - wins - losses:,}, ",
                    el("span", f"worse on {losses:,}", class_="down-text"),
                ),
                charts.bars(found, name, view.baseline, report.measure, i, most=most, still=True),
            )
        )
    return el("div", drawn, class_="bars-all")


def _heat(report: EvaluationReport) -> Markup | None:
    if not report.rows:
        return None
    fields = evaluated.groupings(report.rows)
    field = fields[0] if fields else ""
    tags = {row.qid: row.tags.get(field, "") for row in report.rows} if field else {}
    return join(
        el("p", "A column is a question, a row a pipeline; ", el("span", class_="heat-scale"), " the stronger the color, the better.", class_="muted"),
        charts.heat(report.rows, [one.name for one in report.view.pipelines], tags, report.measure, field, still=True),
    )  # fmt: skip


def _query(query: ReportedQuery, report: EvaluationReport) -> Markup:
    slot = {one.name: i for i, one in enumerate(report.view.pipelines)}

    def fact(name: str) -> str:
        value = query.values.get(name)
        return "" if value is None else f"{report.measure} {value:.3f}"

    columns = [
        report_flow.FlowColumn(
            one.pipeline,
            slot.get(one.pipeline, i),
            one.hits,
            fact(one.pipeline),
            one.error,
        )
        for i, one in enumerate(query.columns)
    ]
    return el(
        "article",
        el("h3", el("code", query.qid), el("span", query.text or query.qid, dir="auto")),
        report_flow.board(columns),
        class_="asked",
    )
