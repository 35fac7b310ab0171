"""Scripts and style sheets say nothing about what is not there: every action, handler and class that they name is emitted."""

from __future__ import annotations

import json
import re
from functools import cache
from html import unescape

import pytest

from app.ui.frame.site import ASPECTS, site
from tests.conftest import ROOT

ALL = site().actions
ASSETS = ROOT / "assets" / "ui"
SHEETS = sorted(path.name for path in ASSETS.glob("*.css"))
OF_GRADIO = {"gradio-container", "html-container", "loading", "main", "wrap", "default"}
"""Classes of the page that Gradio puts around ours."""
LOCAL = {"copy-link", "copy-text", "next", "previous", "grade"}
"""Actions that the script does by itself, or turns into others."""


@cache
def scripts() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(ASSETS.glob("*.js")))


@cache
def sources() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "app").rglob("*.py")))


def emitted(name: str) -> bool:
    """Whether a class is written anywhere as it is, or begins like one that is put together ("job-{status}", "s${slot}")."""
    if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", sources() + scripts()):
        return True
    made = re.findall(r"(?<![\w-])([a-z]+(?:-[a-z]+)*-?)\$?\{", sources() + scripts())
    return any(name.startswith(start) and (start[-1] == "-" or name[len(start) :].isdigit()) for start in made)


def classes(sheet: str) -> set[str]:
    text = re.sub(r"/\*.*?\*/|url\([^)]*\)|\"[^\"]*\"", "", sheet, flags=re.S)
    selectors = re.findall(r"([^{};]+)\{", text)
    return {name for selector in selectors for name in re.findall(r"\.(-?[a-zA-Z][\w-]*)", selector)}


@pytest.mark.parametrize("sheet", SHEETS)
def test_every_class_of_a_sheet_is_emitted(sheet: str) -> None:
    named = classes((ASSETS / sheet).read_text(encoding="utf-8"))
    assert named
    assert {name for name in named - OF_GRADIO if not emitted(name)} == set()


def test_a_class_of_nothing_would_be_noticed() -> None:
    assert classes(".a.b-c > .d:hover, #e { x: 0.5s } @media (min-width: 3.5px) { .f { y: 1 } }") == {
        "a",
        "b-c",
        "d",
        "f",
    }
    assert emitted("slot-2")
    assert not emitted("no-such-class")


def test_every_action_that_the_scripts_know_exists() -> None:
    known = json.loads(unescape(re.search(r'data-known="([^"]*)"', site().html).group(1)))  # type: ignore[union-attr]
    named = {name for kind in known["actions"].values() for name in kind}
    called = set(re.findall(r"\bcall\('([a-z-]+)'", scripts()))
    assert len(named) > 20
    assert "open" in called
    assert (named | called) - set(ALL) == set()


def test_the_script_reads_every_kind_of_action_that_it_is_told_of() -> None:
    assert all(f"{kind}.has(action)" in scripts() for kind in ASPECTS)


def test_every_action_that_the_pages_emit_is_answered() -> None:
    emitted_here = set(re.findall(r"data_(?:action|change|input|upload)=\"([a-z][a-z-]*)\"", sources()))
    assert len(emitted_here) > 30
    assert emitted_here - set(ALL) - LOCAL == set()


def test_what_the_script_does_by_itself_is_asked_for_somewhere() -> None:
    defined = set(re.findall(r"\blocal(?:\.|\[')([a-z-]+)", scripts()))
    asked = set(re.findall(r"data_local=\"([a-z-]+)\"", sources()))
    assert defined == asked
