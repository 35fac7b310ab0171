"""The blind comparison: two anonymous columns, a vote, the names, and what the votes say together."""

from __future__ import annotations

from markupsafe import Markup

from app import presets
from app.drawing import history
from app.drawing.html import el, join
from app.drawing.messages import error_box
from app.results.judging import BlindResults, BlindReveal, BlindSession
from app.ui.frame import common, shell
from app.ui.pages.blind import view as blind
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Reply
from app.ui.web.session import MAX_QUERY, UiState, whole
from engine.errors import BadInput, NotFound

SETTINGS = ("first", "second", "set", "k")
SHOWN = 5


def head(ui: Ui, state: UiState) -> Markup:
    """Title and ways out."""
    return blind.head(state.collection, _session(ui, state))


def main(ui: Ui, state: UiState) -> Markup:
    """The setup, or the round of the moment."""
    alert = el("div", id="bl-alert", class_="alerts")
    return el("div", alert, el("div", content(ui, state), id="bl-main"), class_="evaluate blind")


def _session(ui: Ui, state: UiState) -> BlindSession | None:
    if not state.option("session") or not state.collection:
        return None
    found = ui.services.blind_sessions(state.collection)
    return next((one for one in found if one.session_id == state.option("session")), None)


def content(ui: Ui, state: UiState) -> Markup:
    """What is on the page."""
    services = ui.services
    session = _session(ui, state)
    if session is None:
        gone = error_box("NotFound", "This comparison is not there any more.") if state.option("session") else None
        names = [view.name for view in services.pipelines()]
        if len(names) < 2:
            return blind.few(names)
        sets = services.query_sets(state.collection)
        form = blind.setup(draft(ui, state, names), names, sets, write=ui.access.write)
        return join(gone, form, blind.sessions(services.blind_sessions(state.collection), write=ui.access.write))
    found = services.blind_results(state.collection, session.session_id)
    number = whole(state.option("round"), 0, 1_000_000, 0)
    if not number:
        return join(_ask(ui, state, session, found), blind.results(found))
    try:
        shown = services.blind_shown(state.collection, session.session_id, number)
    except NotFound as error:
        return join(error_box("NotFound", str(error)), _ask(ui, state, session, found), blind.results(found))
    reveal = _reveal(found, number)
    if reveal is None:
        return join(blind.round_(shown, None, session), blind.votes(shown, write=ui.access.write))
    told = el("div", blind.told(reveal), _ask(ui, state, session, found), class_="bl-after")
    return join(told, blind.round_(shown, reveal, session), blind.results(found))


def _reveal(found: BlindResults, number: int) -> BlindReveal | None:
    return next((one for one in found.rounds if one.round_no == number), None)


def _ask(ui: Ui, state: UiState, session: BlindSession, found: BlindResults) -> Markup | None:
    if not ui.access.write:
        return None
    note = ""
    if session.query_set:
        known = {item.name: item.queries for item in ui.services.query_sets(state.collection)}
        if session.query_set not in known:
            note = f"The query set “{session.query_set}” is not there any more; type a question."
    return blind.ask(session, first=not found.rounds, note=note)


def draft(ui: Ui, state: UiState, names: list[str]) -> blind.Draft:
    """The comparison that would be started: what the address says, else the first columns of Compare."""
    usual = [name for name in (*presets.VOTED, *state.columns, *names) if name in names]
    first = state.option("first")
    first = first if first in names else usual[0]
    second = state.option("second")
    second = second if second in names else next(name for name in usual if name != first)
    sets = [item.name for item in ui.services.query_sets(state.collection)]
    asked = state.option("set")
    query_set = "" if asked == "-" else asked if asked in sets else sets[0] if sets else ""
    return blind.Draft(first, second, query_set, whole(state.option("k"), 1, 100, SHOWN))


def _redrawn(ui: Ui, state: UiState, *, push: bool = False, say: str = "", focus: str = "") -> Reply:
    regions: dict[str, Markup | None] = {"tp-head": head(ui, state), "bl-main": content(ui, state)}
    if state.document:
        state = state.with_(document="")
        regions["tp-side"] = None
    return Reply(regions, state=state, push=push, say=say, focus=focus)


