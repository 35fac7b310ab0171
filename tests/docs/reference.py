"""The reference pages, written from the program itself: `make docs` renews them, a test compares them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer.main
from pydantic_core import PydanticUndefined

from engine.component import summary

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "assets" / "docs"
TITLES = {
    "rewriters": "Rewriters: before the first stage",
    "retrievers": "Retrievers: the first stage",
    "feedback": "Feedback: stages that change the query",
    "fusers": "Fusion methods: for `fuse`",
    "rerankers": "Rerankers: stages that read the first hits again",
    "calibrators": "Calibrators: stages that turn scores into probabilities",
    "selectors": "Selectors: stages that choose among the hits",
    "indexes": "Indexes: what a retriever reads",
    "indexes.structures": "Index structures: how an index is searched",
    "chunkers": "Chunkers: how long documents become passages",
    "expanders": "Expanders: what a document could also be found by",
    "metrics": "Metrics: how rankings are judged",
}


def commands() -> Iterator[tuple[str, Any]]:
    """(name with its groups, command) of every command that can be run, in the order of the help."""
    from app.cli.main import app

    pending = [("triptych", typer.main.get_command(app))]
    while pending:
        name, item = pending.pop(0)
        inner = getattr(item, "commands", None)
        if inner is None:
            yield name, item
        else:
            pending[:0] = [(f"{name} {key}", child) for key, child in inner.items()]


def exit_codes() -> list[tuple[int, str]]:
    """Every exit code with its meaning."""
    from app.cli.base import EXIT_BROKEN_PIPE, EXIT_UNEXPECTED
    from engine.errors import TriptychError

    meanings = {
        0: "It worked. Rows that were skipped are counted and listed, and do not change the code.",
        1: "Something else that you can act on; the message says what.",
        EXIT_UNEXPECTED: "A mistake in the program, told as JSON; without `--json` Python's traceback is shown and the code is 1.",
        EXIT_BROKEN_PIPE: "Nobody read the rest of the output, as in `triptych … | head`.",
    }
    pending = list(TriptychError.__subclasses__())
    for error in pending:
        pending.extend(error.__subclasses__())
        if error.__module__ == "engine.errors" and "exit_code" in vars(error):  # others share their parent's meaning
            meanings[error.exit_code] = summary(error)
    meanings[2] += " Wrong usage, too."
    meanings[130] = "Stopped with Ctrl-C, or cancelled. A running job is paused, and the message says how to go on."
    return sorted(meanings.items())


def command_line() -> str:
    """The page about the command line."""
    parts = [
        "# Command line",
        "Every command takes `--json` (one JSON document on standard output, errors as JSON on standard error, no progress) and\n"
        "`--workspace FOLDER`; both may stand before or after the command. Progress goes to standard error: a bar on a terminal,\n"
        "plain lines elsewhere. `triptych COMMAND --help` shows what follows here.",
        "## Exit codes",
        table(("code", "meaning"), [(str(code), meaning) for code, meaning in exit_codes()]),
        'An error in JSON reads `{"error": {"type": "NotFound", "message": "…", "exit_code": 3}}`.',
        "## Commands",
    ]
    for name, item in commands():
        about, _, example = (item.help or "").partition("Example: ")
        parts += [f"### `{name}`", about.strip(), f"```sh\n{example.strip()}\n```"]
        rows = [_parameter(p) for p in item.params if p.name not in ("workspace", "as_json", "help")]
        if rows:
            parts.append(table(("parameter", "what it does", "default"), rows))
    return _page(parts)


def _parameter(parameter: Any) -> tuple[str, str, str]:
    argument = parameter.param_type_name == "argument"
    metavar = parameter.metavar or ""
    annotation = parameter.type_descriptor.annotation
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    form = "|".join(choices) or metavar or {int: "NUMBER", str: "TEXT"}.get(annotation, "")
    flags = " / ".join([*parameter.opts, *parameter.secondary_opts])
    shown = metavar or parameter.name.upper() if argument else f"{flags} {form}".strip()
    default = parameter.default
    if parameter.secondary_opts and isinstance(default, bool):
        default = (parameter.opts if default else parameter.secondary_opts)[0]
    return f"`{shown}`", parameter.help or "", f"`{_plain(default)}`" if default not in (None, False, "", ()) else ""


def components() -> str:
    """The page about components and their parameters."""
    from engine.component import FAMILIES, discover
    from engine.models.family import families as model_families
    from engine.pipeline.stages import Cutoff, Fuse

    parts = [
        "# Components and their parameters",
        "What a [pipeline file](pipelines.md) may hold, and the formats that `triptych add` reads. Parameters that are left out\n"
        "have their defaults.",
        "## Stages",
    ]
    parts += [part for cls in (Fuse, Cutoff) for part in _component(cls)]
    families = [family for family in (*TITLES, *FAMILIES) if family not in ("readers", "families", "jobs")]
    for family in dict.fromkeys(families):
        known = discover(family) if family in FAMILIES else {}
        if known:
            parts.append(f"## {TITLES[family]}")
            parts += [part for cls in known.values() for part in _component(cls)]
    rows = [
        (
            f"`{name}`",
            reader.title,
            ", ".join(f"`{s}`" for s in reader.suffixes) + (", folders" if reader.folders else ""),
        )
        for name, reader in discover("readers").items()
    ]
    parts += ["## Readers: the formats", table(("reader", "format", "file names"), rows)]
    kinds = [(f"`{name}`", family.title, family.about) for name, family in model_families().items()]
    parts += ["## Model families", table(("family", "on pages", "what it is"), kinds)]
    return _page(parts)


def _component(cls: Any) -> list[str]:
    schema = cls.model_json_schema()["properties"] if cls.model_fields else {}
    rows = [
        (
            f"`{name}`",
            _type(field.annotation, schema.get(name, {})),
            _default(field),
            _sentence(field.description or ""),
        )
        for name, field in cls.model_fields.items()
    ]
    about = summary(cls)
    return [f"### `{cls.name}`", about] + (
        [table(("parameter", "values", "default", "what it does"), rows)] if rows else []
    )


def _type(annotation: Any, schema: dict[str, Any]) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    named = next((one for one in (schema, *schema.get("anyOf", ())) if "enum" in one), None)
    if named is not None:
        return ", ".join(f"`{value}`" for value in named["enum"])
    if "Stage" in str(annotation):
        return "a list of stages"
    if "Component" in str(annotation):
        return "a fusion method"
    names = {"integer": "whole number", "number": "number", "string": "text", "array": "list of numbers"}
    low, high = schema.get("minimum"), schema.get("maximum")
    bounds = (
        f" from {low:,}" * (low is not None) + f" to {high:,}" * (high is not None)
        if (low, high) != (None, None)
        else ""
    )
    return names.get(schema.get("type", ""), "value") + bounds


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or value == ():
        return ""
    return f"`{value.name if hasattr(value, 'name') and not isinstance(value, str) else _plain(value)}`"


def _plain(value: Any) -> str:
    return str(getattr(value, "value", value))


def _sentence(text: str) -> str:
    if not text.split(" ")[0].endswith(":"):
        text = text[:1].upper() + text[1:]
    return text if not text or text.endswith((".", "?")) else text + "."


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("\n", " ").replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _page(parts: list[str]) -> str:
    return "<!-- Written by `make docs`; change the program instead. -->\n\n" + "\n\n".join(parts) + "\n"


WRITTEN = {"command-line.md": command_line, "components.md": components}

if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    for name, write in WRITTEN.items():
        (PAGES / name).write_text(write(), encoding="utf-8")
