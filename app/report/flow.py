"""Rank flow on paper: columns of titles with a line between the same document in neighboring columns, without any script.

Rows have a fixed height, so the lines can be drawn where the rows will be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.drawing import format, slots
from app.drawing.html import classes, el, join
from app.results.evaluation import EvaluatedHit

ACROSS = 4
"""How many columns stand beside each other; more begin a new row of columns."""
UNIT = 100
"""The height of a row in the units of the drawing."""
STUB = 14


@dataclass(frozen=True, slots=True)
class FlowColumn:
    """The hits of one pipeline. `fact` stands beside its name, as what it is worth; `error` tells why there are none."""

    name: str
    slot: int
    hits: tuple[EvaluatedHit, ...]
    fact: str = ""
    error: str = ""


def board(columns: Sequence[FlowColumn]) -> Markup:
    """Columns with the lines between them, four beside each other."""
    return join(_row(columns[start : start + ACROSS]) for start in range(0, len(columns), ACROSS))


def _row(columns: Sequence[FlowColumn]) -> Markup:
    parts: list[Markup] = []
    rows = max((len(column.hits) for column in columns), default=0) or 1
    for i, column in enumerate(columns):
        if i:
            parts.append(lines(columns[i - 1], column, rows))
        parts.append(_column(column, columns[i - 1] if i else None))
    return el("div", parts, class_=f"flow n-{len(columns)}", style=f"--rows:{rows}")


def _column(column: FlowColumn, left: FlowColumn | None) -> Markup:
    before = {hit.doc_id: hit.rank for hit in left.hits} if left is not None and not left.error else None
    return el(
        "section",
        el(
            "header",
            el(
                "span", slots.mark(column.slot), el("b", column.name, dir="auto"), class_="flow-name", title=column.name
            ),
            el("span", column.fact, class_="muted small") if column.fact else None,
        ),
        el("p", column.error, class_="flow-error", dir="auto")
        if column.error
        else el("ol", [_hit(hit, before) for hit in column.hits])
        if column.hits
        else el("p", "No hits.", class_="muted"),
        class_=f"flow-column slot-{column.slot % 4}",
    )


def _hit(hit: EvaluatedHit, before: dict[str, int] | None) -> Markup:
    return el(
        "li",
        el("span", hit.rank, class_="flow-rank"),
        el("span", hit.title or hit.doc_id, class_="flow-title", dir="auto"),
        el(
            "span",
            rating(hit.rating),
            movement(hit.rank, before.get(hit.doc_id)) if before is not None else None,
            class_="flow-chips",
        ),
        class_=classes("flow-hit", "is-relevant" if (hit.rating or 0) > 0 else ""),
        title=f"{hit.doc_id}: {hit.title}, score {format.score(hit.score)}",
    )


def rating(value: int | None) -> Markup | None:
    """A judgment as a chip; nothing where nobody judged."""
    if value is None:
        return None
    look = "grade-yes" if value > 0 else "grade-no"
    return el("span", value, class_=f"grade {look}", title=f"Judged {value}")


def movement(rank: int, before: int | None) -> Markup:
    """How a document moved against the column to the left."""
    if before is None:
        return el("span", "new", class_="move move-new", title="Not among the hits to the left")
    if before == rank:
        return el("span", "=", class_="move move-same", title="Same rank as to the left")
    steps = abs(before - rank)
    words = f"{format.plural(steps, 'rank')} {'higher' if rank < before else 'lower'} than to the left"
    look, sign = ("move-up", "▲") if rank < before else ("move-down", "▼")
    return el("span", f"{sign}{steps}", class_=f"move {look}", title=words)


def lines(left: FlowColumn, right: FlowColumn, rows: int) -> Markup:
    """The gap between two columns: a curve for each document that both show, a stub where one goes no further."""
    place = {hit.doc_id: i for i, hit in enumerate(right.hits)}
    drawn = []
    for i, hit in enumerate(left.hits):
        y = _middle(i)
        to = place.get(hit.doc_id)
        if to is None:
            drawn.append(el("path", d=f"M0 {y}h{STUB}", class_="flow-end"))
            continue
        end = _middle(to)
        look = classes("flow-line", "is-relevant" if (hit.rating or 0) > 0 else "", "is-same" if to == i else "")
        drawn.append(el("path", d=f"M0 {y}C55 {y} 45 {end} 100 {end}", class_=look))
    return el(
        "svg",
        drawn,
        viewBox=f"0 0 100 {rows * UNIT}",
        preserveAspectRatio="none",
        class_=f"flow-gap slot-{left.slot % 4}",
        aria_hidden="true",
    )


def _middle(row: int) -> int:
    return row * UNIT + UNIT // 2
