"""The plots of a stored calibration on paper: scores, reliability, and precision and recall against the threshold."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.calibration_results import (
    CalibratedMethod,
    CalibratedPipeline,
    CalibrationView,
    Effect,
    Histogram,
    Interval,
    ReliabilityBins,
)
from app.ui import format
from app.ui.html import el, join
from app.ui.views import slots
from app.ui.views.tables import table

MEASURES = ("ECE", "Brier", "log loss", "AUC", "precision", "recall")
WIDTH, HEIGHT, LEFT, TOP, SIDE = 560.0, 190.0, 34.0, 12.0, 190.0
SMALL_W, SMALL_H = 252.0, 222.0
BAR_GAP = 1.0


def section(view: CalibrationView) -> Markup:
    """Everything that a calibration measured, pipeline by pipeline."""
    return join(
        el(
            "p",
            f"Calibrators fitted to the question set {view.query_set}, and measured on questions that the fit has not seen "
            f"({view.folds} folds, the first {view.depth} hits of each question, relevant from rating {view.rating} on). "
            f"Thresholds were chosen for {view.target}. Ranges are 95% intervals that resample questions.",
            class_="muted",
            dir="auto",
        ),
        el("p", f"Stale: {', '.join(view.stale)}.", class_="box box-warn") if view.stale else None,
        [_pipeline(part, i) for i, part in enumerate(view.pipelines)],
    )


def _pipeline(part: CalibratedPipeline, index: int) -> Markup:
    unanswered = part.queries - part.answerable
    told = (
        f"{format.plural(part.hits, 'hit')} of {format.plural(part.queries, 'question')}, {part.relevant:,} relevant"
        + (f"; {format.plural(unanswered, 'question')} without a relevant document" if unanswered else "")
    )
    return el(
        "div",
        el("h3", slots.mark(index), el("span", part.name, dir="auto"), el("span", told, class_="muted small")),
        el(
            "figure",
            histogram(part.scores),
            el("figcaption", "Raw scores: relevant hits above the line, other hits below; each side on its own scale."),
        ),
        _table(part.methods),
        el(
            "div",
            [
                el(
                    "figure",
                    el("figcaption", el("b", method.label), f" ECE {_value(method.measures.get('ECE'))}"),
                    reliability(method.bins, method.label),
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
                    trade(method.effects, method.threshold, method.label),
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


def _table(methods: Sequence[CalibratedMethod]) -> Markup:
    heads = ("Threshold", *MEASURES, "Best kept", "Emptied", "Results")
    rows = [
        el(
            "tr",
            el("th", one.label, scope="row"),
            el("td", f"{one.threshold:.3f}", class_="num"),
            [_measured(one.measures.get(name)) for name in MEASURES],
            el("td", _share(one.at_threshold.best), class_="num"),
            el("td", _share(one.at_threshold.emptied), class_="num"),
            el("td", f"{one.at_threshold.results:.1f}", class_="num"),
        )
        for one in methods
    ]
    return table(("Calibrator", *heads), rows, numbers=heads)


def _value(interval: Interval | None) -> str:
    return "–" if interval is None or interval.value is None else f"{interval.value:.3f}"


def _measured(interval: Interval | None) -> Markup:
    bounds = (
        f"{interval.low:.3f}–{interval.high:.3f}"
        if interval is not None and interval.low is not None and interval.high is not None
        else ""
    )
    return el("td", _value(interval), el("small", bounds) if bounds else None, class_="num")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"


def histogram(found: Histogram) -> Markup:
    """Counts of relevant hits upwards and of others downwards, on one axis of scores."""
    bins = max(len(found.relevant), len(found.other), 1)
    top, bottom = max(found.relevant, default=0), max(found.other, default=0)
    middle, room = TOP + (HEIGHT - TOP - 24) / 2, (HEIGHT - TOP - 24) / 2
    wide = (WIDTH - LEFT - 8) / bins
    drawn = []
    for counts, most, up, look in ((found.relevant, top, True, "yes"), (found.other, bottom, False, "no")):
        for i, count in enumerate(counts):
            if not count:
                continue
            high = room * count / (most or 1)
            drawn.append(
                el("rect", x=f"{LEFT + i * wide:.1f}", width=f"{max(1.0, wide - BAR_GAP):.1f}", y=f"{middle - high if up else middle:.1f}", height=f"{high:.1f}", class_=f"hist-{look}")
            )  # fmt: skip
    ticks = [
        el("text", _number(found.low + share * (found.high - found.low)), x=f"{LEFT + share * (WIDTH - LEFT - 8):.1f}", y=HEIGHT - 6, text_anchor=anchor, class_="tick")
        for share, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    ]  # fmt: skip
    return el(
        "svg",
        el("title", "Scores of relevant and of other hits"),
        el("line", x1=LEFT, x2=WIDTH - 8, y1=f"{middle:.1f}", y2=f"{middle:.1f}", class_="rule"),
        drawn,
        el("text", f"{top:,}", x=LEFT - 6, y=TOP + 8, text_anchor="end", class_="tick"),
        el("text", f"{bottom:,}", x=LEFT - 6, y=HEIGHT - 26, text_anchor="end", class_="tick"),
        ticks,
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        class_="plot plot-wide",
        role="img",
    )


def _number(value: float) -> str:
    return f"{value:.3g}"


def reliability(bins: ReliabilityBins, label: str) -> Markup:
    """What was promised against what came true, a dot for each bin that holds hits."""
    most = max(bins.count, default=0) or 1
    points = [
        (count, promised, true)
        for count, promised, true in zip(bins.count, bins.predicted, bins.observed, strict=True)
        if count and promised is not None and true is not None
    ]
    path = "M" + "L".join(f"{_x(p):.1f} {_y(o):.1f}" for _, p, o in points) if points else ""
    facts = "; ".join(f"promised {p:.2f}, true {o:.2f} ({n:,})" for n, p, o in points)
    return el(
        "svg",
        el("title", f"Reliability of {label}"),
        el("desc", facts),
        _frame(),
        el("line", x1=_x(0), y1=_y(0), x2=_x(1), y2=_y(1), class_="diagonal"),
        el("path", d=path, class_="curve") if path else None,
        [
            el("circle", cx=f"{_x(p):.1f}", cy=f"{_y(o):.1f}", r=f"{2.5 + 5 * (n / most) ** 0.5:.1f}", class_="bin")
            for n, p, o in points
        ],
        viewBox=f"0 0 {SMALL_W:.0f} {SMALL_H:.0f}",
        class_="plot",
        role="img",
    )


def trade(effects: Sequence[Effect], threshold: float, label: str) -> Markup:
    """Precision and recall against the threshold."""
    drawn = []
    for name, values in (
        ("precision", [(one.threshold, one.precision) for one in effects]),
        ("recall", [(one.threshold, one.recall) for one in effects]),
    ):
        known = [(at, value) for at, value in values if value is not None]
        if known:
            path = "M" + "L".join(f"{_x(at):.1f} {_y(value):.1f}" for at, value in known)
            drawn.append(el("path", d=path, class_=f"curve curve-{name}"))
    at = f"{_x(min(1.0, max(0.0, threshold))):.1f}"
    return el(
        "svg",
        el("title", f"Precision and recall of {label} against the threshold"),
        _frame(),
        el("line", x1=at, x2=at, y1=_y(0), y2=_y(1), class_="chosen"),
        drawn,
        viewBox=f"0 0 {SMALL_W:.0f} {SMALL_H:.0f}",
        class_="plot",
        role="img",
    )


def _x(share: float) -> float:
    return LEFT + share * SIDE


def _y(share: float) -> float:
    return TOP + (1 - share) * SIDE


def _frame() -> Markup:
    """A square from 0 to 1 on both sides."""
    parts = []
    for share in (0.0, 0.5, 1.0):
        text = f"{share:g}"
        parts.append(el("line", x1=_x(0), x2=_x(1), y1=_y(share), y2=_y(share), class_="rule"))
        parts.append(el("text", text, x=LEFT - 6, y=_y(share) + 4, text_anchor="end", class_="tick"))
        parts.append(el("text", text, x=_x(share), y=_y(0) + 16, text_anchor="middle", class_="tick"))
    return join(parts)
