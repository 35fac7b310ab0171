"""`triptych search`, `compare`, `why` and `show`: what reads a workspace."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.base import CollectionOption, Run, assignments, command, printable, the_collection
from app.presets import SEARCHED
from engine.errors import BadInput

if TYPE_CHECKING:
    from app.results.search import Card, Column, ColumnHit, CompareResult, DocumentView, SearchResult, WhyNot
    from app.results.stages import StageColumn, StagesResult

DEFAULT_COMPARED = ("BM25", "Sparse", "Dense", "Late")
LOST_WORDS = {
    "cut": " ✂ cut",
    "threshold": " ✂ dropped",
    "unselected": " ✂ not selected",
    "unfound": " ✂ not found again",
}

FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        "-f",
        metavar="FIELD=VALUE",
        help="year=2010..2020, venue=SIGIR, source=a.bib, authors=NAME or metadata.KEY=VALUE. Given again, more values of a field widen it.",
    ),
]
QueryArgument = Annotated[str, typer.Argument(metavar="QUERY", help="What to look for.")]
ComparedOption = Annotated[
    list[str] | None,
    typer.Option(
        "--pipeline", "-p", metavar="NAME", help="A pipeline; give two to four. Default: BM25, Sparse, Dense, Late."
    ),
]


PLACE = 30
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    command(app)(search)
    command(app)(compare)
    command(app)(why)
    command(app)(show)


def search(
    run: Run,
    query: QueryArgument,
    collection: CollectionOption = None,
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", metavar="NAME", help="The pipeline that ranks.")
    ] = SEARCHED,
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=100, help="How many documents.")] = 10,
    filters: FilterOption = None,
) -> None:
    """Search a collection with one pipeline.

    Example: triptych search "query expansion" --collection thesis --filter year=2015..2020
    """
    chosen = parse_filters(filters or ())
    with run.reading() as services:
        found = services.search(the_collection(services, collection), query, pipeline, k=k, limit=k, filters=chosen)
        run.emit(found, lambda out: _show_search(out, found))
        run.notify(*found.notices)


def compare(
    run: Run,
    query: QueryArgument,
    collection: CollectionOption = None,
    pipelines: ComparedOption = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=100, help="How many documents of each pipeline.")] = 10,
    filters: FilterOption = None,
    stages: Annotated[
        bool, typer.Option("--stages", help="Show each pipeline stage by stage instead, one after another.")
    ] = False,
) -> None:
    """Run one query through two to four pipelines side by side.

    Example: triptych compare "neural ranking" --pipeline BM25 --pipeline Dense
    """
    chosen = parse_filters(filters or ())
    names = pipelines or list(DEFAULT_COMPARED)
    with run.reading() as services:
        if stages:
            name = the_collection(services, collection)
            unrolled = [services.stages(name, query, one, k=k, filters=chosen) for one in names]
            run.emit(unrolled, lambda out: _show_stages(out, unrolled))
            run.notify(*dict.fromkeys(notice for one in unrolled for notice in one.notices))
            return
        found = services.compare(the_collection(services, collection), query, names, k=k, filters=chosen)
        run.emit(found, lambda out: _show_compare(out, found))
        run.notify(*found.notices)


def why(
    run: Run,
    query: QueryArgument,
    document: Annotated[str, typer.Argument(metavar="DOCUMENT", help="The document's id.")],
    collection: CollectionOption = None,
    pipelines: ComparedOption = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=100, help="The cut-off asked about.")] = 10,
    filters: FilterOption = None,
) -> None:
    """Say where a document stands in each pipeline, or where it was lost.

    Example: triptych why "query expansion" W17-1234 --pipeline BM25
    """
    chosen = parse_filters(filters or ())
    with run.reading() as services:
        name = the_collection(services, collection)
        answers = services.why_not(name, query, pipelines or list(DEFAULT_COMPARED), document, k=k, filters=chosen)
        run.emit({"query": query, "document": document, "answers": answers}, lambda out: _show_why(out, answers))


def show(
    run: Run,
    document: Annotated[str, typer.Argument(metavar="DOCUMENT", help="The document's id.")],
    collection: CollectionOption = None,
) -> None:
    """Show one document with its metadata and nearest neighbors.

    Example: triptych show W17-1234 --collection thesis
    """
    with run.reading() as services:
        found = services.document(the_collection(services, collection), document)
        run.emit(found, lambda out: _show_document(out, found))


def parse_filters(pairs: Sequence[str]) -> dict[str, list[Any]]:
    """`field=value` arguments as the filters that the services take. Raises BadInput on a year that is none.

    >>> parse_filters(["year=2010..2020", "venue=SIGIR", "venue=ECIR"])
    {'year': [2010, 2020], 'venue': ['SIGIR', 'ECIR']}
    """
    filters: dict[str, list[Any]] = {}
    for name, value in assignments(pairs, "--filter"):
        if name != "year":
            filters.setdefault(name, []).append(value)
            continue
        if "year" in filters:
            raise BadInput("Give --filter year once, as a year or a range: year=2010..2020.")
        match = re.fullmatch(r"(\d{1,4})(?:\.\.(\d{1,4}))?", value)
        if match is None:
            raise BadInput(f"A year filter is year=2015 or year=2010..2020; got {value!r}.")
        low, high = int(match[1]), int(match[2] or match[1])
        if low > high:
            raise BadInput(f"The years run backwards: {value!r}. Write the earlier one first.")
        filters["year"] = [low, high]
    return filters


def facts(card: Card) -> str:
    """Authors, year, venue and id of a document, in one line."""
    authors = ", ".join(card.authors[:3]) + (" et al." if len(card.authors) > 3 else "")
    return " · ".join(printable(part) for part in (authors, card.year, card.venue, card.doc_id) if part)


def _show_search(out: Any, found: SearchResult) -> None:
    told = found.calibrated
    if told is not None and told.probabilities and not found.cards:
        hits = f"the likeliest of {len(told.probabilities)} hits has an estimated relevance of {told.best:.1%}"
        out.print(
            printable(
                f"Nothing relevant here: {hits}, and {found.pipeline.name} drops what lies below {told.threshold:.1%}."
            )
        )
        return
    if not found.cards:
        out.print(printable(f"{found.pipeline.name} finds nothing for {found.query!r} in {found.collection}."))
        for question in found.suggestions[:3]:
            out.print("  " + printable(f"Try: {question}"), soft_wrap=True)
        return
    for card in found.cards:
        out.print(f"{card.rank:>3}. {printable(card.title) or printable(card.doc_id)}", style="bold", soft_wrap=True)
        out.print(f"     {facts(card)}", soft_wrap=True)
        snippet = printable("".join(piece.text for piece in card.snippet))
        if snippet:
            out.print(f"     {snippet}", style="dim", soft_wrap=True)
        if card.found_by:
            lists = " · ".join(f"{printable(by.label)} #{by.rank}" for by in card.found_by)
            estimate = f"score {card.score:.4g}" if card.probability is None else f"relevance {card.probability:.1%}"
            out.print(f"     {lists} · {estimate}", style="cyan", soft_wrap=True)
    many = "1 document" if len(found.cards) == 1 else f"{len(found.cards)} documents"
    below = len(told.probabilities) - told.kept(told.threshold) if told is not None else 0
    dropped = f"; {below} below the threshold of {told.threshold:.1%}" if told is not None and below else ""
    out.print(printable(f"{many} from {found.pipeline.name} in {found.took_ms:.0f} ms{dropped}"), style="dim")


def _show_compare(out: Any, found: CompareResult) -> None:
    from rich.table import Table

    table = Table(expand=out.is_terminal, show_lines=False, pad_edge=False)
    table.add_column("", justify="right", no_wrap=True)
    for column in found.columns:
        table.add_column(printable(f"{column.pipeline.name} ({column.took_ms:.0f} ms)"), ratio=1, overflow="fold")
    for row in range(max((len(column.hits) for column in found.columns), default=0)):
        table.add_row(str(row + 1), *(_cell(column, row) for column in found.columns))
    out.print(table)
    for column in found.columns:
        if column.error:
            out.print(printable(f"{column.pipeline.name} failed: {column.error}"), style="red", soft_wrap=True)
        if (told := column.calibrated) is not None:
            kept = told.kept(told.threshold)
            counts = f"{kept} kept, {len(told.probabilities) - kept} below the threshold of {told.threshold:.1%}"
            out.print(printable(f"{column.pipeline.name}: {counts}"), style="dim")
    for pair in found.agreement:
        left, right = (found.columns[i].pipeline.name for i in (pair.left, pair.right))
        shares = f"{pair.shared} of the first {found.k} shared, Jaccard {pair.jaccard:.2f}, RBO {pair.rbo:.2f}"
        out.print(printable(f"{left} and {right}: {shares}"), style="dim")


def _show_stages(out: Any, found: Sequence[StagesResult]) -> None:
    from rich.table import Table

    for result in found:
        title = f"{result.pipeline.name} ({sum(column.ms for column in result.columns):.0f} ms)"
        table = Table(title=printable(title), title_justify="left", expand=out.is_terminal, pad_edge=False)
        table.add_column("", justify="right", no_wrap=True)
        for column in result.columns:
            table.add_column(printable(f"{column.label} ({column.ms:.0f} ms)"), ratio=1, overflow="fold")
        for row in range(max((len(column.hits) for column in result.columns), default=0)):
            table.add_row(str(row + 1), *(_stage_cell(column, row) for column in result.columns))
        out.print(table)
        for column in result.columns:
            if column.cut is not None:
                words = f"{column.label}: cut after {column.cut:,} of {column.returned:,}"
                out.print(printable(words), style="dim", soft_wrap=True)
            if column.dropped_total:
                words = f"{column.label}: {column.dropped_total:,} below the threshold"
                out.print(printable(words), style="dim", soft_wrap=True)


def _stage_cell(column: StageColumn, row: int) -> str:
    if row >= len(column.hits):
        return ""
    hit = column.hits[row]
    sure = f" p={hit.probability:.2f}" if hit.probability is not None else ""
    return f"{_steps(hit.movement, hit.new)}{printable(hit.title)}{sure}{LOST_WORDS.get(hit.lost, '')}"


def _cell(column: Column, row: int) -> str:
    if row >= len(column.hits):
        return ""
    hit = column.hits[row]
    return f"{_moved(hit)}{printable(hit.card.title) or printable(hit.card.doc_id)}"


def _moved(hit: ColumnHit) -> str:
    return _steps(hit.movement, hit.new)


def _steps(movement: int | None, new: bool) -> str:
    if new:
        return "new "
    if not movement:
        return ""
    return f"{'▲' if movement > 0 else '▼'}{abs(movement)} "


def _show_why(out: Any, answers: tuple[WhyNot, ...]) -> None:
    for answer in answers:
        out.print(printable(f"{answer.pipeline}: {answer.sentence}"), soft_wrap=True)
        for label, what in answer.details:
            out.print("  " + printable(f"{label}: {what}"), soft_wrap=True)


def _show_document(out: Any, found: DocumentView) -> None:
    out.print(printable(found.title) or printable(found.doc_id), style="bold", soft_wrap=True)
    lines = [("authors", ", ".join(found.authors)), ("year", found.year), ("venue", found.venue), ("link", found.url)]
    lines += [("id", found.doc_id), ("source", found.source), *found.metadata]
    for label, value in lines:
        if value:
            out.print(printable(f"{label}: {value}"), soft_wrap=True)
    for paragraph in found.text.split("\n\n"):
        out.print()
        out.print(printable(paragraph))
    if found.neighbours:
        out.print("\nNearest:", style="bold")
        for card in found.neighbours:
            out.print(f"  {printable(card.title)} ({printable(card.doc_id)})", soft_wrap=True)
