"""The Calibrate page: fit maps from scores to probabilities, see what they are worth, try thresholds, save pipelines with them."""

from __future__ import annotations

from markupsafe import Markup

from app import presets
from app.drawing.history import when
from app.drawing.html import el
from app.drawing.messages import error_box
from app.results import calibration_table
from app.results.calibration import CalibrationView, QueryCurves
from app.results.evaluation import QuerySetView
from app.ui.frame import choosing, common, frame, shell
from app.ui.pages.calibrate import calibrated, trying
from app.ui.pages.calibrate import view as calibrate
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Download, Reply
from app.ui.web.session import MAX_QUERY, UiState, column_names
from engine.errors import BadInput, TriptychError
from engine.evaluation.calibrate import Target
from engine.files.sheets import csv_text

SETTINGS = ("set", "wish", "value", "folds", "depth", "rating")
LOOKS = ("part", "by", "t")
VALUES = {"recall": "0.9", "precision": "0.5", "best": "0.9", "results": "10"}
SAMPLES = 40


def settle(ui: Ui, state: UiState) -> UiState:
    """The state with the calibration that it is about: that of a finished job, else the newest one."""

    def newest() -> str:
        return next((one.calibration_id for one in ui.services.calibrations(state.collection)), "")

    return choosing.settled(ui, state, newest)


def head(ui: Ui, state: UiState) -> Markup:
    """Title and where judgments come from."""
    return calibrate.head(state.collection)


def main(ui: Ui, state: UiState) -> Markup:
    """The whole page."""
    drawn = regions(ui, state)
    return el("div", [el("div", content, id=name) for name, content in drawn.items()], class_="evaluate calibrate")


def regions(ui: Ui, state: UiState, *names: str) -> dict[str, Markup | None]:
    """The parts of the page by their ids, or only those named. A failure stands where its part would."""
    write = ui.access.write
    parts: common.Parts = {
        "cal-setup": lambda: _setup(ui, state, opened=not state.option("run")),
        "cal-job": lambda: calibrate.job(choosing.job_of(ui, state), read_only=not write),
        "cal-results": lambda: _results(ui, state),
        "cal-history": lambda: calibrate.history(
            ui.services.calibrations(state.collection), state.option("run"), write=write
        ),
    }
    return common.drawn(parts, names)


def progress(ui: Ui, state: UiState) -> dict[str, Markup | None]:
    """What changes while a calibration runs."""
    return regions(ui, state, "cal-job")


def _draft(ui: Ui, state: UiState, sets: tuple[QuerySetView, ...]) -> calibrate.Draft:
    """What would be fitted: what the address says, filled in with what is usual."""
    from app.verbs.calibrating import DEFAULT_METHODS

    names = [view.name for view in ui.services.pipelines()]
    usual = tuple(name for name in presets.CALIBRATED if name in names)[:1] or tuple(names[:1])
    judged = next((item.name for item in sets if item.judgments), sets[0].name if sets else "default")
    wish = state.option("wish") if state.option("wish") in VALUES else "recall"
    return calibrate.Draft(
        query_set=state.option("set", judged),
        pipelines=choosing.checked(state.option_values("pipe"), usual),
        methods=choosing.checked(state.option_values("method"), DEFAULT_METHODS),
        wish=wish,
        value=state.option("value", VALUES[wish]),
        folds=state.option("folds", "5"),
        depth=state.option("depth", "100"),
        rating=state.option("rating", "1"),
    )


def _setup(ui: Ui, state: UiState, *, opened: bool) -> Markup | None:
    sets = ui.services.query_sets(state.collection)
    if not any(item.judgments for item in sets):
        return None
    return calibrate.setup(
        _draft(ui, state, sets), sets, ui.services.pipelines(), ui.services.calibrators(),
        opened=opened, write=ui.access.write,
    )  # fmt: skip


def _results(ui: Ui, state: UiState) -> Markup:
    """The calibration of the address; without one, what to do first."""
    if not state.option("run"):
        sets = ui.services.query_sets(state.collection)
        return calibrate.nothing(state.collection, sets, write=ui.access.write)
    try:
        view = ui.services.calibration(state.collection, state.option("run"))
    except TriptychError as error:
        return error_box(type(error).__name__, str(error))
    look = _look(state, view)
    samples = [text for _, text in ui.services.questions(state.collection)[:SAMPLES]]
    return calibrated.results(view, look, _tried(ui, state, look), state.query, samples, write=ui.access.write)


def _look(state: UiState, view: CalibrationView) -> trying.Look:
    """What is tried: what the address says where it fits, else the first pipeline and what is best calibrated on it."""
    part = next((one for one in view.pipelines if one.name == state.option("part")), view.pipelines[0])
    usual = min(part.methods, key=lambda one: 1.0 if (ece := one.measures["ECE"].value) is None else ece)
    method = next((one for one in part.methods if one.name == state.option("by")), usual)
    wish = state.option("aim") if state.option("aim") in VALUES else "recall"
    threshold = _threshold(state.option("t"), method.threshold)
    return trying.Look(part, method, threshold, wish, state.option("least", VALUES[wish]))


