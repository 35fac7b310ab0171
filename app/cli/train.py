"""`triptych train`: the models' training recipes, over the texts of a collection."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.base import Run, command, printable
from app.cli.progress import LINE_SECONDS

if TYPE_CHECKING:
    from engine.models.card import ModelCard
    from engine.types import Progress

Recipe = Literal["sparse", "late", "cross"]


PLACE = 130
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    command(app)(train)


def train(
    run: Run,
    recipe: Annotated[
        Recipe,
        typer.Argument(
            help="sparse: weighted terms, queries looked up. late: a vector for each token. cross: scores of pairs, for reranking."
        ),
    ],
    collection: Annotated[str, typer.Option("--collection", "-c", metavar="NAME", help="Whose texts to learn from.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder for the model.")],
    exclude: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Ids of documents that must not be learned from, one a line.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same model, as far as torch does.")] = 0,
    epochs: Annotated[float | None, typer.Option(help="Passes over the documents; else the recipe's own.")] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where token states are kept between runs, and the float32 cross-encoder is left; else a folder that is removed.",
        ),
    ] = None,
) -> None:
    """Train a model on the texts of a collection, on top of the bundled encoder. Needs the extra `train`.

    The recipe cross has one pass over a fixed number of lists, which --epochs multiplies.

    Example: triptych train sparse --collection papers --exclude test-ids.txt --out ./my-sparse --seed 1
    """
    tell = _teller(run)
    with run.writing() as services:
        card = services.train(
            recipe, collection, out, exclude=exclude, seed=seed, epochs=epochs, cache=cache, progress=tell
        )
    run.emit(card.model_dump(mode="json"), lambda console: _show(console, card, out))


def _teller(run: Run) -> Any:
    """Prints a line at each new phase, and every few seconds within one."""
    told: dict[str, float] = {}

    def tell(progress: Progress) -> None:
        now = time.monotonic()
        if run.as_json or now - told.get(progress.phase, -LINE_SECONDS) < LINE_SECONDS:
            return
        told[progress.phase] = now
        of = "" if progress.total is None else f": {progress.done:,} of {progress.total:,}"
        print(progress.phase + of, file=sys.stderr, flush=True)

    return tell


def _show(console: Any, card: ModelCard, out: Path) -> None:
    console.print(printable(f"{card.title}: {out}"), style="bold", soft_wrap=True)
    for name, value in card.measured.items():
        console.print("  " + printable(f"{name}: {value}"), soft_wrap=True)
