"""`triptych collections`, `pipelines` and `export`: what a workspace holds, by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from app.cli.base import CollectionOption, Run, command, printable, the_collection
from app.cli.fit import pipelines_fit
from app.cli.options import OutputOption, deliver
from engine.errors import BadInput

if TYPE_CHECKING:
    from app.results.search import CollectionView, PipelineView

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Its name.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")]


Form = Literal["bibtex", "ris", "csv"]


PLACE = 100
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    collections = typer.Typer(help="List, create, rename, describe and delete collections.", no_args_is_help=True)
    app.add_typer(collections, name="collections")
    command(collections, "list")(collections_list)
    command(collections, "create")(collections_create)
    command(collections, "rename")(collections_rename)
    command(collections, "describe")(collections_describe)
    command(collections, "delete")(collections_delete)
    pipelines = typer.Typer(help="List, show, check, save and delete pipelines.", no_args_is_help=True)
    app.add_typer(pipelines, name="pipelines")
    command(pipelines, "list")(pipelines_list)
    command(pipelines, "show")(pipelines_show)
    command(pipelines, "save")(pipelines_save)
    command(pipelines, "export")(pipelines_export)
    command(pipelines, "fit")(pipelines_fit)
    command(pipelines, "delete")(pipelines_delete)
    export = typer.Typer(help="Take things out of a workspace.", no_args_is_help=True)
    app.add_typer(export, name="export")
    command(export, "shortlist")(export_shortlist)


def collections_list(run: Run) -> None:
    """List the collections with their sizes and the state of their indexes.

    Example: triptych collections list --json
    """
    with run.reading() as services:
        found = services.collections()
        run.emit({"workspace": services.folder, "collections": found}, lambda out: _show_collections(out, found))


def collections_create(
    run: Run,
    name: NameArgument,
    description: Annotated[str, typer.Option(help="A sentence about it.")] = "",
) -> None:
    """Create an empty collection.

    Example: triptych collections create thesis --description "Papers for chapter two"
    """
    with run.writing() as services:
        made = services.create_collection(name, description)
        run.emit(made, lambda out: out.print(printable(f"Created {made.name}.")))


def collections_rename(
    run: Run, name: NameArgument, new: Annotated[str, typer.Argument(metavar="NEW", help="The new name.")]
) -> None:
    """Give a collection another name.

    Example: triptych collections rename thesis dissertation
    """
    with run.writing() as services:
        renamed = services.rename_collection(name, new)
        run.emit(renamed, lambda out: out.print(printable(f"{name} is now {renamed.name}.")))


def collections_describe(
    run: Run,
    name: NameArgument,
    description: Annotated[str, typer.Argument(metavar="TEXT", help="A sentence about it.")],
) -> None:
    """Say what a collection is about, in place of what was said before.

    Example: triptych collections describe thesis "Papers for chapter three"
    """
    with run.writing() as services:
        described = services.describe_collection(name, description)
        text = f": {described.description}" if described.description else " has no description now."
        run.emit(described, lambda out: _say(out, f"{described.name}{text}"))


def collections_delete(
    run: Run,
    name: NameArgument,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Delete a collection with its documents, indexes and shortlist. The files it was made from stay.

    Example: triptych collections delete thesis --yes
    """
    with run.reading() as services:
        view = services.collection(name)
    what = f"{view.name} with {view.documents:,} documents"
    if dry_run:
        run.emit({"would_delete": view}, lambda out: out.print(printable(f"Would delete {what}.")))
        return
    if not yes:
        if run.as_json or not sys.stdin.isatty():
            raise BadInput(f"This deletes {what}. Say --yes to do it without being asked.")
        typer.confirm(printable(f"Delete {what}?"), abort=True)
    with run.writing() as services:
        services.delete_collection(view.name)
    run.emit({"deleted": view}, lambda out: out.print(printable(f"Deleted {what}.")))


