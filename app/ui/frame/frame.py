"""The frame: opening an address, going from page to page, the sidebar, the side pane."""

from __future__ import annotations

from markupsafe import Markup

from app.drawing import jobs as job_views
from app.drawing.messages import error_box
from app.ui.frame import choosing, common, registry, shell
from app.ui.frame.page import Jobs, Regions
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Reply
from app.ui.web.session import HOME, MAX_QUERY, UiState


def _nothing(ui: Ui, state: UiState) -> Markup:
    return Markup()


def page_regions(ui: Ui, state: UiState) -> Regions:
    """Head and main region of what the state shows."""
    page = registry.showing(state)
    lacking = not state.collection and not page.bare
    parts: common.Parts = {
        "tp-head": lambda: (page.head or registry.page(page.under).head or _nothing)(ui, state),
        "tp-main": lambda: common.without_collection(ui) if lacking else page.main(ui, state),
    }
    return common.drawn(parts)


def show(ui: Ui, state: UiState, *, push: bool = False) -> Reply:
    """The whole page for a state. A collection that is gone is said, and the page shows how to go on."""
    services = ui.services
    view = common.workspace(ui)
    alert = None
    if state.collection and state.collection not in {item.name for item in view.collections}:
        known = ", ".join(f"“{item.name}”" for item in view.collections[:8])
        alert = error_box(
            "NotFound",
            f"There is no collection “{state.collection}” in this workspace. {f'There is {known}.' if known else 'It has none yet.'}",
        )
        state = state.with_(collection="", document="", panel="", filters=(), offset=0)
    else:
        state = common.settle(state, view.collections, services.pipelines())
        state = registry.showing(state).settle(ui, state)
    listed = common.jobs(ui)
    regions = {
        "tp-sidebar": shell.sidebar(view, state.page, state.collection, listed),
        **page_regions(ui, state),
        "tp-side": common.side(ui, state),
        "tp-alert": alert,
    }
    return Reply(regions, state=state, push=push, poll=common.active(listed))


def open_address(ui: Ui, state: UiState, args: Args) -> Reply:
    """The first request of a page, and every step back or forward."""
    return show(ui, state)


def go(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another page, where a `job` is named as it shows that; the query goes along."""
    page = args.text("page")
    query = args.text("query", MAX_QUERY, state.query)
    state = state.with_(
        page=page if page in registry.pages() else HOME,
        query=query,
        document="",
        panel="",
        subject="",
        offset=0,
        options=common.elsewhere(state),
    )
    if job := args.text("job"):
        state = choosing.shown_at(state, ui.services.job(job))
    return show(ui, state, push=True)


def to_compare(ui: Ui, state: UiState, args: Args) -> Reply:
    """The present query, on Compare."""
    return show(
        ui,
        state.with_(page="compare", document="", panel="", subject="", offset=0, options=common.elsewhere(state)),
        push=True,
    )


def choose(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another collection; filters and the open document belong to the former one."""
    return show(
        ui,
        state.with_(
            collection=args.text("name"),
            filters=(),
            document="",
            panel="",
            subject="",
            offset=0,
            options=common.elsewhere(state),
        ),
        push=True,
    )


def search_in(ui: Ui, state: UiState, args: Args) -> Reply:
    """Search one collection of the Library's table."""
    return choose(ui, state.with_(page="search", query=""), args)


def ask(ui: Ui, state: UiState, args: Args) -> Reply:
    """One of the collection's own questions was clicked."""
    return show(ui, state.with_(query=args.text("query", MAX_QUERY), offset=0, document=""), push=True)


def read(ui: Ui, state: UiState, args: Args) -> Reply:
    """Open a document in the side pane."""
    column = args.whole("column", 0, 3, -1)
    subject = registry.showing(state).subject(state, column)
    state = state.with_(document=args.text("doc"), panel="", subject=subject)
    return Reply({"tp-side": common.read(ui, state)}, state=state)


def clear_filters(ui: Ui, state: UiState, args: Args) -> Reply:
    """All filters off, on the page where one is."""
    state = state.with_(filters=(), offset=0)
    lists = registry.showing(state).lists
    return lists.redrawn(ui, state) if lists else show(ui, state, push=True)


def ask_delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Are you sure?"""
    view = ui.services.document(state.collection, args.text("doc"))
    text = f"“{view.title or view.doc_id}” leaves “{state.collection}” and every index at once. Its source file is not touched."
    return Reply(
        dialog=shell.ask_dialog(
            "Delete this document?", text, "delete-document", "Delete", danger=True, doc=view.doc_id
        )
    )


def delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Delete a document and draw the page without it."""
    ui.services.delete_documents(state.collection, [args.text("doc")])
    reply = show(ui, state.with_(document="", panel="", subject=""))
    reply.close_dialog, reply.say = True, "Deleted"
    return reply


def add_example(ui: Ui, state: UiState, args: Args) -> Reply:
    """Add the example collection and go there; where its documents will be is said, and drawn when they are in."""
    name = ui.services.job(ui.services.add_example()).collection
    reply = show(ui, state.with_(collection=name, document="", panel="", filters=(), offset=0), push=True)
    reply.say = "The example is being added"
    return reply


def panel(ui: Ui, state: UiState, args: Args) -> Reply:
    """Open a side pane, or close it when it is open."""
    name = args.text("panel")
    state = state.with_(
        panel="" if name == state.panel or name not in registry.panels() else name, subject="", document=""
    )
    return Reply({"tp-side": common.side(ui, state)}, state=state)


def shortlist(ui: Ui, state: UiState, args: Args) -> Reply:
    """Open or close the shortlist."""
    return panel(ui, state, Args({"panel": "shortlist"}))


def poll(ui: Ui, state: UiState, args: Args) -> Reply:
    """How the jobs stand. When one that was running no longer is, everything that it may have changed is drawn again."""
    listed = common.jobs(ui)
    running = {job.job_id for job in listed if job.status in common.ACTIVE}
    known = {job_id for job_id in args.text("running", 4000).split(",") if job_id}
    gone = known - running
    regions: Regions = {"tp-jobline": shell.jobs_line(listed)}
    regions |= registry.showing(state).poll(ui, state, Jobs(listed, ended=bool(gone)))
    say = ""
    if gone:
        ui.uploads.sweep(ui.services)
        regions |= common.around(ui, state)
        ended = next((job for job in listed if job.job_id in gone), None)
        say = f"{ended.label}: {job_views.WORDS.get(ended.status, ended.status)}" if ended else ""
    return Reply(regions, poll=bool(running), say=say)


def close(ui: Ui, state: UiState, args: Args) -> Reply:
    """Close the side pane."""
    return Reply({"tp-side": None}, state=state.with_(document="", panel="", subject=""))


ACTIONS = {
    "open": Action(open_address, replaces=True),
    "go": Action(go, replaces=True, top=True),
    "to-compare": Action(to_compare),
    "collection": Action(choose, replaces=True, top=True),
    "search-collection": Action(search_in),
    "ask": Action(ask, replaces=True, top=True, lists=True),
    "read": Action(read, replaces=True),
    "panel": Action(panel, moves=True),
    "shortlist": Action(shortlist),
    "close": Action(close, moves=True),
    "jobs": Action(poll, replaces=True, quiet=True),
    "clear-filters": Action(clear_filters, moves=True, top=True),
    "ask-delete-document": Action(ask_delete, writes=True),
    "delete-document": Action(delete, writes=True),
    "add-example": Action(add_example, writes=True),
}
