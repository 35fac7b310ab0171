"""Stage view: one pipeline unrolled, a column for each stage, the same document joined through all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from app.drawing import cards, format, grades
from app.drawing.controls import button, hit_title, icon_button, select
from app.drawing.html import classes, el, join
from app.drawing.icons import icon
from app.drawing.messages import empty, notices
from app.drawing.slots import shape
from app.results.search import PipelineView
from app.results.stages import StageColumn, StageHit, StagesResult

KINDS = {
    "rewritten": "Rewritten",
    "retrieved": "Retrieved",
    "feedback": "Feedback",
    "fused": "Fused",
    "reranked": "Reranked",
    "calibrated": "Calibrated",
    "selected": "Selected",
    "other": "Stage",
}
LOST = {
    "cut": ("cut", "Beyond the cut-off after this stage"),
    "threshold": ("dropped", "The next stage dropped it: its probability is below the threshold"),
    "unselected": ("not selected", "The next stage did not select it"),
    "unfound": ("not found again", "The next stage searched with a new query, which does not return it"),
}
NO_RERANKING = "This pipeline has no rerank stage; add one under Pipelines"


def bar(names: Sequence[PipelineView], name: str, view: str, *, reranks: bool, summary: str = "") -> Markup:
    """Where one is: the way back to the columns, the two views of one pipeline, and which pipeline."""
    known = [(one.name, one.name) for one in names]
    options = known if name in {key for key, _ in known} else [(name, f"{name} (missing)"), *known]
    return el(
        "div",
        button("Columns", "roll-up", glyph="left", hint="Back to the pipelines side by side"),
        el(
            "div",
            _tab("Stages", "stages", name, view, ""),
            _tab("Rerank", "rerank", name, view, "" if reranks else NO_RERANKING),
            class_="tabs",
            role="group",
            aria_label="View of this pipeline",
        ),
        select("of", options, name, label="Pipeline", action="unroll", data_view=view),
        el("span", summary, class_="muted small unroll-summary", title=summary, dir="auto"),
        icon_button("Copy a link to this view", "copy-link", "link"),
        class_="unroll-bar",
    )


def _tab(label: str, view: str, name: str, current: str, why_not: str) -> Markup:
    return el(
        "button",
        label,
        type="button",
        class_=classes("tab", "is-on" if view == current else ""),
        aria_pressed=str(view == current).lower(),
        disabled=bool(why_not),
        title=why_not or None,
        data_action="unroll",
        data_view=view,
        data_of=name,
    )


def start(what: str) -> Markup:
    """Before a query."""
    return empty("flow", "Ask something first", what)


def no_reranker(name: str) -> Markup:
    """The Rerank view of a pipeline that does not rerank."""
    return empty(
        "stack",
        "Nothing is reranked here",
        f"“{name}” has no rerank stage. Add one at its end, for example cross with 50 candidates, and save it under another name.",
        button("Pipelines", "panel", glyph="edit", panel="editor"),
        button("Stages", "unroll", view="stages", of=name),
    )


def board(result: StagesResult, document: str, scores: Sequence[Mapping[str, float | None]] = ()) -> Markup:
    """Notices, the time of each stage, and the columns. `scores` is what each stage scores where the query was judged."""
    total = sum(column.ms for column in result.columns)
    slowest = max((column.ms for column in result.columns), default=0.0) or 1.0
    shown = [{hit.doc_id for hit in column.hits} for column in result.columns]
    many = len(result.columns)
    return join(
        notices(result.notices),
        _time(result.columns, total),
        el(
            "div",
            Markup('<svg class="flow" data-flow aria-hidden="true" focusable="false"></svg>'),
            [
                _column(column, i, result, shown, slowest, document, scores[i] if i < len(scores) else None)
                for i, column in enumerate(result.columns)
            ],
            class_=f"columns stages s-{min(many, 9)}",
            data_columns=True,
            data_skip=True,
        ),
    )


def _time(columns: Sequence[StageColumn], total: float) -> Markup:
    """One bar for the whole pipeline, a segment for each stage in its color."""
    return el(
        "div",
        icon("clock"),
        el("b", format.milliseconds(total)),
        el(
            "div",
            [
                el(
                    "span",
                    el("span", f"{shape(i)} {column.label}", class_="stage-seg-name"),
                    el("span", format.milliseconds(column.ms)),
                    class_=classes("stage-seg", f"slot-{i % 4}", "is-cached" if column.cached else ""),
                    style=f"flex-grow:{max(0.001, column.ms / (total or 1.0)):.4f}",
                    title=f"{column.label}: {format.milliseconds(column.ms)}",
                )
                for i, column in enumerate(columns)
            ],
            class_="stage-time",
        ),
        class_="stage-clock",
        role="img",
        aria_label="Time: " + ", ".join(f"{one.label} {format.milliseconds(one.ms)}" for one in columns),
    )


def _column(
    column: StageColumn,
    index: int,
    result: StagesResult,
    shown: Sequence[set[str]],
    slowest: float,
    document: str,
    scores: Mapping[str, float | None] | None,
) -> Markup:
    later = None if column.feeds is None else shown[column.feeds]
    items: list[Markup] = []
    for i, one in enumerate(column.hits):
        if column.cut is not None and i and one.rank == column.cut + 1:
            items.append(line(f"cut at {column.cut:,}"))
        items.append(_hit(one, column, later, document, first=index == 0 and i == 0))
    body = (
        el("ol", items, class_="column-hits", data_hits=index)
        if items
        else el("p", _nothing(column), class_="column-none")
    )
    return el(
        "section",
        _head(column, index, result.columns, slowest, scores),
        body,
        _foot(column),
        _dropped(column, document),
        class_=f"column slot-{index % 4}",
        data_column=index,
        aria_label=f"{KINDS[column.kind]}: {column.label}, stage {index + 1}",
    )


def _nothing(column: StageColumn) -> str:
    if column.dropped_total:
        return "Nothing passed the threshold."
    if column.kind == "rewritten":
        return "It changes what is searched for, and finds nothing itself."
    return (
        "No hits."
        if column.kind != "retrieved"
        else "No hits. The query's words do not occur, or a filter removes everything."
    )


def line(text: str) -> Markup:
    """A rule between two hits that says what it divides."""
    return el("li", el("span", text), class_="stage-line", role="separator")


def _head(
    column: StageColumn,
    index: int,
    columns: Sequence[StageColumn],
    slowest: float,
    scores: Mapping[str, float | None] | None,
) -> Markup:
    facts = "; ".join(column.facts)
    return el(
        "header",
        el(
            "div",
            el("span", shape(index), class_="slot-mark", aria_hidden="true"),
            el("span", KINDS[column.kind], class_="stage-kind"),
            el("span", format.milliseconds(column.ms), class_="stage-ms"),
            class_="stage-top",
        ),
        el("h3", column.label, class_="stage-name", title=column.label),
        el(
            "div",
            el("i", style=f"width:{max(1.0, 100 * column.ms / slowest):.1f}%"),
            class_=classes("stage-bar", "is-cached" if column.cached else ""),
            title="Run once, and counted in each place at what it cost" if column.cached else None,
        ),
        el("p", _flow(column, columns), class_="stage-flow"),
        el("p", facts or "\xa0", class_="stage-facts", title=facts or None),
        el("div", grades.measures(scores), class_="measures") if scores is not None else None,
        class_="column-head",
    )


def _flow(column: StageColumn, columns: Sequence[StageColumn]) -> Markup:
    """How many hits came in and went out, and where its list goes where that is not simply the next column."""
    come = f"{column.received:,} → {column.returned:,}" if column.inputs else f"{column.returned:,} found"
    place = columns.index(column)
    marks = [
        el("span", shape(source), class_=f"slot-{source % 4} glyph", title=columns[source].label)
        for source in column.inputs
        if len(column.inputs) > 1
    ]
    goes = None
    if column.feeds is not None and column.feeds != place + 1:
        to = columns[column.feeds]
        goes = el(
            "span",
            "to ",
            el("span", shape(column.feeds), class_=f"slot-{column.feeds % 4} glyph"),
            title=f"Its list goes to {to.label}",
        )
    return join(el("span", come), el("span", "of ", marks) if marks else None, goes)


def _hit(hit: StageHit, column: StageColumn, later: set[str] | None, document: str, *, first: bool) -> Markup:
    sources, fate = _sources(hit, column), _fate(hit, later)
    crowded = fate is not None and len(hit.sources) > 2
    foot = join(
        el("span", sources, class_="stage-sources") if sources else None, fate, None if crowded else _value(hit)
    )
    return row(hit, _moved(hit, column), foot, document, first=first, look="is-lost" if hit.lost else "")


def row(hit: StageHit, move: Markup | None, foot: Markup, document: str, *, first: bool, look: str = "") -> Markup:
    """One hit, small: rank, how it moved, title, and a line of facts."""
    title = cards.title_text(hit.title, hit.doc_id)
    return el(
        "li",
        el(
            "div",
            el("span", hit.rank, class_="hit-rank"),
            move,
            grades.mark(hit.rating, hit.doc_id),
            class_="rank-box",
        ),
        el(
            "div",
            el(
                "h3",
                hit_title(title, hit.doc_id, tip=title),
            ),
            el("div", foot, class_="hit-foot"),
            class_="hit-body",
        ),
        class_=classes("hit", "hit-small", "hit-stage", look, "is-open" if hit.doc_id == document else ""),
        data_hit=True,
        data_doc=hit.doc_id,
        data_key=hit.doc_id,
        data_rank=hit.rank,
        tabindex="0" if first else "-1",
        aria_label=f"{hit.rank}. {title}",
    )


def _moved(hit: StageHit, column: StageColumn) -> Markup | None:
    if hit.new:
        return el(
            "span",
            "new",
            class_="move move-new",
            title="This stage found it; the list that it received did not hold it",
        )
    return moved(hit.movement, "in the list that it received") if column.inputs else None


def moved(movement: int | None, where: str) -> Markup | None:
    """The chip that says by how many ranks a document moved; `where` it stood before, for its tooltip."""
    if movement is None:
        return None
    if movement == 0:
        return el("span", "=", class_="move move-same", title=f"Same rank as {where}")
    words = f"{format.plural(abs(movement), 'rank')} {'higher' if movement > 0 else 'lower'} than {where}"
    look, sign = ("move-up", "▲") if movement > 0 else ("move-down", "▼")
    return el("span", f"{sign}{abs(movement)}", class_=f"move {look}", title=words)


def _sources(hit: StageHit, column: StageColumn) -> list[Markup]:
    """Its rank in each list that was merged."""
    return (
        [
            el(
                "span",
                el("span", shape(place), class_=f"slot-{place % 4} glyph"),
                "–" if rank is None else str(rank),
                class_=classes("stage-source", "is-absent" if rank is None else ""),
                title="This list does not hold it" if rank is None else f"Rank {rank} in this list",
            )
            for place, rank in zip(column.inputs, hit.sources, strict=True)
        ]
        if hit.sources
        else []
    )


def _fate(hit: StageHit, later: set[str] | None) -> Markup | None:
    """What became of it, where the next column does not show it."""
    if hit.lost:
        words, why = LOST[hit.lost]
        return el("span", words, class_="stage-lost", title=why)
    if hit.next_rank is not None and later is not None and hit.doc_id not in later:
        return el(
            "span", f"→ #{hit.next_rank}", class_="stage-gone", title=f"The next stage put it at rank {hit.next_rank}"
        )
    return None


def _value(hit: StageHit) -> Markup:
    if hit.probability is not None:
        return el(
            "span",
            el("span", el("i", style=f"width:{100 * hit.probability:.0f}%"), class_="stage-p", aria_hidden="true"),
            f"{hit.probability:.2f}",
            class_="score",
            title=f"Probability of relevance {hit.probability:.3f}",
        )
    return el("span", format.score(hit.score), class_="score", title="The score that this stage gave it")


def _foot(column: StageColumn) -> Markup | None:
    """What goes no further, where that is not already said between two hits."""
    if column.cut is None or column.cut < len(column.hits):
        return None
    return el("p", f"cut at {column.cut:,}; {column.returned - column.cut:,} dropped", class_="stage-line")


def _dropped(column: StageColumn, document: str) -> Markup | None:
    """The best of what a threshold dropped, below the line."""
    if not column.dropped_total:
        return None
    items = [_hit(one, column, None, document, first=False) for one in column.dropped]
    more = column.dropped_total - len(items)
    return el(
        "details",
        el("summary", f"{column.dropped_total:,} below the threshold", class_="stage-line"),
        el("ol", items, class_="column-hits", data_hits="dropped"),
        el("p", f"and {more:,} more", class_="muted small") if more else None,
        class_="stage-dropped",
        open=not column.hits,
    )
