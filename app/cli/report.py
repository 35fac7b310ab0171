"""`triptych report`: what was measured as one HTML file that opens from disk, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli.base import CollectionOption, Run, command, printable, the_collection
from app.cli.evaluations import MeasureOption, found_evaluation
from engine.errors import BadInput

PLACE = 60
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    command(app)(report)


def report(
    run: Run,
    evaluation: Annotated[
        str,
        typer.Argument(
            metavar="[EVALUATION]", help="Its id, or the first characters; not needed for a calibration alone."
        ),
    ] = "",
    collection: CollectionOption = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the report is written.")] = Path(
        "report.html"
    ),
    metric: MeasureOption = "",
    calibration: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="The stored calibration whose plots are added, or `none`. Default: the newest of these pipelines and queries.",
        ),
    ] = "",
    query: Annotated[
        list[str] | None,
        typer.Option(
            "--query",
            metavar="ID",
            help="Show this question side by side. May be given again. Default: where the pipelines differ most.",
        ),
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=100, help="How many hits of each question are shown.")] = 10,
) -> None:
    """Write an evaluation, a calibration or both as one HTML file: leaderboard, tests, drawings, questions side by side, configuration.

    Example: triptych report 3f2a --collection thesis --output report.html --calibration 91bc
    """
    if not evaluation and calibration in ("", "none"):
        raise BadInput("Name an evaluation (see `triptych evaluations list`) or a --calibration.")
    with run.reading() as services:
        name = the_collection(services, collection)
        if evaluation:
            key = found_evaluation(services, name, evaluation).evaluation_id
            chosen = "" if calibration == "none" else calibration or None
            data = services.report(name, key, measure=metric, calibration=chosen, queries=query or (), k=k)
        else:
            data = services.report_calibration(name, calibration)
    output.write_bytes(data)
    run.emit(
        {"file": output, "bytes": len(data)},
        lambda out: out.print(printable(f"Wrote {output} ({len(data) / 1000:,.0f} kB)."), soft_wrap=True),
    )