def _threshold(text: str, otherwise: float) -> float:
    try:
        value = float(text)
    except ValueError:
        return otherwise
    return value if 0 <= value <= 1 else otherwise


def _tried(ui: Ui, state: UiState, look: trying.Look) -> Markup:
    asked: QueryCurves | None = None
    note = None
    if state.query.strip():
        try:
            asked = ui.services.query_curves(state.collection, state.option("run"), look.part.name, state.query)
        except TriptychError as error:
            note = error_box(type(error).__name__, str(error))
    return trying.tried(look, asked, note)


# -------------------------------------------------------------------- actions
def toggle(ui: Ui, state: UiState, args: Args) -> Reply:
    """A pipeline or calibrator was checked or unchecked."""
    name, value = args.text("name"), args.text("value")
    if name not in ("pipe", "method") or not value:
        raise BadInput("This takes the name of a pipeline or a calibrator.")
    plan = _draft(ui, state, ui.services.query_sets(state.collection))
    chosen = plan.methods if name == "method" else plan.pipelines
    return _replanned(ui, state.with_options(**{name: choosing.toggled(chosen, value)}))


def choose(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another query set, target or number."""
    name, value = args.text("name"), args.text("value")
    if name not in SETTINGS:
        raise BadInput("There is no such setting.")
    state = state.with_options(**{name: value})
    return _replanned(ui, state.with_options(value="") if name == "wish" else state)


def _replanned(ui: Ui, state: UiState) -> Reply:
    return Reply({"cal-setup": _setup(ui, state, opened=True), "cal-alert": None}, state=state)


def run(ui: Ui, state: UiState, args: Args) -> Reply:
    """Fit what is chosen, as a job."""
    plan = _draft(ui, state, ui.services.query_sets(state.collection))
    sign = "<=" if plan.wish == "results" else ">="
    job_id = ui.services.start_calibration(
        state.collection, plan.pipelines, query_set=plan.query_set, methods=plan.methods, target=f"{plan.wish}{sign}{plan.value}",
        folds=_whole(plan.folds, "folds"), depth=_whole(plan.depth, "depth"), rating=_whole(plan.rating, "rating"),
    )  # fmt: skip
    return _started(ui, state, job_id)


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise BadInput(f"The {name} must be a whole number; got {text!r}.")
    return int(text)


def again(ui: Ui, state: UiState, args: Args) -> Reply:
    """Fit the shown calibration again, to what is there now."""
    view = ui.services.calibration(state.collection, state.option("run"))
    saved = {one.name for one in ui.services.pipelines()}
    names = tuple(part.name for part in view.pipelines)
    if gone := [name for name in names if name not in saved]:
        raise BadInput(f"The pipeline {gone[0]!r} is no longer saved; choose pipelines above and fit them.")
    target = view.target.replace("≥", ">=").replace("≤", "<=").replace(" ", "")
    job_id = ui.services.start_calibration(
        state.collection, names, query_set=view.query_set, methods=[one.name for one in view.pipelines[0].methods],
        target=target, folds=view.folds, depth=view.depth, rating=view.rating,
    )  # fmt: skip
    return _started(ui, state, job_id)


def _started(ui: Ui, state: UiState, job_id: str) -> Reply:
    state = state.with_options(job=job_id)
    reply = Reply(progress(ui, state), state=state, push=True, poll=True, say="The calibration has been started")
    reply.regions["tp-jobline"] = shell.jobs_line(ui.services.jobs(common.JOBS_SHOWN))
    return reply


def dismiss(ui: Ui, state: UiState, args: Args) -> Reply:
    """A calibration that failed or was cancelled is put away."""
    state = state.with_options(job="")
    return Reply(regions(ui, state, "cal-job"), state=state)


def opened(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another calibration."""
    state = state.with_options(run=args.text("id"), job="", part="", by="", t="")
    return Reply(regions(ui, state), state=state, push=True, say="Calibration opened")


def look(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another pipeline or calibrator to try a threshold on, or back to the chosen threshold."""
    name = args.text("name")
    if name not in LOOKS:
        raise BadInput("There is no such setting.")
    state = state.with_options(**{**({"by": ""} if name == "part" else {}), "t": "", name: args.text("value")})
    return Reply(regions(ui, state, "cal-results"), state=state)


def slide(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another threshold; only what it does is drawn again."""
    state = state.with_options(t=args.text("value"))
    view = ui.services.calibration(state.collection, state.option("run"))
    return Reply({"cal-tried": _tried(ui, state, _look(state, view)), "cal-saved": None}, state=state)


def aim(ui: Ui, state: UiState, args: Args) -> Reply:
    """The threshold that meets a target on the held-out questions."""
    wish, value = args.text("wish"), args.text("value")
    state = state.with_options(aim=wish, least=value)
    look = _look(state, ui.services.calibration(state.collection, state.option("run")))
    target = Target.parse(f"{wish}{'<=' if wish == 'results' else '>='}{value}")
    found = trying.reach(look.method.effects, target.wish, target.value)
    if found is None:
        raise BadInput(f"No threshold of {look.method.label} reaches {target.label()} on these questions.")
    state = state.with_options(t=trying.written(found))
    return Reply({**regions(ui, state, "cal-results"), "cal-alert": None}, state=state, say="A threshold was chosen")


def ask(ui: Ui, state: UiState, args: Args) -> Reply:
    """A question, to see what is left of its hits."""
    state = state.with_(query=args.text("query", MAX_QUERY).strip(), document="")
    view = ui.services.calibration(state.collection, state.option("run"))
    return Reply({"cal-tried": _tried(ui, state, _look(state, view)), "cal-alert": None}, state=state, push=True)


def save(ui: Ui, state: UiState, args: Args) -> Reply:
    """Save the pipeline with the calibrator and the threshold that are tried."""
    name = args.text("name").strip()
    if not name:
        raise BadInput("The pipeline needs a name.")
    view = ui.services.calibration(state.collection, state.option("run"))
    tried = _look(state, view)
    ui.services.save_calibrated(
        state.collection, view.calibration_id, tried.part.name, tried.method.name, name=name, threshold=tried.threshold
    )
    return Reply(
        {"cal-saved": trying.saved(name, tried.threshold), "cal-setup": _setup(ui, state, opened=False)},
        state=state,
        say="Saved",
    )


def to_compare(ui: Ui, state: UiState, args: Args) -> Reply:
    """The pipeline beside the calibrated ones that were saved from it, with the query."""
    view = ui.services.calibration(state.collection, state.option("run"))
    base = _look(state, view).part.name
    names = [one.name for one in ui.services.pipelines()]
    own = [name for name in names if name.startswith(f"{base}, ")]
    columns = column_names(name for name in (base, args.text("saved"), *own, *state.columns) if name in names)[:3]
    to = UiState(
        page="compare", collection=state.collection, query=state.query, pipeline=state.pipeline, columns=columns
    ).with_options(t=state.option("t"))
    return frame.show(ui, to, push=True)  # fmt: skip


def ask_delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Are you sure?"""
    view = ui.services.calibration(state.collection, args.text("id"))
    text = f"That of {when(view.created_at)} on “{view.query_set}”. Pipelines that were saved with its maps keep them."
    dialog = shell.ask_dialog(
        "Delete this calibration?", text, "cal-delete", "Delete", danger=True, id=view.calibration_id
    )
    return Reply(dialog=dialog)


def delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Delete it; the newest other one is shown where it was the shown one."""
    gone = args.text("id")
    ui.services.delete_calibration(state.collection, gone)
    if state.option("run") == gone:
        state = state.with_options(run="", part="", by="", t="")
    state = settle(ui, state)
    return Reply(regions(ui, state), state=state, close_dialog=True, say="Deleted")


def report(ui: Ui, state: UiState, args: Args) -> Reply:
    """The calibration as one HTML file."""
    data = ui.services.report_calibration(state.collection, state.option("run"))
    return Reply(download=Download("calibration.html", "text/html", data=data), say="The report has been made")


def export(ui: Ui, state: UiState, args: Args) -> Reply:
    """The table of measures as a file."""
    view = ui.services.calibration(state.collection, state.option("run"))
    if args.text("format") == "markdown":
        return Reply(download=Download("calibration.md", "text/markdown", calibration_table.markdown(view)))
    text = csv_text(calibration_table.HEADER, calibration_table.rows(view))
    return Reply(download=Download("calibration.csv", "text/csv", text))


ACTIONS = {
    "cal-toggle": Action(toggle),
    "cal-set": Action(choose),
    "cal-run": Action(run, writes=True),
    "cal-again": Action(again, writes=True),
    "cal-dismiss": Action(dismiss),
    "cal-open": Action(opened, replaces=True, top=True),
    "cal-look": Action(look),
    "cal-slide": Action(slide, replaces=True),
    "cal-aim": Action(aim),
    "cal-query": Action(ask),
    "cal-save": Action(save, writes=True),
    "cal-compare": Action(to_compare, replaces=True, top=True),
    "cal-ask-delete": Action(ask_delete, writes=True),
    "cal-delete": Action(delete, writes=True),
    "cal-export": Action(export, slow=True),
    "cal-report": Action(report, slow=True),
}
