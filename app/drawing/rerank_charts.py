"""The drawings of the Rerank view: what a number of candidates costs and gives, and both scores of every candidate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from app.drawing import format
from app.drawing.html import Child, el, join
from app.results.stages import RerankedHit, RerankingResult

WIDTH = 420.0
LEFT, RIGHT = 46.0, 12.0
Scale = Callable[[float], float]


def scale(low: float, high: float, start: float, end: float) -> Scale:
    """A linear map of [low, high] to [start, end]; where both ends are equal, everything lies in the middle."""
    if high <= low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most `most` round numbers (steps of 1, 2 or 5) within [low, high].

    >>> ticks(0, 100)
    [0, 25, 50, 75, 100]
    """
    if not high > low:
        return [low]
    exponent = math.floor(math.log10((high - low) / most))
    for power in (exponent, exponent + 1):
        for factor in (1, 2, 2.5, 5):
            step = factor * 10.0**power
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first + 1 <= most:
                return [number * step if step % 1 else round(number * step) for number in range(first, last + 1)]
    return [low, high]


def _drawing(title: str, facts: str, height: float, *content: Child, **attributes: Any) -> Markup:
    return el(
        "svg",
        el("title", title),
        el("desc", facts),
        *content,
        viewBox=f"0 0 {WIDTH:.0f} {height:.0f}",
        class_="cal-chart rr-chart",
        **{"role": "img", "aria_label": f"{title}. {facts}", **attributes},
    )


def _rule(y: float, text: str) -> Markup:
    return join(
        el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}", class_="rule"),
        el("text", text, x=LEFT - 6, y=f"{y + 4:.1f}", text_anchor="end", class_="tick"),
    )


def _under(x: Scale, values: Sequence[float], y: float, text: Callable[[float], str] = lambda v: f"{v:g}") -> Markup:
    return join(
        el("text", text(value), x=f"{x(value):.1f}", y=f"{y:.1f}", text_anchor="middle", class_="tick")
        for value in values
    )


# ---------------------------------------------------------------- candidates
TOP, MIDDLE, BELOW, BASE, HEIGHT = 20.0, 124.0, 152.0, 214.0, 250.0


