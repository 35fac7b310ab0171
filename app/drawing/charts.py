"""The drawings of an evaluation that have a mark for every question: differences from the baseline, and the map of all values.

Every mark carries `data-tip` with its facts in words, and stands in a group that the arrow keys walk through; the table of questions
below the drawings holds the same numbers as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from app.drawing import format, slots
from app.drawing.html import classes, el, join
from app.results.evaluation import QueryValues

MOST_BARS = 900
MOST_CELLS = 1_200
TIE = 1e-9
NO_TAG = "no tag"


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
