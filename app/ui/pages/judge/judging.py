"""What is done with one document of a queue: grade it, skip it, note something, take it back, look who found it."""

from __future__ import annotations

from app.drawing.messages import notices
from app.ui.frame import common
from app.ui.pages.judge.actions import PANEL, pane, redrawn
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Reply
from app.ui.web.session import UiState
from engine.errors import BadInput

MAX_NOTE = 10_000
MAX_RATING, MIN_RATING = 3, 0
SEEN = 100
"""Of how many documents the address remembers that it was shown who found them."""


def _next(ui: Ui, state: UiState, say: str) -> Reply:
    """The next document for this assessor."""
    reply = redrawn(ui, state.with_options(at=""), "jd-work", say=say)
    if state.panel == PANEL:
        reply.regions["tp-side"] = pane(ui, state)
    return reply


def grade(ui: Ui, state: UiState, args: Args) -> Reply:
    """A grade was given; on to the next document."""
    rating, position = args.whole("rating", -1, 99, -1), _position(args)
    if not MIN_RATING <= rating <= MAX_RATING:
        raise BadInput(f"A grade is {MIN_RATING} to {MAX_RATING}.")
    view = ui.services.judge(
        state.collection, state.option("queue"), position, rating, assessor=common.assessor(state),
        revealed=str(position) in state.option_values("seen"),
    )  # fmt: skip
    return _next(ui, state, f"Judged {rating}; {view.left:,} left")


def skip(ui: Ui, state: UiState, args: Args) -> Reply:
    """Left unjudged; on to the next."""
    position = _position(args)
    view = ui.services.skip(
        state.collection, state.option("queue"), position, assessor=common.assessor(state),
        revealed=str(position) in state.option_values("seen"),
    )  # fmt: skip
    if state.option("skipped"):
        state = state.with_options(after=str(position))
    return _next(ui, state, f"Skipped; {view.left:,} left")


def note(ui: Ui, state: UiState, args: Args) -> Reply:
    """The field of the note was left."""
    text = args.long_text("value", MAX_NOTE)
    ui.services.note(state.collection, state.option("queue"), _position(args), text, assessor=common.assessor(state))
    return Reply(say="Note kept")


def undo(ui: Ui, state: UiState, args: Args) -> Reply:
    """Take the last act back and show its document again."""
    view = ui.services.queue(state.collection, state.option("queue"), assessor=common.assessor(state))
    done = ui.services.undo(state.collection, view.query_set, assessor=common.assessor(state))
    if done is None:
        reply = Reply(say="Nothing to undo")
        reply.regions["jd-alert"] = notices(["There is nothing left to undo."])
        return reply
    here = done.queue_id == view.queue_id and done.position is not None
    state = state.with_options(at=str(done.position) if here else "", skipped="", after="")
    what = {"judge": "The judgment", "skip": "The skipping", "note": "The note", "remove": "The removal"}
    text = f"{what.get(done.action, 'The last act')} was taken back."
    if not here:
        text = f"{text} It was made elsewhere, on the document {done.doc_id}."
    reply = redrawn(ui, state, "jd-work", say=text)
    reply.regions["jd-alert"] = notices([text])
    if state.panel == PANEL:
        reply.regions["tp-side"] = pane(ui, state)
    return reply


def step(ui: Ui, state: UiState, args: Args) -> Reply:
    """Back or forth by one document; beyond the last is the next unjudged one."""
    view = ui.services.queue(state.collection, state.option("queue"), assessor=common.assessor(state))
    to = max(0, args.whole("at", 0, view.total, 0) + args.whole("by", -1, 1, 1))
    return redrawn(ui, state.with_options(at=str(to) if to < view.total else ""), "jd-work")


def place(ui: Ui, state: UiState, args: Args) -> Reply:
    """To a document of the queue, or, without a place, to the next unjudged one."""
    return redrawn(ui, state.with_options(at=args.text("at"), skipped="", after=""), "jd-work")


def through_skipped(ui: Ui, state: UiState, args: Args) -> Reply:
    """The skipped documents once more."""
    return redrawn(ui, state.with_options(at="", skipped="yes", after=""), "jd-work")


def reveal(ui: Ui, state: UiState, args: Args) -> Reply:
    """Show who found the document; the judgment keeps that it was shown."""
    position = str(_position(args))
    seen = [one for one in state.option_values("seen") if one != position][-SEEN + 1 :]
    state = state.with_options(seen=[*seen, position], at=position)
    return redrawn(ui, state, "jd-work", say="Who found it is shown")


def _position(args: Args) -> int:
    position = args.whole("position", -1, 10_000_000, -1)
    if position < 0:
        raise BadInput("This takes the place of a document in the queue.")
    return position


ACTIONS = {
    "jd-judge": Action(grade, writes=True, top=True),
    "jd-skip": Action(skip, writes=True, top=True),
    "jd-note": Action(note, writes=True),
    "jd-undo": Action(undo, writes=True, top=True),
    "jd-step": Action(step, top=True),
    "jd-at": Action(place, top=True),
    "jd-again": Action(through_skipped, top=True),
    "jd-reveal": Action(reveal),
}