# -------------------------------------------------------------------- actions
def choose(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another pipeline, query set or length; choosing one pipeline twice changes places."""
    name, value = args.text("name"), args.text("value")
    if name not in SETTINGS:
        raise BadInput("There is no such setting.")
    names = [view.name for view in ui.services.pipelines()]
    if name in ("first", "second") and len(names) > 1:
        plan = draft(ui, state, names)
        other = "second" if name == "first" else "first"
        if value == getattr(plan, other):
            state = state.with_options(**{other: getattr(plan, name)})
    if name == "set" and not value:
        value = "-"
    return _redrawn(ui, state.with_options(**{name: value}))


def start(ui: Ui, state: UiState, args: Args) -> Reply:
    """Begin; with a query set its first question comes at once."""
    names = [view.name for view in ui.services.pipelines()]
    if len(names) < 2:
        raise BadInput("A blind comparison is between two different pipelines.")
    plan = draft(ui, state, names)
    session = ui.services.start_blind(state.collection, [plan.first, plan.second], k=plan.k, query_set=plan.query_set)
    state = state.with_options(session=session.session_id, round="")
    if plan.query_set:
        return _asked(ui, state, "")
    return _redrawn(ui, state, push=True, focus="#bl-query")


def following(ui: Ui, state: UiState, args: Args) -> Reply:
    """The next question of the query set, or the typed one."""
    query = args.text("query", MAX_QUERY).strip()
    session = _session(ui, state)
    if session is None:
        raise NotFound("This comparison is not there any more.")
    if not query and not session.query_set:
        raise BadInput("Type a question.")
    return _asked(ui, state, query)


def _asked(ui: Ui, state: UiState, query: str) -> Reply:
    shown = ui.services.blind_round(state.collection, state.option("session"), query)
    return _redrawn(ui, state.with_options(round=str(shown.round_no)), push=True, say=f"Question: {shown.query}")


def vote(ui: Ui, state: UiState, args: Args) -> Reply:
    """A vote; the names are told."""
    reveal = ui.services.vote(
        state.collection, state.option("session"), args.whole("round", 0, 1_000_000, 0), args.text("choice"),
        voter=common.assessor(state),
    )  # fmt: skip
    said = f"Left was {reveal.left}, right was {reveal.right}"
    return _redrawn(ui, state.with_options(round=str(reveal.round_no)), say=said, focus="#bl-next")


def opened(ui: Ui, state: UiState, args: Args) -> Reply:
    """An earlier comparison."""
    return _redrawn(ui, state.with_options(session=args.text("id"), round=""), push=True)


def close(ui: Ui, state: UiState, args: Args) -> Reply:
    """Back to the list."""
    return _redrawn(ui, state.with_options(session="", round=""), push=True)


def ask_delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Are you sure?"""
    found = ui.services.blind_sessions(state.collection)
    one = next((one for one in found if one.session_id == args.text("id")), None)
    if one is None:
        raise NotFound("This comparison is not there any more.")
    text = f"That of {history.when(one.created_at)} between {one.pipelines[0]} and {one.pipelines[1]}, with {one.votes:,} votes."
    return Reply(
        dialog=shell.ask_dialog("Delete this comparison?", text, "bl-delete", "Delete", danger=True, id=one.session_id)
    )


def delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Delete it with its votes."""
    ui.services.delete_blind(state.collection, args.text("id"))
    reply = _redrawn(ui, state.with_options(session="", round=""), say="Deleted")
    reply.close_dialog = True
    return reply


ACTIONS = {
    "bl-set": Action(choose),
    "bl-start": Action(start, writes=True, slow=True, top=True),
    "bl-next": Action(following, writes=True, slow=True, top=True),
    "bl-vote": Action(vote, writes=True, top=True),
    "bl-open": Action(opened, replaces=True, top=True),
    "bl-close": Action(close),
    "bl-ask-delete": Action(ask_delete, writes=True),
    "bl-delete": Action(delete, writes=True),
}
