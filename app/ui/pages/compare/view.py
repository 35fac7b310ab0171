"""The Compare page: two to four pipelines in columns, aligned by rank, with what moved, what it cost, and how much they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from markupsafe import Markup

from app.drawing import cards, format, grades, latency, relevance
from app.drawing.controls import GLYPHS, button, chip, hit_title, icon_button, select, slot_mark
from app.drawing.html import classes, el, join, pieces
from app.drawing.icons import icon
from app.drawing.messages import BEING_BUILT, empty, error_box, index_missing, notices
from app.results.search import Agreement, Calibrated, Card, Column, ColumnHit, CompareResult, PipelineView
from app.ui.pages.compare import cutting
from app.ui.web.session import MAX_COLUMNS

Filters: TypeAlias = Sequence[tuple[str, tuple[str, ...]]]


def tools(collection: str, suggestions: Sequence[str]) -> Markup:
    """The buttons beside the query bar."""
    return join(
        button("Fusion ledger", "panel", glyph="stack", panel="ledger", hint="What each list gave to each fused hit"),
        button("Why not?", "panel", glyph="question", panel="why", hint="Why a document is missing from a column"),
        button("Blind A/B", "go", glyph="compare", page="blind", hint="Two columns without names, and a vote"),
        button("Pipelines", "panel", glyph="edit", panel="editor", hint="Edit, save and export pipelines"),
    )


def board(
    result: CompareResult,
    names: Sequence[PipelineView],
    document: str,
    filters: Filters = (),
    *,
    judge: bool = False,
    scores: Sequence[Mapping[str, float | None]] = (),
    cut: float | None = None,
) -> Markup:
    """Notices, agreement, the filters in force, the columns and the canvas for the lines between them.

    `judge` puts grades on the cards, and the building of a missing index into its column; `scores` is what each column scores where the query was judged; `cut` is a threshold for all
    calibrated columns, which have their own without it.
    """
    slowest = max((column.took_ms for column in result.columns), default=0.0)
    everywhere = [{hit.card.doc_id for hit in column.hits} for column in result.columns if not column.error]
    columns = [
        _column(
            column, i, result, names, slowest, everywhere, document, judge, scores[i] if i < len(scores) else None, cut
        )
        for i, column in enumerate(result.columns)
    ]
    return join(
        notices(result.notices),
        _overview(result, filters),
        cutting.bar(result.columns, cut),
        el(
            "div",
            Markup('<svg class="flow" data-flow aria-hidden="true" focusable="false"></svg>'),
            columns,
            class_=classes("columns", f"n-{len(columns)}", "is-cut" if cut is not None else ""),
            data_columns=True,
        ),
        cutting.hint() if any(everywhere) and not any(column.calibrated for column in result.columns) else None,
    )


def heads(columns: Sequence[str], names: Sequence[PipelineView]) -> Markup:
    """The columns before any query: only their heads, so that the pipelines can be chosen first."""
    views = {view.name: view for view in names}
    drawn = [
        el(
            "section",
            _head(name, i, len(columns), names, views[name].summary if name in views else "", None),
            el("ol", [el("li", class_="ghost") for _ in range(6)], class_="column-hits", aria_hidden="true"),
            class_=f"column slot-{i % 4}",
        )
        for i, name in enumerate(columns)
    ]
    return el("div", drawn, class_=f"columns n-{len(drawn)}")


def _head(
    name: str, index: int, total: int, names: Sequence[PipelineView], summary: str, strip: Markup | None
) -> Markup:
    known = [(view.name, view.name) for view in names]
    options = known if name in {key for key, _ in known} else [(name, f"{name} (missing)"), *known]
    return el(
        "header",
        el(
            "div",
            slot_mark(index),
            select(
                f"column{index}",
                options,
                name,
                label=f"Pipeline of column {index + 1}",
                action="column",
                class_="select select-column",
                data_index=index,
            ),
            icon_button("Move this column to the left", "column-left", "left", index=index) if index else None,
            icon_button("Remove this column", "column-remove", "close", index=index) if total > 2 else None,
            icon_button("Add a column", "column-add", "plus") if index == total - 1 and total < MAX_COLUMNS else None,
            class_="column-bar",
        ),
        el(
            "div",
            el("p", summary, class_="column-summary", title=summary),
            button("Stages", "unroll", look="inside", view="stages", of=name, hint="This pipeline stage by stage"),
            button("Rerank", "unroll", look="inside", view="rerank", of=name, hint="Before and after its reranker")
            if any(view.reranks for view in names if view.name == name)
            else None,
            class_="column-about",
        ),
        strip,
        class_="column-head",
    )


def _column(
    column: Column,
    index: int,
    result: CompareResult,
    names: Sequence[PipelineView],
    slowest: float,
    everywhere: Sequence[set[str]],
    document: str,
    judge: bool,
    scores: Mapping[str, float | None] | None,
    cut: float | None,
) -> Markup:
    strip = None if column.error else latency.strip(column.stages, column.took_ms, slowest)
    measured = el("div", grades.measures(scores), id=f"tp-measures-{index}", class_="measures")
    told = column.calibrated
    some = any(one.calibrated for one in result.columns) and not column.error
    below = join(strip, measured, cutting.line(told, cut) if some else None)
    head = _head(column.pipeline.name, index, len(result.columns), names, column.pipeline.summary, below)
    if column.error:
        body = failure(column, result.collection, write=judge)
    elif not column.hits and not (told and told.probabilities):
        body = el("p", "No hits. The query's words do not occur, or a filter removes everything.", class_="column-none")
    else:
        compared = index > 0 and not result.columns[index - 1].error
        items = [
            _hit(
                hit,
                compared,
                any(hit.card.doc_id not in ids for ids in everywhere),
                document,
                first=index == 0 and i == 0,
                judge=judge,
                told=told,
                dropped=cut is not None and hit.card.probability is not None and hit.card.probability < cut,
            )
            for i, hit in enumerate(column.hits)
        ]
        body = join(
            cutting.none_kept(told, cut) if told else None,
            el("ol", items, class_="column-hits", data_hits=index),
            _below(told, cut, document) if told else None,
        )
    return el(
        "section",
        head,
        body,
        class_=f"column slot-{index % 4}",
        data_column=index,
        aria_label=f"{column.pipeline.name}, column {index + 1}",
        **cutting.data(told, cut),
    )


def _below(told: Calibrated, cut: float | None, document: str) -> Markup | None:
    """The line that opens what the pipeline dropped, as far down as the column reaches."""
    tried = cutting.at(told, cut)
    items = [
        _hit(
            ColumnHit(card, None, False),
            False,
            False,
            document,
            first=False,
            judge=False,
            told=told,
            dropped=cut is None or (card.probability or 0.0) < tried,
        )
        for card in told.dropped
    ]
    return relevance.below(told, items, count=len(told.probabilities) - told.kept(tried), look="column-hits")


def failure(column: Column, collection: str, *, write: bool) -> Markup:
    """What a failed column says; where an index is missing, building it is one press away for those who may."""
    library = button("Go to the Library", "go", look="quiet", page="library")
    if column.error_kind in ("IndexNotReady", BEING_BUILT):
        build = button("Build the indexes", "index", glyph="stack", name=collection)
        return index_missing(column.error_kind, column.error, *((build, library) if write else ()))
    return error_box("Pipeline", column.error, library)


def movement(hit: ColumnHit, compared: bool) -> Markup | None:
    """The chip that says how a hit moved against the column to the left; None where there is none, or it failed."""
    if not compared:
        return None
    if hit.new or hit.movement is None:
        return el("span", "new", class_="move move-new", title="Not among the hits of the column to the left")
    if hit.movement == 0:
        return el("span", "=", class_="move move-same", title="Same rank as to the left")
    steps = format.plural(abs(hit.movement), "rank")
    if hit.movement > 0:
        return el("span", f"▲{hit.movement}", class_="move move-up", title=f"{steps} higher than to the left")
    return el("span", f"▼{-hit.movement}", class_="move move-down", title=f"{steps} lower than to the left")


def _hit(
    hit: ColumnHit,
    compared: bool,
    missing: bool,
    document: str,
    *,
    first: bool,
    judge: bool,
    told: Calibrated | None = None,
    dropped: bool = False,
) -> Markup:
    card = hit.card
    title = cards.title_text(card.title, card.doc_id)
    return el(
        "li",
        el(
            "div",
            el("span", card.rank, class_="hit-rank"),
            movement(hit, compared),
            grades.mark(card.rating, card.doc_id),
            relevance.meter(card.probability, told) if card.probability is not None else None,
            class_="rank-box",
        ),
        el(
            "div",
            el(
                "h3",
                hit_title(title, card.doc_id, tip=title),
            ),
            cards.byline(card.authors, card.year, card.venue, 1),
            el("p", pieces(cards.from_match(card.snippet)), class_="hit-snippet", dir="auto") if card.snippet else None,
            el(
                "div",
                cards.found_chips(card.found_by) if tells_more(card) else None,
                el("span", format.score(card.score), class_="score", title="Score of the whole pipeline")
                if not relevance.is_probability(card)
                else None,
                grades.control(card.doc_id, card.rating, card.rank) if judge else None,
                class_="hit-foot",
            ),
            class_="hit-body",
        ),
        el(
            "div",
            cards.star(card.doc_id, card.shortlisted),
            icon_button("Why is it not in every column?", "why", "question", doc=card.doc_id) if missing else None,
            class_="hit-tools",
        ),
        class_=classes(
            "hit", "hit-small", "is-open" if card.doc_id == document else "", "is-dropped" if dropped else ""
        ),
        data_p=None if card.probability is None else f"{card.probability:.5g}",
        data_hit=True,
        data_doc=card.doc_id,
        data_key=card.doc_id,
        data_rank=card.rank,
        tabindex="0" if first else "-1",
        aria_label=f"{card.rank}. {title}",
    )


def tells_more(card: Card) -> bool:
    """Whether the lists that held a hit say anything that its rank in the column does not."""
    return len(card.found_by) != 1 or card.found_by[0].rank != card.rank


def _overview(result: CompareResult, filters: Filters) -> Markup:
    labels = [column.pipeline.name for column in result.columns]
    pairs = [_pair(item, labels, result.k) for item in result.agreement]
    return el(
        "div",
        el("div", pairs, class_="pairs") if pairs else None,
        el(
            "span",
            icon("clock"),
            format.milliseconds(result.took_ms),
            class_="took",
            title="All columns together",
        ),
        el(
            "span",
            "judged",
            class_="chip chip-relevant",
            title="A question that came with the collection and its judgments; relevant hits are marked",
        )
        if result.judged
        else None,
        _filters(filters),
        el(
            "span",
            icon_button("Export the columns as CSV", "export-compare", "download"),
            button(
                "Report",
                "report-compare",
                glyph="document",
                look="quiet",
                hint="This comparison as one file that opens from disk",
            ),
            class_="overview-tools",
        ),
        class_="overview",
    )


def _filters(filters: Filters) -> Markup | None:
    """What was chosen on Search goes on here, so it is said."""
    if not filters:
        return None
    chips = [
        chip(
            f"{name.removeprefix('metadata.')}: {('–' if name == 'year' else ', ').join(values)}",
            "",
            "Chosen on the Search page",
        )
        for name, values in filters
    ]
    return el(
        "span", icon("filter"), chips, icon_button("Clear the filters", "clear-filters", "close"), class_="filter-chips"
    )


def _pair(item: Agreement, labels: Sequence[str], k: int) -> Markup:
    left, right = labels[item.left], labels[item.right]
    return el(
        "div",
        el("span", GLYPHS[item.left % 4], class_=f"slot-{item.left % 4} glyph"),
        el("span", GLYPHS[item.right % 4], class_=f"slot-{item.right % 4} glyph"),
        el("span", el("i", style=f"width:{100 * item.jaccard:.0f}%"), class_="meter", aria_hidden="true"),
        el("span", el("b", f"{item.shared}/{k}"), el("span", " shared", class_="pair-word")),
        el("span", "Jaccard ", el("b", f"{item.jaccard:.2f}")),
        el("span", "RBO ", el("b", f"{item.rbo:.2f}")),
        class_="pair",
        title=f"{left} and {right}: the first {k} share {item.shared}; Jaccard {item.jaccard:.3f}; rank-biased overlap (p = 0.9) {item.rbo:.3f}",
    )


def start(suggestions: Sequence[str], columns: Sequence[str], names: Sequence[PipelineView]) -> Markup:
    """Compare without a query: what it is for, and questions to begin with."""
    asks = [
        el(
            "button",
            format.shorten(text, 110),
            type="button",
            class_="suggestion",
            data_action="ask",
            data_query=text,
            dir="auto",
        )
        for text in suggestions[:6]
    ]
    return join(
        heads(columns, names),
        el(
            "div",
            empty(
                "compare",
                "One query, side by side",
                "Type a query and press Enter. Lines will join the same document across the columns; hover to follow one.",
            ),
            el("div", asks, class_="suggestions") if asks else None,
            class_="columns-start",
        ),
    )
