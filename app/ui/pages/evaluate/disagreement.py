"""Where pipelines disagree, on the Evaluate page: run as a job, kept, and shown where the address names it."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from app.drawing.messages import error_box
from app.results.evaluation import Disagreement
from app.ui.frame import common, frame, shell
from app.ui.pages.evaluate import choices, disagreed
from app.ui.pages.evaluate import view as evaluate
from app.ui.web import exports
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Download, Reply
from app.ui.web.session import UiState
from engine.errors import TriptychError


@dataclass(frozen=True, slots=True)
class Compared:
    """The query set and the lists that a click on a shown comparison is about."""

    query_set: str
    names: tuple[str, ...]


def region(ui: Ui, state: UiState) -> Markup | None:
    """What the address names."""
    if not state.option("disagree"):
        return None
    try:
        found = ui.services.stored_disagreement(state.collection, state.option("disagree"))
    except TriptychError as error:
        return error_box(type(error).__name__, str(error))
    return disagreed.panel(found, write=ui.access.write)


def compared(ui: Ui, state: UiState, args: Args) -> Compared:
    """What was compared: that of the named comparison, or what is chosen now, where nothing is kept."""
    if args.text("of"):
        found = ui.services.stored_disagreement(state.collection, args.text("of"))
        return Compared(found.query_set, found.names)
    plan = choices.draft(ui, state, ui.services.query_sets(state.collection))
    return Compared(args.text("set") or plan.query_set, (*plan.pipelines, *plan.runs))


def start(ui: Ui, state: UiState, args: Args) -> Reply:
    """Compare the chosen pipelines and runs, as a job; where nothing can be kept, at once."""
    if not ui.access.write or ui.services.read_only:
        return Reply(
            {"ev-disagree": disagreed.panel(_at_once(ui, state, args), write=False), "ev-alert": None}, say="Done"
        )
    plan = choices.draft(ui, state, ui.services.query_sets(state.collection))
    job_id = ui.services.start_disagreement(state.collection, plan.pipelines, runs=plan.runs, query_set=plan.query_set)
    state = state.with_options(job=job_id, disagree="")
    # The line first: a job that ends in between is not in it, and then the page is drawn anew.
    line = shell.jobs_line(ui.services.jobs(common.JOBS_SHOWN))
    job = evaluate.job(choices.job_of(ui, state), read_only=False)
    regions = {"tp-jobline": line, "ev-job": job, "ev-disagree": None, "ev-alert": None}
    return Reply(regions, state=state, poll=True, say="The questions are being compared")


def _at_once(ui: Ui, state: UiState, args: Args) -> Disagreement:
    """Without a job, and without keeping it: a request must not wait for whatever else the queue holds."""
    plan = choices.draft(ui, state, ui.services.query_sets(state.collection))
    query_set = args.text("set") or plan.query_set
    found: Disagreement = ui.services.for_reading().disagreement(
        state.collection, plan.pipelines, runs=plan.runs, query_set=query_set
    )
    return found


def close(ui: Ui, state: UiState, args: Args) -> Reply:
    """Put it away; asked again it is there at once."""
    return Reply({"ev-disagree": None}, state=state.with_options(disagree=""))


def ask_delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Are you sure?"""
    found = ui.services.stored_disagreement(state.collection, args.text("of"))
    text = f"{' and '.join(found.names)} on “{found.query_set}”. It can be run again."
    return Reply(
        dialog=shell.ask_dialog(
            "Delete this comparison?", text, "ev-disagree-delete", "Delete", danger=True, of=found.disagreement_id
        )
    )


def delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Delete what was kept of it."""
    ui.services.delete_disagreement(state.collection, args.text("of"))
    reply = close(ui, state, args)
    reply.close_dialog, reply.say = True, "Deleted"
    return reply


def export(ui: Ui, state: UiState, args: Args) -> Reply:
    """Every question with its measures as CSV, the most different first."""
    of = args.text("of")
    found = ui.services.stored_disagreement(state.collection, of) if of else _at_once(ui, state, args)
    return Reply(download=Download("disagreement.csv", "text/csv", exports.disagreement(found)))


def judge(ui: Ui, state: UiState, args: Args) -> Reply:
    """Judge: a queue of what was compared, in which these questions come first, ready to be prepared."""
    chosen = compared(ui, state, args)
    to = state.with_(page="judge", panel="", document="", options=common.elsewhere(state))
    return frame.show(ui, to.with_options(set=chosen.query_set, pipe=chosen.names, order="disagreement"), push=True)


ACTIONS = {
    "ev-disagree": Action(start, slow=True, replaces=True),
    "ev-disagree-close": Action(close),
    "ev-disagree-export": Action(export, slow=True),
    "ev-ask-disagree-delete": Action(ask_delete, writes=True),
    "ev-disagree-delete": Action(delete, writes=True),
    "ev-judge": Action(judge),
}
