"""`triptych doctor`, `backup` and `restore`: whether a workspace is sound, and having it twice."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.base import Run, command, printable
from app.drawing.format import size
from engine.errors import WorkspaceDamaged

if TYPE_CHECKING:
    from engine.keeping.salvage import Salvaged
    from engine.serving.doctor import Finding

SHOWN = 20


PLACE = 120
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    command(app)(doctor)
    command(app)(backup)
    command(app)(restore)


def doctor(
    run: Run,
    salvage: Annotated[
        Path | None,
        typer.Option(
            metavar="NEW", help="Copy everything that is readable into this new folder, and list what is not."
        ),
    ] = None,
) -> None:
    """Check the installation and the workspace: versions, the database, models, indexes, disk space. Ends with 5 where something is broken.

    With --salvage it ends with 0 where everything could be copied, and with 5 where something is missing from the copy, or nothing could be.

    Example: triptych doctor --json
    """
    if salvage is not None:
        _salvage(run, salvage)
        return
    from engine.serving.doctor import check, worst

    findings = check(run.folder)
    run.emit({"workspace": run.folder, "findings": findings}, lambda out: _show_findings(out, findings))
    if worst(findings) == "error":
        raise typer.Exit(WorkspaceDamaged.exit_code)


def _salvage(run: Run, new: Path) -> None:
    from engine.keeping.salvage import salvage

    found = salvage(run.folder, new)
    run.emit({"salvage": found}, lambda out: _show_salvaged(out, found))
    if found.outcome != "complete":
        raise typer.Exit(WorkspaceDamaged.exit_code)


def backup(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must not be there yet.")],
    with_models: Annotated[
        bool, typer.Option("--with-models", help="Put the models that were added into it too.")
    ] = False,
) -> None:
    """Write the workspace into one file: documents, judgments, evaluations, pipelines, settings; without the indexes, which are built again.

    Example: triptych backup thesis.triptych
    """
    with run.reading() as services:
        made = services.backup(file, with_models=with_models)
    run.emit(
        made,
        lambda out: _say(
            out,
            f"Wrote {made.file}: {made.rows:,} rows of {made.tables} tables and {len(made.models)} models, {size(made.bytes)}.",
        ),
    )


def restore(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `triptych backup` wrote.")],
) -> None:
    """Make a workspace of a backup, in a new folder. Everything is verified before the folder appears; nothing is ever written over.

    Example: triptych restore thesis.triptych --workspace restored
    """
    from engine.keeping.backup import restore as bring_back

    made = bring_back(file, run.folder)
    run.emit(
        made,
        lambda out: _say(
            out,
            f"Restored {made.rows:,} rows of {made.tables} tables and {len(made.models)} models, as of {made.created_at}, to {run.folder}. Build the indexes with `triptych index`.",
        ),
    )


def _say(out: Any, sentence: str) -> None:
    out.print(printable(sentence), soft_wrap=True)


def _show_findings(out: Any, findings: list[Finding]) -> None:
    styles = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}
    for finding in findings:
        out.print(f"{finding.level:>7}  {printable(finding.what)}", style=styles[finding.level], soft_wrap=True)
        if finding.remedy:
            out.print(f"         {printable(finding.remedy)}", soft_wrap=True)


def _show_salvaged(out: Any, found: Salvaged) -> None:
    from engine.workspace.creation import REPORT

    _say(
        out, f"Copied {sum(found.rows.values()):,} rows and {len(found.models)} models to {found.new}: {found.outcome}."
    )
    for sentence in found.mended:
        _say(out, f"  {sentence}")
    for lost in found.lost[:SHOWN]:
        named = f" ({', '.join(lost.ids[:5])}{', …' if len(lost.ids) > 5 else ''})" if lost.ids else ""
        _say(out, f"  not copied: {lost.rows:,} rows of {lost.table}{named}: {lost.reason}")
    if len(found.lost) > SHOWN:
        _say(out, f"  and {len(found.lost) - SHOWN:,} more; see {REPORT}")
    for name, reason in found.models_lost.items():
        _say(out, f"  not copied: the model {name}: {reason}")
    _say(out, found.left_out)
