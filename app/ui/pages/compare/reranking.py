"""Rerank view: the list before and after, both scores of every candidate, what other numbers of candidates would give, and why documents moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from app.drawing import format, reader, rerank_charts
from app.drawing.controls import button, icon_button, select
from app.drawing.html import el, join
from app.drawing.icons import icon
from app.drawing.messages import notices
from app.results.search import Explanation
from app.results.stages import MoveExplanation, RerankedHit, RerankingResult, StageHit
from app.ui.pages.compare.stages import line, moved, row

FEWEST, MOST = 10, 200
"""Ends of the slider, where the list is long enough."""
BUDGETS = (50, 100, 250, 500, 1_000, 2_000, 5_000)
MOVERS = 5


def controls(result: RerankingResult) -> Markup:
    """Which rerank stage, how many candidates, how much time."""
    top = min(result.received, max(MOST, result.own_candidates))
    low = min(FEWEST, top)
    own = result.candidates == min(result.own_candidates, result.received) and result.budget_ms == result.own_budget_ms
    slider = el(
        "input",
        type="range",
        class_="cal-slider",
        id="rr-candidates",
        min=low,
        max=max(top, low),
        step=1,
        value=result.candidates,
        disabled=top <= low,
        aria_label="Candidates",
        **({"data_input": "rr-slide"} if result.separate else {"data_change": "rr-slide"}),
    )
    return el(
        "div",
        _stage_choice(result),
        el("label", "Candidates", for_="rr-candidates", class_="rr-label"),
        slider,
        el("output", str(result.candidates), for_="rr-candidates", class_="rr-number"),
        _budget_choice(result),
        button(
            "As saved",
            "rr-set",
            look="quiet",
            name="own",
            hint=f"{result.own_candidates} candidates, {_limit(result.own_budget_ms)}",
        )
        if not own
        else el("span", "as saved", class_="muted small rr-own"),
        class_="rr-controls panel",
    )


def _stage_choice(result: RerankingResult) -> Markup | None:
    if len(result.stages) < 2:
        return None
    options = [(str(i), label) for i, label in enumerate(result.stages)]
    return select("at", options, str(result.at), label="Rerank stage", action="rr-set", data_name="at")


def _budget_choice(result: RerankingResult) -> Markup:
    if not result.separate:
        return el("span", "its own budget holds", class_="muted small") if result.own_budget_ms is not None else join()
    known = sorted({*BUDGETS, *(ms for ms in (result.budget_ms, result.own_budget_ms) if ms is not None)})
    options = [("none", "No time limit"), *((str(ms), f"within {format.milliseconds(ms)}") for ms in known)]
    chosen = "none" if result.budget_ms is None else str(result.budget_ms)
    return select("ms", options, chosen, label="Time limit", action="rr-set", data_name="ms")


def _limit(ms: int | None) -> str:
    return "no time limit" if ms is None else f"within {format.milliseconds(ms)}"


def shown(result: RerankingResult, document: str) -> Markup:
    """Everything that depends on the number of candidates and the budget."""
    if not result.hits:
        return join(
            notices(result.notices),
            el("p", "The stages before it found nothing, so there is nothing to rerank.", class_="column-none"),
        )
    return join(
        notices((*result.notices, *_remarks(result))),
        _facts(result),
        el(
            "div",
            _columns(result, document),
            el("div", _curve(result), _scatter(result), class_="rr-figures"),
            _movers(result),
            class_="rr-board",
        ),
    )


def _remarks(result: RerankingResult) -> list[str]:
    remarks = []
    if not result.separate:
        remarks.append(
            f"{result.stages[result.at]} sees its candidates together, or asks a service about each; so only the chosen number, "
            f"{result.candidates}, has been run, and another one is run when it is chosen."
        )
    if result.gave_up_ms is not None:
        remarks.append(
            f"Scoring was given up after {format.milliseconds(result.gave_up_ms)} with {result.most} candidates; the rest counts as not reached."
        )
    return remarks


def _facts(result: RerankingResult) -> Markup:
    fresh = sum(hit.rank <= result.k < hit.received for hit in result.hits)
    tiles = [
        _tile(
            "Reached", f"{result.reached} of {result.candidates}", "Candidates that have a score when the time is up"
        ),
        _tile(
            "Time",
            format.milliseconds(result.ms),
            f"Of the reranker; the stages before it took {format.milliseconds(result.before_ms)}",
        ),
        _tile(f"New in the first {result.k}", str(fresh), "Documents that stood further below"),
    ]
    if result.after is not None and result.before is not None:
        change = result.after - result.before
        look = "up-text" if change > 1e-9 else "down-text" if change < -1e-9 else "muted"
        tiles.insert(
            0,
            _tile(
                result.measure,
                join(
                    f"{result.before:.3f} → {result.after:.3f} ",
                    el("small", f"{change:+.3f}".replace("-", "−"), class_=look),
                ),
                f"By {format.plural(result.judged, 'judgment')} of this query",
            ),
        )
    else:
        best = result.curve[-1] if result.curve else None
        if best is not None and result.separate:
            kept = _overlap(result)
            tiles.insert(
                0,
                _tile(
                    "Overlap",
                    f"{kept:.0%}",
                    f"Of the first {result.k} with those of {best.candidates} candidates; nobody judged this query",
                ),
            )
    return el("dl", tiles, class_="cal-tiles rr-tiles")


def _overlap(result: RerankingResult) -> float:
    """That of the nearest smaller or equal number on the curve."""
    under = [point for point in result.curve if point.candidates <= result.reached]
    return under[-1].overlap if under else 0.0


def _tile(name: str, value: Markup | str, hint: str) -> Markup:
    return el("div", el("dt", name), el("dd", value), title=hint)


# ---------------------------------------------------------------- the columns
def _columns(result: RerankingResult, document: str) -> Markup:
    before = sorted((hit for hit in result.hits if hit.received <= result.k), key=lambda hit: hit.received)
    after = sorted((hit for hit in result.hits if hit.rank <= result.k), key=lambda hit: hit.rank)
    left = [_before_row(hit, result, document, first=i == 0) for i, hit in enumerate(before)]
    right = [_after_row(hit, result, document) for hit in after]
    if 0 < result.reached < len(left):  # those with scores come first, so the line stands at the same place in both
        words = "no candidates from here" if result.reached == result.candidates else "not reached in time"
        left.insert(result.reached, line(words))
        right.insert(result.reached, line(words))
    label = result.stages[result.at]
    return el(
        "div",
        Markup('<svg class="flow" data-flow aria-hidden="true" focusable="false"></svg>'),
        _column("Before", f"{result.received:,} hits received", left, 0),
        _column("After", label, right, 1),
        class_="columns n-2 rr-columns",
        data_columns=True,
    )


def _column(name: str, fact: str, items: Sequence[Markup], place: int) -> Markup:
    return el(
        "section",
        el(
            "header",
            el("div", el("h3", name), el("span", fact, class_="muted small", title=fact), class_="rr-head"),
            class_="column-head",
        ),
        el("ol", items, class_="column-hits", data_hits=place),
        class_=f"column slot-{place}",
        data_column=place,
        aria_label=name,
    )


def _before_row(hit: RerankedHit, result: RerankingResult, document: str, *, first: bool) -> Markup:
    one = StageHit(hit.doc_id, hit.title, hit.received, hit.before, rating=hit.rating)
    gone = (
        el("span", f"→ #{hit.rank}", class_="stage-gone", title=f"The reranker put it at rank {hit.rank}")
        if hit.rank > result.k
        else None
    )
    foot = join(gone, _status(hit, result), el("span", format.score(hit.before), class_="score", title="Score before"))
    return row(one, None, foot, document, first=first, look="" if hit.score is not None else "is-lost")


def _after_row(hit: RerankedHit, result: RerankingResult, document: str) -> Markup:
    one = StageHit(hit.doc_id, hit.title, hit.rank, hit.before, rating=hit.rating)
    came = el("span", f"from #{hit.received}", class_="stage-gone") if hit.received > result.k else None
    value = (
        el("span", format.score(hit.score), class_="score", title="The reranker's score")
        if hit.score is not None
        else None
    )
    move = moved(hit.received - hit.rank, "before")
    return row(
        one,
        move,
        join(came, _status(hit, result), value),
        document,
        first=False,
        look="" if hit.score is not None else "is-lost",
    )


def _status(hit: RerankedHit, result: RerankingResult) -> Markup | None:
    """Why it has no score of the reranker."""
    if hit.score is not None:
        return None
    if hit.received > result.candidates:
        return el(
            "span", "no candidate", class_="stage-lost", title="Beyond the candidates, so it keeps its order below them"
        )
    if hit.received > result.reached:
        return el(
            "span",
            "not reached",
            class_="stage-lost",
            title="The time was up before its turn, so it keeps its order below the others",
        )
    return el("span", "no score", class_="stage-lost", title="The reranker has no score for it")


# ---------------------------------------------------------------- the figures
def _curve(result: RerankingResult) -> Markup | None:
    if len(result.curve) < 2:
        return None
    judged = result.after is not None
    read = format.plural(result.curve[-1].candidates, "candidate")
    caption = f"From one scoring of {read}; the upright line is what is shown."
    if judged:
        caption += " Dashed: before the reranker."
    else:
        caption += " Nobody judged this query, so it is compared with the order that all of them give."
    return el(
        "figure",
        el("h3", "What more candidates give"),
        rerank_charts.curve(result),
        el("figcaption", caption),
        class_="cal-figure rr-figure panel",
    )


def _scatter(result: RerankingResult) -> Markup:
    keys = [
        el("span", el("i", class_=f"rr-key {look}"), words)
        for look, words, there in (
            ("is-relevant", "judged relevant", any((hit.rating or 0) > 0 for hit in result.hits)),
            ("is-other", "judged not relevant", any(hit.rating is not None and hit.rating <= 0 for hit in result.hits)),
            ("is-unjudged", "not judged", any(hit.rating is None for hit in result.hits)),
        )
        if there
    ]
    return el(
        "figure",
        el("h3", "Both scores of every candidate"),
        rerank_charts.scatter(result),
        el("figcaption", keys),
        class_="cal-figure rr-figure panel",
    )


# ------------------------------------------------------------- who moved, why
def movers(result: RerankingResult, most: int = MOVERS) -> tuple[list[RerankedHit], list[RerankedHit]]:
    """Who rose and who fell most. Moves are compared by the ratio of the ranks, because a step near the top matters more than one far below."""
    scored = [hit for hit in result.hits if hit.score is not None]
    ordered = sorted(scored, key=lambda hit: (math.log(hit.rank / hit.received), hit.rank))
    risen = [hit for hit in ordered if hit.rank < hit.received][:most]
    fallen = [hit for hit in reversed(ordered) if hit.rank > hit.received][:most]
    return risen, fallen


def _movers(result: RerankingResult) -> Markup | None:
    risen, fallen = movers(result)
    if not risen and not fallen:
        return el("p", "No document changed its place.", class_="muted small")
    return el(
        "div", _moved_list("Rose most", risen, "up"), _moved_list("Fell most", fallen, "down"), class_="rr-movers"
    )


def _moved_list(name: str, hits: Sequence[RerankedHit], way: str) -> Markup:
    items = [
        el(
            "li",
            el("span", f"{hit.received} → {hit.rank}", class_=f"move move-{way} rr-move"),
            el(
                "button",
                el("span", hit.title, class_="clamp"),
                type="button",
                class_="cell-title",
                data_action="read",
                data_doc=hit.doc_id,
                title=hit.title,
                dir="auto",
            ),
            el(
                "span",
                f"{format.score(hit.before)} → {format.score(hit.score or 0.0)}",
                class_="rr-scores",
                title="Score before and after",
            ),
            button("Why?", "rr-why", look="quiet", doc=hit.doc_id, hint="What both stages saw in it"),
            class_="rr-mover",
            data_dot=True,
            data_doc=hit.doc_id,
        )
        for hit in hits
    ]
    body = el("ol", items) if items else el("p", "None did.", class_="muted")
    return el("section", el("h3", icon(way), name), body, class_="panel rr-moved")


def why(told: MoveExplanation, hit: RerankedHit | None, label: str) -> Markup:
    """Both stages' explanations of one document, side by side."""
    sentence = None
    after = () if told.after is None else (replace(told.after, rank=None if hit is None else hit.rank),)
    if hit is not None:
        became = f"rank {hit.rank}" + (
            f" with {format.score(hit.score)}" if hit.score is not None else " without a score"
        )
        sentence = f"From rank {hit.received} with a score of {format.score(hit.before)} to {became}."
    return el(
        "section",
        el(
            "div",
            el("h3", "Why"),
            el("strong", told.title, class_="rr-why-title", dir="auto", title=told.title),
            icon_button("Close", "rr-why", "close", doc=""),
            class_="panel-head",
        ),
        el("p", sentence, class_="rr-sentence") if sentence else None,
        el(
            "div",
            _side("Before", told.before, told.text, "The stages before it cannot tell, or did not find it."),
            _side(label, after, told.text, told.note),
            class_="rr-sides",
        ),
        class_="panel rr-why",
        aria_label=f"Why {told.title} moved",
    )


def _side(name: str, explanations: Sequence[Explanation], text: str, otherwise: str) -> Markup:
    return el(
        "div",
        el("h4", name),
        [reader.explanation(one, text) for one in explanations] if explanations else el("p", otherwise, class_="muted"),
        class_="rr-side",
    )
