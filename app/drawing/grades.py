"""Grades 0 to 3: the small control on every card, and what a list scores by the judgments of its query."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from app.drawing.controls import chip
from app.drawing.html import el, join
from app.drawing.icons import icon

GRADES = ((0, "Not relevant"), (1, "Related"), (2, "Relevant"), (3, "Highly relevant"))
MEASURE_WORDS = {
    "nDCG": "How close the order is to the best possible one",
    "P": "The share of relevant documents among the first",
    "RR": "One over the rank of the first relevant document",
}


def control(doc_id: str, rating: int | None, rank: int) -> Markup:
    """Four buttons; the pressed one is the judgment, and pressing it again takes it back. Arrow keys go from one to the next."""
    known = {grade for grade, _ in GRADES}
    return el(
        "span",
        [
            el(
                "button",
                grade,
                type="button",
                class_="grade",
                data_action="grade",
                data_grade=grade,
                data_doc=doc_id,
                data_rank=rank,
                data_tip=f"{grade}: {words.lower()}",
                tabindex="0" if grade == (rating if rating in known else 0) else "-1",
                aria_label=f"Judge {grade}: {words.lower()}",
                aria_pressed=str(grade == rating).lower(),
            )
            for grade, words in GRADES
        ],
        chip(f"judged {rating}") if rating is not None and rating not in known else None,
        class_="grades",
        role="group",
        aria_label="Judge",
        data_rove=True,
        data_grades=doc_id,
    )


def mark(rating: int | None, doc_id: str) -> Markup:
    """The judgment beside a rank; hidden while there is none, so that the page can fill it in at once."""
    return el(
        "span",
        icon("check"),
        icon("minus"),
        el("b", "" if rating is None else rating),
        class_=f"rated {'rated-yes' if (rating or 0) > 0 else 'rated-no'}",
        title="Judged",
        hidden=rating is None,
        data_rated=doc_id,
    )


def measures(values: Mapping[str, float | None] | None) -> Markup | None:
    """What one list scores for this query; None where nothing was judged."""
    shown = {name: value for name, value in (values or {}).items() if value is not None}
    if not shown:
        return None
    return join(
        el(
            "span",
            el("span", name, class_="muted"),
            el("b", f"{value:.3f}"),
            class_="scored",
            title=f"{MEASURE_WORDS.get(name.split('@')[0], name)}, by the judgments of this query",
        )
        for name, value in shown.items()
    )
