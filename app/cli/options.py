"""Options and ways of answering that several commands share."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.base import EXIT_INTERRUPTED, Run, console, fail, printable
from app.presets import EVALUATED
from engine.errors import BadInput

if TYPE_CHECKING:
    from app.verbs.services import Services
    from engine.types import Progress

LINE_SECONDS = 5.0

SetOption = Annotated[str, typer.Option("--queries", "-q", metavar="SET", help="The query set.")]
PipelinesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--pipeline",
        "-p",
        metavar="NAME|FILE",
        help=f"A pipeline by name, or a YAML file. May be given again. Default: {', '.join(EVALUATED)}.",
    ),
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here instead of standard output.")
]


def chosen_pipelines(
    services: Services, written: Sequence[str] | None, *, default: bool
) -> list[str | tuple[str, str]]:
    """Names of pipelines, or (name, YAML) of files. Raises BadInput on a file that cannot be read."""
    known = {view.name for view in services.pipelines()}
    asked: list[str | tuple[str, str]] = []
    for one in written or (EVALUATED if default else ()):
        path = Path(one)
        if one in known or path.suffix.lower() not in (".yaml", ".yml"):
            asked.append(one)
            continue
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise BadInput(f"{one} does not exist. Check the spelling.") from None
        except UnicodeDecodeError:
            raise BadInput(f"{one} is not UTF-8 text.") from None
        asked.append((services.check_pipeline(text).name or path.stem, text))
    return asked


def deliver(run: Run, form: str, text: str, output: Path | None) -> None:
    """Write text to a file, or print it; in JSON it is a member of the document."""
    if output is not None:
        with output.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
        run.emit(
            {"format": form, "file": output, "characters": len(text)},
            lambda out: out.print(printable(f"Wrote {output}."), soft_wrap=True),
        )
    elif run.as_json:
        run.emit({"format": form, "text": text}, lambda out: None)
    else:
        sys.stdout.write(text)


@contextmanager
def query_progress(run: Run) -> Iterator[Callable[[Progress], None]]:
    """A bar on a terminal, a line now and then elsewhere, nothing in JSON mode. Ctrl-C ends the command with 130 and says how to go on."""
    try:
        if run.as_json:
            yield lambda step: None
        elif sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("queries"), TimeRemainingColumn())
            with Bar(*columns, console=console(sys.stderr), transient=True) as bar:
                task = bar.add_task("", total=None)
                yield lambda step: bar.update(task, completed=step.done, total=step.total)
        else:
            yield _Lines()
    except KeyboardInterrupt:
        message = "Stopped; the queries that are finished are kept. Give the same command again to go on."
        fail(run.as_json, "Interrupted", message, EXIT_INTERRUPTED)


class _Lines:
    """A line every few seconds."""

    def __init__(self) -> None:
        self.at = time.monotonic()

    def __call__(self, step: Progress) -> None:
        now = time.monotonic()
        if now - self.at >= LINE_SECONDS:
            self.at = now
            total = "" if step.total is None else f" of {step.total:,}"
            print(f"{step.phase or 'waiting'}: {step.done:,}{total} {step.unit}", file=sys.stderr, flush=True)
