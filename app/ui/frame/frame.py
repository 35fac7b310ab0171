"""The frame: opening an address, going from page to page, the sidebar, the side pane."""

from __future__ import annotations

from typing import Protocol

from markupsafe import Markup

from app.drawing.messages import error_box
from app.ui.frame import choosing, common, shell
from app.ui.pages.blind import actions as blind
from app.ui.pages.calibrate import actions as calibrate
from app.ui.pages.compare import actions as compare
from app.ui.pages.compare import unrolled
from app.ui.pages.editor import actions as editor
from app.ui.pages.evaluate import actions as evaluate
from app.ui.pages.evaluate import questions
from app.ui.pages.judge import actions as judge
from app.ui.pages.judge import grading, judging
from app.ui.pages.library import actions as library
from app.ui.pages.models import actions as models
from app.ui.pages.search import actions as search
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Reply
from app.ui.web.session import MAX_QUERY, PAGES, PANELS, UiState


class Page(Protocol):
    """A module that draws one page."""

    def head(self, ui: Ui, state: UiState, /) -> Markup:
        """What stands above the page."""

    def main(self, ui: Ui, state: UiState, /) -> Markup:
        """The page itself; except for the Library, of a collection."""


MODULES: dict[str, Page] = {
    "search": search,
    "compare": compare,
    "calibrate": calibrate,
    "evaluate": evaluate,
    "judge": judge,
    "blind": blind,
    "library": library,
}
SIDE: dict[str, common.Panel] = {
    **compare.PANELS,
    **questions.PANELS,
    **judge.PANELS,
    **models.PANELS,
    "shortlist": search.shortlist_pane,
    "editor": editor.pane,
}


def page_regions(ui: Ui, state: UiState) -> dict[str, Markup | None]:
    """Head and main region of the state's page. Only the Library can do without a collection."""
    module = MODULES[state.page]
    lacking = not state.collection and module is not library
    parts: common.Parts = {
        "tp-head": lambda: module.head(ui, state),
        "tp-main": lambda: common.without_collection(ui) if lacking else module.main(ui, state),
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
        settle = getattr(MODULES[state.page], "settle", None)
        state = settle(ui, state) if settle else state
    listed = services.jobs(common.JOBS_SHOWN)
    regions = {
        "tp-sidebar": shell.sidebar(view, state.page, state.collection, listed),
        **page_regions(ui, state),
        "tp-side": side(ui, state),
        "tp-alert": alert,
    }
    return Reply(regions, state=state, push=push, poll=library.active(listed))


def side(ui: Ui, state: UiState) -> Markup | None:
    """The side pane of a state. The ledger and the verdicts belong to Compare."""
    if state.panel in compare.PANELS and state.page != "compare":
        state = state.with_(panel="", subject="")
    if state.panel in models.PANELS and not (models.shown_here(state) and state.subject):
        state = state.with_(panel="", subject="")
    return common.side(ui, state, SIDE)


def open_address(ui: Ui, state: UiState, args: Args) -> Reply:
    """The first request of a page, and every step back or forward."""
    return show(ui, state)


def go(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another page, where a `job` is named as it shows that; the query goes along."""
    page = args.text("page")
    query = args.text("query", MAX_QUERY, state.query)
    state = state.with_(
        page=page if page in PAGES else "search",
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
    several = state.page == "compare" and not unrolled.asked(state)
    subject = state.columns[column] if several and 0 <= column < len(state.columns) else ""
    state = state.with_(document=args.text("doc"), panel="", subject=subject)
    return Reply({"tp-side": common.read(ui, state)}, state=state)


def clear_filters(ui: Ui, state: UiState, args: Args) -> Reply:
    """All filters off, on the page where one is."""
    state = state.with_(filters=(), offset=0)
    return compare.shown(ui, state) if state.page == "compare" else search.found(ui, state)


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
    state = state.with_(panel="" if name == state.panel or name not in PANELS else name, subject="", document="")
    return Reply({"tp-side": side(ui, state)}, state=state)


def shortlist(ui: Ui, state: UiState, args: Args) -> Reply:
    """Open or close the shortlist."""
    return panel(ui, state, Args({"panel": "shortlist"}))


def close(ui: Ui, state: UiState, args: Args) -> Reply:
    """Close the side pane."""
    return Reply({"tp-side": None}, state=state.with_(document="", panel="", subject=""))


ACTIONS = {
    "open": Action(open_address),
    "go": Action(go),
    "to-compare": Action(to_compare),
    "collection": Action(choose),
    "search-collection": Action(search_in),
    "ask": Action(ask),
    "read": Action(read),
    "panel": Action(panel),
    "shortlist": Action(shortlist),
    "close": Action(close),
    "clear-filters": Action(clear_filters),
    "ask-delete-document": Action(ask_delete, writes=True),
    "delete-document": Action(delete, writes=True),
    "add-example": Action(add_example, writes=True),
}
ALL = {
    **ACTIONS,
    **search.ACTIONS,
    **compare.ACTIONS,
    **editor.ACTIONS,
    **library.ACTIONS,
    **calibrate.ACTIONS,
    **evaluate.ACTIONS,
    **questions.ACTIONS,
    **judge.ACTIONS,
    **judging.ACTIONS,
    **blind.ACTIONS,
    **grading.ACTIONS,
    **models.ACTIONS,
}
