"""A command of another package: in the help and run, with nothing written for it but its own file and an entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

COMMAND = '''
import typer
from app.cli.base import Run, command

def register(app: typer.Typer) -> None:
    command(app)(tally)

def tally(run: Run) -> None:
    """Count the collections, from outside."""
    with run.reading() as services:
        run.emit({"collections": len(services.collections())}, lambda out: out.print("counted"))
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as an installer leaves it: the module, and beside it what the package brings."""
    folder = tmp_path_factory.mktemp("outside")
    about = folder / "outside_command-1.0.dist-info"
    about.mkdir()
    (folder / "outside_command.py").write_text(COMMAND)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-command\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[triptych.commands]\ntally = outside_command\n")
    return folder


def triptych(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{place}"}
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_it_stands_in_the_help_and_runs_on_a_workspace(place: Path, tmp_path: Path) -> None:
    assert "Count the collections, from outside." in triptych(place, "--help").stdout
    workspace = ["--workspace", str(tmp_path / "w")]
    assert triptych(place, *workspace, "collections", "create", "papers").returncode == 0
    told = triptych(place, *workspace, "tally", "--json")
    assert json.loads(told.stdout) == {"collections": 1}, told.stderr


def test_without_the_package_there_is_no_such_command(tmp_path: Path) -> None:
    assert triptych(tmp_path, "tally").returncode == 2
