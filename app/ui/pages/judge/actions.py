"""The Judge page: prepare a queue from a pool of pipelines, and judge it, one document at a time."""

from __future__ import annotations

from markupsafe import Markup

from app import presets
from app.drawing import history
from app.drawing.html import el
from app.drawing.messages import error_box
from app.results.judging import QueueView
from app.results.search import JobView
from app.ui.frame import choosing, common, shell
from app.ui.frame.page import Jobs, Regions
from app.ui.pages.judge import agreement
from app.ui.pages.judge import judging_view as judging
from app.ui.pages.judge import view as judge
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Download, Reply
from app.ui.web.session import UiState, plain, whole
from engine.errors import BadInput, NotFound

PANEL = "agreement"
SETTINGS = ("set", "depth", "order", "measure", "base", "means", "all")
EXPORTS = {
    "trec": ("qrels.txt", "text/plain"),
    "beir": ("qrels.tsv", "text/tab-separated-values"),
    "csv": ("judgments.csv", "text/csv"),
    "log": ("judging-log.csv", "text/csv"),
}


def head(ui: Ui, state: UiState) -> Markup:
    """Title and assessor."""
    return judge.head(state.collection, common.assessor(state))


def main(ui: Ui, state: UiState) -> Markup:
    """The whole page."""
    drawn = regions(ui, state)
    alert = el("div", id="jd-alert", class_="alerts")
    parts = [el("div", content, id=name) for name, content in drawn.items()]
    return el("div", alert, parts, class_="evaluate judge")


def regions(ui: Ui, state: UiState, *names: str) -> dict[str, Markup | None]:
    """The parts of the page by their ids, or only those named. A failure stands where its part would."""
    parts: common.Parts = {
        "jd-job": lambda: _job(ui, state),
        "jd-work": lambda: _work(ui, state),
        "jd-setup": lambda: _setup(ui, state),
        "jd-queues": lambda: judge.queues(
            ui.services.queues(state.collection, assessor=common.assessor(state)),
            state.option("queue"), every=bool(state.option("all")), write=ui.access.write,
        ),
    }  # fmt: skip
    return common.drawn(parts, names)


def progress(ui: Ui, state: UiState, jobs: Jobs) -> Regions:
    """What changes while a queue is prepared; when a job has ended, its first document."""
    return regions(ui, state, "jd-job", *(["jd-work", "jd-queues"] if jobs.ended else []))


def _opened(ui: Ui, state: UiState) -> QueueView | None:
    """The queue of the address, if it is there."""
    if not state.option("queue"):
        return None
    try:
        view: QueueView = ui.services.queue(state.collection, state.option("queue"), assessor=common.assessor(state))
    except NotFound:
        return None
    return view


def _job(ui: Ui, state: UiState) -> Markup | None:
    view = _opened(ui, state)
    if view is None or view.state == "ready":
        return None
    found: JobView | None
    try:
        found = ui.services.job(view.job_id)
    except NotFound:
        found = None
    return judge.job(found, read_only=not ui.access.write)


def _work(ui: Ui, state: UiState) -> Markup | None:
    """The document of the moment; without a queue, what to do first."""
    view = _opened(ui, state)
    if view is None:
        if state.option("queue"):
            return error_box("NotFound", "This queue is not there any more; the judgments made from it are.")
        return judge.nothing(state.collection, ui.services.query_sets(state.collection), write=ui.access.write)
    if view.state == "preparing":
        return None
    if view.state == "failed":
        return error_box(
            "Job", "The queue was not prepared to its end. Prepare it again, or see the job in the Library."
        )
    gone, item = "", None
    at, again = state.option("at"), bool(state.option("skipped"))
    try:
        item = ui.services.judging_item(
            state.collection, view.queue_id, assessor=common.assessor(state),
            position=whole(at, 0, view.total, 0) if at else None, skipped=again,
            after=whole(state.option("after"), -1, view.total, -1) if again else -1,
        )  # fmt: skip
    except NotFound as error:
        gone = str(error)
    seen = item is not None and str(item.position) in state.option_values("seen")
    provenance = ui.services.provenance(state.collection, view.queue_id, item.position) if item and seen else None
    opened = bool(state.option("means"))
    means = ui.services.queue_measures(state.collection, view.queue_id) if opened else None
    return judging.work(
        view, item, provenance=provenance, means=judging.means(means, opened=opened), looking=bool(at), again=again,
        gone=gone, write=ui.access.write,
    )  # fmt: skip


