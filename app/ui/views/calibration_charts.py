"""The drawings of a calibration: where scores lie, whether probabilities come true, what a threshold costs, and the map of one query.

Every drawing has its facts as a title and a description; the tables beside them hold the same numbers as text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from markupsafe import Markup

from app.calibration_results import CalibratedMethod, Effect, Histogram, QueryCurve
from app.ui import format
from app.ui.html import Child, classes, el, join

WIDTH, HEIGHT = 560.0, 210.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 14.0, 16.0, 38.0
SMALL = 190.0
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
Scale = Callable[[float], float]


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    spread = high - low or 1.0
    return lambda value: start + (value - low) / spread * (end - start)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _drawing(title: str, facts: str, *content: Child, look: str = "") -> Markup:
    return el(
        "svg",
        el("title", title),
        el("desc", facts),
        *content,
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        class_=classes("cal-chart", look),
        role="img",
        aria_label=f"{title}. {facts}",
    )


def _rules(y: Scale, values: Sequence[float], text: Callable[[float], str]) -> list[Markup]:
    return [
        join(
            el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y(value):.1f}", y2=f"{y(value):.1f}", class_="rule"),
            el("text", text(value), x=LEFT - 7, y=f"{y(value) + 4:.1f}", text_anchor="end", class_="tick"),
        )
        for value in values
    ]


def _ticks(x: Scale, values: Sequence[float], text: Callable[[float], str], name: str) -> list[Markup]:
    marks = [
        el("text", text(value), x=f"{x(value):.1f}", y=HEIGHT - BOTTOM + 15, text_anchor="middle", class_="tick")
        for value in values
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    return [*marks, el("text", name, x=middle, y=HEIGHT - 5, text_anchor="middle", class_="axis-name")]


def _percent(value: float) -> str:
    return f"{value:.0%}"


# ------------------------------------------------------------------ histogram
def histogram(found: Histogram) -> Markup:
    """Relevant hits above the line, the others below it; each side as shares of its own hits, because relevant ones are few."""
    bins = len(found.relevant)
    if not bins or not sum(found.relevant) + sum(found.other):
        return el("p", "There are no hits to draw.", class_="muted")
    width = (found.high - found.low) / bins
    middle = TOP + (HEIGHT - TOP - BOTTOM) / 2
    room = (HEIGHT - TOP - BOTTOM) / 2 - 3
    step = (WIDTH - LEFT - RIGHT) / bins
    sides = (("relevant", found.relevant, -1), ("other", found.other, 1))
    bars = []
    for look, counts, way in sides:
        most = max(counts) or 1
        for i, count in enumerate(counts):
            high = room * count / most
            top = middle - 1 - high if way < 0 else middle + 1
            words = f"{format.score(found.low + i * width)} to {format.score(found.low + (i + 1) * width)}: {format.plural(count, look + ' hit')}"
            if count:
                bars.append(
                    el("rect", x=f"{LEFT + i * step + 0.5:.1f}", y=f"{top:.1f}", width=f"{step - 1:.1f}", height=f"{max(high, 0.8):.1f}", class_=f"bar-{look}", data_tip=words)
                )  # fmt: skip
    x = _scale(found.low, found.high, LEFT, WIDTH - RIGHT)
    ticks = [found.low + share * (found.high - found.low) for share in SHARES]
    facts = f"{sum(found.relevant):,} relevant and {sum(found.other):,} other hits; {_center(found, found.relevant)}{_center(found, found.other, 'other')}"
    return _drawing(
        "Scores of relevant and other hits",
        facts,
        el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{middle:.1f}", y2=f"{middle:.1f}", class_="axis"),
        bars,
        el("text", "relevant", x=4, y=TOP + 4, class_="axis-name is-relevant"),
        el("text", "other", x=4, y=HEIGHT - BOTTOM, class_="axis-name"),
        _ticks(x, ticks, format.score, "score"),
    )


def _center(found: Histogram, counts: Sequence[int], name: str = "relevant") -> str:
    """Where the median lies, in words."""
    total, seen = sum(counts), 0
    if not total:
        return ""
    for i, count in enumerate(counts):
        seen += count
        if 2 * seen >= total:
            at = found.low + (i + 0.5) * (found.high - found.low) / len(counts)
            return f"half of the {name} ones lie below about {format.score(at)}. "
    return ""


# ---------------------------------------------------------------- reliability
def reliability(method: CalibratedMethod) -> Markup:
    """What was promised against what came true; dots on the diagonal are kept promises, their area is how many hits they speak for."""
    bins = method.bins
    most = max(bins.count, default=0) or 1
    side, edge = SMALL - 8.0, 30.0
    x, y = _scale(0, 1, edge, side), _scale(0, 1, side - 26, 8)
    dots, told = [], []
    for count, promised, true in zip(bins.count, bins.predicted, bins.observed, strict=True):
        if not count or promised is None or true is None:
            continue
        words = f"promised {promised:.2f}, came true {true:.2f} ({format.plural(count, 'hit')})"
        told.append(words)
        radius = 2.2 + 5.5 * (count / most) ** 0.5
        dots.append(
            join(
                el("line", x1=f"{x(promised):.1f}", x2=f"{x(promised):.1f}", y1=f"{y(promised):.1f}", y2=f"{y(true):.1f}", class_="gap"),
                el("circle", cx=f"{x(promised):.1f}", cy=f"{y(true):.1f}", r=f"{radius:.1f}", class_="dot", data_tip=words),
            )
        )  # fmt: skip
    return el(
        "svg",
        el("title", f"Reliability of {method.label}"),
        el("desc", "; ".join(told)),
        [
            join(
                el("line", x1=edge, x2=side, y1=f"{y(v):.1f}", y2=f"{y(v):.1f}", class_="rule"),
                el("text", f"{v:g}", x=edge - 5, y=f"{y(v) + 4:.1f}", text_anchor="end", class_="tick"),
                el("text", f"{v:g}", x=f"{x(v):.1f}", y=side - 12, text_anchor="middle", class_="tick"),
            )
            for v in (0.0, 0.5, 1.0)
        ],
        el("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="diagonal"),
        dots,
        el("text", "promised", x=(edge + side) / 2, y=SMALL - 4, text_anchor="middle", class_="axis-name"),
        viewBox=f"0 0 {SMALL:.0f} {SMALL:.0f}",
        class_="cal-chart cal-small",
        role="img",
        aria_label=f"Reliability of {method.label}: what was promised against what came true. {'; '.join(told)}",
    )


# ------------------------------------------------------------------ threshold
def trade(effects: Sequence[Effect], threshold: float, chosen: float) -> Markup:
    """Precision and recall against the threshold; `chosen` is the one of the target, `threshold` the one that is tried."""
    x, y = _scale(0, 1, LEFT, WIDTH - RIGHT), _scale(0, 1, HEIGHT - BOTTOM, TOP)
    lines = [
        _line([(x(one.threshold), y(value)) for one in effects if (value := getattr(one, name)) is not None], name)
        for name in ("precision", "recall")
    ]
    facts = f"The target chose {chosen:.3f}; {threshold:.3f} is tried."
    return _drawing(
        "Precision and recall against the threshold",
        facts,
        _rules(y, SHARES, _percent),
        el("line", x1=f"{x(chosen):.1f}", x2=f"{x(chosen):.1f}", y1=TOP, y2=HEIGHT - BOTTOM, class_="chosen"),
        el("line", x1=f"{x(threshold):.1f}", x2=f"{x(threshold):.1f}", y1=TOP, y2=HEIGHT - BOTTOM, class_="tried"),
        lines,
        _ticks(x, SHARES, lambda v: f"{v:g}", "threshold"),
    )


def _line(points: Sequence[tuple[float, float]], look: str) -> Markup | None:
    return el("path", d=_path(points), class_=f"line line-{look}") if len(points) > 1 else None


def curves(found: Sequence[QueryCurve], shown: str, threshold: float) -> Markup | None:
    """The map of each calibrator over the scores of one query; `shown` is drawn strong."""
    scores = [score for curve in found for score, _ in curve.points]
    if not scores:
        return None
    low, high = min(scores), max(scores)
    x, y = _scale(low, high, LEFT, WIDTH - RIGHT), _scale(0, 1, HEIGHT - BOTTOM, TOP)
    drawn, told = [], []
    for i, curve in enumerate(found):
        look = classes(
            "line", f"slot-{i % 4}", f"dash-{i // 4 % 3}", "is-shown" if curve.method == shown else "is-other"
        )
        told.append(f"{curve.label} from {curve.points[0][1]:.2f} to {curve.points[-1][1]:.2f}" if curve.points else "")
        path = _path([(x(score), y(p)) for score, p in curve.points])
        drawn.append((curve.method == shown, el("path", d=path, class_=look, data_tip=curve.label)))
    drawn.sort(key=lambda one: one[0])
    facts = "; ".join(filter(None, told))
    return _drawing(
        "Probability against the score of this query's hits",
        facts,
        _rules(y, SHARES, _percent),
        el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y(threshold):.1f}", y2=f"{y(threshold):.1f}", class_="tried"),
        [path for _, path in drawn],
        _ticks(x, [low + share * (high - low) for share in SHARES], format.score, "score of the hits of this query"),
    )
