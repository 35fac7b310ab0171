"""The Evaluate page: what to measure, how it is run, and what to do first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.drawing import format, jobs
from app.drawing import setup as parts
from app.drawing.controls import button, select
from app.drawing.html import Child, el
from app.drawing.leaderboard import CORRECTION_CHOICES, TEST_CHOICES
from app.drawing.messages import empty
from app.results.evaluation import MetricView, QuerySetView
from app.results.search import JobView, PipelineView

TEST_WORDS = "How likely a difference as large as this would be if both were equally good"
CORRECTION_WORDS = "Several comparisons find a difference by chance more often than one does; this allows for it"


@dataclass(frozen=True, slots=True)
class Draft:
    """What would be run next."""

    query_set: str
    pipelines: tuple[str, ...]
    runs: tuple[str, ...]
    metrics: tuple[str, ...]
    baseline: str
    test: str
    correction: str


def head(collection: str, sets: Sequence[QuerySetView]) -> Markup:
    """Title, what there is to ask, and where questions come from."""
    questions = sum(item.queries for item in sets)
    told = f"{format.plural(questions, 'question')} in {format.plural(len(sets), 'query set')}" if sets else ""
    return el(
        "div",
        el("h1", "Evaluate"),
        el("span", collection, class_="chip", dir="auto") if collection else None,
        el("span", told, class_="muted"),
        el("span", class_="grow"),
        button(
            "Questions",
            "panel",
            glyph="question",
            panel="questions",
            hint="Query sets and their judgments: bring them in, take them out",
        )
        if collection
        else None,
        class_="library-head",
    )


def setup(
    draft: Draft,
    sets: Sequence[QuerySetView],
    pipelines: Sequence[PipelineView],
    metrics: Sequence[MetricView],
    *,
    runs: Sequence[str] = (),
    opened: bool,
    write: bool,
) -> Markup:
    """What to run: questions, pipelines, metrics, and what the pipelines are compared with."""
    chosen = parts.chosen_set(sets, draft.query_set)
    known = {view.name: view.summary for view in pipelines}
    names = dict.fromkeys([*known, *draft.pipelines])
    words = {view.example: f"{view.words} ({view.about})" for view in metrics}
    listed = dict.fromkeys([*words, *draft.metrics])
    place = parts.places((*draft.pipelines, *draft.runs))
    imported = {name: i for name, i in place.items() if name in draft.runs}
    rows = [
        parts.row("Query set", parts.query_sets(sets, draft.query_set, "ev-set", _questions), _about(chosen)),
        parts.row("Pipelines", parts.checks("pipe", names, parts.places(draft.pipelines), "ev-toggle", label="Pipelines", tip=lambda name: known.get(name, parts.UNKNOWN), marked=True)),
        parts.row("Runs", parts.checks("pipe", runs, imported, "ev-toggle", label="Runs of other systems", tip=lambda _: "A run of another system, judged as it is", marked=True)) if runs else None,
        parts.row("Metrics", parts.checks("metric", listed, parts.places(draft.metrics), "ev-toggle", label="Metrics", tip=lambda name: words.get(name, "")), _other_metric()),
        parts.row("Compared with", _comparison(draft)),
    ]  # fmt: skip
    foot = _run(draft, chosen, write=write)
    return parts.shell(
        "New evaluation", _in_short(draft, chosen), rows, foot, key="ev-setup", opened=opened, alert="ev-alert"
    )


def _questions(item: QuerySetView) -> str:
    return format.plural(item.queries, "question")


def _in_short(draft: Draft, chosen: QuerySetView | None) -> str:
    names = ", ".join((*draft.pipelines, *draft.runs)) or "no pipeline"
    return f"{draft.query_set} · {names} · {', '.join(draft.metrics)}" if chosen else ""


def _about(chosen: QuerySetView | None) -> Markup | None:
    if chosen is None:
        return None
    if not chosen.judgments:
        return el("span", "No judgments: only disagreement can be measured.", class_="warn-text small")
    judged = format.plural(chosen.judged_queries, "question")
    return el("span", f"{format.plural(chosen.judgments, 'judgment')} on {judged}", class_="muted small")


def _other_metric() -> Markup:
    return el(
        "form",
        el(
            "input",
            type="text",
            class_="input input-small",
            data_field="value",
            placeholder="Another, as P(rel=2)@5",
            aria_label="Another metric",
            autocomplete="off",
            spellcheck="false",
        ),
        el("button", "Add", type="submit", class_="btn btn-small"),
        class_="row",
        data_form=True,
        data_action="ev-metric",
        data_alert="ev-alert",
    )


def _comparison(draft: Draft) -> Markup:
    baselines = [(name, name) for name in (*draft.pipelines, *draft.runs)] or [("", "no pipeline yet")]
    return el(
        "div",
        _labeled("Baseline", select("baseline", baselines, draft.baseline, label="Baseline", action="ev-set", data_name="base")),
        _labeled("Test", select("test", TEST_CHOICES, draft.test, label="Test", action="ev-set", data_name="test"), TEST_WORDS),
        _labeled("Correction", select("correction", CORRECTION_CHOICES, draft.correction, label="Correction", action="ev-set", data_name="correction"), CORRECTION_WORDS),
        class_="row",
    )  # fmt: skip


def _labeled(name: str, control: Markup, tip: str = "") -> Markup:
    return el("label", el("span", name), control, class_="labeled", data_tip=tip or None)


def _run(draft: Draft, chosen: QuerySetView | None, *, write: bool) -> list[Child]:
    disagree = el(
        "button",
        el("span", "Where do they disagree?"),
        type="button",
        class_="btn",
        data_action="ev-disagree",
        data_alert="ev-alert",
        disabled=len(draft.pipelines) + len(draft.runs) < 2 or chosen is None,
        title="Needs no judgments: the questions on which the pipelines and runs find the most different documents",
    )
    if not write:
        return [disagree, el("span", parts.READING, class_="muted small")]
    missing = _missing(draft, chosen)
    start = parts.start("Run the evaluation", "ev-run", alert="ev-alert", disabled=bool(missing))
    rows = len(draft.pipelines) + len(draft.runs)
    size = f"{format.plural(chosen.judged_queries if chosen else 0, 'judged question')} × {format.plural(rows, 'pipeline')}"
    return [start, disagree, el("span", missing or size, class_="muted small")]


def _missing(draft: Draft, chosen: QuerySetView | None) -> str:
    """What keeps the evaluation from being run."""
    if chosen is None:
        return "Choose a query set."
    if not chosen.judgments:
        return "Judgments are needed for an evaluation."
    if not draft.pipelines and not draft.runs:
        return "Choose at least one pipeline."
    return "" if draft.metrics else "Choose at least one metric."


# ------------------------------------------------------------------------ job
def job(view: JobView | None, *, read_only: bool) -> Markup | None:
    """The evaluation that is running, or that stopped before its end."""
    if view is None:
        return None
    return el(
        "section",
        jobs.table([view], read_only=read_only, page="evaluate"),
        el("p", "It goes on when this page is closed; the address shows it again.", class_="muted small")
        if view.status in ("queued", "running")
        else button("Put away", "ev-dismiss", look="quiet")
        if view.status in ("failed", "cancelled")
        else None,
        class_="panel ev-job",
        aria_label="Running evaluation",
        data_evaluating=view.job_id,
    )


def nothing(collection: str, sets: Sequence[QuerySetView], *, write: bool) -> Markup:
    """What to do where there is nothing to show yet."""
    if sets:
        return empty(
            "flow",
            "Which pipeline is better on your questions?",
            "Choose pipelines and metrics above and run the evaluation. Every pipeline answers the same questions; the means come with "
            "intervals, and differences with a test that says whether they are more than chance.",
        )
    text = (
        f"“{collection}” has no questions yet. Bring in a file of queries, TREC topics or a BEIR folder, and judgments where you have them. "
        "The example collection of `triptych demo` comes with a judged query set of its own."
    )
    return parts.without_questions("No questions to ask", text, write=write)
