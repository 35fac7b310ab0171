"""`triptych queries` and `judgments`: what evaluations ask, and what is known to answer it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.base import CollectionOption, Run, command, printable, the_collection
from app.cli.options import OutputOption, SetOption, deliver
from engine.errors import BadInput

if TYPE_CHECKING:
    from app.results.evaluation import Imported, QuerySetView

SourceArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A file, or a BEIR folder.")]
QueryForm = Literal["auto", "beir", "trec", "tsv", "answers", "lines"]
JudgmentForm = Literal["auto", "trec", "beir", "csv"]


PLACE = 90
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    queries = typer.Typer(help="Import, list, export and delete query sets.", no_args_is_help=True)
    app.add_typer(queries, name="queries")
    command(queries, "import")(queries_import)
    command(queries, "list")(queries_list)
    command(queries, "export")(queries_export)
    command(queries, "delete")(queries_delete)
    judgments = typer.Typer(help="Import and export relevance judgments.", no_args_is_help=True)
    app.add_typer(judgments, name="judgments")
    command(judgments, "import")(judgments_import)
    command(judgments, "export")(judgments_export)


def queries_import(
    run: Run,
    file: SourceArgument,
    collection: CollectionOption = None,
    queries: SetOption = "default",
    form: Annotated[QueryForm, typer.Option("--format", help="How the file is written.")] = "auto",
) -> None:
    """Add queries to a query set: BEIR, TREC topics, id and text with a tab between, `query: …, answer: …`, or plain lines.

    Example: triptych queries import questions.txt --collection thesis --queries hard
    """
    with run.writing() as services:
        found = services.import_queries(the_collection(services, collection), file, query_set=queries, form=form)
        _imported(run, found)


def queries_list(run: Run, collection: CollectionOption = None) -> None:
    """List the query sets of a collection.

    Example: triptych queries list --collection thesis
    """
    with run.reading() as services:
        found = services.query_sets(the_collection(services, collection))
        run.emit({"query_sets": found}, lambda out: _show_sets(out, found))


def queries_export(
    run: Run,
    collection: CollectionOption = None,
    queries: SetOption = "default",
    form: Annotated[Literal["beir", "tsv"], typer.Option("--format", help="How the queries are written.")] = "beir",
    output: OutputOption = None,
) -> None:
    """Export the queries of a query set.

    Example: triptych queries export --collection thesis --output queries.jsonl
    """
    with run.reading() as services:
        text = services.export_queries(the_collection(services, collection), query_set=queries, form=form)
    deliver(run, form, text, output)


def queries_delete(
    run: Run,
    queries: Annotated[str, typer.Argument(metavar="SET", help="The query set.")],
    collection: CollectionOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a query set with its judgments. The files it was made from stay.

    Example: triptych queries delete hard --collection thesis --yes
    """
    if not yes:
        if run.as_json or not sys.stdin.isatty():
            raise BadInput(
                f"This deletes the query set {queries!r} with its judgments. Say --yes to do it without being asked."
            )
        typer.confirm(printable(f"Delete the query set {queries} with its judgments?"), abort=True)
    with run.writing() as services:
        count = services.delete_query_set(the_collection(services, collection), queries)
        run.emit(
            {"deleted": queries, "queries": count},
            lambda out: out.print(printable(f"Deleted {queries}: {count:,} queries.")),
        )


def judgments_import(
    run: Run,
    file: SourceArgument,
    collection: CollectionOption = None,
    queries: SetOption = "default",
    form: Annotated[JudgmentForm, typer.Option("--format", help="How the file is written.")] = "auto",
) -> None:
    """Add judgments to a query set: TREC qrels, BEIR, or CSV with the columns query, docid and rating.

    Example: triptych judgments import qrels.txt --collection thesis
    """
    with run.writing() as services:
        found = services.import_judgments(the_collection(services, collection), file, query_set=queries, form=form)
        _imported(run, found)


def judgments_export(
    run: Run,
    collection: CollectionOption = None,
    queries: SetOption = "default",
    form: Annotated[
        Literal["trec", "beir", "csv", "log"],
        typer.Option(
            "--format", help="How the judgments are written; log tells who judged what, when, and what they saw."
        ),
    ] = "trec",
    output: OutputOption = None,
) -> None:
    """Export the judgments of a query set.

    Example: triptych judgments export --collection thesis --format trec --output qrels.txt
    """
    with run.reading() as services:
        name = the_collection(services, collection)
        if form == "log":
            text = services.export_judging_log(name, queries)
        else:
            text = services.export_judgments(name, query_set=queries, form=form)
    deliver(run, form, text, output)


def _imported(run: Run, found: Imported) -> None:
    sentence = f"{found.queries:,} queries and {found.judgments:,} judgments are now in the query set {found.query_set} ({found.form})."
    run.emit(found, lambda out: out.print(printable(sentence), soft_wrap=True))
    run.notify(*found.notices)


def _show_sets(out: Any, found: tuple[QuerySetView, ...]) -> None:
    from rich.table import Table

    if not found:
        out.print("There is no query set yet: triptych queries import FILE")
        return
    table = Table(box=None, pad_edge=False)
    for head in ("query set", "queries", "judged", "judgments"):
        table.add_column(head, justify="left" if head == "query set" else "right")
    for view in found:
        table.add_row(printable(view.name), *(f"{n:,}" for n in (view.queries, view.judged_queries, view.judgments)))
    out.print(table)
