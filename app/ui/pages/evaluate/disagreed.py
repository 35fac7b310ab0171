"""Where pipelines disagree, which needs no judgments: how alike each two are, and the questions on which they differ most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from app.drawing import format, slots
from app.drawing.controls import button, cell_title, icon_button, panel_head
from app.drawing.html import el
from app.drawing.messages import error_box, notices
from app.drawing.tables import head, table
from app.results.evaluation import Disagreement, PairAgreement, QueryAgreement

SHOWN = 15
MEASURES = (
    ("Jaccard", "Which share of all documents that either shows is shown by both"),
    ("RBO .9", "Rank-biased overlap: how alike the two orders are, the first ten weighing most; 1 is the same order"),
    ("RBO .5", "Rank-biased overlap for readers of the very top: nearly all of the weight is on the first three"),
    ("Kendall τ", "Whether the documents that both found stand in the same order; 1 is the same, −1 the reverse"),
)


def panel(found: Disagreement, *, write: bool) -> Markup:
    """Pairs, questions, and where to go from them."""
    place = {name: i for i, name in enumerate(found.names)}
    pairs = [el("tr", _name(one.left, place), _name(one.right, place), _values(one)) for one in found.pairs]
    queries = [
        el(
            "tr",
            el("td", cell_title(one.text or one.qid, "ev-query", title=f"{one.qid}: {one.text}", clamp=True, qid=one.qid, **_of(found))),
            _values(one),
        )
        for one in found.queries[:SHOWN]
    ]  # fmt: skip
    return el(
        "section",
        panel_head(
            "Where they disagree",
            button("Judge them", "ev-judge", glyph="check", look="quiet", hint="Prepare a queue in which these questions come first", **_of(found))
            if write
            else None,
            icon_button("Every question as CSV", "ev-disagree-export", "download", **_of(found)),
            icon_button("Delete", "ev-ask-disagree-delete", "trash", **_of(found)) if write and found.disagreement_id else None,
            icon_button("Close", "ev-disagree-close", "close"),
            said=f"first {found.k} of each, {format.plural(len(found.queries), 'question')} of {found.query_set}",
        ),
        notices([f"Since then, {' and '.join(found.stale)}. Ask again to see how it is now."]) if found.stale else None,
        _table(("Pipeline", "and"), pairs),
        el("h3", "The questions worth reading, and judging, first", class_="sub"),
        _table(("Question",), queries),
        _failures(found),
        class_="panel",
        aria_label="Disagreement",
    )  # fmt: skip


def _of(found: Disagreement) -> dict[str, Any]:
    """What a click carries: which comparison it was, or the query set of one that is kept nowhere."""
    return {"of": found.disagreement_id} if found.disagreement_id else {"set": found.query_set}


def _name(name: str, place: dict[str, int]) -> Markup:
    return el("td", slots.mark(place[name]), el("span", name, dir="auto"))


def _values(one: PairAgreement | QueryAgreement) -> list[Markup]:
    values = (one.jaccard, one.rbo, one.rbo_top, one.tau)
    return [el("td", "–" if value is None else f"{value:.3f}".replace("-", "−"), class_="num") for value in values]


def _table(first: Sequence[str], rows: Sequence[Markup]) -> Markup:
    told = [head(el("span", name, data_tip=words, tabindex="0"), num=True) for name, words in MEASURES]
    return table((*first, *told), rows, look="questions")


def _failures(found: Disagreement) -> Markup | None:
    if not found.failures:
        return None
    first, count = found.failures[0], format.plural(len(found.failures), "failure")
    return error_box("Pipeline", f"{first.pipeline}: {first.error} ({count})")
