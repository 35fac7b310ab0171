"""Commands and options that messages, docstrings and pages name exist: a remedy that cannot be typed is none."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from tests.conftest import ROOT
from tests.docs.reference import PAGES

COMMAND = re.compile(r"`triptych ([^`]+)`")
OPTION = re.compile(r"(?<![\w(-])--[a-z][a-z-]*[a-z]\b(?!:)")  # not a variable of a style


def texts_of(module: Path) -> Iterator[tuple[int, str]]:
    """Every string of a module with its line; what an f-string fills in reads X."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "X" for part in node.values]
            yield node.lineno, "".join(str(part) for part in parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.lineno, node.value


def texts() -> Iterator[tuple[str, str]]:
    for module in sorted([*(ROOT / "app").rglob("*.py"), *(ROOT / "engine").rglob("*.py")]):
        for line, text in texts_of(module):
            yield f"{module.relative_to(ROOT)}:{line}", text
    for page in [
        ROOT / "README.md",
        ROOT / "CHANGELOG.md",
        *sorted(PAGES.glob("*.md")),
        *sorted((ROOT / "examples").rglob("*.md")),
    ]:
        yield page.name, page.read_text(encoding="utf-8")


@cache
def root() -> Any:
    from app.cli.main import app

    return typer.main.get_command(app)


def wrong_with(line: str) -> str:
    """Why `triptych line` cannot be typed; empty when it can. A group may stand for its commands."""
    words = shlex.split(line)
    command = root()
    while words and (inner := getattr(command, "commands", None)) and words[0] in inner:
        command = inner[words.pop(0)]
    if getattr(command, "commands", None):
        return f"there is no command {words[0]!r}" if words and re.match(r"[a-z]", words[0]) else ""
    known = {option for item in command.params for option in item.opts + item.secondary_opts} | {"--help", "-h"}
    unknown = [word for word in words if word.startswith("-") and word.split("=")[0] not in known]
    return f"{command.name} has no option {unknown[0]}" if unknown else ""


def every_option() -> set[str]:
    pending, found = [root()], {"--help"}
    while pending:
        item = pending.pop()
        pending += getattr(item, "commands", {}).values()
        found |= {option for one in item.params for option in one.opts + one.secondary_opts}
    return found


def test_named_commands_can_be_typed() -> None:
    named = [(place, line) for place, text in texts() for line in COMMAND.findall(text)]
    assert len(named) > 50
    wrong = {f"{place}: {line}": said for place, line in named if (said := wrong_with(line))}
    assert wrong == {}


def test_named_options_exist() -> None:
    known = every_option()
    named = [(place, name) for place, text in texts() if not place.endswith(".md") for name in OPTION.findall(text)]
    assert len(named) > 20
    assert {f"{place}: {name}" for place, name in named if name not in known} == set()


def test_wrong_names_would_be_noticed() -> None:
    assert wrong_with("serch x") == "there is no command 'serch'"
    assert wrong_with("models get x") == "there is no command 'get'"
    assert wrong_with("add x --colection y") == "add has no option --colection"
    assert wrong_with("models add ./my-model --replace") == ""
    assert wrong_with("models") == ""
    assert wrong_with("--help") == ""
