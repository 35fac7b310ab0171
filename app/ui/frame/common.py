"""What the pages share: the frame around them, the side pane, and choosing sensible defaults for what an address leaves open."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from markupsafe import Markup

from app import presets
from app.drawing import reader, starts
from app.drawing.html import join
from app.drawing.ledger import bar
from app.drawing.messages import error_box
from app.results.search import CollectionView, JobView, PipelineView, WorkspaceView
from app.ui.frame import registry, shell
from app.ui.frame.page import Regions
from app.ui.web.dispatch import Ui
from app.ui.web.session import UiState
from engine.errors import NotFound, TriptychError

JOBS_SHOWN = 30
ACTIVE = ("queued", "running")
ME = "me"


def settle(state: UiState, collections: tuple[CollectionView, ...], pipelines: tuple[PipelineView, ...]) -> UiState:
    """The state with what was left open filled in: the first collection, a hybrid pipeline, a column for each family."""
    names = [view.name for view in pipelines]
    collection = state.collection
    if not collection and collections:
        collection = next((item.name for item in collections if item.documents), collections[0].name)
    preferred = presets.SEARCHED if presets.SEARCHED in names else names[0] if names else ""
    pipeline = state.pipeline if state.pipeline in names else preferred
    columns = state.columns
    if len(columns) < 2:
        usual = [name for name in presets.COMPARED if name in names]
        columns = tuple(dict.fromkeys([*columns, *usual, *names]))[: max(3, len(usual))]
    return state.with_(collection=collection, pipeline=pipeline, columns=columns)


def workspace(ui: Ui) -> WorkspaceView:
    """The workspace as this server shows it: for reading only where its users may only read."""
    view = ui.services.workspace()
    return replace(view, read_only=view.read_only or not ui.access.write)


def jobs(ui: Ui) -> tuple[JobView, ...]:
    """The last jobs, as many as are shown."""
    return ui.services.jobs(JOBS_SHOWN)


def active(listed: Collection[JobView]) -> bool:
    """Whether anything is worth polling for."""
    return any(job.status in ACTIVE for job in listed)


def sidebar(ui: Ui, state: UiState) -> Markup:
    """The sidebar as it is now."""
    return shell.sidebar(workspace(ui), state.page, state.collection, jobs(ui))


def around(ui: Ui, state: UiState) -> Regions:
    """The sidebar, and on the page what changes to documents, indexes and jobs touch."""
    return {"tp-sidebar": sidebar(ui, state), **registry.showing(state).around(ui, state)}


def without_documents(ui: Ui, state: UiState) -> Markup | None:
    """What stands in place of a list that found nothing, where the collection has no document to find."""
    view = ui.services.collection(state.collection)
    if view.documents:
        return None
    return starts.without_documents(
        filling=view.state == "indexing", paused=view.state == "paused", writes=ui.access.write
    )


def without_collection(ui: Ui) -> Markup:
    """What stands in place of a page that is about a collection, where the address names none."""
    return starts.start(ui.services.collections(), writes=ui.access.write)


def explained_by(state: UiState) -> str:
    """The pipeline whose view of the open document is explained."""
    return registry.showing(state).explained(state)


def assessor(state: UiState) -> str:
    """Under which name judgments and votes are kept."""
    return state.option("who").strip() or ME


def elsewhere(state: UiState) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The options that go along to another page."""
    return tuple(option for option in state.options if option[0] in registry.carried())


def read(ui: Ui, state: UiState) -> Markup:
    """The reader pane of the open document; where it cannot be explained (no index, say) it is shown without."""
    services = ui.services
    note = None
    try:
        try:
            query = "" if registry.showing(state).blind else state.query
            view = services.document(
                state.collection,
                state.document,
                query=query,
                pipeline=explained_by(state),
                filters=state.for_services(),
            )
        except NotFound:
            raise
        except TriptychError as error:
            view = services.document(state.collection, state.document)
            note = error_box(type(error).__name__, str(error))
    except TriptychError as error:
        return join(bar("Document"), error_box(type(error).__name__, str(error)))
    return join(reader.pane(view, write=ui.access.write), note)


Parts = dict[str, Callable[[], Markup | None]]
"""How each part of a page is drawn, by the id of its place."""


def drawn(parts: Parts, names: Collection[str] = ()) -> dict[str, Markup | None]:
    """All parts, or only those named. One that fails says so in its place, and the others stand."""
    return {name: _part(parts[name]) for name in names or parts}


def _part(draw: Callable[[], Markup | None]) -> Markup | None:
    try:
        return draw()
    except TriptychError as error:
        return error_box(type(error).__name__, str(error))


def side(ui: Ui, state: UiState) -> Markup | None:
    """The side pane that the state asks for, if any, where it belongs. A pane that fails says so in its place."""
    panel = registry.panels().get(state.panel)
    if panel is not None and not panel.shown(state):
        state, panel = state.with_(panel="", subject=""), None
    if not state.collection and not (panel and panel.bare):
        return None
    if panel is not None:
        try:
            return panel.draw(ui, state)
        except TriptychError as error:
            return join(bar(state.panel.capitalize()), error_box(type(error).__name__, str(error)))
    return read(ui, state) if state.document else None
