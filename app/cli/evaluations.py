"""`triptych evaluations`: what was measured before, what lies behind it, and whether it still holds."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.base import CollectionOption, Run, command, printable, the_collection
from app.cli.evaluate import emit_leaderboard
from app.cli.options import OutputOption, query_progress
from engine.errors import BadInput, NotFound

if TYPE_CHECKING:
    from app.results.evaluation import EvaluationChanges, EvaluationSummary, EvaluationView, Reproduction, VerdictBounds
    from app.verbs.services import Services

EXIT_DIFFERENT = 1
SHOWN = 50

EvaluationArgument = Annotated[str, typer.Argument(metavar="EVALUATION", help="Its id, or the first characters.")]
MeasureOption = Annotated[
    str, typer.Option("--metric", "-m", metavar="METRIC", help="One of its metrics; else the first.")
]


PLACE = 50
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    evaluations = typer.Typer(help="See, export, reproduce and delete stored evaluations.", no_args_is_help=True)
    app.add_typer(evaluations, name="evaluations")
    command(evaluations, "list")(evaluations_list)
    command(evaluations, "show")(evaluations_show)
    command(evaluations, "changes")(evaluations_changes)
    command(evaluations, "verdicts")(evaluations_verdicts)
    command(evaluations, "reproduce")(evaluations_reproduce)
    command(evaluations, "export")(evaluations_export)
    command(evaluations, "delete")(evaluations_delete)


def evaluations_list(run: Run, collection: CollectionOption = None) -> None:
    """List the stored evaluations of a collection, and whether they still hold.

    Example: triptych evaluations list --collection thesis
    """
    with run.reading() as services:
        found = services.evaluations(the_collection(services, collection))
        run.emit({"evaluations": found}, lambda out: _show_evaluations(out, found))


def evaluations_show(
    run: Run,
    evaluation: EvaluationArgument,
    collection: CollectionOption = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the leaderboard as CSV.")] = False,
) -> None:
    """Show a stored evaluation again.

    Example: triptych evaluations show 3f2a --collection thesis
    """
    with run.reading() as services:
        emit_leaderboard(run, found_evaluation(services, the_collection(services, collection), evaluation), as_csv, [])


def evaluations_changes(
    run: Run,
    before: EvaluationArgument,
    after: Annotated[str, typer.Argument(metavar="AFTER", help="The later one.")],
    collection: CollectionOption = None,
) -> None:
    """Say what changed from one evaluation to another, and how the means moved.

    Example: triptych evaluations changes 3f2a 91bc --collection thesis
    """
    with run.reading() as services:
        name = the_collection(services, collection)
        ids = [found_evaluation(services, name, one).evaluation_id for one in (before, after)]
        found = services.evaluation_changes(name, *ids)
        run.emit(found, lambda out: _show_changes(out, found))


def evaluations_verdicts(
    run: Run,
    evaluation: EvaluationArgument,
    collection: CollectionOption = None,
    metric: MeasureOption = "",
    baseline: Annotated[
        str, typer.Option(metavar="NAME", help="What the others are compared with; else the evaluation's baseline.")
    ] = "",
    rating: Annotated[
        int | None,
        typer.Option(metavar="NUMBER", help="What a relevant document is taken to be worth; else the highest rating."),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="NUMBER", min=1, max=10_000, help="How many documents to list.")] = 20,
) -> None:
    """Say which unjudged documents could flip who is better than the baseline: those are worth judging first.

    Example: triptych evaluations verdicts 3f2a --collection thesis --metric nDCG@10
    """
    with run.reading() as services:
        name = the_collection(services, collection)
        key = found_evaluation(services, name, evaluation).evaluation_id
        found = services.verdict_bounds(name, key, measure=metric, baseline=baseline, rating=rating, limit=limit)
        run.emit(found, lambda out: _show_verdicts(out, found))


def evaluations_reproduce(
    run: Run,
    evaluation: EvaluationArgument,
    collection: CollectionOption = None,
    pipeline: Annotated[
        list[str] | None,
        typer.Option("--pipeline", "-p", metavar="NAME", help="Only this row. May be given again."),
    ] = None,
) -> None:
    """Run rows of a stored evaluation again from its specification and compare every value; exit code 1 when one differs.

    Example: triptych evaluations reproduce 3f2a --collection thesis --pipeline BM25
    """
    with run.reading() as services:
        name = the_collection(services, collection)
        key = found_evaluation(services, name, evaluation).evaluation_id
        with query_progress(run) as progress:
            found = services.reproduce(name, key, pipelines=pipeline or (), progress=progress)
        run.emit(found, lambda out: _show_reproduction(out, found))
    if not found.same:
        raise typer.Exit(EXIT_DIFFERENT)


def evaluations_export(
    run: Run,
    evaluation: EvaluationArgument,
    collection: CollectionOption = None,
    table: Annotated[
        Literal["leaderboard", "queries"], typer.Option(help="The leaderboard, or one metric of every query.")
    ] = "leaderboard",
    metric: MeasureOption = "",
    form: Annotated[
        Literal["csv", "parquet", "markdown", "latex"], typer.Option("--format", help="How the table is written.")
    ] = "csv",
    output: OutputOption = None,
) -> None:
    """Export a table of an evaluation.

    Example: triptych evaluations export 3f2a --collection thesis --table queries --format parquet --output queries.parquet
    """
    with run.reading() as services:
        name = the_collection(services, collection)
        key = found_evaluation(services, name, evaluation).evaluation_id
        data = services.export_evaluation(name, key, form, table=table, measure=metric)
    if output is not None:
        output.write_bytes(data)
        run.emit(
            {"format": form, "file": output, "bytes": len(data)},
            lambda out: out.print(printable(f"Wrote {output}."), soft_wrap=True),
        )
    elif form == "parquet":
        raise BadInput("Parquet is no text; name a file with --output FILE.")
    elif run.as_json:
        run.emit({"format": form, "text": data.decode()}, lambda out: None)
    else:
        sys.stdout.write(data.decode())


def evaluations_delete(run: Run, evaluation: EvaluationArgument, collection: CollectionOption = None) -> None:
    """Forget a stored evaluation with everything that it found; or a comparison of `triptych disagree`, by its whole id.

    Example: triptych evaluations delete 3f2a --collection thesis
    """
    with run.writing() as services:
        name = the_collection(services, collection)
        try:
            services.delete_disagreement(name, evaluation)
            gone = evaluation
        except NotFound:
            gone = found_evaluation(services, name, evaluation).evaluation_id
            services.delete_evaluation(name, gone)
        run.emit({"deleted": gone}, lambda out: out.print(f"Deleted {gone[:12]}."))


def found_evaluation(services: Services, collection: str, prefix: str) -> EvaluationView:
    """The one evaluation whose id begins so. Raises BadInput."""
    found = [view for view in services.evaluations(collection) if view.evaluation_id.startswith(prefix)]
    if len(found) != 1:
        raise BadInput(
            f"{len(found) or 'No'} evaluations of {collection!r} start with {prefix!r}. See `triptych evaluations list`."
        )
    return services.evaluation(collection, found[0].evaluation_id)


def _show_evaluations(out: Any, found: tuple[EvaluationSummary, ...]) -> None:
    from rich.table import Table

    if not found:
        out.print("Nothing was evaluated yet: triptych evaluate")
        return
    table = Table(box=None, pad_edge=False)
    for head in ("evaluation", "when", "queries", "best", "state"):
        table.add_column(head, overflow="fold")
    for view in found:
        state = ("stale: " + ", ".join(view.stale)) if view.stale else "current" if view.finished else "stopped"
        size = f"{view.query_set} ({view.queries:,})"
        table.add_row(
            *map(printable, (view.evaluation_id[:12], view.created_at[:16].replace("T", " "), size, _best(view), state))
        )
    out.print(table)


def _best(view: EvaluationSummary) -> str:
    """The best pipeline by the first metric."""
    return "" if view.mean is None else f"{view.best}: {view.measure} {view.mean:.3f}"


def _show_changes(out: Any, found: EvaluationChanges) -> None:
    for change in found.settings:
        was, now = (value if "\n" not in value else "(see --json)" for value in (change.before, change.after))
        out.print(printable(f"{change.what}: {was or 'none'} → {now or 'none'}"), soft_wrap=True)
    if not found.settings:
        out.print("Both were asked the same, of the same.")
    for mean in found.means:
        was, now = ("none" if value is None else f"{value:.3f}" for value in (mean.before, mean.after))
        out.print(printable(f"{mean.pipeline}, {mean.measure}: {was} → {now}"), soft_wrap=True)


def _show_verdicts(out: Any, found: VerdictBounds) -> None:
    from rich.table import Table

    for pair in found.pairs:
        state = "stands" if pair.stands else "could flip"
        bounds = f"between {pair.low:+.3f} and {pair.high:+.3f}" + ("" if pair.exact else " at most")
        line = f"{pair.pipeline} minus {found.baseline}, {found.measure}: {pair.difference:+.3f}, {bounds} ({pair.unjudged:,} unjudged). It {state}."
        out.print(printable(line), soft_wrap=True)
    if found.documents:
        out.print("\nThese could flip it, the most effective first:", style="bold")
        table = Table(box=None, pad_edge=False)
        for head in ("effect", "query", "document", "title"):
            table.add_column(head, overflow="fold")
        for one in found.documents:
            query, title = (
                textwrap.shorten(printable(text), SHOWN, placeholder="…") for text in (one.query, one.title)
            )
            table.add_row(f"{one.effect:+.5f}", f"{printable(one.qid)}: {query}", printable(one.doc_id), title)
        out.print(table)


def _show_reproduction(out: Any, found: Reproduction) -> None:
    for row in found.rows:
        was, now = ("none" if value is None else f"{value:.4f}" for value in (row.stored, row.again))
        apart = "some queries have no value" if row.largest is None else f"at most {row.largest:.2g} apart on a query"
        out.print(printable(f"{row.pipeline}, {row.measure}: stored {was}, again {now} ({apart})"), soft_wrap=True)
    for reason in found.stale:
        out.print(printable(f"Stale: {reason}."), style="dim", soft_wrap=True)
    out.print("Reproduced." if found.same else "Not the same.", style="green" if found.same else "red")
