"""The Judge page around the document: title, what a new queue takes in, the queues there are, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from app.drawing import format, history, jobs
from app.drawing import setup as parts
from app.drawing.controls import button, cell_title, check, icon_button, panel_head, select
from app.drawing.html import Child, el
from app.drawing.messages import empty
from app.drawing.tables import table
from app.results.evaluation import QuerySetView
from app.results.judging import QueueView
from app.results.search import JobView

ORDERS = (
    ("disagreement", "Where they disagree most", "Questions first on which the pipelines differ most; needs no judgments to begin with"),
    ("flip", "What could flip the verdict", "Documents first that could change who is better than the baseline by the measure"),
    ("pool", "Question by question", "The plain pool: every question in turn, first the first hits of every pipeline, then the second ones"),
)  # fmt: skip
DEPTHS = (5, 10, 20, 50, 100)
MEASURES = ("nDCG@10", "P@10", "P@5", "RR@10", "AP")
MOST = 12


@dataclass(frozen=True, slots=True)
class Draft:
    """The queue that would be prepared next."""

    query_set: str
    pipelines: tuple[str, ...]
    runs: tuple[str, ...]
    depth: int
    order: str
    measure: str
    baseline: str
    again: bool


def head(collection: str, assessor: str) -> Markup:
    """Title, who judges, and what lies beside."""
    who = el(
        "label",
        el("span", "Assessor"),
        el(
            "input",
            type="text",
            id="jd-who",
            class_="input input-small",
            value=assessor,
            maxlength="60",
            data_change="jd-who",
            data_alert="jd-alert",
            autocomplete="off",
            spellcheck="false",
            dir="auto",
        ),
        class_="labeled",
        title="Your judgments are kept under this name",
    )
    return el(
        "div",
        el("h1", "Judge"),
        el("span", collection, class_="chip", dir="auto") if collection else None,
        el("span", class_="grow"),
        who if collection else None,
        button("Judgments", "panel", glyph="check", panel="agreement", hint="Who judged, how far they agree, and exports")
        if collection
        else None,
        button("Questions", "panel", glyph="question", panel="questions", hint="Query sets: bring them in, take them out")
        if collection
        else None,
        button("Blind A/B", "go", glyph="compare", page="blind", hint="Two anonymous columns, and a vote") if collection else None,
        class_="library-head",
    )  # fmt: skip


def setup(
    draft: Draft,
    sets: Sequence[QuerySetView],
    pipelines: Sequence[str],
    runs: Sequence[str],
    *,
    opened: bool,
    write: bool,
) -> Markup:
    """What the next queue is made of."""
    missing = _missing(draft, sets)
    place = parts.places((*draft.pipelines, *draft.runs))
    rows = [
        parts.row("Query set", parts.query_sets(sets, draft.query_set, "jd-set", _questions), _again(draft)),
        parts.row("Pipelines", parts.checks("pipe", pipelines, place, "jd-toggle", label="Pipelines", marked=True)),
        parts.row("Runs", parts.checks("pipe", runs, place, "jd-toggle", label="Runs of other systems", marked=True)) if runs else None,
        parts.row("Depth", _depth(draft), el("span", "documents of each pipeline on each question", class_="muted small")),
        parts.row("Order", _order(draft)),
    ]  # fmt: skip
    foot = [
        parts.start("Prepare the queue", "jd-start", disabled=bool(missing) or not write),
        el("span", missing if write else parts.READING, class_="muted small"),
    ]
    return parts.shell("New queue", _in_short(draft), rows, foot, key="jd-setup", opened=opened, data_alert="jd-alert")


def _questions(item: QuerySetView) -> str:
    return format.plural(item.queries, "question")


def _in_short(draft: Draft) -> str:
    names = ", ".join((*draft.pipelines, *draft.runs)) or "no pipeline"
    return f"{draft.query_set} · {names} · first {draft.depth}"


def _missing(draft: Draft, sets: Sequence[QuerySetView]) -> str:
    """What keeps the queue from being prepared."""
    if draft.query_set not in {item.name for item in sets}:
        return "Choose a query set."
    chosen = len(draft.pipelines) + len(draft.runs)
    if not chosen:
        return "Choose at least one pipeline."
    if chosen < 2 and draft.order != "pool":
        return "This order needs two pipelines; with one, take “Question by question”."
    return ""


def _again(draft: Draft) -> Markup:
    tip = "For a second opinion: kappa needs documents that two people judged"
    return check("again", "yes", draft.again, None, "jd-toggle", tip=tip, label="also what others judged")


def _depth(draft: Draft) -> Markup:
    options = [(str(depth), f"the first {depth}") for depth in sorted({*DEPTHS, draft.depth})]
    return select("depth", options, str(draft.depth), label="Depth", action="jd-set", data_name="depth")


def _order(draft: Draft) -> list[Child]:
    words = {key: about for key, _, about in ORDERS}
    chosen: list[Child] = [
        select("order", [(key, name) for key, name, _ in ORDERS], draft.order, label="Order", action="jd-set", data_name="order")
    ]  # fmt: skip
    if draft.order == "flip":
        names = [(name, name) for name in (*draft.pipelines, *draft.runs)]
        measures = [(one, one) for one in dict.fromkeys((*MEASURES, draft.measure))]
        chosen += [
            select("measure", measures, draft.measure, label="Measure", action="jd-set", data_name="measure"),
            el("span", "against", class_="muted"),
            select("base", names, draft.baseline, label="Baseline", action="jd-set", data_name="base"),
        ]
    return [*chosen, el("span", words[draft.order], class_="muted small jd-order")]


def job(view: JobView | None, *, read_only: bool) -> Markup | None:
    """The queue that is being prepared, or whose preparation stopped."""
    if view is None:
        return None
    return el(
        "section",
        jobs.table([view], read_only=read_only, page="judge"),
        el("p", "The pipelines run on every question; the first document comes up when they are done.", class_="muted small")
        if view.status in ("queued", "running")
        else None,
        class_="panel ev-job",
        aria_label="Queue in preparation",
        data_evaluating=view.job_id,
    )  # fmt: skip


def queues(found: Sequence[QueueView], shown: str, *, every: bool, write: bool) -> Markup | None:
    """The queues there are, newest first."""
    if not found:
        return None
    part = found if every else found[:MOST]
    heads = ("Prepared", "Query set", "Order", "Pipelines", "Left", "")
    return el(
        "section",
        panel_head("Queues", said=format.plural(len(found), "queue")),
        table(heads, [_queue(one, one.queue_id == shown, write) for one in part], numbers=("Left",), look="history"),
        button(f"All {len(found)}", "jd-set", look="quiet", name="all", value="yes") if len(part) < len(found) else None,
        class_="panel",
        aria_label="Queues",
    )  # fmt: skip


def _queue(one: QueueView, shown: bool, write: bool) -> Markup:
    orders = {key: name for key, name, _ in ORDERS}
    state = {"preparing": "preparing", "failed": "failed"}.get(one.state, f"{one.left:,} of {one.total:,}")
    return el(
        "tr",
        el(
            "td",
            cell_title(history.when(one.created_at), "jd-open", current=shown, id=one.queue_id),
            class_="history-when",
        ),
        el("td", one.query_set, dir="auto"),
        el("td", orders.get(one.order, one.order), el("small", f" {one.measure}") if one.measure else None),
        el("td", el("span", ", ".join(one.pipelines), class_="clamp", dir="auto")),
        el("td", state, class_="num"),
        el("td", icon_button("Delete this queue; its judgments stay", "jd-ask-delete", "trash", id=one.queue_id) if write else None),
        class_="is-shown" if shown else None,
        data_key=one.queue_id,
    )  # fmt: skip


def nothing(collection: str, sets: Sequence[QuerySetView], *, write: bool) -> Markup:
    """What to do where no queue is open."""
    if sets:
        return empty(
            "check",
            "Which documents are relevant?",
            "Choose questions and pipelines, and prepare a queue: you see one document at a time and grade it with the keys 0 to 3, without "
            "knowing which pipeline found it.",
        )
    text = (
        f"“{collection}” has no questions yet. Bring in a file of queries, or judge any result on Search and Compare: its question joins the "
        "query set “My questions”."
    )
    return parts.without_questions("No questions to judge", text, write=write)
