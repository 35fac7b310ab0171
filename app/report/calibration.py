"""The plots of a stored calibration on paper: scores, reliability, and precision and recall against the threshold."""

from __future__ import annotations

from markupsafe import Markup

from app.drawing import calibration_charts as charts
from app.drawing import slots
from app.drawing.calibration_measures import about, measures, number
from app.drawing.html import el, join
from app.results.calibration import CalibratedPipeline, CalibrationView


def section(view: CalibrationView) -> Markup:
    """Everything that a calibration measured, pipeline by pipeline."""
    return join(
        el(
            "p",
            f"Calibrators fitted to the query set {view.query_set}, and measured on questions that the fit has not seen "
            f"({view.folds} folds, the first {view.depth} hits of each question, relevant from rating {view.rating} on). "
            f"Thresholds were chosen for {view.target}. Ranges are 95% intervals that resample questions; the best value is underlined.",
            class_="muted",
            dir="auto",
        ),
        el("p", f"Stale: {', '.join(view.stale)}.", class_="box box-warn") if view.stale else None,
        [_pipeline(part, i) for i, part in enumerate(view.pipelines)],
    )


def _pipeline(part: CalibratedPipeline, index: int) -> Markup:
    return el(
        "div",
        el("h3", slots.mark(index), el("span", part.name, dir="auto"), el("span", about(part), class_="muted small")),
        el(
            "figure",
            charts.histogram(part.scores, still=True),
            el("figcaption", "Raw scores: relevant hits above the line, other hits below; each side on its own scale."),
        ),
        measures(part),
        el(
            "div",
            [
                el(
                    "figure",
                    el("figcaption", el("b", method.label), f" ECE {number(method.measures['ECE'].value)}"),
                    charts.reliability(method.bins, method.label, charts.PAPER, still=True),
                )
                for method in part.methods
            ],
            class_="small-plots",
        ),
        el("p", "Reliability: what was promised (across) and what came true (up); on the diagonal, both are the same. Larger dots stand for more hits.", class_="muted small"),
        el(
            "div",
            [
                el(
                    "figure",
                    el("figcaption", el("b", method.label), f" threshold {method.threshold:.3f}"),
                    charts.trade(method.effects, None, method.threshold, charts.PAPER, of=method.label),
                )
                for method in part.methods
            ],
            class_="small-plots",
        ),
        el(
            "p",
            el("span", class_="key key-precision"),
            " precision and ",
            el("span", class_="key key-recall"),
            " recall against the threshold; the dashed line is the chosen one.",
            class_="muted small",
        ),
        class_=f"calibrated slot-{index % 4}",
    )  # fmt: skip
