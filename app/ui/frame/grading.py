"""Judging on a card, wherever it is shown, and what the lists on the page score by the judgments of their query."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from app.drawing import grades
from app.ui.frame import common, registry
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Reply
from app.ui.web.session import MAX_COLUMNS, UiState
from engine.errors import BadInput, TriptychError

MAX_LISTED = 200_000
MAX_HITS = 200
MAX_GRADE = 3
USUAL = 10

Scores = Mapping[str, float | None]


def metrics(k: int) -> tuple[str, ...]:
    """The usual measures, no deeper than what is shown."""
    return f"nDCG@{min(10, k)}", f"P@{min(5, k)}", f"RR@{min(10, k)}"


def measured(ui: Ui, state: UiState, lists: Sequence[Sequence[str]]) -> list[Scores]:
    """What each list scores; empty where nothing was judged, and where the measuring failed: the results stand without it."""
    query = state.query.strip()
    if not query or not lists:
        return [{} for _ in lists]
    try:
        named = {str(i): docs for i, docs in enumerate(lists)}
        found = ui.services.judged_measures(state.collection, query, named, metrics=metrics(_shown(state)))
    except TriptychError:
        return [{} for _ in lists]
    return [found.values[str(i)] if found.judged else {} for i in range(len(lists))]


def _shown(state: UiState) -> int:
    lists = registry.showing(state).lists
    return lists.depth(state) if lists else USUAL


def grade(ui: Ui, state: UiState, args: Args) -> Reply:
    """A grade on a card was pressed, or pressed again to take it back. The page marks the card itself."""
    lists = registry.showing(state).lists
    if lists is None:
        raise BadInput("Documents are judged on Search, Compare and Judge.")
    doc_id, given = args.text("doc"), args.text("grade")
    rating = args.whole("grade", -1, 99, -1) if given else None
    if rating is not None and not 0 <= rating <= MAX_GRADE:
        raise BadInput(f"A grade is 0 to {MAX_GRADE}.")
    column = args.whole("column", 0, MAX_COLUMNS - 1, -1)
    judged = ui.services.judge_card(
        state.collection, state.query, doc_id, rating, assessor=common.assessor(state),
        pipeline=lists.pipeline(state, column),
        rank=args.whole("rank", 1, 100_000, 0) or None,
    )  # fmt: skip
    scores = measured(ui, state, _lists(args))
    regions: dict[str, Markup | None] = {f"tp-measures-{i}": grades.measures(one) for i, one in enumerate(scores)}
    what = f"Judged {rating}" if rating is not None else "Judgment taken back"
    return Reply(regions, say=f"{what}, in the query set {judged.query_set}")


def _lists(args: Args) -> list[list[str]]:
    """The document ids of every list on the page, as it tells them. Raises BadInput."""
    try:
        found = json.loads(args.long_text("lists", MAX_LISTED) or "[]")
    except (ValueError, RecursionError):
        found = None
    if (
        not isinstance(found, list)
        or len(found) > MAX_COLUMNS
        or not all(isinstance(one, list) and len(one) <= MAX_HITS for one in found)
        or not all(isinstance(doc_id, str) for one in found for doc_id in one)
    ):
        raise BadInput("The lists on the page cannot be read; reload it.")
    return found


ACTIONS = {"grade": Action(grade, writes=True)}
