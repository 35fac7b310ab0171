"""What the program above the engine is built of, floor by floor: a room imports from lower floors only, and a page from no other page."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.ui.frame import registry
from tests.conftest import ROOT

FLOORS = ("results", "drawing", "report", "verbs", "ui.web", "ui.frame", "ui.pages", "cli")
"""From the lowest to the highest. Imports of any kind count, those in functions and for types, too."""


def room(module: str) -> str:
    """The floor of a module, or the page it belongs to; empty for what stands beside the rooms."""
    parts = module.removeprefix("app.").split(".")
    if parts[:2] == ["ui", "pages"]:
        return ".".join(parts[:3])
    return next((floor for floor in FLOORS if ".".join(parts).startswith(floor + ".")), "")


def height(name: str) -> int:
    return FLOORS.index("ui.pages" if name.startswith("ui.pages") else name)


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("app"):
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("app."))


@pytest.mark.parametrize("floor", FLOORS)
def test_a_room_imports_from_lower_floors_only(floor: str) -> None:
    files = sorted((ROOT / "app" / Path(*floor.split("."))).rglob("*.py"))
    assert files
    for path in files:
        here = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for module in imported(path):
            there = room(module + ".")
            if there and there != here:
                assert height(there) < height(here), f"{path.relative_to(ROOT)} imports {module}"


def test_every_folder_of_pages_is_found() -> None:
    folders = {path.parent.name for path in (ROOT / "app" / "ui" / "pages").glob("*/page.py")}
    assert folders == {part.name for part in registry.parts()}
    assert folders == {path.parent.name for path in (ROOT / "app" / "ui" / "pages").glob("*/actions.py")}