def pipelines_list(run: Run) -> None:
    """List the built-in pipelines and the saved ones.

    Example: triptych pipelines list
    """
    with run.reading() as services:
        found = services.pipelines()
        run.emit({"pipelines": found}, lambda out: _show_pipelines(out, found))


def pipelines_show(run: Run, name: NameArgument) -> None:
    """Print one pipeline as YAML.

    Example: triptych pipelines show Hybrid
    """
    with run.reading() as services:
        found = services.pipeline(name)
        run.emit(found, lambda out: out.print(_plain_lines(found.yaml), end="", soft_wrap=True))


def pipelines_save(
    run: Run,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A YAML file; - reads standard input.")],
    name: Annotated[str | None, typer.Option(help="Save under this name instead of the one in the file.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Check a pipeline file and save it under its name.

    Example: triptych pipelines save my-hybrid.yaml --name "My hybrid"
    """
    yaml = _read(file)
    with run.writing() as services:
        checked = services.check_pipeline(yaml)
        chosen = name or checked.name
        if not chosen:
            raise BadInput(f"{file} has no `name:`; give one with --name NAME.")
        if dry_run:
            run.emit(
                {"would_save": chosen, "summary": checked.summary},
                lambda out: _say(out, f"Valid: {checked.summary}. Nothing was saved."),
            )
            return
        saved = services.save_pipeline(chosen, yaml)
        run.emit(saved, lambda out: _say(out, f"Saved {saved.name}: {saved.summary}"))


def pipelines_export(run: Run, name: NameArgument, output: OutputOption = None) -> None:
    """Write one pipeline as a YAML file, to keep or to share.

    Example: triptych pipelines export Hybrid --output hybrid.yaml
    """
    with run.reading() as services:
        yaml = services.pipeline(name).yaml
    deliver(run, "yaml", yaml, output)


def pipelines_delete(run: Run, name: NameArgument) -> None:
    """Forget a saved pipeline; the indexes that it read stay.

    Example: triptych pipelines delete "My hybrid"
    """
    with run.writing() as services:
        services.delete_pipeline(name)
        run.emit({"deleted": name}, lambda out: _say(out, f"Deleted {name}."))


def export_shortlist(
    run: Run,
    collection: CollectionOption = None,
    form: Annotated[Form, typer.Option("--format", help="How the documents are written.")] = "bibtex",
    output: OutputOption = None,
) -> None:
    """Export the shortlist of a collection.

    Example: triptych export shortlist --collection thesis --format ris --output thesis.ris
    """
    with run.reading() as services:
        text = services.export_shortlist(the_collection(services, collection), form)
    deliver(run, form, text, output)


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput(f"{file} is not UTF-8 text.") from None
    except FileNotFoundError:
        raise BadInput(f"{file} does not exist. Check the spelling.") from None


def _say(out: Any, sentence: str) -> None:
    out.print(printable(sentence), soft_wrap=True)


def _plain_lines(text: str) -> str:
    """YAML as it is, without control characters; the layout stays."""
    return "\n".join(" " * (len(line) - len(line.lstrip())) + printable(line) for line in text.split("\n"))


def _show_collections(out: Any, found: tuple[CollectionView, ...]) -> None:
    from rich.table import Table

    if not found:
        out.print("There is no collection yet: triptych add PATH --collection NAME")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("collection", overflow="ellipsis", no_wrap=True)
    table.add_column("documents", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("indexes", overflow="fold")
    for view in found:
        indexes = ", ".join(f"{i.label} ({i.state})" for i in view.indexes)
        table.add_row(*map(printable, (view.name, f"{view.documents:,}", view.state, indexes)))
    out.print(table)


def _show_pipelines(out: Any, found: tuple[PipelineView, ...]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("pipeline", overflow="fold")
    table.add_column("what it does", overflow="fold")
    for view in found:
        table.add_row(printable(view.name), printable(view.summary))
    out.print(table)
