"""The Evaluate page: run pipelines over judged questions, see which is better and where, and keep what was found."""

from __future__ import annotations

from markupsafe import Markup

from app.drawing import evaluated, history
from app.drawing.html import el
from app.drawing.messages import error_box
from app.results.evaluation import EvaluationView
from app.ui.frame import choosing, common, frame, shell
from app.ui.pages.evaluate import choices, disagreement, verdicts
from app.ui.pages.evaluate import view as evaluate
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Download, Reply
from app.ui.web.session import MAX_COLUMNS, UiState, column_names
from engine.errors import BadInput, TriptychError

TOGGLES = ("pipe", "metric")
SETTINGS = ("set", "base", "test", "correction", "group", "tests", "bounds", "all")
MIMES = {
    "csv": ("csv", "text/csv"),
    "markdown": ("md", "text/markdown"),
    "latex": ("tex", "text/x-tex"),
    "parquet": ("parquet", "application/vnd.apache.parquet"),
}


settle = choices.settle


def head(ui: Ui, state: UiState) -> Markup:
    """Title and where questions come from."""
    return evaluate.head(state.collection, ui.services.query_sets(state.collection) if state.collection else ())


def main(ui: Ui, state: UiState) -> Markup:
    """The whole page."""
    drawn = regions(ui, state)
    return el("div", [el("div", content, id=name) for name, content in drawn.items()], class_="evaluate")


def regions(ui: Ui, state: UiState, *names: str) -> dict[str, Markup | None]:
    """The parts of the page by their ids, or only those named. A failure stands where its part would."""
    services = ui.services
    parts: common.Parts = {
        "ev-setup": lambda: _setup(ui, state, opened=not state.option("run")),
        "ev-job": lambda: evaluate.job(choices.job_of(ui, state), read_only=not ui.access.write),
        "ev-disagree": lambda: disagreement.region(ui, state),
        "ev-changes": lambda: _changes(ui, state),
        "ev-results": lambda: _results(ui, state),
        "ev-history": lambda: history.table(
            services.evaluations(state.collection), state.option("run"), state.option("beside"),
            every=bool(state.option("all")), write=ui.access.write,
        ),
    }  # fmt: skip
    return common.drawn(parts, names)


def progress(ui: Ui, state: UiState) -> dict[str, Markup | None]:
    """What changes while an evaluation runs."""
    return {"ev-job": evaluate.job(choices.job_of(ui, state), read_only=not ui.access.write)}


def _redrawn(ui: Ui, state: UiState, *names: str, push: bool = False) -> Reply:
    return Reply(regions(ui, state, *names), state=state, push=push)


def _setup(ui: Ui, state: UiState, *, opened: bool) -> Markup | None:
    sets = ui.services.query_sets(state.collection)
    if not sets:
        return None
    return evaluate.setup(
        choices.draft(ui, state, sets), sets, ui.services.pipelines(), ui.services.metrics(),
        runs=[run.name for run in ui.services.runs(state.collection)], opened=opened, write=ui.access.write,
    )  # fmt: skip


def _results(ui: Ui, state: UiState) -> Markup:
    """The evaluation of the address; without one, what to do first."""
    services, run = ui.services, state.option("run")
    if not run:
        return evaluate.nothing(state.collection, services.query_sets(state.collection), write=ui.access.write)
    try:
        view = choices.view_of(ui, state)
        rows = services.query_values(state.collection, run, choices.measure_of(state, view)) if view.finished else ()
    except TriptychError as error:
        return error_box(type(error).__name__, str(error))
    words = {one.example: one.words for one in services.metrics()}
    named = {one.name: one.words for one in services.metrics()}
    told = {name: words.get(name) or named.get(name.split("@")[0].split("(")[0], "") for name in view.metrics}
    bounds = _bounds(ui, state, view) if state.option("bounds") and view.finished else None
    shown = evaluated.Shown(view, rows, bounds, told)
    return evaluated.results(shown, choices.looked_at(state, shown))


def _bounds(ui: Ui, state: UiState, view: EvaluationView) -> Markup:
    try:
        found = ui.services.verdict_bounds(
            state.collection, view.evaluation_id, measure=choices.measure_of(state, view), baseline=view.baseline
        )
    except TriptychError as error:
        return error_box(type(error).__name__, str(error))
    return verdicts.panel(found, [one.name for one in view.pipelines])


