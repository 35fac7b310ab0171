"""The `triptych` command. Each group of commands is one module; heavy packages load only when a command runs."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Annotated, NoReturn

import typer

from app.cli.base import JsonOption, WorkspaceOption, fail
from engine.system import ending

app = typer.Typer(
    name="triptych",
    help="Search your literature locally, and see why pipelines rank it as they do.",
    epilog="Start with `triptych demo`, or `triptych add PATH --collection NAME` and then `triptych ui`.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=True,
)


def _version(asked: bool) -> None:
    if asked:
        from engine import __version__

        print(f"triptych {__version__}")
        raise typer.Exit


@app.callback()
def _shared(
    context: typer.Context,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt", help="Make the workspace in a folder that holds other files already; they are left alone."
        ),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    context.obj = {"workspace": workspace, "json": as_json, "adopt": adopt}


def groups() -> list[ModuleType]:
    """The modules of commands: those of this package that `register` something, by their place in the help, then those that other packages bring
    by an entry point in the group `triptych.commands`. A new one is found by being there."""
    names = [f"{__package__}.{entry.name}" for entry in iter_modules([str(Path(__file__).parent)])]
    own = [import_module(name) for name in names if name != __name__]
    own = sorted((module for module in own if hasattr(module, "PLACE")), key=lambda module: module.PLACE)
    return own + [entry.load() for entry in entry_points(group="triptych.commands")]


for module in groups():
    module.register(app)


def main() -> None:
    """The entry point of the installed command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    with ending.watched():
        try:
            _run()
        except SystemExit as end:
            code = end.code
    ending.leave(code if isinstance(code, int) else 0 if code is None else 1)


def _run() -> NoReturn:
    """Run the command; ends with SystemExit."""
    if "--json" not in sys.argv:
        app(prog_name="triptych")
        sys.exit(0)
    logging.disable()  # standard error is for one JSON document
    try:
        sys.exit(app(prog_name="triptych", standalone_mode=False))
    except typer.TyperException as error:  # wrong usage, told as JSON too
        try:
            fail(True, "Usage", error.format_message(), error.exit_code)
        except typer.Exit as refused:
            sys.exit(refused.exit_code)
    except typer.Abort:
        sys.exit(1)
