"""The drawings of a calibration: where scores lie, whether probabilities come true, what a threshold costs, and the map of one query.

Every drawing has its facts as a title and a description; the tables beside them hold the same numbers as text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.drawing import format
from app.drawing.html import Child, classes, el, join
from app.results.calibration import Effect, Histogram, QueryCurve, ReliabilityBins

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
HALVES = (0.0, 0.5, 1.0)
Scale = Callable[[float], float]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a drawing lies in its box of `width` × `height`: its left, right, upper and lower edges, and how large its dots are."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    dot: float = 0.0
    grow: float = 0.0

    def x(self, low: float, high: float) -> Scale:
        """The place of a value from left to right."""
        return _scale(low, high, self.left, self.right)

    def y(self, low: float, high: float) -> Scale:
        """The height of a value, upwards."""
        return _scale(low, high, self.bottom, self.top)

    def rules(self, y: Scale, values: Sequence[float], text: Callable[[float], str]) -> list[Markup]:
        """Level lines with their values."""
        return [
            join(
                el("line", x1=self.left, x2=self.right, y1=f"{y(value):.1f}", y2=f"{y(value):.1f}", class_="rule"),
                el("text", text(value), x=self.left - 6, y=f"{y(value) + 4:.1f}", text_anchor="end", class_="tick"),
            )
            for value in values
        ]

    def ticks(self, x: Scale, values: Sequence[float], text: Callable[[float], str], name: str = "") -> list[Markup]:
        """Values along the lower edge, and what they are."""
        marks = [
            el("text", text(value), x=f"{x(value):.1f}", y=self.bottom + 15, text_anchor="middle", class_="tick")
            for value in values
        ]
        middle = (self.left + self.right) / 2
        named = (
            el("text", name, x=middle, y=self.height - 4, text_anchor="middle", class_="axis-name") if name else None
        )
        return [*marks, *([named] if named else [])]

    def drawing(self, title: str, facts: str, *content: Child, look: str = "") -> Markup:
        """The drawing with its facts in words."""
        return el(
            "svg",
            el("title", title),
            el("desc", facts),
            *content,
            viewBox=f"0 0 {self.width:.0f} {self.height:.0f}",
            class_=classes("cal-chart", look),
            role="img",
            aria_label=f"{title}. {facts}",
        )


WIDE = Frame(560, 210, left=44, right=546, top=16, bottom=172)
SMALL = Frame(190, 190, left=30, right=182, top=8, bottom=156, dot=2.2, grow=5.5)
"""Many beside each other on the page."""
PAPER = Frame(252, 238, left=34, right=224, top=12, bottom=202, dot=2.5, grow=5.0)
"""A square in a report."""


def _scale(low: float, high: float, start: float, end: float) -> Scale:
    spread = high - low or 1.0
    return lambda value: start + (value - low) / spread * (end - start)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _plain(value: float) -> str:
    return f"{value:g}"


def _percent(value: float) -> str:
    return f"{value:.0%}"


# ------------------------------------------------------------------ histogram
def histogram(found: Histogram, *, still: bool = False) -> Markup:
    """Relevant hits above the line, the others below it; each side to its own height, because relevant ones are few.

    `still` leaves out what only a script shows.
    """
    bins = len(found.relevant)
    if not bins or not sum(found.relevant) + sum(found.other):
        return el("p", "There are no hits to draw.", class_="muted")
    width = (found.high - found.low) / bins
    middle = (WIDE.top + WIDE.bottom) / 2
    room = (WIDE.bottom - WIDE.top) / 2 - 3
    step = (WIDE.right - WIDE.left) / bins
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
                    el("rect", x=f"{WIDE.left + i * step + 0.5:.1f}", y=f"{top:.1f}", width=f"{step - 1:.1f}", height=f"{max(high, 0.8):.1f}", class_=f"bar-{look}", data_tip=None if still else words)
                )  # fmt: skip
    ticks = [found.low + share * (found.high - found.low) for share in SHARES]
    facts = f"{sum(found.relevant):,} relevant and {sum(found.other):,} other hits; {_center(found, found.relevant)}{_center(found, found.other, 'other')}"
    return WIDE.drawing(
        "Scores of relevant and other hits",
        facts,
        el("line", x1=WIDE.left, x2=WIDE.right, y1=f"{middle:.1f}", y2=f"{middle:.1f}", class_="axis"),
        bars,
        el("text", "relevant", x=4, y=WIDE.top + 4, class_="axis-name is-relevant"),
        el("text", "other", x=4, y=WIDE.bottom, class_="axis-name"),
        WIDE.ticks(WIDE.x(found.low, found.high), ticks, format.score, "score"),
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
def reliability(bins: ReliabilityBins, label: str, frame: Frame = SMALL, *, still: bool = False) -> Markup:
    """What was promised against what came true; dots on the diagonal are kept promises, their area is how many hits they speak for."""
    most = max(bins.count, default=0) or 1
    x, y = frame.x(0, 1), frame.y(0, 1)
    dots, told = [], []
    for count, promised, true in zip(bins.count, bins.predicted, bins.observed, strict=True):
        if not count or promised is None or true is None:
            continue
        words = f"promised {promised:.2f}, came true {true:.2f} ({format.plural(count, 'hit')})"
        told.append(words)
        across, kept, came = f"{x(promised):.1f}", f"{y(promised):.1f}", f"{y(true):.1f}"
        radius = f"{frame.dot + frame.grow * (count / most) ** 0.5:.1f}"
        dots.append(
            join(
                el("line", x1=across, x2=across, y1=kept, y2=came, class_="gap"),
                el("circle", cx=across, cy=came, r=radius, class_="dot", data_tip=None if still else words),
            )
        )
    return frame.drawing(
        f"Reliability of {label}: what was promised against what came true",
        "; ".join(told),
        frame.rules(y, HALVES, _plain),
        frame.ticks(x, HALVES, _plain, "promised"),
        el("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="diagonal"),
        dots,
        look="cal-small",
    )


# ------------------------------------------------------------------ threshold
def trade(
    effects: Sequence[Effect], tried: float | None, chosen: float, frame: Frame = WIDE, *, of: str = ""
) -> Markup:
    """Precision and recall against the threshold; `chosen` is the one of the target, `tried` another one."""
    x, y = frame.x(0, 1), frame.y(0, 1)
    lines = [
        _line([(x(one.threshold), y(value)) for one in effects if (value := getattr(one, name)) is not None], name)
        for name in ("precision", "recall")
    ]
    across = SHARES if frame is WIDE else HALVES
    return frame.drawing(
        f"Precision and recall{' of ' if of else ''}{of} against the threshold",
        f"The target chose {chosen:.3f}{'' if tried is None else f'; {tried:.3f} is tried'}.",
        frame.rules(y, across, _percent if frame is WIDE else _plain),
        _upright(x(chosen), frame, "chosen"),
        None if tried is None else _upright(x(tried), frame, "tried"),
        lines,
        frame.ticks(x, across, _plain, "threshold"),
    )


def _upright(x: float, frame: Frame, look: str) -> Markup:
    return el("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=frame.top, y2=frame.bottom, class_=look)


def _line(points: Sequence[tuple[float, float]], look: str) -> Markup | None:
    return el("path", d=_path(points), class_=f"line line-{look}") if len(points) > 1 else None


def curves(found: Sequence[QueryCurve], shown: str, threshold: float) -> Markup | None:
    """The map of each calibrator over the scores of one query; `shown` is drawn strong."""
    scores = [score for curve in found for score, _ in curve.points]
    if not scores:
        return None
    low, high = min(scores), max(scores)
    x, y = WIDE.x(low, high), WIDE.y(0, 1)
    drawn, told = [], []
    for i, curve in enumerate(found):
        look = classes(
            "line", f"slot-{i % 4}", f"dash-{i // 4 % 3}", "is-shown" if curve.method == shown else "is-other"
        )
        told.append(f"{curve.label} from {curve.points[0][1]:.2f} to {curve.points[-1][1]:.2f}" if curve.points else "")
        path = _path([(x(score), y(p)) for score, p in curve.points])
        drawn.append((curve.method == shown, el("path", d=path, class_=look, data_tip=curve.label)))
    drawn.sort(key=lambda one: one[0])
    across = f"{y(threshold):.1f}"
    return WIDE.drawing(
        "Probability against the score of this query's hits",
        "; ".join(filter(None, told)),
        WIDE.rules(y, SHARES, _percent),
        el("line", x1=WIDE.left, x2=WIDE.right, y1=across, y2=across, class_="tried"),
        [path for _, path in drawn],
        WIDE.ticks(
            x, [low + share * (high - low) for share in SHARES], format.score, "score of the hits of this query"
        ),
    )
