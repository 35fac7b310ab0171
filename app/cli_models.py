"""`triptych models` and `doctor`: the installation itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli_base import Run, command, printable
from engine.errors import WorkspaceDamaged

if TYPE_CHECKING:
    from engine.doctor import Finding
    from engine.models.card import ModelCard


Quantize = Literal["int8", "none"]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    models = typer.Typer(help="List the encoders, and export others for use here.", no_args_is_help=True)
    app.add_typer(models, name="models")
    command(models, "list")(models_list)
    command(models, "export")(models_export)
    command(app)(doctor)


def models_list(run: Run) -> None:
    """List the models that come with the program, with license, size and provenance.

    Example: triptych models list --json
    """
    from engine.models.catalogue import bundled_models

    cards = list(bundled_models().values())
    run.emit(
        {"models": [card.model_dump(mode="json") for card in cards]},
        lambda out: _show_cards(out, cards),
    )


def models_export(
    run: Run,
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="A sentence-transformers folder, or the name of a bundled model.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder for the exported model.")],
    quantize: Annotated[
        Quantize, typer.Option(help="int8 is smaller and faster; none keeps every weight as it is.")
    ] = "int8",
    license: Annotated[str, typer.Option(help="The license of the weights, for the card.")] = "",
    revision: Annotated[str, typer.Option(help="What pins the source: a version, commit or hash.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Write it even where its vectors differ from the original's.")
    ] = False,
) -> None:
    """Export a sentence-transformers model to ONNX, and compare its vectors with the original's. Needs the extra `export`.

    Example: triptych models export ./my-model ./my-model-onnx
    """
    from engine.models.export import export_model

    about = {name: text for name, text in (("licence", license), ("revision", revision)) if text}
    card = export_model(source, folder, quantise=quantize, about=about, force=force, say=run.notify)
    run.emit(card.model_dump(mode="json"), lambda out: _show_card(out, card))


def doctor(run: Run) -> None:
    """Check the installation and the workspace: versions, models, indexes, disk space. Ends with 5 where something is broken.

    Example: triptych doctor --json
    """
    from engine.doctor import check, worst

    findings = check(run.folder)
    run.emit({"workspace": run.folder, "findings": findings}, lambda out: _show_findings(out, findings))
    if worst(findings) == "error":
        raise typer.Exit(WorkspaceDamaged.exit_code)


def _show_cards(out: Any, cards: list[ModelCard]) -> None:
    for card in cards:
        _show_card(out, card)


def _show_card(out: Any, card: ModelCard) -> None:
    out.print(printable(card.title), style="bold", soft_wrap=True)
    size = f"{sum(file.bytes for file in card.files.values()) / 1e6:.0f} MB"
    out.print(
        "  " + printable(f"{card.dimensions} dimensions, {card.max_tokens} tokens, {size}, {card.licence}"),
        soft_wrap=True,
    )
    out.print("  " + printable(f"from {card.source}"), soft_wrap=True)


def _show_findings(out: Any, findings: list[Finding]) -> None:
    styles = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}
    for finding in findings:
        out.print(f"{finding.level:>7}  {printable(finding.what)}", style=styles[finding.level], soft_wrap=True)
        if finding.remedy:
            out.print(f"         {printable(finding.remedy)}", soft_wrap=True)
