"""The pane of query sets: bring them in, take them out, delete them."""

from __future__ import annotations

from markupsafe import Markup

from app.drawing.html import join
from app.ui.frame import common, shell
from app.ui.pages.evaluate import actions as evaluate
from app.ui.pages.evaluate import questions_view as questions
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Download, Reply
from app.ui.web.session import UiState
from engine.errors import BadInput

PANEL = "questions"
SUFFIXES = {
    ("queries", "beir"): ("queries.jsonl", "application/jsonl"),
    ("queries", "tsv"): ("queries.tsv", "text/tab-separated-values"),
    ("judgments", "trec"): ("qrels.txt", "text/plain"),
    ("judgments", "beir"): ("qrels.tsv", "text/tab-separated-values"),
    ("judgments", "csv"): ("judgments.csv", "text/csv"),
}


def pane(ui: Ui, state: UiState) -> Markup:
    """The side pane."""
    services, key = ui.services, state.collection
    return questions.pane(
        key,
        services.query_sets(key),
        services.runs(key),
        chosen=state.option("set", "default"),
        write=ui.access.write,
        paths=ui.access.server_paths,
    )


def _around(ui: Ui, state: UiState) -> dict[str, Markup | None]:
    regions: dict[str, Markup | None] = {"tp-side": pane(ui, state)} if state.panel == PANEL else {}
    if state.page == "evaluate":
        regions |= {"tp-head": evaluate.head(ui, state), **evaluate.regions(ui, state)}
    regions["tp-sidebar"] = common.sidebar(ui, state)
    return regions


def bring(ui: Ui, state: UiState, args: Args) -> Reply:
    """Files were uploaded, or a path typed."""
    uploaded = "paths" in args
    paths = args.paths("paths") if uploaded else (args.text("path", 4096).strip(),)
    if not paths[0]:
        raise BadInput("Choose files, or type the path of a file or folder.")
    paths = ui.uploads.checked(paths, anywhere=ui.access.server_paths)
    name = args.text("set").strip() or "default"
    what = args.text("what", default="auto")
    try:
        found = ui.services.bring(state.collection, paths, query_set=name, what=what)
    finally:
        if uploaded:
            ui.uploads.discard(paths)
    state = state.with_options(set=next((one.name for one in found if one.kind != "run"), name))
    reply = Reply(_around(ui, state), state=state, say=f"{len(found)} files taken")
    reply.regions["questions-alert"] = join(questions.brought(found))
    return reply


def export(ui: Ui, state: UiState, args: Args) -> Reply:
    """A set's questions or judgments as a file."""
    name, what, form = args.text("name"), args.text("what"), args.text("format")
    file, mime = SUFFIXES.get((what, form), ("", ""))
    if not file:
        raise BadInput("There is no such form.")
    take = ui.services.export_queries if what == "queries" else ui.services.export_judgments
    text = take(state.collection, query_set=name, form=form)
    return Reply(download=Download(file if name == "default" else f"{name}-{file}", mime, text))


def ask_delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Are you sure?"""
    name = args.text("name")
    view = next((item for item in ui.services.query_sets(state.collection) if item.name == name), None)
    if view is None:
        raise BadInput(f"There is no query set “{name}”.")
    text = f"“{name}” with {view.queries:,} questions and {view.judgments:,} judgments. Evaluations that used it keep their numbers."
    return Reply(dialog=shell.ask_dialog("Delete this set?", text, "delete-set", "Delete", danger=True, name=name))


def delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Delete a set with its judgments."""
    name = args.text("name")
    ui.services.delete_query_set(state.collection, name)
    if state.option("set") == name:
        state = state.with_options(set="")
    return Reply(_around(ui, state), state=state, close_dialog=True, say="Deleted")


def delete_run(ui: Ui, state: UiState, args: Args) -> Reply:
    """Forget an imported run."""
    ui.services.delete_run(state.collection, args.text("name"))
    return Reply(_around(ui, state), say="Deleted")


ACTIONS = {
    "questions-bring": Action(bring, writes=True, slow=True),
    "set-export": Action(export, slow=True),
    "ask-delete-set": Action(ask_delete, writes=True),
    "delete-set": Action(delete, writes=True),
    "run-delete": Action(delete_run, writes=True),
}
