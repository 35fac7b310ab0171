"""The drawings of an evaluation: differences question by question, measure against latency, and the map of all values.

Every mark carries `data-tip` with its facts in words, and stands in a group that the arrow keys walk through; the table of questions
below the drawings holds the same numbers as text.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from app.evaluation_results import EvaluatedPipeline, QueryValues
from app.ui import format
from app.ui.html import classes, el, join
from app.ui.views import slots

MOST_BARS = 900
MOST_CELLS = 1_200
TIE = 1e-9
NO_TAG = "no tag"
Box = tuple[float, float, float, float]
"""left, top, right, bottom"""


# ---------------------------------------------------------------- differences
@dataclass(frozen=True, slots=True)
class Difference:
    """One question on which both pipelines have a value."""

    row: QueryValues
    value: float
    base: float

    @property
    def difference(self) -> float:
        """Above 0 where the pipeline is better than the baseline."""
        return self.value - self.base


def differences(rows: Sequence[QueryValues], pipeline: str, baseline: str) -> list[Difference]:
    """The questions that both answered, the largest gain first."""
    found = []
    for row in rows:
        value, base = row.values.get(pipeline), row.values.get(baseline)
        if value is not None and base is not None:
            found.append(Difference(row, value, base))
    return sorted(found, key=lambda one: (-one.difference, one.row.qid))


def bars(
    found: Sequence[Difference],
    pipeline: str,
    baseline: str,
    measure: str,
    slot: int,
    *,
    most: int = MOST_BARS,
    still: bool = False,
) -> Markup:
    """A bar for each question, from the largest gain to the largest loss; beyond `most` the middle is left out, and said.

    `still` draws for paper: nothing to press or to walk through.
    """
    if not found:
        return el("p", f"No question was answered by both {pipeline} and {baseline}.", class_="muted", dir="auto")
    wins = sum(one.difference > TIE for one in found)
    losses = sum(one.difference < -TIE for one in found)
    gain, loss = max(0.0, found[0].difference), max(0.0, -found[-1].difference)
    zero = _zero(gain, loss)
    head, tail = list(found), list[Difference]()
    if len(found) > most:
        head, tail = list(found[: most // 2]), list(found[-(most // 2) :])
    hidden = len(found) - len(head) - len(tail)
    drawn = [_bar(one, gain or loss or 1.0, loss or gain or 1.0, pipeline, baseline, still) for one in head]
    gap = el("span", f"{hidden:,} between", class_="bars-gap") if hidden else None
    label = (
        f"{measure} of {pipeline} minus {baseline}, question by question: better on {wins:,}, equal on "
        f"{len(found) - wins - losses:,}, worse on {losses:,}."
    )
    return el(
        "div",
        el(
            "div",
            el("span", f"+{gain:.2f}", style="top:0") if gain else None,
            el("span", "0", style=f"top:{100 * zero:.1f}%"),
            el("span", f"−{loss:.2f}", style="top:100%") if loss else None,
            class_="bars-axis",
            aria_hidden="true",
        ),
        el(
            "div",
            drawn,
            gap,
            [_bar(one, gain or 1.0, loss or 1.0, pipeline, baseline, still) for one in tail],
            class_=classes("bars", "is-few" if len(found) <= 40 else ""),
            **_walked(label, still),
        ),
        class_=f"bars-chart slot-{slot % 4}",
        style=f"--zero:{100 * zero:.1f}%;--share:{zero:.3f}",
    )


def _zero(gain: float, loss: float) -> float:
    """Where the line of no difference lies, as a share of the height from above; neither side is without room."""
    return min(0.88, max(0.12, gain / (gain + loss))) if gain + loss else 0.5


def _walked(label: str, still: bool) -> dict[str, Any]:
    """A group of marks that the arrow keys walk through; or a picture, where it is still."""
    if still:
        return {"role": "img", "aria_label": label}
    told = f"{label} Arrow keys go from question to question, Enter compares."
    return {"role": "group", "tabindex": "0", "aria_label": told, "data_rove": True}


def _mark(words: str, qid: str, still: bool) -> dict[str, Any]:
    """What a mark of one question says, and does."""
    if still:
        return {"title": words}
    return {
        "role": "button", "tabindex": "-1", "aria_label": words, "data_tip": words, "data_action": "ev-query", "data_qid": qid,
    }  # fmt: skip


def _bar(one: Difference, gain: float, loss: float, pipeline: str, baseline: str, still: bool) -> Markup:
    change = one.difference
    look = "up" if change > TIE else "down" if change < -TIE else "tie"
    words = f"{one.row.qid}: {format.shorten(one.row.text, 160)} — {change:+.3f} ({pipeline} {one.value:.3f}, {baseline} {one.base:.3f})"
    return el(
        "span",
        el("i", style=f"--d:{abs(change) / (gain if change > 0 else loss):.3f}"),
        class_=f"bar-q {look}",
        **_mark(words, one.row.qid, still),
    )


# -------------------------------------------------------------------- scatter
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


def scatter(found: Sequence[Point], measure: str) -> Markup:
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


# ------------------------------------------------------------------- heat map
def heat(
    rows: Sequence[QueryValues],
    names: Sequence[str],
    tags: Mapping[str, str],
    measure: str,
    field: str,
    *,
    still: bool = False,
) -> Markup:
    """All values, a column of cells for each question, grouped by tag; in a group the easiest question first. `still` as in `bars`."""
    shown = list(rows)
    note = None
    if len(rows) > MOST_CELLS:
        shown = sorted(rows, key=lambda row: -row.spread)[:MOST_CELLS]
        note = el(
            "p",
            f"The {MOST_CELLS:,} of {len(rows):,} questions on which the pipelines differ most; means are over all.",
            class_="muted small",
        )
    everything, visible = grouped(rows, tags), grouped(shown, tags)
    label = f"{measure} of every question" + (f", grouped by {field}" if field else "")
    return join(
        note,
        el(
            "div",
            [
                _group(name, visible.get(name, []), part, names, alone=not field, still=still)
                for name, part in everything.items()
            ],
            class_="heat",
            **_walked(f"{label}.", still),
        ),
    )


def grouped(rows: Sequence[QueryValues], tags: Mapping[str, str]) -> dict[str, list[QueryValues]]:
    """The questions by tag, the largest group first; those without one come last. Inside, the highest mean first."""
    groups: dict[str, list[QueryValues]] = {}
    for row in rows:
        groups.setdefault(tags.get(row.qid, ""), []).append(row)
    order = sorted(groups, key=lambda name: (not name, -len(groups[name]), name))
    return {name: sorted(groups[name], key=lambda row: (-_mean(row), row.qid)) for name in order}


def _mean(row: QueryValues) -> float:
    known = [value for value in row.values.values() if value is not None]
    return sum(known) / len(known) if known else -1.0


def _group(
    name: str,
    shown: Sequence[QueryValues],
    rows: Sequence[QueryValues],
    names: Sequence[str],
    *,
    alone: bool,
    still: bool,
) -> Markup:
    means = []
    for i, pipeline in enumerate(names):
        values = [value for row in rows if (value := row.values.get(pipeline)) is not None]
        mean = sum(values) / len(values) if values else None
        text = "–" if mean is None else f"{mean:.2f}"
        means.append(el("span", slots.mark(i), text, class_="heat-mean", title=f"{pipeline}: mean {text}"))
    return el(
        "div",
        el(
            "div",
            None if alone else el("b", name or NO_TAG, class_="heat-tag", dir="auto"),
            el("span", format.plural(len(rows), "question"), class_="muted"),
            means,
            class_="heat-head",
        ),
        el(
            "div",
            el("span", [slots.mark(i) for i in range(len(names))], class_="heat-key", aria_hidden="true"),
            [_cells(row, names, still) for row in shown],
            class_="heat-cells",
        ),
        class_="heat-group",
        data_key=f"heat-{name}",
    )


def _cells(row: QueryValues, names: Sequence[str], still: bool) -> Markup:
    told = ", ".join(
        f"{name} {'failed' if (value := row.values.get(name)) is None else f'{value:.3f}'}" for name in names
    )
    words = f"{row.qid}: {format.shorten(row.text, 160)} — {told}"
    values = [row.values.get(name) for name in names]
    return el(
        "span",
        [
            el("i", class_="is-failed") if value is None else el("i", style=f"--h:{round(100 * max(0.0, min(1.0, value)))}%")
            for value in values
        ],
        class_="heat-q",
        **_mark(words, row.qid, still),
    )  # fmt: skip