def _changes(ui: Ui, state: UiState) -> Markup | None:
    if not state.option("beside"):
        return None
    by_id = {one.evaluation_id: one for one in ui.services.evaluations(state.collection)}
    run, other = by_id.get(state.option("run")), by_id.get(state.option("beside"))
    if run is None or other is None or run is other:
        return None
    before, after = sorted((run, other), key=lambda one: one.created_at)
    changed = ui.services.evaluation_changes(state.collection, before.evaluation_id, after.evaluation_id)
    return history.changes(changed)


# -------------------------------------------------------------------- actions
def toggle(ui: Ui, state: UiState, args: Args) -> Reply:
    """A pipeline or metric was checked or unchecked."""
    name, value = args.text("name"), args.text("value")
    if name not in TOGGLES or not value:
        raise BadInput("This takes the name of a pipeline or a metric.")
    plan = choices.draft(ui, state, ui.services.query_sets(state.collection))
    chosen = list(plan.metrics if name == "metric" else (*plan.pipelines, *plan.runs))
    return _replanned(ui, state.with_options(**{name: choosing.toggled(chosen, value)}))


def add_metric(ui: Ui, state: UiState, args: Args) -> Reply:
    """A metric was typed."""
    written = ui.services.metric(args.text("value").strip())
    plan = choices.draft(ui, state, ui.services.query_sets(state.collection))
    return _replanned(ui, state.with_options(metric=[*plan.metrics, written]))


def _replanned(ui: Ui, state: UiState) -> Reply:
    return Reply({"ev-setup": _setup(ui, state, opened=True), "ev-alert": None}, state=state)


