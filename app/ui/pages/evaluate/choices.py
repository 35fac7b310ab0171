"""What the Evaluate page is about: the address, filled in with what is usual, and the evaluation and job that it names."""

from __future__ import annotations

from app import presets
from app.drawing import evaluated, leaderboard
from app.results.evaluation import EvaluationView, QuerySetView
from app.results.search import JobView
from app.ui.frame import choosing
from app.ui.pages.evaluate import view as evaluate
from app.ui.web.dispatch import Ui
from app.ui.web.session import UiState

DEFAULT_METRICS = ("nDCG@10", "AP", "RR@10", "R@100")


def settle(ui: Ui, state: UiState) -> UiState:
    """The state with the evaluation that it is about: that of a finished job, else the newest one; and with the disagreement that a job found."""

    def newest() -> str:
        found = (one for one in ui.services.evaluations(state.collection) if one.finished)
        return next((one.evaluation_id for one in found), "")

    return choosing.settled(ui, state, newest)


def job_of(ui: Ui, state: UiState) -> JobView | None:
    """The evaluation or comparison that is running, or that the address names."""
    return choosing.job_of(ui, state)


def draft(ui: Ui, state: UiState, sets: tuple[QuerySetView, ...]) -> evaluate.Draft:
    """What would be run: what the address says, filled in with what is usual."""
    names = [view.name for view in ui.services.pipelines()]
    runs = [run.name for run in ui.services.runs(state.collection)]
    usual = tuple(name for name in presets.EVALUATED if name in names) or tuple(names[:3])
    pipelines = choosing.checked(state.option_values("pipe"), usual)
    judged = next((item.name for item in sets if item.judgments), sets[0].name if sets else "default")
    base = state.option("base")
    return evaluate.Draft(
        query_set=state.option("set", judged),
        pipelines=tuple(name for name in pipelines if name not in runs or name in names),
        runs=tuple(name for name in pipelines if name in runs and name not in names),
        metrics=choosing.checked(state.option_values("metric"), DEFAULT_METRICS),
        baseline=base if base in pipelines else (pipelines[0] if pipelines else ""),
        test=_known(state.option("test"), leaderboard.TEST_CHOICES),
        correction=_known(state.option("correction"), leaderboard.CORRECTION_CHOICES),
    )


def _known(value: str, options: tuple[tuple[str, str], ...]) -> str:
    return value if value in dict(options) else options[0][0]


def view_of(ui: Ui, state: UiState) -> EvaluationView:
    """The evaluation, compared as the address says."""
    run, asked = state.option("run"), state.option("base")
    options = {key: state.option(key) for key in ("test", "correction") if state.option(key)}
    view: EvaluationView = ui.services.evaluation(state.collection, run)
    names = [one.name for one in view.pipelines]
    changed = {"baseline": asked} if asked in names else {}
    for key, known in (("test", leaderboard.TEST_CHOICES), ("correction", leaderboard.CORRECTION_CHOICES)):
        if options.get(key) in dict(known):
            changed[key] = options[key]
    if all(getattr(view, key) == value for key, value in changed.items()):
        return view
    return ui.services.evaluation(state.collection, run, **changed)


def measure_of(state: UiState, view: EvaluationView) -> str:
    """The metric that the drawings show."""
    asked = state.option("measure")
    return asked if asked in view.metrics else view.metrics[0]


def looked_at(state: UiState, shown: evaluated.Shown) -> evaluated.Chosen:
    """How the evaluation is looked at; beside the baseline stands the best other pipeline, unless one was chosen."""
    view = shown.view
    measure = measure_of(state, view)
    others = [one for one in view.pipelines if one.name != view.baseline]
    means = {one.name: cell.mean for one in others for cell in one.cells if cell.measure == measure}
    best = max(others, key=lambda one: means.get(one.name) or -1.0).name if others else ""
    against = state.option("against")
    fields = evaluated.groupings(shown.rows)
    group = state.option("group", fields[0] if fields else "")
    return evaluated.Chosen(
        sort=state.option("sort", leaderboard.NAME),
        measure=measure,
        against=against if against in {one.name for one in others} else best,
        group=group if group in fields else "",
        tests=bool(state.option("tests")),
        offset=state.offset,
    )
