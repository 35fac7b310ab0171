"""The reader pane: full text with what matched, metadata, why it was found, and what lies near it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import cards, format
from app.drawing.controls import button, chip, icon_button
from app.drawing.html import classes, el, join, link, safe_url
from app.drawing.icons import icon
from app.drawing.messages import empty
from app.results.search import Card, DocumentView, Explanation

MAX_TEXT = 60_000
MAX_TERMS = 12
LEAST = {"lexical": 0.1, "semantic": 0.4}
"""Weights below this share of the strongest one are not marked in the text."""
IN_PIECES = ("terms", "semantic")
"""Evidence in pieces of words of the text alone; other models tell whole sentences, or pairs of a query token with a token of the text."""
ARROW = " → "
WORD = re.compile(r"[a-zA-Z0-9\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff\u0590-\u06ff]")
"""Letters of scripts that put spaces between words; in others a span stays as it is."""
MARKER = re.compile(r"\[[A-Z]+\]|<\/?[a-z]+>")
"""What models put around a text, as in [CLS]; counted, but not listed among its words."""
LONGEST_WORD = 40


def pane(view: DocumentView, *, write: bool = False) -> Markup:
    """Everything about one document."""
    title = cards.title_text(view.title, view.doc_id)
    return join(
        _bar(view),
        el(
            "div",
            el("h2", title, dir="auto", class_="reader-title"),
            el("p", cards.people(view.authors, len(view.authors)), class_="reader-authors") if view.authors else None,
            cards.byline((), view.year, view.venue),
            _links(view),
            _text(view),
            _explanations(view.explanations, f"{view.title}. {view.text}" if view.title else view.text),
            _neighbours(view),
            _metadata(view),
            button("Delete this document", "ask-delete-document", glyph="trash", look="quiet", doc=view.doc_id)
            if write
            else None,
            class_="reader-scroll",
            data_scroll=f"reader-{view.doc_id}",
        ),
    )


def _bar(view: DocumentView) -> Markup:
    return el(
        "div",
        cards.star(view.doc_id, view.shortlisted),
        icon_button("Copy a link to this view", "copy-link", "link"),
        el("span", class_="grow"),
        icon_button("Previous result (k)", "previous", "up"),
        icon_button("Next result (j)", "next", "down"),
        icon_button("Close (Esc)", "close", "close"),
        class_="pane-bar",
    )


def _links(view: DocumentView) -> Markup | None:
    if not view.url:
        return None
    if safe_url(view.url):
        return el(
            "p",
            link(view.url, icon("external"), format.shorten(view.url, 70), class_="out-link"),
            class_="reader-links",
        )
    return el("p", "Address: ", el("code", view.url), class_="reader-links muted")


def _text(view: DocumentView) -> Markup:
    """The text with the strongest attributions marked, and a thin rule where a new passage begins."""
    text = view.text[:MAX_TEXT]
    if not text.strip():
        return el("p", "This document has no text beyond its title.", class_="muted")
    shift = len(view.title) + 2 if view.title else 0
    marks = _marks(view.explanations, shift, text)
    body = _paragraphs(text, marks)
    cut = (
        el("p", f"Shown: the first {MAX_TEXT:,} of {len(view.text):,} characters.", class_="muted")
        if len(view.text) > MAX_TEXT
        else None
    )
    return el("div", body, cut, class_="reader-text", dir="auto")


def _marks(explanations: Sequence[Explanation], shift: int, text: str) -> list[tuple[int, int, str, float]]:
    """Non-overlapping (start, end, kind, strength) spans of whole words in the text; lexical ones win over semantic ones."""
    found: list[tuple[int, int, str, float]] = []
    for explanation in sorted(explanations, key=kind_of):
        kind = kind_of(explanation)
        weights: dict[str, float] = {}
        for a in explanation.attributions:
            weights[a.token] = max(weights.get(a.token, 0.0), a.weight)
        top = max(weights.values(), default=0.0)
        spans: dict[tuple[int, int], float] = {}
        for a in explanation.attributions:
            weight = weights[a.token] if a.weight == 0 else a.weight
            start, end = a.start - shift, a.end - shift
            if (
                a.start >= shift
                and start < end <= len(text)
                and weight > LEAST[kind] * top
                and any(c.isalnum() for c in text[start:end])
            ):
                word = _word(text, start, end)
                spans[word] = max(spans.get(word, 0.0), weight)
        for (start, end), weight in sorted(spans.items()):
            if all(end <= s or start >= e for s, e, _, _ in found):
                found.append((start, end, kind, weight / top))
    return sorted(found)


def _word(text: str, start: int, end: int) -> tuple[int, int]:
    """The whole word around a span: models weigh pieces of words, people read words."""
    while start > 0 and end - start < LONGEST_WORD and WORD.match(text[start - 1]) and WORD.match(text[start]):
        start -= 1
    while end < len(text) and end - start < LONGEST_WORD and WORD.match(text[end]) and WORD.match(text[end - 1]):
        end += 1
    return start, end


def kind_of(explanation: Explanation) -> str:
    """Which of the two kinds of match a stage makes; "lexical" sorts first."""
    return "lexical" if explanation.evidence in ("lexical", "terms") else "semantic"


def _paragraphs(text: str, marks: list[tuple[int, int, str, float]]) -> Markup:
    paragraphs = []
    for match in re.finditer(r"[^\n]+(?:\n(?!\s*\n)[^\n]+)*", text):
        start, end = match.span()
        runs, at = [], start
        for low, high, kind, strength in marks:
            if low >= at and high <= end and low >= start:
                level = 3 if strength > 0.75 else 2 if strength > 0.5 else 1
                runs += [text[at:low], el("mark", text[low:high], class_=f"m-{kind} m-{level}")]
                at = high
        paragraphs.append(el("p", runs, text[at:end], dir="auto"))
    return join(paragraphs)


def _explanations(explanations: Sequence[Explanation], full: str) -> Markup | None:
    if not explanations:
        return None
    drawn = [explanation(item, full) for item in explanations]
    return el("section", el("h3", "Why it was found"), drawn, class_="reader-section")


def words_of(item: Explanation, full: str) -> list[tuple[str, float]]:
    """(word, weight) by falling weight, without what a model added. Pieces and repetitions of a word in the text are added up where a model
    cuts words into pieces, because "##inations" says nothing to a reader; terms of other lexical matches are shown as they were looked up."""
    sums: dict[str, float] = {}
    names: dict[str, str] = {}
    for a in item.attributions:
        name = a.token
        if item.evidence == "terms" and a.start < 0:
            continue
        if item.evidence in IN_PIECES and 0 <= a.start < a.end <= len(full):
            start, end = _word(full, a.start, a.end)
            name = full[start:end]
        key = name.casefold()
        names.setdefault(key, name)
        sums[key] = sums.get(key, 0.0) + a.weight
    return sorted(((names[key], weight) for key, weight in sums.items() if weight), key=lambda pair: -abs(pair[1]))


def added_terms(item: Explanation) -> list[tuple[str, float]]:
    """(term, weight) by falling weight: what a sparse model added to the document, which does not stand in its text."""
    added = [(a.token, a.weight) for a in item.attributions if a.start < 0] if item.evidence == "terms" else []
    return sorted(added, key=lambda pair: -pair[1])


def explanation(item: Explanation, full: str) -> Markup:
    """Why one stage gave its score, as bars. `full` is the document's "title. text"; its places decide what is shown as a word."""
    words, added = words_of(item, full), added_terms(item)
    terms = [
        pair for pair in words if any(c.isalnum() for c in pair[0]) and not MARKER.fullmatch(pair[0].split(ARROW)[0])
    ] or words
    rest = [*terms[MAX_TERMS:], *(pair for pair in words if pair not in terms)]
    top = max((abs(weight) for _, weight in [*terms, *added]), default=0.0) or 1.0
    kind = kind_of(item)
    return el(
        "div",
        el(
            "div",
            el("strong", item.label),
            chip(f"rank {item.rank}") if item.rank is not None else chip("not in the list", "muted"),
            chip(f"score {format.score(item.score)}", "score"),
            chip("exact", "exact", "The weights add up to the score.")
            if item.exact
            else chip(
                "approximate", "approximate", "The weights show where the match lies; they do not add up to the score."
            ),
            class_="why-head",
        ),
        el("ul", [_term(word, weight, top, kind) for word, weight in terms[:MAX_TERMS]], class_="terms")
        if terms
        else None,
        _rest(rest) if rest else None,
        _added(added, top) if added else None,
        el("p", item.note, class_="muted small") if item.note else None,
        class_="why",
    )


