"""`triptych pipelines fit`: fusions learned from judgments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.base import CollectionOption, Run, printable, the_collection
from app.cli.options import PipelinesOption, SetOption, chosen_pipelines, query_progress
from engine.errors import BadInput

if TYPE_CHECKING:
    from app.results.evaluation import FittedPipeline


def pipelines_fit(
    run: Run,
    collection: CollectionOption = None,
    queries: SetOption = "default",
    pipelines: PipelinesOption = None,
    metric: Annotated[str, typer.Option("--metric", "-m", metavar="METRIC", help="What is to be best.")] = "nDCG@10",
    folds: Annotated[int, typer.Option(metavar="NUMBER", min=2, max=50, help="Parts for cross-validation.")] = 5,
    lambdamart: Annotated[
        bool,
        typer.Option("--lambdamart", help="Fit LambdaMART's trees instead; needs pip install 'triptych-search[ltr]'."),
    ] = False,
    norm: Annotated[
        Literal["min-max", "z-score"] | None,
        typer.Option(help="How scores are brought to one scale: min-max, unless told otherwise. Trees see both."),
    ] = None,
    save: Annotated[str, typer.Option("--save", metavar="NAME", help="Save the fusion as this pipeline.")] = "",
) -> None:
    """Fit a fusion of pipelines to judgments, and say what it scores on queries it was not fitted to.

    Example: triptych pipelines fit --collection thesis --pipeline BM25 --pipeline Dense --save "Fitted hybrid"
    """
    if not pipelines:
        raise BadInput("Name two to five pipelines to fuse: --pipeline BM25 --pipeline Dense.")
    if lambdamart and norm:
        raise BadInput("LambdaMART sees scores on every scale; leave out --norm.")
    with run.writing() as services:
        name, asked = the_collection(services, collection), chosen_pipelines(services, pipelines, default=False)
        with query_progress(run) as progress:
            if lambdamart:
                found = services.fit_lambdamart(
                    name, asked, query_set=queries, measure_name=metric, folds=folds, save_as=save, progress=progress
                )
            else:
                found = services.fit_weights(
                    name, asked, query_set=queries, measure_name=metric, folds=folds, norm=norm or "min-max", save_as=save,
                    progress=progress,
                )  # fmt: skip
        run.emit(found, lambda out: _show(out, found))


def _show(out: Any, found: FittedPipeline) -> None:
    def say(sentence: str) -> None:
        out.print(printable(sentence), soft_wrap=True)

    trees = found.method == "lambdamart"
    for name, weight, alone in zip(found.inputs, found.weights, found.singles, strict=True):
        say(f"{name}: {'' if trees else f'weight {weight:g}; '}{found.measure} {alone:.3f} alone")
    sums = (
        f"weighted sum {found.weighted:.3f}, equal weights {found.equal:.3f}"
        if trees
        else f"equal weights {found.equal:.3f}"
    )
    say(f"Held out: {found.measure} {found.held_out:.3f} over {found.queries:,} queries; {sums}.")
    if found.held_out <= max(found.singles):
        say(f"No better than the best of them alone: the {'trees' if trees else 'weights'} are not worth keeping.")
    elif trees and found.held_out <= found.weighted:
        say("No better than a weighted sum, which says more plainly what it does: leave out --lambdamart.")
    if found.saved:
        say(f"Saved as {found.saved}.")
