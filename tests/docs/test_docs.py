"""The documentation is true: references are current, links lead somewhere, commands exist, and the README's really run."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest

from app.cli.main import main
from engine import __version__
from engine.pipeline.stages import PipelineSpec
from tests.conftest import ROOT
from tests.docs.reference import PAGES, WRITTEN, commands

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted(PAGES.glob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def fenced(page: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def lines_of_commands() -> Iterator[tuple[str, str]]:
    for page in DOCUMENTS:
        for block in fenced(page, "sh"):
            for line in block.splitlines():
                if line.startswith("triptych "):
                    yield page.name, line


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code and both streams of the command."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["triptych", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as ending:
        return int(ending.code or 0), out.getvalue(), err.getvalue()
    finally:
        sys.argv = before
    raise AssertionError("the command did not end")


@pytest.mark.parametrize("name", WRITTEN)
def test_reference_pages_are_current(name: str) -> None:
    assert (PAGES / name).read_text(encoding="utf-8") == WRITTEN[name](), "run `make docs`"


def test_every_command_has_an_example_that_is_its_own() -> None:
    named = [name for name, _ in commands()]
    assert len(named) == len(set(named)) >= 20
    for name, item in commands():
        about, found, example = (item.help or "").partition("Example: ")
        assert about.strip(), name
        assert found, name
        assert example.startswith(name), name
        for parameter in item.params:
            assert parameter.help, f"{name}: {parameter.name}"


@pytest.mark.parametrize(("page", "line"), sorted(set(lines_of_commands())))
def test_documented_commands_parse(page: str, line: str) -> None:
    code, out, err = run(
        *shlex.split(line)[1:], "--help"
    )  # wrong names of commands and options are refused before help
    assert code == 0, f"{page}: {line}\n{err}"
    assert "Usage:" in out


def test_wrong_commands_would_be_noticed() -> None:
    assert run("search", "x", "--colection", "y", "--help")[0] == 2
    assert run("serch", "--help")[0] == 2


def test_the_readmes_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    lines = [
        line
        for block in fenced(ROOT / "README.md", "sh")
        for line in block.splitlines()
        if line.startswith("triptych ")
    ]
    ran = 0
    for line in lines:
        arguments = shlex.split(line)[1:]
        if arguments[0] == "ui":
            continue
        code, out, err = run(*arguments)
        assert code == 0, f"{line}\n{err}"
        assert out.strip(), line
        ran += 1
    assert ran >= 4


def test_the_readme_starts_with_make_demo_and_the_target_exists() -> None:
    first = fenced(ROOT / "README.md", "sh")[0].splitlines()
    assert [line.split()[0] for line in first] == ["git", "make"]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = {
        target
        for page in DOCUMENTS
        for target in re.findall(r"\bmake ([a-z][a-z-]+)\b(?=[`\n]| HNSW)", page.read_text("utf-8"))
    }
    assert {"demo", "test", "docs", "lock"} <= named
    assert named <= targets


def test_ci_runs_make_test() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert script[0] == "#!/bin/sh"
    assert script[-1] == "exec make test"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if urlparse(target).scheme:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
            assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}, target


def test_every_page_is_reached_from_the_readme() -> None:
    linked = set(LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    assert {f"assets/docs/{page.name}" for page in PAGES.glob("*.md")} <= linked


@pytest.mark.parametrize("page", [page for page in DOCUMENTS if fenced(page, "yaml")], ids=lambda page: page.name)
def test_documented_pipelines_are_valid(page: Path) -> None:
    for text in fenced(page, "yaml"):
        spec = PipelineSpec.from_yaml(text)
        assert PipelineSpec.from_yaml(spec.to_yaml()) == spec


def test_the_changelog_knows_this_version() -> None:
    heads = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert heads[0] == __version__


def test_screenshots_are_small_pictures() -> None:
    for picture in (ROOT / "assets" / "screenshots").glob("*"):
        data = picture.read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n", picture
        assert len(data) < 200_000, picture
        assert struct.unpack(">I", data[16:20])[0] >= 1000, picture  # wide enough to be read