def _added(added: Sequence[tuple[str, float]], top: float) -> Markup:
    rest = added[MAX_TERMS:]
    return join(
        el("p", "Added by the model, not in the text:", class_="muted small"),
        el("ul", [_term(term, weight, top, "added") for term, weight in added[:MAX_TERMS]], class_="terms terms-added"),
        _rest(rest) if rest else None,
    )


def _term(word: str, weight: float, top: float, kind: str) -> Markup:
    return el(
        "li",
        el("span", word, class_="term", dir="auto", title=word),
        el(
            "span",
            el(
                "i",
                style=f"width:{100 * abs(weight) / top:.1f}%",
                class_=classes(f"t-{kind}", "neg" if weight < 0 else ""),
            ),
            class_="term-bar",
        ),
        el("span", format.signed(weight), class_="term-weight"),
    )


def _rest(rest: Sequence[tuple[str, float]]) -> Markup:
    return el("p", f"{len(rest)} more with {format.signed(sum(w for _, w in rest))} together", class_="muted small")


def _neighbours(view: DocumentView) -> Markup | None:
    if not view.neighbours:
        return None
    return el(
        "section",
        el(
            "div",
            el("h3", "More like this"),
            button("Show more", "more", look="quiet", doc=view.doc_id),
            class_="section-head",
        ),
        neighbours(view.neighbours),
        class_="reader-section",
    )


