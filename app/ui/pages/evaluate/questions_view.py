"""The pane of query sets: what there is, how it is taken out, and how more is brought in."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import format
from app.drawing.controls import button, drop_zone, icon_button, select
from app.drawing.html import el, join
from app.drawing.icons import icon
from app.drawing.ledger import bar
from app.drawing.messages import notices
from app.results.evaluation import Brought, QuerySetView, RunView

WHAT = (("auto", "Find out"), ("queries", "Questions"), ("judgments", "Judgments"), ("run", "A run"))
FORMATS = "BEIR (folder, zip, or its files), TREC topics, qrels and runs, query,docid,rating CSV, one question a line"
QUERY_FORMS = (("beir", "JSONL"), ("tsv", "TSV"))
JUDGMENT_FORMS = (("trec", "TREC"), ("beir", "BEIR"), ("csv", "CSV"))
SUFFIXES = {"beir": "jsonl", "tsv": "tsv", "trec": "qrels", "csv": "csv", "beir-qrels": "tsv"}


def pane(
    collection: str, sets: Sequence[QuerySetView], runs: Sequence[RunView], *, chosen: str, write: bool, paths: bool
) -> Markup:
    """Everything about the questions of a collection. `paths` says whether paths on the server may be typed."""
    return join(
        bar("Questions and judgments"),
        el(
            "div",
            _sets(sets, write=write),
            _runs(runs, write=write) if runs else None,
            _bring(collection, chosen, paths=paths) if write else None,
            class_="reader-scroll questions-pane",
            data_scroll=f"questions-{collection}",
        ),
    )


def _sets(sets: Sequence[QuerySetView], *, write: bool) -> Markup:
    if not sets:
        return el(
            "p",
            "No questions yet. Bring in a file below; judgments may come with it, or later, or be made on the Judge page.",
            class_="muted",
        )
    return el("ul", [_set(item, write) for item in sets], class_="sets")


def _set(item: QuerySetView, write: bool) -> Markup:
    judged = format.plural(item.judgments, "judgment") if item.judgments else "no judgments"
    return el(
        "li",
        el(
            "div",
            el("b", item.name, dir="auto"),
            el("span", f"{format.plural(item.queries, 'question')}, {judged}", class_="muted small"),
            class_="set-about",
        ),
        icon_button("Delete this set", "ask-delete-set", "trash", name=item.name) if write else None,
        el(
            "div",
            el("span", "Questions", class_="muted small"),
            [
                button(label, "set-export", look="quiet", name=item.name, what="queries", format=form)
                for form, label in QUERY_FORMS
            ],
            join(
                el("span", "Judgments", class_="muted small"),
                [
                    button(label, "set-export", look="quiet", name=item.name, what="judgments", format=form)
                    for form, label in JUDGMENT_FORMS
                ],
            )
            if item.judgments
            else None,
            class_="set-exports",
        ),
        class_="set",
        data_key=item.name,
    )


def _runs(runs: Sequence[RunView], *, write: bool) -> Markup:
    return el(
        "section",
        el("h3", "Runs of other systems"),
        el(
            "ul",
            [
                el(
                    "li",
                    el(
                        "div",
                        el("b", run.name, dir="auto"),
                        el(
                            "span",
                            f"{format.plural(run.queries, 'question')}, {format.plural(run.hits, 'hit')}",
                            class_="muted small",
                        ),
                        class_="set-about",
                    ),
                    icon_button("Delete this run", "run-delete", "trash", name=run.name) if write else None,
                    class_="set",
                    data_key=run.name,
                )
                for run in runs
            ],
            class_="sets",
        ),
        class_="reader-section",
    )


def _bring(collection: str, chosen: str, *, paths: bool) -> Markup:
    return el(
        "section",
        el("h3", "Bring in"),
        el("div", id="questions-alert", class_="alerts"),
        el(
            "form",
            el(
                "div",
                el(
                    "label",
                    el("span", "Into the query set"),
                    el(
                        "input",
                        type="text",
                        class_="input",
                        data_field="set",
                        value=chosen,
                        autocomplete="off",
                        dir="auto",
                        required=True,
                    ),
                    class_="labeled",
                ),
                el("label", el("span", "The files hold"), select("what", WHAT, "auto", label="The files hold"), class_="labeled"),
                class_="bring-row",
            ),
            drop_zone(
                "questions-bring",
                FORMATS,
                label="Files with questions, judgments or runs",
                line="questions-upload",
                alert="questions-alert",
            ),
            el("div", id="questions-upload", data_keep=True),
            el(
                "div",
                el(
                    "input",
                    type="text",
                    class_="input",
                    data_field="path",
                    placeholder="or the path of a file or folder on this computer",
                    aria_label="A file or folder on this computer",
                    autocomplete="off",
                    spellcheck="false",
                ),
                el("button", "Bring in", type="submit", class_="btn"),
                class_="row",
            )
            if paths
            else None,
            class_="bring",
            data_form=True,
            data_action="questions-bring",
            data_alert="questions-alert",
        ),
        class_="reader-section",
        id="questions-add",
    )  # fmt: skip


def brought(found: Sequence[Brought]) -> Markup:
    """What came out of the files."""
    lines = []
    for one in found:
        if one.kind == "run":
            text = f"{one.file}: the run “{one.name}”, {format.plural(one.judgments, 'hit')} on {format.plural(one.queries, 'question')}."
        else:
            questions = format.plural(one.queries, "question")
            text = f"{one.file}: {questions} and {format.plural(one.judgments, 'judgment')} into “{one.name}”."
        lines.append(text)
    return join(
        el("div", icon("check"), el("div", [el("p", line, dir="auto") for line in lines]), class_="box box-ok", role="status"),
        notices([note for one in found for note in one.notices]),
    )  # fmt: skip
