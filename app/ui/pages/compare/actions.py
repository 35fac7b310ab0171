"""The Compare page: one query through two to four pipelines, side by side."""

from __future__ import annotations

from markupsafe import Markup

from app.drawing import ledger
from app.drawing.html import el, join
from app.drawing.messages import error_box
from app.results.search import CompareResult, WhyNot
from app.ui.frame import common, grading
from app.ui.frame.query_bar import query_bar
from app.ui.pages.compare import cutting, unrolled
from app.ui.pages.compare import view as compare
from app.ui.web import exports
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Download, Reply
from app.ui.web.session import MAX_COLUMNS, MAX_QUERY, UiState, column_names
from engine.errors import BadInput, IndexNotReady, NotFound, TriptychError

FOUND = 12


def head(ui: Ui, state: UiState) -> Markup:
    """The query bar and the explanations."""
    return el(
        "div",
        query_bar(state, ui.services.pipelines(), compare=True),
        el("div", compare.tools(state.collection, ()), id="tp-tools", class_="row"),
        class_="head-row",
    )


def main(ui: Ui, state: UiState) -> Markup:
    """The board."""
    return el("div", board(ui, state), id="tp-board", class_="compare-page")


def board(ui: Ui, state: UiState) -> Markup:
    """The columns for this query; before a query their heads and questions to begin with. A failure stands where the columns would."""
    if unrolled.asked(state):
        return unrolled.board(ui, state)
    names = ui.services.pipelines()
    try:
        if not state.query.strip():
            questions = ui.services.questions(state.collection)
            step = max(1, len(questions) // 6)
            return compare.start([text for _, text in questions[::step][:6]], state.columns, names)
        result = _compared(ui, state)
        nothing = None if any(column.hits for column in result.columns) else common.without_documents(ui, state)
        if nothing is not None:
            return nothing
        lists = [[hit.card.doc_id for hit in column.hits] for column in result.columns]
        scores = grading.measured(ui, state, lists) if result.judged else ()
        cut = cutting.asked(state.option(cutting.OPTION))
        return compare.board(
            result, names, state.document, state.filters, judge=ui.access.write, scores=scores, cut=cut
        )
    except TriptychError as error:
        gone = [name for name in state.columns if name not in {view.name for view in names}]
        if gone:  # deleted, or of another workspace: the heads let others be chosen
            text = f"There is no pipeline called {', '.join(map(repr, gone))}. Choose another one in its column."
            return join(error_box("NotFound", text), compare.heads(state.columns, names))
        # a saved pipeline that cannot be read is among the names, and its column is left by its head like that of one that is gone
        return join(error_box(type(error).__name__, str(error)), compare.heads(state.columns, names))


def _compared(ui: Ui, state: UiState) -> CompareResult:
    return ui.services.compare(state.collection, state.query, state.columns, k=state.k, filters=state.for_services())


def shown(ui: Ui, state: UiState) -> Reply:
    """The board and the open pane for a new state."""
    regions: dict[str, Markup | None] = {"tp-board": board(ui, state)}
    if state.panel in ("ledger", "why"):
        regions["tp-side"] = PANELS[state.panel](ui, state)
    elif state.document:
        regions["tp-side"] = common.read(ui, state)
    return Reply(regions, state=state, push=True)


def run(ui: Ui, state: UiState, args: Args) -> Reply:
    """Enter was pressed, or the cut-off changed."""
    query = args.text("query", MAX_QUERY, state.query)
    closed = query != state.query and not state.panel
    reply = shown(
        ui, state.with_(query=query, k=args.whole("k", 1, 100, state.k), document="" if closed else state.document)
    )
    if closed:
        reply.regions["tp-side"] = None
    return reply


def choose(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another pipeline for a column; one that is shown already changes places with it."""
    index = args.whole("index", 0, MAX_COLUMNS - 1, 0)
    name = args.text("value")
    columns = list(state.columns)
    if index >= len(columns) or not name:
        raise BadInput("There is no such column.")
    if name in columns:
        columns[columns.index(name)] = columns[index]
    columns[index] = name
    return shown(ui, state.with_(columns=column_names(columns)))


def add(ui: Ui, state: UiState, args: Args) -> Reply:
    """One more column, with the first pipeline that is not shown yet."""
    free = [view.name for view in ui.services.pipelines() if view.name not in state.columns]
    if not free:
        raise BadInput("Every pipeline is shown already. Save another one under Pipelines, then add a column.")
    return shown(ui, state.with_(columns=column_names([*state.columns, free[0]])))


def remove(ui: Ui, state: UiState, args: Args) -> Reply:
    """One column less; two always stay."""
    index = args.whole("index", 0, MAX_COLUMNS - 1, 0)
    if len(state.columns) <= 2:
        raise BadInput("Compare needs two columns.")
    return shown(ui, state.with_(columns=state.columns[:index] + state.columns[index + 1 :]))


def left(ui: Ui, state: UiState, args: Args) -> Reply:
    """A column changes places with its neighbor."""
    index = args.whole("index", 1, MAX_COLUMNS - 1, 1)
    columns = list(state.columns)
    if index >= len(columns):
        raise BadInput("There is no such column.")
    columns[index - 1], columns[index] = columns[index], columns[index - 1]
    return shown(ui, state.with_(columns=tuple(columns)))


def roll_up(ui: Ui, state: UiState, args: Args) -> Reply:
    """Back from the view of one pipeline to the columns."""
    return shown(ui, unrolled.rolled_up(state))


def explained(state: UiState) -> str:
    """The pipeline whose view of the open document is explained: the one that is unrolled, else that of the column it was opened in."""
    if state.option("view") and state.option("of"):
        return state.option("of")
    return state.subject if state.subject in state.columns else state.columns[-1] if state.columns else state.pipeline


def column(state: UiState, number: int) -> str:
    """The pipeline of a column."""
    return state.columns[number] if 0 <= number < len(state.columns) else ""


def subject(state: UiState, number: int) -> str:
    """The pipeline of the column in which a document was opened; a stage, or a side of a reranker, is none."""
    return "" if unrolled.asked(state) else column(state, number)


def ledger_pane(ui: Ui, state: UiState) -> Markup:
    """The fusion ledger of one column; the last fusing one where none was chosen."""
    names = list(state.columns)
    if not names or not state.query.strip():
        return ledger.ledger_pane(names, state.subject, None, "")
    tried = [state.subject] if state.subject in names else [*reversed(names)]
    problem: IndexNotReady | None = None
    for name in tried:
        try:
            found = ui.services.ledger(
                state.collection, state.query, name, k=max(10, state.k), filters=state.for_services()
            )
        except IndexNotReady as error:  # of this column only
            problem = problem or error
            continue
        if found is not None:
            return ledger.ledger_pane(names, name, found, state.query)
    if problem is not None:
        raise problem
    return ledger.ledger_pane(names, tried[0], None, state.query)


def why_pane(ui: Ui, state: UiState) -> Markup:
    """Why a document is not in every column."""
    title, verdicts = "", tuple[WhyNot, ...]()
    if state.subject and state.query.strip():
        verdicts = ui.services.why_not(
            state.collection, state.query, state.columns, state.subject, k=state.k, filters=state.for_services()
        )
    if state.subject:
        try:
            title = ui.services.document(state.collection, state.subject).title
        except NotFound:
            title = state.subject
    return ledger.why_pane(state.subject, title, (), verdicts, state.query, "")


def show_ledger(ui: Ui, state: UiState, args: Args) -> Reply:
    """The ledger of the chosen pipeline."""
    state = state.with_(panel="ledger", subject=args.text("value", default=state.subject), document="")
    return Reply({"tp-side": ledger_pane(ui, state)}, state=state)


def why(ui: Ui, state: UiState, args: Args) -> Reply:
    """The verdicts on one document."""
    state = state.with_(panel="why", subject=args.text("doc"), document="")
    return Reply({"tp-side": why_pane(ui, state)}, state=state, push=True)


def find(ui: Ui, state: UiState, args: Args) -> Reply:
    """Documents whose title or id holds the typed text."""
    text = args.text("text").strip()
    found = ui.services.find_documents(state.collection, text, FOUND) if text else ()
    say = f"{len(found)} documents" if text else ""
    return Reply({"tp-found": ledger.candidates(found) if found else _no_such(text)}, say=say)


def _no_such(text: str) -> Markup | None:
    return el("p", f"No document has “{text}” in its title or id.", class_="muted") if text else None


def export_columns(ui: Ui, state: UiState, args: Args) -> Reply:
    """All columns as one CSV."""
    return Reply(download=Download("compare.csv", "text/csv", exports.columns(_compared(ui, state))))


def report(ui: Ui, state: UiState, args: Args) -> Reply:
    """What is shown as one HTML file."""
    data = ui.services.report_comparison(
        state.collection, state.query, state.columns, k=state.k, filters=state.for_services()
    )
    return Reply(download=Download("comparison.html", "text/html", data=data), say="The report has been made")


def export_ledger(ui: Ui, state: UiState, args: Args) -> Reply:
    """The ledger that is shown, as CSV."""
    names = [state.subject] if state.subject in state.columns else [*reversed(state.columns)]
    for name in names:
        found = ui.services.ledger(
            state.collection, state.query, name, k=max(10, state.k), filters=state.for_services()
        )
        if found is not None:
            return Reply(download=Download("ledger.csv", "text/csv", exports.ledger(found)))
    raise BadInput("None of the shown pipelines fuses anything.")


PANELS = {"ledger": ledger_pane, "why": why_pane}
ACTIONS = {
    "roll-up": Action(roll_up, moves=True, top=True),
    "compare": Action(run, replaces=True, top=True, lists=True),
    "column": Action(choose, moves=True),
    "column-add": Action(add, moves=True),
    "column-remove": Action(remove, moves=True),
    "column-left": Action(left, moves=True),
    "ledger": Action(show_ledger, replaces=True),
    "why": Action(why, replaces=True),
    "find": Action(find, replaces=True, quiet=True),
    "export-compare": Action(export_columns),
    "export-ledger": Action(export_ledger),
    "report-compare": Action(report, slow=True),
}