def _setup(ui: Ui, state: UiState) -> Markup | None:
    sets = ui.services.query_sets(state.collection)
    if not sets:
        return None
    names = [view.name for view in ui.services.pipelines()]
    runs = [run.name for run in ui.services.runs(state.collection)]
    return judge.setup(
        draft(ui, state), sets, names, [name for name in runs if name not in names],
        opened=not state.option("queue"), write=ui.access.write,
    )  # fmt: skip


def draft(ui: Ui, state: UiState) -> judge.Draft:
    """The queue that would be prepared: what the address says, filled in with what is usual."""
    names = [view.name for view in ui.services.pipelines()]
    runs = [run.name for run in ui.services.runs(state.collection)]
    usual = tuple(name for name in presets.EVALUATED if name in names) or tuple(names[:3])
    chosen = choosing.checked(state.option_values("pipe"), usual)
    order, base = state.option("order"), state.option("base")
    return judge.Draft(
        query_set=set_of(ui, state),
        pipelines=tuple(name for name in chosen if name not in runs or name in names),
        runs=tuple(name for name in chosen if name in runs and name not in names),
        depth=whole(state.option("depth"), 1, 100, 10),
        order=order if order in {key for key, _, _ in judge.ORDERS} else judge.ORDERS[0][0],
        measure=state.option("measure", judge.MEASURES[0]),
        baseline=base if base in chosen else (chosen[0] if chosen else ""),
        again=bool(state.option("again")),
    )


def set_of(ui: Ui, state: UiState) -> str:
    """The query set of the address; without one, the largest."""
    sets = ui.services.query_sets(state.collection)
    largest = max(sets, key=lambda item: item.queries).name if sets else "default"
    return state.option("set", largest)


def redrawn(ui: Ui, state: UiState, *names: str, push: bool = False, say: str = "") -> Reply:
    """The page, or only the parts named, in this state."""
    return Reply(regions(ui, state, *names), state=state, push=push, say=say)