def curve(result: RerankingResult) -> Markup:
    """Above, what each number of candidates gives; below, the milliseconds. The upright line is the chosen number, as far as it was reached."""
    points = result.curve
    most = max((point.candidates for point in points), default=1)
    judged = any(point.measure is not None for point in points)
    values = [point.measure if judged and point.measure is not None else point.overlap for point in points]
    seen = [*values, *([result.before] if judged and result.before is not None else [])]
    low, high = _range(seen) if judged else (0.0, 1.0)
    slowest = max((point.ms for point in points), default=1.0) or 1.0
    x = scale(0, most, LEFT, WIDTH - RIGHT)
    up, down = scale(low, high, MIDDLE, TOP), scale(0, slowest, BASE, BELOW)
    name = result.measure if judged else f"overlap of the first {result.k} with {most} candidates"
    facts = "; ".join(
        f"{point.candidates} candidates: {value:.3f}, {format.milliseconds(point.ms)}"
        for point, value in zip(points, values, strict=True)
    )
    at = f"{x(result.reached):.1f}"
    return _drawing(
        f"{name} and time against the number of candidates",
        facts,
        HEIGHT,
        [_rule(up(value), f"{value:g}") for value in ticks(low, high, 4)],
        [_rule(down(value), _ms(value)) for value in ticks(0, slowest, 3)],
        _before(result.before, up) if judged and result.before is not None else None,
        _budget(result, down, slowest),
        el("line", x1=at, x2=at, y1=TOP, y2=BASE, class_="tried"),
        _path([(x(p.candidates), up(v)) for p, v in zip(points, values, strict=True)], "line-precision"),
        _path([(x(0), down(0)), *((x(p.candidates), down(p.ms)) for p in points)], "line-recall"),
        [_point(p, v, name, x, up, down) for p, v in zip(points, values, strict=True)],
        _under(x, ticks(0, most, 6), BASE + 15),
        el("text", name, x=LEFT, y=10, class_="axis-name"),
        el("text", "milliseconds", x=LEFT, y=BELOW - 8, class_="axis-name"),
        el("text", "candidates", x=WIDTH - RIGHT, y=HEIGHT - 4, text_anchor="end", class_="axis-name"),
        role="group",
        tabindex="0",
        data_rove=True,
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    """Around the values, at least a fifth wide and within 0 and 1."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = max(0.02, (0.2 - (high - low)) / 2)
    return max(0.0, low - room), min(1.0, high + room)


def _ms(value: float) -> str:
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g}"


def _before(value: float, up: Scale) -> Markup:
    y = f"{up(value):.1f}"
    return el(
        "line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="chosen", data_tip=f"Before the reranker: {value:.3f}"
    )


def _budget(result: RerankingResult, down: Scale, slowest: float) -> Markup | None:
    if result.budget_ms is None or result.budget_ms > slowest:
        return None
    y = f"{down(result.budget_ms):.1f}"
    return el(
        "line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="chosen", data_tip=f"The budget: {result.budget_ms} ms"
    )


def _path(points: Sequence[tuple[float, float]], look: str) -> Markup | None:
    if len(points) < 2:
        return None
    return el("path", d="M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points), class_=f"line {look}")


def _point(point: Any, value: float, name: str, x: Scale, up: Scale, down: Scale) -> Markup:
    words = f"{point.candidates} candidates: {name} {value:.3f}, {format.milliseconds(point.ms)}"
    here = f"{x(point.candidates):.1f}"
    return join(
        el("circle", cx=here, cy=f"{down(point.ms):.1f}", r="2", class_="rr-time"),
        el(
            "circle",
            cx=here,
            cy=f"{up(value):.1f}",
            r="4.5",
            class_="rr-point",
            role="button",
            tabindex="-1",
            aria_label=words,
            data_tip=words,
            data_action="rr-slide",
            data_value=point.candidates,
        ),
    )


# -------------------------------------------------------------------- scatter
PLOT, FLOOR, DEEP = 18.0, 236.0, 290.0


def scatter(result: RerankingResult) -> Markup:
    """Both scores of every candidate; what has only the first lies on the line below."""
    candidates = [hit for hit in result.hits if hit.received <= result.candidates]
    scored = [hit for hit in candidates if hit.score is not None]
    if not candidates:
        return el("p", "There are no candidates to draw.", class_="muted")
    lows = [hit.before for hit in candidates]
    x = scale(min(lows), max(lows), LEFT + 8, WIDTH - RIGHT - 8)
    heights = [hit.score for hit in scored if hit.score is not None]
    low, high = (min(heights), max(heights)) if heights else (0.0, 1.0)
    y = scale(low, high, FLOOR - 8, PLOT + 8)
    waiting = FLOOR + 16
    facts = f"{len(scored)} of {len(candidates)} candidates have both scores"
    return _drawing(
        "Score before against score after",
        facts,
        DEEP,
        [_rule(y(value), f"{value:g}") for value in ticks(low, high, 5)],
        el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=FLOOR, y2=FLOOR, class_="axis"),
        el("text", "no score", x=LEFT - 6, y=waiting + 4, text_anchor="end", class_="tick rr-unreached-name")
        if len(scored) < len(candidates)
        else None,
        [
            _dot(hit, x(hit.before), y(hit.score) if hit.score is not None else waiting, result)
            for hit in _drawn(candidates)
        ],
        _under(x, ticks(min(lows), max(lows), 5), FLOOR + 32),
        el("text", f"score of {format.shorten(result.stages[result.at], 40)}", x=LEFT, y=10, class_="axis-name"),
        el("text", "score before", x=WIDTH - RIGHT, y=DEEP - 4, text_anchor="end", class_="axis-name"),
        role="group",
        tabindex="0",
        data_rove=True,
    )


def _drawn(hits: Sequence[RerankedHit]) -> list[RerankedHit]:
    """Relevant ones last, so that they lie above the others."""
    return sorted(hits, key=lambda hit: (hit.rating is not None, hit.rating or 0))


def _dot(hit: RerankedHit, x: float, y: float, result: RerankingResult) -> Markup:
    look = "is-unjudged" if hit.rating is None else "is-relevant" if hit.rating > 0 else "is-other"
    after = "not reached" if hit.score is None else f"{format.score(hit.score)} (#{hit.rank})"
    judged = "" if hit.rating is None else f"; judged {hit.rating}"
    words = f"{format.shorten(hit.title, 120)} — {format.score(hit.before)} (#{hit.received}) → {after}{judged}"
    return el(
        "circle",
        cx=f"{x:.1f}",
        cy=f"{y:.1f}",
        r="5" if hit.rating is not None else "4",
        class_=f"rr-dot {look}" + ("" if hit.score is not None else " is-unreached"),
        role="button",
        tabindex="-1",
        aria_label=words,
        data_tip=words,
        data_dot=True,
        data_doc=hit.doc_id,
        data_action="read",
    )
