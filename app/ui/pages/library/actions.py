"""The Library page: add documents, watch jobs, keep collections and indexes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from app.drawing import jobs
from app.results.search import CollectionView, RejectionView
from app.ui.frame import common, frame, registry, shell
from app.ui.frame.page import Jobs, Regions
from app.ui.pages.library import adding
from app.ui.pages.library import view as library
from app.ui.web import exports
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Download, Reply
from app.ui.web.session import UiState, plain
from engine.errors import BadInput, NotFound
from engine.workspace.workspace import MAX_NAME

ROWS = 50
MOST_ROWS = 100_000
MOST_DESCRIBED = 10_000
NAME = "library"


def head(ui: Ui, state: UiState) -> Markup:
    """Title, what the Library can show, and the space on disk."""
    views = {"documents": "Documents"} | {view.view: view.title for view in registry.views(NAME)}
    return library.head(common.workspace(ui), views, registry.showing(state).view or "documents")


def main(ui: Ui, state: UiState) -> Markup:
    """The documents."""
    return library.page(common.workspace(ui), _chosen(ui, state), common.jobs(ui), paths=ui.access.server_paths)


def _chosen(ui: Ui, state: UiState) -> CollectionView | None:
    try:
        return ui.services.collection(state.collection) if state.collection else None
    except NotFound:
        return None


def poll(ui: Ui, state: UiState, jobs_: Jobs) -> Regions:
    """How the jobs stand."""
    return {"tp-jobs": jobs.table(jobs_.listed, read_only=not ui.access.write)}


def around(ui: Ui, state: UiState) -> Regions:
    """The tables that changes to documents and indexes touch."""
    view, chosen = common.workspace(ui), _chosen(ui, state)
    regions: Regions = {
        "tp-head": head(ui, state),
        "lib-collections": library.collections(view, chosen),
        "tp-jobs": jobs.table(common.jobs(ui), read_only=not ui.access.write),
    }
    if chosen is not None:
        regions["lib-indexes"] = library.indexes(chosen, read_only=not ui.access.write)
    return regions


def preview(ui: Ui, state: UiState, args: Args) -> Reply:
    """The first records of a path, of uploaded files, or again with other columns."""
    paths = (args.text("path", 4096).strip(),) if "path" in args else args.paths("paths")
    if not paths[0]:
        raise BadInput("Type the path of a file or folder first.")
    paths = ui.uploads.checked(paths, anywhere=ui.access.server_paths)
    columns = args.named("column.")
    shown = ui.services.preview(paths, columns or None)
    target = args.text("target", default=state.collection) or _called(paths)
    return Reply(
        {"lib-preview": adding.preview(shown, paths, columns, target), "lib-add-alert": None},
        focus="#lib-preview [data-field=target]",
    )


def _called(paths: Sequence[str]) -> str:
    """A name to begin with: that of the file or folder, where there is one."""
    name = Path(paths[0]).stem if len(paths) == 1 else ""
    return plain(name.replace("_", " ").strip(), MAX_NAME)


def discard(ui: Ui, state: UiState, args: Args) -> Reply:
    """The preview is left; what was uploaded for it is deleted."""
    ui.uploads.discard(args.paths("paths"))
    return Reply({"lib-preview": None, "lib-add-alert": None})


def add(ui: Ui, state: UiState, args: Args) -> Reply:
    """Queue what was previewed."""
    paths = ui.uploads.checked(args.paths("paths"), anywhere=ui.access.server_paths)
    target = args.text("target").strip()
    if not target:
        raise BadInput("Name the collection that the documents go into.")
    job_id = ui.services.add(
        paths,
        target,
        columns=args.named("column.") or None,
        duplicates=args.text("duplicates", default="replace"),
        index=args.flag("index"),
    )
    ui.uploads.claim(paths, job_id)
    state = state.with_(
        collection=target, document="", offset=0, filters=() if target != state.collection else state.filters
    )
    return Reply(
        {"lib-preview": None, "lib-add-alert": None, **common.around(ui, state)}, state=state, poll=True, say="Queued"
    )


def _control(verb: str) -> Action:
    def act(ui: Ui, state: UiState, args: Args) -> Reply:
        getattr(ui.services, verb)(args.text("job"))
        return Reply(common.around(ui, state), poll=True)

    return Action(act, writes=True)


def show_rejections(ui: Ui, state: UiState, args: Args) -> Reply:
    """The rows that a job skipped."""
    job = ui.services.job(args.text("job"))
    offset = args.whole("offset", 0, 10_000_000, 0)
    rows = ui.services.rejections(job.job_id, offset, ROWS)
    return Reply(
        {f"tp-rejected-{job.job_id}": jobs.rejections(job.job_id, rows, offset, job.counts.get("rejected", len(rows)))}
    )


def export_rejections(ui: Ui, state: UiState, args: Args) -> Reply:
    """All skipped rows of a job as CSV."""
    job_id = ui.services.job(args.text("job")).job_id
    rows: list[RejectionView] = []
    while len(rows) < MOST_ROWS:
        some = ui.services.rejections(job_id, len(rows), 1000)
        rows += some
        if len(some) < 1000:
            break
    return Reply(download=Download("skipped.csv", "text/csv", exports.rejections(rows)))


def index(ui: Ui, state: UiState, args: Args) -> Reply:
    """Build or update the indexes of a collection."""
    ui.services.index(args.text("name", default=state.collection))
    return Reply(common.around(ui, state), poll=True, say="Building the indexes")


def ask_drop(ui: Ui, state: UiState, args: Args) -> Reply:
    """Are you sure?"""
    text = f"{args.text('label')} of “{args.text('name')}”. The documents stay, and it can be built again."
    return Reply(
        dialog=shell.ask_dialog(
            "Drop this index?",
            text,
            "drop-index",
            "Drop",
            danger=True,
            generation=args.text("generation"),
            name=args.text("name"),
        )
    )


def drop(ui: Ui, state: UiState, args: Args) -> Reply:
    """Drop an index."""
    ui.services.drop_index(args.text("name"), args.text("generation"))
    return Reply(common.around(ui, state), close_dialog=True)


def ask_new(ui: Ui, state: UiState, args: Args) -> Reply:
    """What a new collection is called and about."""
    return Reply(
        dialog=shell.ask_dialog("New collection", "", "create-collection", "Create", fields=_about("name", "", ""))
    )


def _about(key: str, name: str, description: str) -> tuple[tuple[str, str, str], ...]:
    """The fields of a collection; `key` is what its name arrives as."""
    return ((key, "Name", name), ("description", "Description", description))


def create(ui: Ui, state: UiState, args: Args) -> Reply:
    """A new, empty collection, and the page on which to fill it."""
    made = ui.services.create_collection(args.text("name").strip(), _description(args))
    reply = frame.show(
        ui, UiState(page=NAME, collection=made.name, pipeline=state.pipeline, columns=state.columns), push=True
    )
    reply.close_dialog = True
    return reply


def _description(args: Args) -> str:
    return args.long_text("description", MOST_DESCRIBED)


def ask_edit(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another name or description for a collection."""
    view = ui.services.collection(args.text("name"))
    fields = _about("new", view.name, view.description)
    return Reply(
        dialog=shell.ask_dialog("Rename or describe", "", "edit-collection", "Save", fields=fields, name=view.name)
    )


