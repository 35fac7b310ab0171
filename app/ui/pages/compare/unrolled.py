"""The two views of one pipeline inside Compare: its stages, and one reranker before and after. Both live in the address."""

from __future__ import annotations

from markupsafe import Markup

from app.drawing.controls import button
from app.drawing.html import el, join
from app.drawing.messages import error_box, index_missing
from app.results.search import PipelineView
from app.results.stages import RerankingResult
from app.ui.frame import grading
from app.ui.pages.compare import reranking, stages
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Reply
from app.ui.web.session import MAX_QUERY, UiState, whole
from engine.errors import BadInput, IndexNotReady, TriptychError

VIEWS = ("stages", "rerank")
MOST_CANDIDATES = 1_000
MOST_MS = 600_000
MAX_AT = 20
SETTINGS = ("at", "ms", "own")
START = {
    "stages": "Each stage of the pipeline gets a column, and lines follow every document through all of them.",
    "rerank": "The list before and after the reranker, both scores of every candidate, and what fewer or more of them would give.",
}


def asked(state: UiState) -> bool:
    """Whether the address wants one of these views."""
    return state.option("view") in VIEWS


def name_of(state: UiState) -> str:
    """The pipeline that is shown: what the address says, else the last column."""
    return state.option("of") or (state.columns[-1] if state.columns else state.pipeline)


def board(ui: Ui, state: UiState) -> Markup:
    """The bar and the view of the address. A failure stands where the view would."""
    view, name, names = state.option("view"), name_of(state), ui.services.pipelines()
    one = next((item for item in names if item.name == name), None)
    head = stages.bar(names, name, view, reranks=one is not None and one.reranks, summary=one.summary if one else "")
    return el("div", head, _body(ui, state, view, one, name), class_="unrolled", data_key=f"unrolled-{view}")


def _body(ui: Ui, state: UiState, view: str, one: PipelineView | None, name: str) -> Markup:
    try:
        if not state.query.strip():
            return stages.start(START[view])
        if view == "rerank" and one is not None and not one.reranks:
            return stages.no_reranker(name)
        return _stages(ui, state, name) if view == "stages" else _rerank(ui, state, name)
    except IndexNotReady as error:
        build = button("Build the indexes", "index", glyph="stack", name=state.collection)
        return index_missing(type(error).__name__, str(error), *([build] if ui.access.write else []))
    except TriptychError as error:
        return error_box(type(error).__name__, str(error))


def _stages(ui: Ui, state: UiState, name: str) -> Markup:
    found = ui.services.stages(state.collection, state.query, name, k=state.k, filters=state.for_services())
    lists = [[hit.doc_id for hit in column.hits] for column in found.columns]
    scores = grading.measured(ui, state, lists) if found.judged else ()
    return stages.board(found, state.document, scores)


# --------------------------------------------------------------------- rerank
def _reranked(ui: Ui, state: UiState, name: str) -> RerankingResult:
    count, limit = state.option("n"), state.option("ms")
    return ui.services.reranking(
        state.collection,
        state.query,
        name,
        at=whole(state.option("at"), 0, MAX_AT, 0),
        k=state.k,
        candidates=whole(count, 1, MOST_CANDIDATES, reranking.FEWEST) if count else None,
        budget_ms="own" if not limit else None if limit == "none" else whole(limit, 0, MOST_MS, 0),
        filters=state.for_services(),
    )


def _rerank(ui: Ui, state: UiState, name: str) -> Markup:
    found = _reranked(ui, state, name)
    return join(el("div", part, id=key) for key, part in _parts(found, state).items()) + el(
        "div", _why(ui, state, name, found), id="rr-why"
    )


def _parts(found: RerankingResult, state: UiState) -> dict[str, Markup]:
    return {"rr-controls": reranking.controls(found), "rr-shown": reranking.shown(found, state.document)}


def _why(ui: Ui, state: UiState, name: str, found: RerankingResult) -> Markup | None:
    doc_id = state.option("why")
    if not doc_id:
        return None
    told = ui.services.why_moved(state.collection, state.query, name, doc_id, at=found.at)
    return reranking.why(told, next((hit for hit in found.hits if hit.doc_id == doc_id), None), found.stages[found.at])


# -------------------------------------------------------------------- actions
def unroll(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another view, or another pipeline in it."""
    view, name = args.text("view"), args.text("of") or args.text("value")
    if view not in VIEWS or not name:
        raise BadInput("This takes a view and the name of a pipeline.")
    query = args.text("query", MAX_QUERY, state.query)
    same = name == name_of(state)
    kept = {} if same else {"at": "", "n": "", "ms": ""}
    state = state.with_(query=query).with_options(view=view, of=name, why="", **kept)
    return Reply({"tp-board": board(ui, state)}, state=state, push=True)


def rolled_up(state: UiState) -> UiState:
    """The address of the columns again."""
    return state.with_options(view="", of="", at="", n="", ms="", why="")


def slide(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another number of candidates."""
    return _changed(ui, state.with_options(n=str(args.whole("value", 1, MOST_CANDIDATES, reranking.FEWEST))))


def choose(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another time limit or rerank stage, or the numbers that the pipeline is saved with."""
    name, value = args.text("name"), args.text("value")
    if name not in SETTINGS:
        raise BadInput("There is no such setting.")
    if name == "own":
        return _changed(ui, state.with_options(n="", ms=""))
    if name == "at":
        state = state.with_options(at=value, n="", ms="", why="")
        return Reply({"tp-board": board(ui, state)}, state=state)
    return _changed(ui, state.with_options(ms=value))


def _changed(ui: Ui, state: UiState) -> Reply:
    found = _reranked(ui, state, name_of(state))
    say = f"{found.candidates} candidates, {found.reached} reached"
    return Reply({**_parts(found, state), "tp-alert": None}, state=state, say=say)


def explain(ui: Ui, state: UiState, args: Args) -> Reply:
    """Why one document moved, or the explanation closed again."""
    state = state.with_options(why=args.text("doc"))
    name = name_of(state)
    part = _why(ui, state, name, _reranked(ui, state, name)) if state.option("why") else None
    return Reply({"rr-why": part}, state=state, focus="#rr-why [data-action=rr-why]" if part else "")


ACTIONS = {
    "unroll": Action(unroll, replaces=True, top=True),
    "rr-slide": Action(slide, replaces=True),
    "rr-set": Action(choose, moves=True),
    "rr-why": Action(explain, replaces=True),
}
