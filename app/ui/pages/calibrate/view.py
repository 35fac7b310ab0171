"""The Calibrate page: what to fit, how it is run, what to do first, and earlier calibrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.drawing import format, jobs
from app.drawing import setup as parts
from app.drawing.controls import button, cell_title, icon_button, panel_head, select
from app.drawing.history import when
from app.drawing.html import Child, classes, el
from app.drawing.messages import empty
from app.drawing.tables import table
from app.results.calibration import CalibrationSummary
from app.results.evaluation import QuerySetView
from app.results.search import JobView, PipelineView

MOST = 12
TARGETS = {
    "recall": "Keep this share of the relevant hits",
    "precision": "This share of what is kept is relevant",
    "best": "This share of questions keeps its best document",
    "results": "At most this many results a question",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """What would be fitted next."""

    query_set: str
    pipelines: tuple[str, ...]
    methods: tuple[str, ...]
    wish: str
    value: str
    folds: str
    depth: str
    rating: str


def method_name(name: str) -> str:
    """A calibrator's name as results show it."""
    return "Cosine Adapter" if name == "cosine_adapter" else name.replace("_", "-")


def head(collection: str) -> Markup:
    """Title and where judgments come from."""
    return el(
        "div",
        el("h1", "Calibrate"),
        el("span", collection, class_="chip", dir="auto") if collection else None,
        el("span", "Scores as probabilities, and a threshold that drops what is not relevant", class_="muted"),
        el("span", class_="grow"),
        button("Judge", "go", glyph="check", page="judge", hint="Judge results") if collection else None,
        class_="library-head",
    )


def setup(
    draft: Draft,
    sets: Sequence[QuerySetView],
    pipelines: Sequence[PipelineView],
    methods: Mapping[str, str],
    *,
    opened: bool,
    write: bool,
) -> Markup:
    """What to fit: questions, pipelines, calibrators, and what the threshold is for."""
    chosen = parts.chosen_set(sets, draft.query_set)
    names = dict.fromkeys([*(view.name for view in pipelines), *draft.pipelines])
    known = {view.name: view.summary for view in pipelines}
    rows = [
        parts.row("Query set", parts.query_sets(sets, draft.query_set, "cal-set", _judged), _about(chosen)),
        parts.row("Pipelines", parts.checks("pipe", names, parts.places(draft.pipelines), "cal-toggle", label="Pipelines", tip=lambda name: known.get(name, parts.UNKNOWN), marked=True)),
        parts.row("Calibrators", parts.checks("method", methods, parts.places(draft.methods), "cal-toggle", label="Calibrators", tip=lambda name: methods[name], words=method_name)),
        parts.row("Threshold", _target(draft)),
        parts.row("More", _more(draft)),
    ]  # fmt: skip
    short = f"{draft.query_set} · {', '.join(draft.pipelines) or 'no pipeline'} · {', '.join(map(method_name, draft.methods)) or 'no calibrator'}"
    foot = _start(draft, chosen, write=write)
    return parts.shell("New calibration", short, rows, foot, key="cal-setup", opened=opened, alert="cal-alert")


def _judged(item: QuerySetView) -> str:
    return format.plural(item.judged_queries, "judged question")


def _about(chosen: QuerySetView | None) -> Markup | None:
    if chosen is None or chosen.judgments:
        return None
    return el("span", "No judgments: a calibration needs some.", class_="warn-text small")


def _target(draft: Draft) -> list[Child]:
    return [
        select("wish", list(TARGETS.items()), draft.wish, label="Target", action="cal-set", data_name="wish"),
        _number("value", draft.value, "Value", step="1" if draft.wish == "results" else "0.05"),
        el(
            "span",
            "The threshold is chosen so that this holds; what it does to unseen questions is what is shown.",
            class_="muted small",
        ),
    ]


def _number(name: str, value: str, label: str, *, step: str = "1") -> Markup:
    return el(
        "input",
        type="number",
        class_="input input-small cal-number",
        value=value,
        step=step,
        min="0" if step != "1" else "1",
        data_change="cal-set",
        data_name=name,
        aria_label=label,
        autocomplete="off",
    )


