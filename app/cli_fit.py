"""`triptych pipelines fit`: weights learned from judgments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli_base import CollectionOption, Run, printable, the_collection
from app.cli_evaluate import PipelinesOption, chosen_pipelines, query_progress
from app.cli_queries import SetOption
from engine.errors import BadInput

if TYPE_CHECKING:
    from app.evaluation_results import FittedPipeline


def pipelines_fit(
    run: Run,
    collection: CollectionOption = None,
    queries: SetOption = "default",
    pipelines: PipelinesOption = None,
    metric: Annotated[str, typer.Option("--metric", "-m", metavar="METRIC", help="What is to be best.")] = "nDCG@10",
    folds: Annotated[int, typer.Option(metavar="NUMBER", min=2, max=50, help="Parts for cross-validation.")] = 5,
    norm: Annotated[
        Literal["min-max", "z-score"], typer.Option(help="How scores are brought to one scale.")
    ] = "min-max",
    save: Annotated[str, typer.Option("--save", metavar="NAME", help="Save the weighted sum as this pipeline.")] = "",
) -> None:
    """Fit the weights of a weighted sum of pipelines to judgments, and say what it scores on queries it was not fitted to.

    Example: triptych pipelines fit --collection thesis --pipeline BM25 --pipeline Dense --save "Fitted hybrid"
    """
    if not pipelines:
        raise BadInput("Name two to five pipelines to weigh: --pipeline BM25 --pipeline Dense.")
    with run.writing() as services:
        asked = chosen_pipelines(services, pipelines, default=False)
        with query_progress(run) as progress:
            found = services.fit_weights(
                the_collection(services, collection), asked, query_set=queries, measure_name=metric, folds=folds, norm=norm,
                save_as=save, progress=progress,
            )  # fmt: skip
        run.emit(found, lambda out: _show(out, found))


def _show(out: Any, found: FittedPipeline) -> None:
    def say(sentence: str) -> None:
        out.print(printable(sentence), soft_wrap=True)

    for name, weight, alone in zip(found.inputs, found.weights, found.singles, strict=True):
        say(f"{name}: weight {weight:g}; {found.measure} {alone:.3f} alone")
    say(
        f"Held out: {found.measure} {found.held_out:.3f} over {found.queries:,} queries; equal weights {found.equal:.3f}."
    )
    if found.held_out <= max(found.singles):
        say("No better than the best of them alone: the weights are not worth keeping.")
    if found.saved:
        say(f"Saved as {found.saved}.")
