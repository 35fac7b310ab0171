"""The Search page: browse, filter, read, keep."""

from __future__ import annotations

from markupsafe import Markup

from app.drawing import facets, reader
from app.drawing.controls import button
from app.drawing.html import el
from app.drawing.messages import error_box, index_missing
from app.results.search import SearchResult
from app.ui.frame import common, grading
from app.ui.frame.query_bar import query_bar
from app.ui.pages.search import view as search
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Download, Reply
from app.ui.web.session import MAX_QUERY, SEARCH_K, UiState
from engine.errors import BadInput, IndexNotReady, ModelMissing, TriptychError

EXPORTS = {
    "bibtex": ("bib", "application/x-bibtex"),
    "ris": ("ris", "application/x-research-info-systems"),
    "csv": ("csv", "text/csv"),
}


def head(ui: Ui, state: UiState) -> Markup:
    """The query bar."""
    kept = len(ui.services.shortlist(state.collection)) if state.collection else 0
    return el(
        "div",
        query_bar(state, ui.services.pipelines()),
        el("div", search.toolbar(kept), id="tp-tools", class_="row"),
        class_="head-row",
    )


def main(ui: Ui, state: UiState) -> Markup:
    """Facets and results."""
    drawn = hits(ui, state)
    return el(
        "div",
        el("aside", drawn["tp-facets"], id="tp-facets", class_="facets", aria_label="Filters"),
        el("section", drawn["tp-results"], id="tp-results", class_="results", aria_label="Results"),
        class_="search-page",
    )


def hits(ui: Ui, state: UiState) -> dict[str, Markup | None]:
    """Run the query, or browse without one. A failure stands where the results would."""
    try:
        result = ui.services.search(
            state.collection,
            state.query,
            state.pipeline,
            k=SEARCH_K,
            offset=state.offset,
            limit=search.PAGE,
            filters=state.for_services(),
            wide=state.option_values("wide"),
        )
    except TriptychError as error:
        return {"tp-facets": facets.panel((), state.filters), "tp-results": _failed(ui, state, error)}
    shown = facets.panel(result.facets, state.filters, state.option_values("wide"))
    return {"tp-facets": shown, "tp-results": _listed(ui, state, result)}


def _failed(ui: Ui, state: UiState, error: TriptychError) -> Markup:
    if not isinstance(error, IndexNotReady) or isinstance(error, ModelMissing):  # without it, there is nothing to build
        return error_box(type(error).__name__, str(error))
    build = button("Build the indexes", "index", look="primary", name=state.collection)
    library = button("Go to the Library", "go", page="library")
    return index_missing(type(error).__name__, str(error), *((build, library) if ui.access.write else ()))


def _listed(ui: Ui, state: UiState, result: SearchResult) -> Markup:
    nothing = None if result.cards or state.filters else common.without_documents(ui, state)
    if nothing is not None:
        return nothing
    judge = ui.access.write and bool(result.query.strip())
    known = judge and result.offset == 0 and any(card.rating is not None for card in result.cards)
    scores = grading.measured(ui, state, [[card.doc_id for card in result.cards]]) if known else [{}]
    return search.results(result, state, judge=judge, scores=scores[0])


def found(ui: Ui, state: UiState, *, push: bool = True) -> Reply:
    """Facets, results and the open document for a new state."""
    regions = hits(ui, state)
    if state.document and not state.panel:
        regions["tp-side"] = common.read(ui, state)
    return Reply(regions, state=state, push=push)


def run(ui: Ui, state: UiState, args: Args) -> Reply:
    """Enter was pressed, or a pipeline chosen."""
    query = args.text("query", MAX_QUERY, state.query)
    pipeline = args.text("pipeline", default=state.pipeline)
    closed = state.query != query
    state = state.with_(query=query, pipeline=pipeline, offset=0, document="" if closed else state.document)
    reply = found(ui, state)
    if closed and state.panel != "shortlist":
        reply.regions["tp-side"] = None
    return reply


def choose(ui: Ui, state: UiState, args: Args) -> Reply:
    """A facet value was checked or unchecked."""
    name, value = args.text("name"), args.text("value")
    if name == "year" or not name or not value:
        raise BadInput("This filter takes a name and a value.")
    values = {*state.values(name)} ^ {value}
    return found(ui, state.with_filter(name, tuple(values)))


def widen(ui: Ui, state: UiState, args: Args) -> Reply:
    """A facet is shown at its full length, or no longer."""
    name, wide = args.text("name"), state.option_values("wide")
    state = state.with_options(wide=[one for one in wide if one != name] if name in wide else [*wide, name])
    return Reply({"tp-facets": hits(ui, state)["tp-facets"]}, state=state)


def years(ui: Ui, state: UiState, args: Args) -> Reply:
    """A range of years was set, by the fields or on the histogram."""
    low, high = args.whole("low", 0, 9999, 0), args.whole("high", 0, 9999, 9999)
    return found(ui, state.with_filter("year", (str(min(low, high)), str(max(low, high)))))


def page(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another page of the ranking."""
    return found(ui, state.with_(offset=args.whole("offset", 0, 100_000, 0)))


def more(ui: Ui, state: UiState, args: Args) -> Reply:
    """A longer list of neighbors in the reader."""
    doc_id = args.text("doc")
    return Reply({"tp-neighbours": reader.neighbours(ui.services.more_like_this(state.collection, doc_id, k=20))})


def shortlist_pane(ui: Ui, state: UiState) -> Markup:
    """The kept documents."""
    return reader.shortlist(state.collection, ui.services.shortlist(state.collection))


def keep(ui: Ui, state: UiState, args: Args) -> Reply:
    """A star was pressed: on the shortlist, or off it. The page marks the star itself."""
    doc_id, on = args.text("doc"), args.text("state") == "on"
    if on:
        ui.services.shortlist_add(state.collection, doc_id)
    else:
        ui.services.shortlist_remove(state.collection, doc_id)
    kept = ui.services.shortlist(state.collection)
    regions: dict[str, Markup | None] = {"tp-tools": search.toolbar(len(kept))} if state.page == "search" else {}
    if state.panel == "shortlist":
        regions["tp-side"] = reader.shortlist(state.collection, kept)
    return Reply(regions, say="Kept on the shortlist" if on else "Taken off the shortlist")


def export(ui: Ui, state: UiState, args: Args) -> Reply:
    """The shortlist as a file."""
    form = args.text("format")
    text = ui.services.export_shortlist(state.collection, form)
    suffix, mime = EXPORTS.get(form, ("txt", "text/plain"))
    return Reply(download=Download(f"shortlist.{suffix}", mime, text))


ACTIONS = {
    "search": Action(run, replaces=True, top=True, lists=True),
    "filter": Action(choose, moves=True, top=True),
    "years": Action(years, replaces=True, top=True),
    "facet": Action(widen),
    "page": Action(page, replaces=True, top=True, lists=True),
    "more": Action(more),
    "star": Action(keep, writes=True),
    "export-shortlist": Action(export),
}
