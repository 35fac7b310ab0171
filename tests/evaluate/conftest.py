"""A workspace with judged questions, copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.verbs.services import Services
from tests.evaluate.papers import fill


@pytest.fixture(scope="session")
def judged_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judged") / "workspace"
    fill(folder)
    return folder


@pytest.fixture
def services(judged_template: Path, tmp_path: Path) -> Iterator[Services]:
    """The services on a copy of the workspace with judged questions."""
    shutil.copytree(judged_template, tmp_path / "own")
    with Services(tmp_path / "own") as opened:
        yield opened
