"""The drawing of an evaluation that has a point for every pipeline: a measure against latency, with labels that make room for each other."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.drawing import format, slots
from app.drawing.html import el, join
from app.results.evaluation import EvaluatedPipeline

Box = tuple[float, float, float, float]
"""left, top, right, bottom"""
WIDTH, HEIGHT = 560.0, 330.0
LEFT, RIGHT, TOP, BOTTOM = 48.0, 18.0, 28.0, 44.0
LETTER, LINE = 7.0, 15.0
"""How wide a letter (of Chinese and its like: twice that) and how high a line of the labels is, in the units of the drawing."""
LONGEST = 26


@dataclass(frozen=True, slots=True)
class Point:
    """A pipeline in the scatter plot: `ms` and `mean` decide its place, `low` and `high` its whisker."""

    name: str
    slot: int
    ms: float
    mean: float
    low: float
    high: float


def points(pipelines: Sequence[EvaluatedPipeline], measure: str) -> list[Point]:
    """The pipelines with a latency and a mean."""
    found = []
    for i, one in enumerate(pipelines):
        cell = next((cell for cell in one.cells if cell.measure == measure), None)
        if cell is not None and cell.mean is not None and one.p50:
            low = cell.mean if cell.low is None else cell.low
            high = cell.mean if cell.high is None else cell.high
            found.append(Point(one.name, i, one.p50, cell.mean, low, high))
    return found


def drawing(found: Sequence[Point], measure: str) -> Markup:
    """Mean against the median latency, with intervals; up and to the left is better. Labels make room for each other."""
    if not found:
        return el(
            "p", "No pipeline has both a value and a latency; runs of other systems have no times.", class_="muted"
        )
    low_ms, high_ms = _decade(min(p.ms for p in found), max(p.ms for p in found))
    low, high, step = _scale(min(p.low for p in found), max(p.high for p in found))

    def x(ms: float) -> float:
        share = (math.log10(ms) - math.log10(low_ms)) / (math.log10(high_ms) - math.log10(low_ms))
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    places = [(x(p.ms), y(p.mean)) for p in found]
    whiskers = [(x(p.ms), y(p.low), y(p.high)) for p in found]
    names = [format.shorten(p.name, LONGEST) for p in found]
    label = label_places(places, [text_width(name) for name in names], whiskers)
    facts = "; ".join(f"{p.name}: {measure} {p.mean:.3f}, {format.milliseconds(p.ms)}" for p in found)
    return el(
        "svg",
        el("title", f"{measure} against latency"),
        el("desc", facts),
        _rules(low, high, step, y),
        _ticks(low_ms, high_ms, x),
        el("text", f"{measure}, with its interval", x=4, y=12, class_="axis-name"),
        el("text", "median latency of a question", x=WIDTH - RIGHT, y=HEIGHT - 6, text_anchor="end", class_="axis-name"),
        [_dot(p, place, whisker, measure) for p, place, whisker in zip(found, places, whiskers, strict=True)],
        [_label(name, p, at, place) for name, p, at, place in zip(names, found, label, places, strict=True)],
        viewBox=f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
        class_="scatter",
        role="img",
        aria_label=f"{measure} against latency. {facts}",
    )  # fmt: skip


def text_width(text: str) -> float:
    """About how wide a label is drawn."""
    return sum(
        LETTER * (2 if unicodedata.east_asian_width(letter) in "WF" else 1.2 if letter > "ʯ" else 1) for letter in text
    )


def _rules(low: float, high: float, step: float, y: Callable[[float], float]) -> Markup:
    lines = []
    for i in range(round((high - low) / step) + 1):
        value = low + i * step
        at = y(value)
        lines.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{at:.1f}", y2=f"{at:.1f}", class_="rule"))
        text = f"{value:.2f}" if step < 0.1 else f"{value:.1f}"
        lines.append(el("text", text, x=LEFT - 8, y=f"{at + 4:.1f}", text_anchor="end", class_="tick"))
    return join(lines)


def _ticks(low: float, high: float, x: Callable[[float], float]) -> Markup:
    marks = []
    power = math.floor(math.log10(low))
    while 10**power <= high * 1.0001:
        for factor in (1, 2, 5):
            value = factor * 10.0**power
            if low * 0.9999 <= value <= high * 1.0001:
                at = f"{x(value):.1f}"
                marks.append(el("line", x1=at, x2=at, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM + 4, class_="rule"))
                marks.append(el("text", _ms(value), x=at, y=HEIGHT - BOTTOM + 17, text_anchor="middle", class_="tick"))
        power += 1
    return join(marks)


def _ms(value: float) -> str:
    return f"{value / 1000:g} s" if value >= 1000 else f"{value:g} ms"


def _dot(point: Point, place: tuple[float, float], whisker: tuple[float, float, float], measure: str) -> Markup:
    at, y_low, y_high = whisker
    words = f"{point.name}: {measure} {point.mean:.3f} ({point.low:.3f} to {point.high:.3f}), {format.milliseconds(point.ms)}"
    return el(
        "g",
        el("line", x1=f"{at:.1f}", x2=f"{at:.1f}", y1=f"{y_low:.1f}", y2=f"{y_high:.1f}", class_="whisker"),
        el("circle", cx=f"{place[0]:.1f}", cy=f"{place[1]:.1f}", r="11", class_="halo"),
        el("text", slots.shape(point.slot), x=f"{place[0]:.1f}", y=f"{place[1]:.1f}", class_="dot-shape"),
        class_=f"point slot-{point.slot % 4}",
        data_tip=words,
    )


def _label(name: str, point: Point, box: Box, place: tuple[float, float]) -> Markup:
    middle = (box[1] + box[3]) / 2
    far = abs(middle - place[1]) > LINE * 1.6
    near = box[0] if box[0] > place[0] else box[2]
    thread = (
        el("line", x1=f"{place[0]:.1f}", y1=f"{place[1]:.1f}", x2=f"{near:.1f}", y2=f"{middle:.1f}", class_="thread")
        if far
        else None
    )
    return join(
        thread,
        el(
            "text", name, x=f"{box[0]:.1f}", y=f"{middle + 4:.1f}", class_=f"dot-name slot-{point.slot % 4}", data_tip=point.name
        ),
    )  # fmt: skip


def label_places(
    places: Sequence[tuple[float, float]], widths: Sequence[float], whiskers: Sequence[tuple[float, float, float]]
) -> list[Box]:
    """A box for the label of each point, in its order: beside, above or below it, further away where others are in the way.

    Boxes never overlap each other while there is room in the drawing, and prefer not to lie on points and whiskers.
    """
    marks: list[Box] = [(x - 8, y - 8, x + 8, y + 8) for x, y in places]
    marks += [(x - 4, min(a, b), x + 4, max(a, b)) for x, a, b in whiskers]
    taken: dict[int, Box] = {}
    for i in sorted(range(len(places)), key=lambda i: (places[i][1], places[i][0])):
        best = min(
            _around(places[i], widths[i]),
            key=lambda item: item[0] + 1e4 * sum(_shared(item[1], box) for box in taken.values()) + sum(_shared(item[1], mark) for mark in marks),
        )  # fmt: skip
        taken[i] = best[1]
    return [taken[i] for i in range(len(places))]


def _around(place: tuple[float, float], width: float) -> list[tuple[float, Box]]:
    """(how far from ideal, box) of the places for a label, all inside the drawing."""
    x, y = place
    options = []
    for shift in (0, 1, -1, 2, -2, 3, -3, 4, -4, 6, -6, 8, -8, 10, -10, 13, -13, 16, -16):
        for cost, left in ((0.0, x + 13), (2.0, x - 13 - width), (8.0, x - width / 2)):
            if left == x - width / 2 and abs(shift) < 2:
                continue  # it would lie on the point
            top = y - LINE / 2 + shift * LINE * 0.75
            box = (left, top, left + width, top + LINE)
            if box[0] >= LEFT - 4 and box[2] <= WIDTH and box[1] >= 12 and box[3] <= HEIGHT - BOTTOM + 2:
                options.append((cost + 6.0 * abs(shift), box))
    left = min(max(LEFT, x + 12), WIDTH - width)
    return options or [(0.0, (left, y - LINE / 2, left + width, y + LINE / 2))]


def _shared(a: Box, b: Box) -> float:
    """The area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _decade(low: float, high: float) -> tuple[float, float]:
    """Bounds of a logarithmic scale around the values: steps of 1, 2, 5, at least a factor of four wide."""
    steps = [factor * 10.0**power for power in range(-4, 8) for factor in (1, 2, 5)]
    start = max([step for step in steps if step <= low * 0.93], default=steps[0])
    end = min([step for step in steps if step >= high * 1.3], default=steps[-1])
    while end / start < 4:
        end = steps[steps.index(end) + 1]
    return start, end


def _scale(low: float, high: float) -> tuple[float, float, float]:
    """(low, high, step) of a linear scale with three to seven steps around the values."""
    spread = max(high - low, 0.02)
    step = next(step for step in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1e9) if spread / step <= 5)
    start = math.floor(low / step) * step
    end = math.ceil(high / step) * step
    return start, max(end, start + step), step