# -------------------------------------------------------------------- queues
def who(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another assessor; each has progress and judgments of their own."""
    name = plain(args.text("value").strip(), 60)
    state = state.with_options(who="" if name == common.ME else name, at="", skipped="", after="", seen="")
    reply = redrawn(ui, state, say=f"Judging as {common.assessor(state)}")
    reply.regions["tp-head"] = head(ui, state)
    return reply


def toggle(ui: Ui, state: UiState, args: Args) -> Reply:
    """A pipeline, or the second opinion, was checked or unchecked."""
    name, value = args.text("name"), args.text("value")
    if name == "again":
        return redrawn(ui, state.with_options(again="" if state.option("again") else "yes"), "jd-setup")
    if name != "pipe" or not value:
        raise BadInput("This takes the name of a pipeline.")
    plan = draft(ui, state)
    chosen = choosing.toggled([*plan.pipelines, *plan.runs], value)
    return redrawn(ui, state.with_options(pipe=chosen), "jd-setup")


def choose(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another query set, depth, order, measure or baseline; or the scores opened and closed."""
    name, value = args.text("name"), args.text("value")
    if name not in SETTINGS:
        raise BadInput("There is no such setting.")
    state = state.with_options(**{name: value})
    if state.page != "judge":
        return Reply({"tp-side": pane(ui, state)}, state=state)
    reply = redrawn(ui, state, {"means": "jd-work", "all": "jd-queues"}.get(name, "jd-setup"))
    if name == "set" and state.panel == PANEL:
        reply.regions["tp-side"] = pane(ui, state)
    return reply


def start(ui: Ui, state: UiState, args: Args) -> Reply:
    """Prepare the chosen queue, as a job."""
    plan = draft(ui, state)
    view = ui.services.start_queue(
        state.collection, plan.pipelines, runs=plan.runs, query_set=plan.query_set, depth=plan.depth, order=plan.order,
        measure=plan.measure, baseline=plan.baseline if plan.order == "flip" else "", again=plan.again,
    )  # fmt: skip
    # The line first: a job that ends in between is not in it, and then the queue is drawn as ready.
    line = shell.jobs_line(ui.services.jobs(common.JOBS_SHOWN))
    reply = _open(ui, state, view.queue_id)
    reply.poll, reply.say = True, "The queue is being prepared"
    reply.regions["tp-jobline"] = line
    return reply


def _open(ui: Ui, state: UiState, queue_id: str) -> Reply:
    state = state.with_options(queue=queue_id, at="", skipped="", after="", seen="")
    if queue_id:
        state = state.with_options(set=ui.services.queue(state.collection, queue_id).query_set)
    return redrawn(ui, state, push=True)


def open_queue(ui: Ui, state: UiState, args: Args) -> Reply:
    """Go on with a queue."""
    return _open(ui, state, args.text("id"))


def close(ui: Ui, state: UiState, args: Args) -> Reply:
    """Back to the list; the queue stays as it is."""
    return _open(ui, state, "")


def ask_delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Are you sure?"""
    view = ui.services.queue(state.collection, args.text("id"), assessor=common.assessor(state))
    text = f"That of {history.when(view.created_at)} on “{view.query_set}”, with {view.left:,} documents left. The judgments made from it stay."
    return Reply(
        dialog=shell.ask_dialog("Delete this queue?", text, "jd-delete", "Delete", danger=True, id=view.queue_id)
    )


def delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Delete it."""
    gone = args.text("id")
    ui.services.delete_queue(state.collection, gone)
    if state.option("queue") == gone:
        state = state.with_options(queue="", at="", skipped="", after="", seen="")
    reply = redrawn(ui, state, say="Deleted")
    reply.close_dialog = True
    return reply


# ----------------------------------------------------------------- judgments
def pane(ui: Ui, state: UiState) -> Markup:
    """How far assessors agree, in the side pane."""
    view = _opened(ui, state) if state.page == "judge" else None
    sets = [item.name for item in ui.services.query_sets(state.collection)]
    asked = state.option("set")
    name = asked if asked in sets else view.query_set if view else set_of(ui, state)
    found = ui.services.assessors(state.collection, name) if name in sets else None
    return agreement.pane(found, sets, name, write=ui.access.write)


def rule(ui: Ui, state: UiState, args: Args) -> Reply:
    """Which judgment counts where assessors differ."""
    ui.services.set_judgment_rule(state.collection, args.text("set"), args.text("value"))
    reply = Reply({"tp-side": pane(ui, state)}, say="The rule was changed")
    if state.page == "judge" and state.option("means"):
        reply.regions |= regions(ui, state, "jd-work")
    return reply


def export(ui: Ui, state: UiState, args: Args) -> Reply:
    """The judgments of a set as a file."""
    name, form = args.text("name"), args.text("format")
    if form not in EXPORTS:
        raise BadInput("There is no such form.")
    file, mime = EXPORTS[form]
    services = ui.services
    if form == "log":
        text = services.export_judging_log(state.collection, name)
    else:
        text = services.export_judgments(state.collection, query_set=name, form=form)
    return Reply(download=Download(file if name == "default" else f"{name}-{file}", mime, text))


ACTIONS = {
    "jd-who": Action(who),
    "jd-toggle": Action(toggle),
    "jd-set": Action(choose),
    "jd-start": Action(start, writes=True),
    "jd-open": Action(open_queue, replaces=True, top=True),
    "jd-close": Action(close),
    "jd-ask-delete": Action(ask_delete, writes=True),
    "jd-delete": Action(delete, writes=True),
    "jd-rule": Action(rule, writes=True),
    "jd-export": Action(export, slow=True),
}
