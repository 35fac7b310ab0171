"""The list of what holds names tests that exist, one for each of its points."""

from __future__ import annotations

import ast
import re

from tests.conftest import ROOT

PAGE = (ROOT / "assets" / "docs" / "safety.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`([a-z_]+/[a-z_]+\.py)::(test_\w+)`")


def test_every_test_that_the_page_names_is_there() -> None:
    named = NAMED.findall(PAGE)
    assert len(named) > 70
    for file, name in named:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def test_every_point_names_a_test() -> None:
    points = {int(number): NAMED.findall(line) for number, line in re.findall(r"^\| (\d+) \|(.*)$", PAGE, re.M)}
    assert sorted(points) == list(range(1, 57))
    assert all(points.values())
