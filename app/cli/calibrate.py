"""`triptych calibrate` and `calibrations`: turn scores into probabilities of relevance, and choose thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.base import CollectionOption, Run, command, printable, the_collection
from app.cli.options import SetOption, chosen_pipelines
from app.cli.progress import follow
from app.presets import CALIBRATED
from engine.errors import BadInput

if TYPE_CHECKING:
    from rich.console import Console

    from app.results.calibration import CalibrationSummary, CalibrationView, Interval

CalibrationArgument = Annotated[str, typer.Argument(metavar="CALIBRATION", help="Its id, or the first characters.")]


PLACE = 80
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    command(app)(calibrate)
    calibrations = typer.Typer(help="See, save and delete calibrations.", no_args_is_help=True)
    app.add_typer(calibrations, name="calibrations")
    command(calibrations, "list")(calibrations_list)
    command(calibrations, "show")(calibrations_show)
    command(calibrations, "save")(calibrations_save)
    command(calibrations, "delete")(calibrations_delete)


def calibrate(
    run: Run,
    collection: CollectionOption = None,
    queries: SetOption = "default",
    pipelines: Annotated[
        list[str] | None,
        typer.Option(
            "--pipeline",
            "-p",
            metavar="NAME|FILE",
            help=f"A pipeline by name, or a YAML file. May be given again. Default: {CALIBRATED[0]}.",
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="A calibrator: min_max, z_score, temperature, platt, beta, isotonic, cosine_adapter, mixture. May be given again.",
        ),
    ] = None,
    target: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="What the threshold should achieve: recall>=0.9, precision>=0.5, best>=0.9 (queries that keep their best document) or results<=10.",
        ),
    ] = "recall>=0.9",
    folds: Annotated[
        int, typer.Option(metavar="NUMBER", min=2, max=20, help="Into how many folds queries are dealt.")
    ] = 5,
    depth: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, max=1000, help="How many hits of each query count.")
    ] = 100,
    rating: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, help="From which rating on a document is relevant.")
    ] = 1,
) -> None:
    """Fit score calibrators to judgments, and say what they are worth on queries that they have not seen.

    Example: triptych calibrate --collection thesis --pipeline Dense --method platt --target "precision>=0.5"
    """
    from app.verbs.calibrating import DEFAULT_METHODS

    with run.writing() as services:
        asked = chosen_pipelines(services, pipelines or CALIBRATED[:1], default=False)
        name = the_collection(services, collection)
        job_id = services.start_calibration(
            name, asked, query_set=queries, methods=method or DEFAULT_METHODS, target=target, folds=folds, depth=depth, rating=rating
        )  # fmt: skip
        found = services.calibration(name, follow(run, services, job_id).result)
        run.emit(found, lambda out: _show(out, found))


def calibrations_list(run: Run, collection: CollectionOption = None) -> None:
    """List the stored calibrations of a collection.

    Example: triptych calibrations list --collection thesis
    """
    with run.reading() as services:
        found = services.calibrations(the_collection(services, collection))
        run.emit({"calibrations": found}, lambda out: _show_list(out, found))


def calibrations_show(run: Run, calibration: CalibrationArgument, collection: CollectionOption = None) -> None:
    """Show a stored calibration again, and whether it still holds.

    Example: triptych calibrations show 3f2a --collection thesis
    """
    with run.reading() as services:
        found = services.calibration(the_collection(services, collection), calibration)
        run.emit(found, lambda out: _show(out, found))


def calibrations_save(
    run: Run,
    calibration: CalibrationArgument,
    pipeline: Annotated[str, typer.Option("--pipeline", "-p", metavar="NAME", help="Which of its pipelines.")],
    method: Annotated[str, typer.Option("--method", metavar="NAME", help="Which of its calibrators.")],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="What the saved pipeline is called.")],
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="PROBABILITY", help="Instead of the one that was chosen.")
    ] = None,
    collection: CollectionOption = None,
) -> None:
    """Save a pipeline with a fitted calibrator as its last stage.

    Example: triptych calibrations save 3f2a --pipeline Dense --method platt --name "Dense, calibrated"
    """
    with run.writing() as services:
        if not name.strip():
            raise BadInput("The pipeline needs a name.")
        saved = services.save_calibrated(
            the_collection(services, collection), calibration, pipeline, method, name=name, threshold=threshold
        )
        run.emit(saved, lambda out: out.print(printable(f"Saved {saved.name!r}.")))


def calibrations_delete(run: Run, calibration: CalibrationArgument, collection: CollectionOption = None) -> None:
    """Forget a stored calibration; pipelines that were saved with its maps keep them.

    Example: triptych calibrations delete 3f2a --collection thesis
    """
    with run.writing() as services:
        services.delete_calibration(the_collection(services, collection), calibration)
        run.emit({"deleted": calibration}, lambda out: out.print(printable(f"Deleted {calibration}.")))


def _show_list(out: Console, found: tuple[CalibrationSummary, ...]) -> None:
    from rich.table import Table

    if not found:
        out.print("No calibration yet. Make one with `triptych calibrate`.")
        return
    table = Table("Id", "Made", "Query set", "Target", "Pipelines", box=None, header_style="bold")
    for one in found:
        row = (one.calibration_id[:12], one.created_at, one.query_set, one.target, ", ".join(one.pipelines))
        table.add_row(*map(printable, row))
    out.print(table)


def _show(out: Console, found: CalibrationView) -> None:
    from rich.table import Table

    head = f"{found.collection} · {found.query_set} · {found.folds} folds · target {found.target} · {found.calibration_id[:12]}"
    out.print(printable(head))
    for reason in found.stale:
        out.print(printable(f"Stale: {reason}."), style="yellow")
    for part in found.pipelines:
        told = f"{part.name}: {part.hits:,} hits of {part.queries} queries, {part.relevant:,} relevant"
        unanswered = part.queries - part.answerable
        out.print(printable(told + (f"; {unanswered} queries have no relevant document" if unanswered else "")))
        names = ("ECE", "Brier", "log loss", "AUC", "precision", "recall")
        columns = ("Calibrator", "Threshold", *names, "Best kept", "Emptied", "Results")
        table = Table(*columns, box=None, header_style="bold")
        for one in part.methods:
            at = one.at_threshold
            table.add_row(
                printable(one.label), f"{one.threshold:.3f}", *(_interval(one.measures[name]) for name in names),
                _share(at.best), _share(at.emptied), f"{at.results:.1f}",
            )  # fmt: skip
        out.print(table)
    out.print("Measured on held-out queries, with 95 % intervals. Threshold: of the map that is fitted to all queries.")


def _interval(value: Interval) -> str:
    if value.value is None or value.low is None or value.high is None:
        return "–"
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