def neighbours(found: Sequence[Card]) -> Markup:
    """The nearest documents, as a list whose region can be replaced by a longer one."""
    return el("ul", [cards.small(card) for card in found], class_="small-hits", id="tp-neighbours")


def _metadata(view: DocumentView) -> Markup:
    rows = [("Id", view.doc_id), ("Source", view.source), ("Passages", str(len(view.passages))), *view.metadata]
    return el(
        "section",
        el("h3", "Details"),
        el(
            "dl",
            [[el("dt", key, dir="auto"), el("dd", _value(value), dir="auto")] for key, value in rows if value],
            class_="details",
        ),
        class_="reader-section",
    )


def _value(value: str) -> Markup | str:
    return link(value, format.shorten(value, 80)) if safe_url(value) else format.shorten(value, 1000)


def shortlist(collection: str, chosen: Sequence[Card]) -> Markup:
    """The shortlist with its exports."""
    bar = el(
        "div",
        el("strong", "Shortlist"),
        chip(format.count(len(chosen))),
        el("span", class_="grow"),
        icon_button("Close (Esc)", "close", "close"),
        class_="pane-bar",
    )
    if not chosen:
        return join(
            bar,
            empty(
                "star",
                "Nothing kept yet",
                f"Press s on a result, or its star, to keep it on the shortlist of “{collection}”.",
            ),
        )
    exports = [
        button(name, "export-shortlist", glyph="download", format=key)
        for key, name in (("bibtex", "BibTeX"), ("ris", "RIS"), ("csv", "CSV"))
    ]
    return join(
        bar,
        el(
            "div",
            el("div", exports, class_="row"),
            el("ul", [cards.small(card) for card in chosen], class_="small-hits"),
            class_="reader-scroll",
            data_scroll="shortlist",
        ),
    )