def _more(draft: Draft) -> Markup:
    fields = (
        ("folds", "Folds", draft.folds, "Into how many parts the questions are dealt; each is measured by a fit to the others"),
        ("depth", "Hits of a question", draft.depth, "How many of its first hits count"),
        ("rating", "Relevant from", draft.rating, "From which rating on a document is relevant"),
    )  # fmt: skip
    return el(
        "details",
        el("summary", "Folds, depth, rating", class_="muted small"),
        el(
            "div",
            [
                el("label", el("span", label), _number(name, value, label), class_="labeled", data_tip=tip)
                for name, label, value, tip in fields
            ],
            class_="row cal-more",
        ),
        data_key="cal-more",
    )


def _start(draft: Draft, chosen: QuerySetView | None, *, write: bool) -> list[Child]:
    if not write:
        return [el("span", "This workspace is open for reading only; nothing is fitted.", class_="muted small")]
    missing = _missing(draft, chosen)
    judged = chosen.judged_queries if chosen else 0
    fits = len(draft.pipelines) * len(draft.methods)
    return [
        parts.start("Fit and measure", "cal-run", alert="cal-alert", disabled=bool(missing)),
        el(
            "span",
            missing or f"{format.plural(judged, 'judged question')}, {format.plural(fits, 'map')} to fit",
            class_="muted small",
        ),
    ]


def _missing(draft: Draft, chosen: QuerySetView | None) -> str:
    """What keeps the calibration from being run."""
    if chosen is None:
        return "Choose a query set."
    if not chosen.judgments:
        return "Judge some results first, or bring in judgments."
    if not 1 <= len(draft.pipelines) <= 4:
        return "Choose one to four pipelines."
    return "" if draft.methods else "Choose at least one calibrator."


def job(view: JobView | None, *, read_only: bool) -> Markup | None:
    """The calibration that is running, or that stopped before its end."""
    if view is None:
        return None
    over = view.status in ("failed", "cancelled")
    return el(
        "section",
        jobs.table([view], read_only=read_only, page="calibrate"),
        button("Put away", "cal-dismiss", look="quiet")
        if over
        else el("p", "It goes on when this page is closed; the address shows it again.", class_="muted small"),
        class_="panel ev-job",
        aria_label="Running calibration",
        data_evaluating=view.job_id,
    )


def nothing(collection: str, sets: Sequence[QuerySetView], *, write: bool) -> Markup:
    """What to do where there is nothing to show yet."""
    if any(item.judgments for item in sets):
        return empty(
            "chart",
            "Is the best hit any good?",
            "A score orders documents; it does not say whether any of them is relevant. Choose a pipeline and calibrators above and fit them: "
            "scores become probabilities, and a threshold drops what is unlikely, down to an honest empty list.",
        )
    text = f"Calibration learns from judgments, and “{collection}” has none yet. Judge some results, or bring in a query set with judgments."
    remedies = (
        button("Judge results", "go", glyph="check", look="primary", page="judge"),
        button("Bring in judgments", "panel", glyph="upload", panel="questions"),
    )
    return empty("check", "No judgments to learn from", text, *(remedies if write else ()))


# -------------------------------------------------------------------- history
def history(found: Sequence[CalibrationSummary], shown: str, *, write: bool) -> Markup | None:
    """The calibrations, newest first; `shown` is on the page."""
    if not found:
        return None
    titles = ("When", "Query set", "Pipelines", "Calibrators", "Target", "")
    return el(
        "section",
        panel_head("History", said=format.plural(len(found), "calibration")),
        table(titles, [_past(one, shown, write) for one in found[:MOST]], look="history"),
        el("p", f"The newest {MOST} are listed.", class_="muted small") if len(found) > MOST else None,
        class_="panel",
        aria_label="History",
    )


def _past(one: CalibrationSummary, shown: str, write: bool) -> Markup:
    here = one.calibration_id == shown
    opened = cell_title(when(one.created_at), "cal-open", title=one.calibration_id, current=here, id=one.calibration_id)
    return el(
        "tr",
        el("td", opened, class_="history-when"),
        el("td", one.query_set, dir="auto"),
        el("td", el("span", ", ".join(one.pipelines), class_="clamp", dir="auto")),
        el("td", el("span", ", ".join(one.methods), class_="clamp", dir="auto")),
        el("td", one.target),
        el(
            "td",
            icon_button("Delete", "cal-ask-delete", "trash", id=one.calibration_id) if write else None,
            class_="cell-tools",
        ),
        class_=classes("is-current" if here else ""),
        data_key=one.calibration_id,
    )
