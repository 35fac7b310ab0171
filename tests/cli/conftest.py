"""Run the command as its users do: arguments in, exit code and both streams out."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import main
from app.verbs.services import Services


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The one JSON document on standard error."""
        return json.loads(self.err)["error"]


Cli = Callable[..., Ended]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["triptych", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ending:
            main()
        captured = capsys.readouterr()
        code = ending.value.code
        return Ended(code if isinstance(code, int) else 0 if code is None else 1, captured.out, captured.err)

    return run


PAPERS = [
    {"_id": "p1", "title": "Learned sparse retrieval", "text": "Terms get weights from a model.", "year": 2021, "venue": "SIGIR"},
    {"_id": "p2", "title": "Dense retrieval", "text": "Two encoders map texts to vectors.", "year": 2020, "venue": "EMNLP"},
    {"_id": "p3", "title": "检索 [bold]模型[/bold] " + "long " * 60, "text": "Ranking weights.", "year": 2009, "venue": "CCIR"},
    {"_id": "p4", "title": "Esc\u001b[31mape\u202e \u001b]0;owned\u0007", "text": "Hostile weights.", "year": 2009, "venue": "SIGIR"},
]  # fmt: skip


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON lines file of four documents and a line that is none."""
    file = tmp_path_factory.mktemp("papers") / "papers.jsonl"
    lines = [json.dumps(paper) for paper in PAPERS]
    file.write_text("\n".join([*lines[:2], "{not json", *lines[2:]]), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def template(papers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose collection "papers" has the index that BM25 needs, and no other."""
    folder = tmp_path_factory.mktemp("template") / "workspace"
    with Services(folder) as services:
        assert services.wait(services.add([str(papers)], "papers", index=False), 60).status == "done"
        assert services.wait(services.index("papers", services.needed_indexes(["BM25"])), 60).status == "done"
    return folder


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Where the commands of a test find or make their workspace."""
    return tmp_path / "workspace"


@pytest.fixture
def filled(template: Path, workspace: Path) -> Path:
    """A copy of the template at the place where the commands look."""
    shutil.copytree(template, workspace)
    return workspace
