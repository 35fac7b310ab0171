"""What unjudged documents could still change: how far each comparison can move, and which documents would move it most."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import format, slots
from app.drawing.controls import chip, icon_button
from app.drawing.evaluated_tables import opened
from app.drawing.html import el, join
from app.drawing.tables import table
from app.results.evaluation import FlipDocument, PairBounds, VerdictBounds

SHOWN = 12


def panel(found: VerdictBounds, names: Sequence[str]) -> Markup:
    """The bounds of every comparison with the baseline, and the documents to judge first."""
    place = {name: i for i, name in enumerate(names)}
    return join(
        el(
            "div",
            el("h2", "What unjudged documents could change"),
            el("span", f"{found.measure}, against {found.baseline}", class_="muted small", dir="auto"),
            el("span", class_="grow"),
            icon_button("Close", "ev-set", "close", name="bounds", value=""),
            class_="panel-head",
        ),
        table(
            ("Pipeline", "Difference", "Could be", "Verdict", "Unjudged"),
            [_pair(pair, place) for pair in found.pairs],
            numbers=("Difference", "Could be", "Unjudged"),
            look="questions",
        ),
        el(
            "p",
            f"As far as the difference could go if every unjudged document were relevant (worth {found.rating}) or none, "
            "whichever suits one side more.",
            class_="muted small legend-line",
        ),
        _documents(found.documents, place),
    )


def _pair(pair: PairBounds, place: dict[str, int]) -> Markup:
    about = "" if pair.exact else "At most; the truth may be narrower"
    return el(
        "tr",
        el("td", slots.mark(place.get(pair.pipeline, 0)), el("span", pair.pipeline, dir="auto")),
        el("td", f"{pair.difference:+.4f}", class_="num"),
        el("td", f"{pair.low:+.4f} to {pair.high:+.4f}", class_="num", title=about or None),
        el(
            "td",
            chip("stands", "ev-current", "Whatever the unjudged documents turn out to be, the better one stays the better")
            if pair.stands
            else chip("could flip", "ev-stale", "Some judgments of what nobody judged would turn it around"),
        ),
        el("td", format.count(pair.unjudged), class_="num"),
        data_key=pair.pipeline,
    )  # fmt: skip


def _documents(found: Sequence[FlipDocument], place: dict[str, int]) -> Markup | None:
    if not found:
        return None
    rows = [
        el(
            "tr",
            el("td", slots.mark(place.get(one.pipeline, 0)), el("span", f"{one.effect:+.4f}"), class_="num"),
            el("td", el("span", one.title or one.doc_id, class_="clamp", title=one.doc_id), dir="auto"),
            el("td", opened(one.qid, one.query)),
            data_key=f"{one.qid} {one.doc_id} {one.pipeline}",
        )
        for one in found[:SHOWN]
    ]
    more = len(found) - len(rows)
    return join(
        el("h3", "Worth judging first", class_="sub"),
        table(("Effect", "Document", "Question"), rows, numbers=("Effect",), look="questions"),
        el("p", f"and {more:,} more", class_="muted small") if more > 0 else None,
    )
