"""A calibration as it is looked at: a threshold to try, and what each calibrator is worth on each pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import calibration_charts as charts
from app.drawing import slots
from app.drawing.calibration_measures import about, measures, number
from app.drawing.controls import button
from app.drawing.history import when
from app.drawing.html import Child, el, join
from app.drawing.icons import icon
from app.results.calibration import CalibratedMethod, CalibratedPipeline, CalibrationView
from app.ui.pages.calibrate import trying


def results(
    view: CalibrationView, look: trying.Look, tried: Markup, query: str, samples: Sequence[str], *, write: bool
) -> Markup:
    """Everything; `tried` is what the threshold does, which a slide of it alone redraws."""
    return join(
        _title(view, write=write),
        trying.panel(view, look, tried, query, samples, write=write),
        [_pipeline(part, i) for i, part in enumerate(view.pipelines)],
    )  # fmt: skip


def _title(view: CalibrationView, *, write: bool) -> Markup:
    told = f"{view.query_set} · {view.folds} folds · first {view.depth} hits · target {view.target} · {when(view.created_at)}"
    return el(
        "section",
        el(
            "div",
            el("h2", "Calibration"),
            el("span", told, class_="muted small", dir="auto"),
            el("span", class_="grow"),
            [
                button(label, "cal-export", glyph="download", look="quiet", format=form)
                for label, form in (("CSV", "csv"), ("Markdown", "markdown"))
            ],
            button(
                "Report",
                "cal-report",
                glyph="document",
                hint="This calibration as one file that opens from disk",
            ),
            class_="panel-head cal-title",
        ),
        el(
            "div",
            icon("warning"),
            el("p", el("b", "Stale: "), "; ".join(view.stale), ". The maps were fitted to what was there before."),
            el("div", button("Fit again", "cal-again"), class_="box-actions") if write else None,
            class_="box box-warn",
        )
        if view.stale
        else None,
        class_="cal-about",
        aria_label="Calibration",
    )


# ---------------------------------------------------------- a pipeline's share
def _pipeline(part: CalibratedPipeline, index: int) -> Markup:
    before = next((one for one in part.methods if one.name == "min_max"), None)
    return el(
        "section",
        el(
            "div",
            slots.mark(index),
            el("h2", part.name, dir="auto"),
            el("span", about(part), class_="muted small"),
            class_="panel-head",
        ),
        el(
            "div",
            el(
                "figure",
                charts.histogram(part.scores),
                el("figcaption", "Scores of relevant and other hits; each side to its own height, as relevant ones are few."),
                class_="cal-figure",
            ),
            el("div", [_reliability(one, before) for one in part.methods], class_="cal-panels"),
            class_="cal-overview",
        ),
        measures(part),
        el(
            "p",
            "Measured on questions that the fit did not see, with 95% intervals below; the best value is underlined. The threshold is that of the map fitted to all questions.",
            class_="muted small",
        ),
        class_="panel",
        aria_label=part.name,
        data_key=f"cal-part-{index}",
    )  # fmt: skip


def _reliability(one: CalibratedMethod, before: CalibratedMethod | None) -> Markup:
    facts: list[Child] = []
    for name in ("ECE", "Brier"):
        value = number(one.measures[name].value)
        raw = "" if before is None or before is one else f"{number(before.measures[name].value)} → "
        facts.append(el("span", f"{name} {raw}", el("b", value)))
    return el(
        "figure",
        el("figcaption", el("b", one.label)),
        charts.reliability(one.bins, one.label),
        el("div", facts, class_="cal-facts", title="Before: scores scaled by min-max; after: this calibrator"),
        class_="cal-panel",
    )
