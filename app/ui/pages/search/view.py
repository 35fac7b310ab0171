"""The Search page: the query bar and the list of hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from app.drawing import cards, format, grades, relevance, starts
from app.drawing.controls import button
from app.drawing.html import el, join
from app.drawing.icons import icon
from app.drawing.messages import empty, notices
from app.results.search import SearchResult, StageTime
from app.ui.web.session import UiState

PAGE = 20


def toolbar(kept: int) -> Markup:
    """What stands at the right of the query bar."""
    return join(
        button(
            f"Shortlist {kept}" if kept else "Shortlist",
            "shortlist",
            glyph="star",
            hint="The documents you kept, and their export",
        ),
        el(
            "button",
            icon("filter"),
            el("span", "Filters"),
            type="button",
            class_="btn only-narrow",
            title="Filters",
            data_local="facets",
        ),
    )


def stage_line(stages: Sequence[StageTime]) -> str:
    """The stages with their times, for a tooltip."""
    return " · ".join(f"{s.label} {format.milliseconds(s.ms)}{' (shared)' if s.cached else ''}" for s in stages)


def results(
    result: SearchResult, state: UiState, *, judge: bool = False, scores: Mapping[str, float | None] | None = None
) -> Markup:
    """Notices, the summary line, the hits and the pager. `scores` is what the list scores where its query was judged."""
    query = bool(result.query.strip())
    return join(
        notices(result.notices),
        _suggestions(result.suggestions) if not query and not state.filters and state.offset == 0 else None,
        _summary(result, query, scores) if result.cards else None,
        el(
            "ol",
            [
                cards.result(
                    card,
                    opened=card.doc_id == state.document,
                    position=result.offset + i + 1,
                    query=query,
                    first=i == 0,
                    judge=judge,
                    calibrated=result.calibrated,
                )
                for i, card in enumerate(result.cards)
            ],
            class_="hits",
            data_hits=True,
        )
        if result.cards
        else _nothing(result, state),
        _below(result, state) if result.offset + len(result.cards) >= result.total else None,
        _pager(result),
    )


def _below(result: SearchResult, state: UiState) -> Markup | None:
    """The line that opens what the threshold of the pipeline dropped; at the end of the list."""
    told = result.calibrated
    if told is None:
        return None
    items = [
        cards.result(
            card, opened=card.doc_id == state.document, position=card.rank, query=True, calibrated=told, dropped=True
        )
        for card in told.dropped
    ]
    return relevance.below(told, items)


def _summary(result: SearchResult, query: bool, scores: Mapping[str, float | None] | None) -> Markup:
    first, last = result.offset + 1, result.offset + len(result.cards)
    total = format.plural(result.total, "result" if query else "document")
    capped = query and result.total >= result.k
    return el(
        "div",
        el("span", f"{first}–{last} of ", "the first " if capped else "", el("b", total)),
        el(
            "span",
            icon("clock"),
            format.milliseconds(result.took_ms),
            class_="took",
            title=stage_line(result.stages) or None,
        )
        if query
        else el("span", "Browsing; type a query to rank them", class_="muted"),
        el("span", grades.measures(scores), id="tp-measures-0", class_="measures")
        if query and not result.offset
        else None,
        _legend() if query else None,
        class_="summary",
        role="status",
    )


def _legend() -> Markup:
    return el(
        "span",
        el("mark", "query term", class_="m-lexical"),
        el("mark", "semantic match", class_="m-semantic"),
        class_="legend",
    )


def _suggestions(suggestions: Sequence[str]) -> Markup | None:
    if not suggestions:
        return None
    return el(
        "section",
        el("h2", "Questions that came with this collection"),
        el(
            "div",
            [
                el(
                    "button",
                    format.shorten(text, 140),
                    type="button",
                    class_="suggestion",
                    data_action="ask",
                    data_query=text,
                    dir="auto",
                )
                for text in suggestions[:8]
            ],
            class_="suggestions",
        ),
        class_="suggest",
    )


def _nothing(result: SearchResult, state: UiState) -> Markup:
    if result.offset and result.total:
        first = button("To the first page", "page", look="primary", offset=0)
        return empty("search", "Nothing further", f"The list ends at {result.total:,}.", first)
    actions = []
    if state.filters:
        actions.append(button("Clear the filters", "clear-filters", look="primary"))
    if result.calibrated is not None and result.calibrated.probabilities:
        title, text = relevance.nothing(result.calibrated)
        compare = button("Compare pipelines on this query", "to-compare", glyph="compare")
        return empty("scale", title, text, compare, *actions)
    if result.query.strip():
        actions.append(button("Compare pipelines on this query", "to-compare", glyph="compare"))
        text = "None of the query's words occur, or the filters leave nothing. Try other words, or a pipeline with a dense retriever."
        return empty("search", f"No hits for “{format.shorten(result.query, 80)}”", text, *actions)
    if state.filters:
        return empty("filter", "No document matches the filters", "Remove a filter to see documents again.", *actions)
    return starts.without_documents(filling=False)


def _pager(result: SearchResult) -> Markup | None:
    last = result.offset + len(result.cards)
    if result.offset == 0 and last >= result.total:
        return None
    before = min(result.offset - PAGE, PAGE * ((result.total - 1) // PAGE))
    back = button("Previous", "page", glyph="left", offset=max(0, before)) if result.offset else None
    on = button("Next", "page", glyph="right", offset=last) if last < result.total else None
    return el("nav", back, on, class_="pager", aria_label="Pages")
