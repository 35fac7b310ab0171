"""Result cards: what the document is, why it is here, and how it was found."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import format, grades, relevance
from app.drawing.controls import chip, hit_title, icon_button
from app.drawing.html import classes, el, join, pieces
from app.results.search import Calibrated, Card, FoundBy, Piece

SHORT_LABEL = 8
"""Labels up to this length are never cut in narrow cards."""


def people(authors: Sequence[str], most: int) -> Markup:
    """The first authors, then "et al."; names of either direction of writing stand apart, so that commas and dots stay between them."""
    shown = [[", " if i else "", el("span", name, dir="auto")] for i, name in enumerate(authors[:most])]
    return join(shown, " et al." if len(authors) > most else "")


def byline(authors: tuple[str, ...], year: int | None, venue: str, most: int = 3) -> Markup | None:
    """Authors, year and venue on one line; None when nothing is known."""
    parts = [
        el("span", people(authors, most), class_="by-authors", title=", ".join(authors)) if authors else None,
        el("span", year, class_="by-year") if year is not None else None,
        el("span", el("span", venue, dir="auto"), class_="by-venue", title=venue) if venue else None,
    ]
    shown = [part for part in parts if part is not None]
    return el("p", shown, class_="byline") if shown else None


def from_match(runs: Sequence[Piece], before: int = 24) -> tuple[Piece, ...]:
    """A snippet that begins shortly before its first match, because a narrow card shows only its beginning."""
    first = next((i for i, run in enumerate(runs) if run.mark), None)
    lead = "".join(run.text for run in runs[:first]) if first else ""
    if len(lead) <= before + 8:
        return tuple(runs)
    cut = lead.find(" ", len(lead) - before)
    return (Piece("…" + lead[cut:] if cut >= 0 else "… "), *runs[first:])


def found_chips(found_by: Sequence[FoundBy]) -> Markup:
    """Which first-stage list held the document and at which rank."""
    return join(
        el(
            "span",
            el("span", item.label, class_="found-label"),
            el("b", f"#{item.rank}"),
            class_=classes("chip chip-found", "is-short" if len(item.label) <= SHORT_LABEL else ""),
            title=f"{item.label} found it at rank {item.rank}, score {format.score(item.score)}",
        )
        for item in found_by
    )


def rating_chip(rating: int | None) -> Markup | None:
    """The judgment of this document for this question."""
    if rating is None:
        return None
    return chip(f"judged {rating}", "relevant" if rating > 0 else "irrelevant", "From the collection's own judgments")


def star(doc_id: str, shortlisted: bool) -> Markup:
    """The shortlist toggle."""
    label = "Remove from the shortlist" if shortlisted else "Add to the shortlist"
    return icon_button(
        label, "star", "star", pressed=shortlisted, look="star", doc=doc_id, state="off" if shortlisted else "on"
    )


def title_text(title: str, doc_id: str) -> str:
    """The title, or a stand-in where there is none."""
    return title.strip() or f"Untitled ({doc_id})"


def result(
    card: Card,
    *,
    opened: bool,
    position: int,
    query: bool,
    first: bool = False,
    judge: bool = False,
    calibrated: Calibrated | None = None,
    dropped: bool = False,
) -> Markup:
    """One hit on the Search page. `judge` puts the grades on it; `dropped` shows it as one that the threshold leaves out."""
    title = title_text(card.title, card.doc_id)
    return el(
        "li",
        el("span", card.rank, class_="hit-rank", aria_label=f"Rank {card.rank}"),
        el(
            "div",
            el(
                "h3",
                hit_title(title, card.doc_id, clamp="clamp-3"),
            ),
            byline(card.authors, card.year, card.venue),
            el("p", pieces(card.snippet), class_="hit-snippet", dir="auto") if card.snippet else None,
            el(
                "div",
                found_chips(card.found_by),
                None if judge else rating_chip(card.rating),
                relevance.score(card, calibrated) if query else None,
                grades.control(card.doc_id, card.rating, card.rank) if judge else None,
                class_="hit-foot",
            ),
            class_="hit-body",
        ),
        el("div", star(card.doc_id, card.shortlisted), class_="hit-tools"),
        class_=classes("hit", "is-open" if opened else "", "is-dropped" if dropped else ""),
        data_hit=True,
        data_doc=card.doc_id,
        data_key=card.doc_id,
        tabindex="0" if first else "-1",
        aria_label=f"{position}. {title}",
        aria_current="true" if opened else None,
    )


def small(card: Card) -> Markup:
    """A hit in a list beside other things: neighbors, the shortlist."""
    return el(
        "li",
        el(
            "div",
            el(
                "button",
                title_text(card.title, card.doc_id),
                type="button",
                class_="small-title",
                data_action="read",
                data_doc=card.doc_id,
                dir="auto",
            ),
            byline(card.authors, card.year, card.venue, 2),
        ),
        star(card.doc_id, card.shortlisted),
        class_="small-hit",
        data_key=card.doc_id,
    )