def choose(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another query set, baseline, test, correction or grouping."""
    name, value = args.text("name"), args.text("value")
    if name not in SETTINGS:
        raise BadInput("There is no such setting.")
    state = state.with_options(**{name: value})
    if name == "set":
        return _replanned(ui, state)
    if name == "all":
        return _redrawn(ui, state, "ev-history")
    return _redrawn(ui, state, "ev-setup", *(["ev-results"] if state.option("run") else []))


def _look(name: str) -> Action:
    def act(ui: Ui, state: UiState, args: Args) -> Reply:
        state = state.with_options(**{name: args.text("value")}).with_(offset=0)
        return _redrawn(ui, state, "ev-results")

    return Action(act, replaces=True)


def page(ui: Ui, state: UiState, args: Args) -> Reply:
    """Other rows of the table of questions."""
    return _redrawn(ui, state.with_(offset=args.whole("offset", 0, 100_000, 0)), "ev-results")


def run(ui: Ui, state: UiState, args: Args) -> Reply:
    """Run what is chosen, as a job."""
    plan = choices.draft(ui, state, ui.services.query_sets(state.collection))
    job_id = ui.services.start_evaluation(
        state.collection, plan.pipelines, query_set=plan.query_set, metrics=plan.metrics, baseline=plan.baseline,
        test=plan.test, correction=plan.correction, runs=plan.runs,
    )  # fmt: skip
    return _started(ui, state, job_id)


def again(ui: Ui, state: UiState, args: Args) -> Reply:
    """Run the shown evaluation again as it was, or go on with it."""
    view = ui.services.evaluation(state.collection, state.option("run"))
    job_id = ui.services.start_evaluation(
        state.collection,
        [(one.name, one.yaml) for one in view.pipelines if not one.imported],
        query_set=view.query_set,
        metrics=view.metrics,
        baseline=view.baseline,
        test=view.test,
        correction=view.correction,
        level=view.level,
        runs=[one.name for one in view.pipelines if one.imported],
    )
    return _started(ui, state, job_id)


def _started(ui: Ui, state: UiState, job_id: str) -> Reply:
    state = state.with_options(job=job_id, beside="").with_(offset=0)
    reply = Reply(progress(ui, state), state=state, push=True, poll=True, say="The evaluation has been started")
    reply.regions["tp-jobline"] = shell.jobs_line(ui.services.jobs(common.JOBS_SHOWN))
    return reply


def opened(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another evaluation; how the former was looked at goes along where it fits."""
    state = state.with_options(run=args.text("id"), job="", base="", test="", correction="", beside="")
    reply = _redrawn(ui, state.with_(offset=0), push=True)
    reply.say = "Evaluation opened"
    return reply


def compare_with(ui: Ui, state: UiState, args: Args) -> Reply:
    """What changed since another evaluation; or no longer."""
    state = state.with_options(beside=args.text("id"))
    reply = _redrawn(ui, state, "ev-changes", "ev-history")
    reply.focus = "#ev-changes button" if state.option("beside") else ""
    return reply


def ask_delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Are you sure?"""
    view = ui.services.evaluation(state.collection, args.text("id"))
    text = f"That of {history.when(view.created_at)} on “{view.query_set}” with {len(view.pipelines)} pipelines. It can be run again."
    return Reply(
        dialog=shell.ask_dialog(
            "Delete this evaluation?", text, "ev-delete", "Delete", danger=True, id=view.evaluation_id
        )
    )


def delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Delete it; the newest other one is shown where it was the shown one."""
    gone = args.text("id")
    ui.services.delete_evaluation(state.collection, gone)
    if state.option("run") == gone:
        state = state.with_options(run="")
    if state.option("beside") == gone:
        state = state.with_options(beside="")
    reply = _redrawn(ui, choices.settle(ui, state))
    reply.close_dialog, reply.say = True, "Deleted"
    return reply


def export(ui: Ui, state: UiState, args: Args) -> Reply:
    """The leaderboard or every question, as a file."""
    form, table = args.text("format"), args.text("table")
    view = choices.view_of(ui, state)
    data = ui.services.export_evaluation(
        state.collection, view.evaluation_id, form, table=table, measure=choices.measure_of(state, view)
    )
    suffix, mime = MIMES.get(form, (form, "application/octet-stream"))
    return Reply(download=Download(f"{table}.{suffix}", mime, data=data))


def report(ui: Ui, state: UiState, args: Args) -> Reply:
    """What is shown as one HTML file, compared as it is compared here."""
    view = choices.view_of(ui, state)
    data = ui.services.report(
        state.collection, view.evaluation_id, measure=choices.measure_of(state, view), baseline=view.baseline, test=view.test,
        correction=view.correction,
    )  # fmt: skip
    return Reply(download=Download("report.html", "text/html", data=data), say="The report has been made")


def export_run(ui: Ui, state: UiState, args: Args) -> Reply:
    """What one pipeline found, as a TREC run."""
    name = args.text("name")
    text = ui.services.export_run(state.collection, state.option("run"), name)
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip(".-") or "run"
    return Reply(download=Download(f"{safe}.run", "text/plain", text))


def query(ui: Ui, state: UiState, args: Args) -> Reply:
    """One question in Compare, with the pipelines in its columns: those of the evaluation, or of the disagreement that it was clicked in."""
    saved = {view.name for view in ui.services.pipelines()}
    names: list[str]
    if state.option("run") and not args.text("of") and not args.text("set"):
        view = ui.services.evaluation(state.collection, state.option("run"))
        query_set, names = view.query_set, [one.name for one in view.pipelines]
        chosen = _chosen_names(state, view)
        names = [name for name in names if name in chosen] + [name for name in names if name not in chosen]
    else:
        about = disagreement.compared(ui, state, args)
        query_set, names = about.query_set, list(about.names)
    columns = column_names(name for name in names if name in saved)
    text = ui.services.query_text(state.collection, query_set, args.text("qid"))
    to = UiState(
        page="compare", collection=state.collection, query=text, pipeline=state.pipeline, columns=columns or state.columns
    )  # fmt: skip
    return frame.show(ui, to, push=True)


def _chosen_names(state: UiState, view: EvaluationView) -> list[str]:
    """Who must have a column where not all fit: the baseline and the one it is compared with."""
    names = [one.name for one in view.pipelines]
    if len(names) <= MAX_COLUMNS:
        return names
    base = state.option("base")
    return [base if base in names else view.baseline, state.option("against")]


def dismiss(ui: Ui, state: UiState, args: Args) -> Reply:
    """An evaluation that failed or was cancelled is put away."""
    return _redrawn(ui, state.with_options(job=""), "ev-job")


ACTIONS = {
    "ev-toggle": Action(toggle),
    "ev-metric": Action(add_metric),
    "ev-set": Action(choose),
    "ev-sort": _look("sort"),
    "ev-measure": _look("measure"),
    "ev-against": _look("against"),
    "ev-page": Action(page, replaces=True),
    "ev-run": Action(run, writes=True),
    "ev-dismiss": Action(dismiss),
    "ev-again": Action(again, writes=True),
    "ev-open": Action(opened, replaces=True, top=True),
    "ev-changes": Action(compare_with),
    "ev-ask-delete": Action(ask_delete, writes=True),
    "ev-delete": Action(delete, writes=True),
    "ev-export": Action(export, slow=True),
    "ev-run-file": Action(export_run, slow=True),
    "ev-report": Action(report, slow=True),
    "ev-query": Action(query, replaces=True, top=True),
    **disagreement.ACTIONS,
}
