"""What every command shares: the workspace it acts on, its output as text or JSON, and how it ends."""

from __future__ import annotations

import functools
import inspect
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from engine.errors import BadInput, NotFound, TriptychError
from engine.system import ending

if TYPE_CHECKING:
    from rich.console import Console

    from app.verbs.services import Services

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
EXIT_UNEXPECTED = 70
DATABASE = "triptych.duckdb"

WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        "-w",
        metavar="FOLDER",
        help="The workspace; else TRIPTYCH_WORKSPACE, else the user's data folder.",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document on standard output, and errors as JSON on standard error."),
]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HOST",
        help="Ask this host although its address is link-local or a cloud's metadata service; may be given several times.",
    ),
]
CollectionOption = Annotated[
    str | None,
    typer.Option("--collection", "-c", metavar="NAME", help="The collection; not needed where there is only one."),
]


def default_workspace() -> Path:
    """TRIPTYCH_WORKSPACE, else `triptych` in the folder where this system keeps a user's data."""
    named = os.environ.get("TRIPTYCH_WORKSPACE")
    if named:
        return Path(named).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "triptych"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "triptych"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "triptych"


@dataclass(frozen=True)
class Run:
    """One run of one command."""

    folder: Path
    as_json: bool
    adopt: bool = False

    @contextmanager
    def reading(self) -> Iterator[Services]:
        """The services on an existing workspace, without the right to change it. Raises NotFound where there is none."""
        if not (self.folder / DATABASE).exists():
            raise NotFound(
                f"There is no workspace in {self.folder}. Start one with `triptych add PATH --collection NAME` or `triptych demo`, "
                "or name another with --workspace."
            )
        with _services()(self.folder, read_only=True) as services:
            yield services

    @contextmanager
    def writing(self) -> Iterator[Services]:
        """The services on the workspace, which is made if absent."""
        if self.adopt:
            from engine.workspace.workspace import Workspace

            Workspace.open(self.folder, adopt=True).close()
        with _services()(self.folder) as services:
            self.notify(*services.workspace().notices)
            yield services

    def keeping(self) -> AbstractContextManager[Services]:
        """The services on an existing workspace: writing, so that what is found is kept, where its folder can be written."""
        there = (self.folder / DATABASE).exists()
        return self.writing() if there and os.access(self.folder, os.W_OK) else self.reading()

    def emit(self, data: Any, show: Callable[[Console], None]) -> None:
        """Print the result: as one JSON document, or as `show` draws it."""
        if self.as_json:
            print(to_json(data))
        else:
            show(console(sys.stdout))

    def notify(self, *sentences: str) -> None:
        """Tell a person something beside the result; nothing in JSON mode, where standard error is for errors only."""
        if not self.as_json:
            for sentence in sentences:
                print(printable(sentence), file=sys.stderr)


def _services() -> type[Services]:
    from app.verbs.services import Services

    return Services


def the_collection(services: Services, name: str | None) -> str:
    """The named collection, or the only one. Raises NotFound without any, and BadInput where the choice is open."""
    if name is not None:
        return services.collection(name).name
    names = [view.name for view in services.collections()]
    if len(names) == 1:
        return names[0]
    if not names:
        raise NotFound(
            "The workspace holds no collection yet. Add documents with `triptych add PATH --collection NAME`."
        )
    raise BadInput(f"Which collection? Choose one with --collection: {', '.join(names)}.")


def command(group: typer.Typer, name: str | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register `function(run, …)` as a command. It gains --workspace and --json, and errors become exit codes."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        own = [p for key, p in signature.parameters.items() if key != "run"]
        added = {"context": typer.Context, "workspace": WorkspaceOption, "as_json": JsonOption}
        defaults = {"context": inspect.Parameter.empty, "workspace": None, "as_json": False}
        keyword = inspect.Parameter.KEYWORD_ONLY
        extra = [inspect.Parameter(key, keyword, annotation=hint, default=defaults[key]) for key, hint in added.items()]

        @functools.wraps(function)
        def wrapper(context: typer.Context, workspace: Path | None, as_json: bool, **values: Any) -> None:
            shared = context.find_root().obj or {}
            folder = workspace or shared.get("workspace") or default_workspace()
            guarded(
                Run(folder.expanduser(), as_json or bool(shared.get("json")), bool(shared.get("adopt"))),
                functools.partial(function, **values),
            )

        parameters = [p.replace(kind=keyword) for p in own] + extra
        wrapper.__signature__ = signature.replace(parameters=parameters, return_annotation=None)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        del wrapper.__wrapped__
        group.command(name)(wrapper)
        return function

    return register


def guarded(run: Run, function: Callable[[Run], None]) -> None:
    """Run a command; end the process with the exit code of what went wrong, if anything did."""
    try:
        function(run)
        sys.stdout.flush()
    except (typer.Exit, typer.Abort):
        raise
    except TriptychError as error:
        fail(run.as_json, type(error).__name__, str(error), error.exit_code)
    except KeyboardInterrupt:
        fail(run.as_json, "Interrupted", "Stopped.", EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(EXIT_BROKEN_PIPE) from None
    except OSError as error:
        fail(run.as_json, "SystemError", f"{error.filename or 'The system'}: {error.strerror or error}.", 1)
    except Exception as error:
        if ending.number():  # a signal that a query turned into an error of its own
            raise SystemExit(128 + ending.number()) from error
        if not run.as_json:
            raise
        fail(True, "Unexpected", f"{type(error).__name__}: {error}", EXIT_UNEXPECTED)


def fail(as_json: bool, kind: str, message: str, code: int) -> NoReturn:
    """Say what went wrong on standard error and end with `code`."""
    if as_json:
        print(to_json({"error": {"type": kind, "message": message, "exit_code": code}}), file=sys.stderr)
    else:
        print(f"{'' if kind == 'Interrupted' else 'Error: '}{printable(message)}", file=sys.stderr)
    raise typer.Exit(code)


def to_json(data: Any) -> str:
    """JSON of plain values and result dataclasses; numbers that JSON cannot hold become null."""
    ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    return json.dumps(_plain(data), ensure_ascii=ascii_only, indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | type(None)) else str(value)


def printable(text: Any) -> str:
    """Text that cannot move the cursor, color the terminal or turn the reading direction: control and override characters go, white space becomes single spaces."""
    return " ".join("".join(c for c in str(text) if not _hidden(c)).split())


def _hidden(character: str) -> bool:
    code = ord(character)
    control = (code < 32 and not character.isspace()) or code == 127 or 0x80 <= code <= 0x9F
    return control or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069 or 0xD800 <= code <= 0xDFFF


def console(stream: Any) -> Console:
    """A rich console that takes text literally. Where no terminal says how wide it is, lines are long rather than cut."""
    from rich.console import Console

    class Told(Console):
        def on_broken_pipe(self) -> None:
            """Rich would end the process with 1; the exit code is ours to choose."""
            raise BrokenPipeError

    width = None if stream.isatty() or os.environ.get("COLUMNS") else 160
    return Told(file=stream, width=width, highlight=False, markup=False, emoji=False)


def assignments(pairs: Sequence[str], option: str) -> list[tuple[str, str]]:
    """`name=value` arguments as pairs. Raises BadInput that shows the form."""
    parsed = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise BadInput(f"{option} is written {option} NAME=VALUE; got {pair!r}.")
        parsed.append((name.strip(), value.strip()))
    return parsed