def edit(ui: Ui, state: UiState, args: Args) -> Reply:
    """Describe and rename; the address follows."""
    old = args.text("name")
    # the name last: where it is refused, the dialog still speaks of a collection that is there
    ui.services.describe_collection(old, _description(args))
    view = ui.services.rename_collection(old, args.text("new").strip())
    if state.collection == old:
        state = state.with_(collection=view.name)
    return Reply(common.around(ui, state), state=state, close_dialog=True)


def ask_delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """The name has to be typed: documents are lost."""
    view = ui.services.collection(args.text("name"))
    text = f"“{view.name}” with {view.documents:,} documents, its indexes and its shortlist. This cannot be undone. Type its name to go on."
    return Reply(
        dialog=shell.ask_dialog(
            "Delete the collection?",
            text,
            "delete-collection",
            "Delete",
            fields=(("typed", "Name", ""),),
            danger=True,
            name=view.name,
        )
    )


def delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Delete when the name was typed right."""
    name = args.text("name")
    if args.text("typed").strip() != name.strip():
        raise BadInput(f"The name does not match. Type “{name}” to delete it.")
    ui.services.delete_collection(name)
    reply = frame.show(
        ui, state.with_(collection="", document="", panel="", filters=()) if state.collection == name else state
    )
    reply.close_dialog = True
    return reply


def doctor(ui: Ui, state: UiState, args: Args) -> Reply:
    """Check the workspace and say what was found."""
    found = [(str(item.level), str(item.what), str(item.remedy)) for item in ui.services.doctor()]
    return Reply(dialog=library.findings(found))


ACTIONS = {
    "preview": Action(preview, writes=True, slow=True),
    "preview-discard": Action(discard, writes=True),
    "add": Action(add, writes=True),
    "job-pause": _control("pause"),
    "job-resume": _control("resume"),
    "job-cancel": _control("cancel"),
    "rejections": Action(show_rejections),
    "export-rejections": Action(export_rejections),
    "index": Action(index, writes=True),
    "ask-drop-index": Action(ask_drop, writes=True),
    "drop-index": Action(drop, writes=True),
    "new-collection": Action(ask_new, writes=True),
    "create-collection": Action(create, writes=True),
    "ask-edit-collection": Action(ask_edit, writes=True),
    "edit-collection": Action(edit, writes=True),
    "ask-delete-collection": Action(ask_delete, writes=True),
    "delete-collection": Action(delete, writes=True, slow=True),
    "doctor": Action(doctor, slow=True),
}
