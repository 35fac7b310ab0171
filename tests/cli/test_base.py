"""The pieces that every command stands on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.cli.base import assignments, default_workspace, printable, to_json
from app.cli.search import parse_filters
from app.results.search import Piece
from engine import __version__
from engine.errors import BadInput
from tests.cli.conftest import Cli
from tests.conftest import ROOT

HEAVY = ("gradio", "torch", "duckdb", "polars", "numpy", "onnxruntime", "hnswlib", "tokenizers", "fastapi")


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["search", "--help"], ["jobs", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom app.cli.main import main\nsys.argv[0] = 'triptych'\n"
        f"try:\n    main()\nfinally:\n    print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    ended = python(code, *arguments)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "LOADED []"


def test_the_engine_loads_neither_the_interface_nor_torch() -> None:
    code = (
        "import sys, pkgutil, importlib, engine\n"
        "for module in pkgutil.walk_packages(engine.__path__, 'engine.'):\n"
        # These hold torch modules; only trainers and exports, which have torch, import them.
        "    if module.name not in ('engine.export.pair.model', 'engine.export.pair.passes'): importlib.import_module(module.name)\n"
        "heavy = ('gradio', 'torch', 'sentence_transformers', 'onnxruntime', 'hnswlib', 'onnx')\n"
        "print([name for name in heavy if name in sys.modules], any(name.split('.')[0] == 'app' for name in sys.modules))"
    )
    ended = python(code)
    assert ended.stdout.strip() == "[] False", ended.stdout + ended.stderr


def test_the_version_is_the_packages(cli: Cli) -> None:
    assert cli("--version").out == f"triptych {__version__}\n"


def test_the_entry_point_exists() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert scripts == {"triptych": "app.cli.main:main"}


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")
def test_control_c_during_a_search_ends_with_130(filled: Path) -> None:
    code = (
        "import time\nfrom app.verbs import services\n"
        "def slow(self, *a, **k):\n    print('searching', flush=True)\n    time.sleep(30)\n"
        "services.Services.search = slow\nfrom app.cli.main import main\nmain()"
    )
    command = [sys.executable, "-c", code, "search", "x", "--workspace", str(filled)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "searching\n"
        child.send_signal(signal.SIGINT)
        _, told = child.communicate(timeout=20)
    assert (child.returncode, told) == (130, "Stopped.\n")


@pytest.mark.skipif(os.name != "posix", reason="a closed pipe is reported otherwise elsewhere")
@pytest.mark.parametrize("form", [["--json"], []], ids=["json", "table"])
def test_a_closed_pipe_ends_quietly(form: list[str], filled: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "from app.cli.main import main\nmain()"
    command = [sys.executable, "-c", code, "search", "weights", "-p", "BM25", *form, "-w", str(filled)]
    try:
        ended = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_the_workspace_is_where_the_system_keeps_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_WORKSPACE", "~/mine")
    assert default_workspace() == Path.home() / "mine"
    monkeypatch.delenv("TRIPTYCH_WORKSPACE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_workspace() == Path("/data/triptych")
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_workspace() == Path.home() / ".local" / "share" / "triptych"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_workspace() == Path.home() / "Library" / "Application Support" / "triptych"


def test_filters_are_read_as_written() -> None:
    assert parse_filters(["year=2010..2020", "venue=SIGIR", "venue=A, B = C"]) == {
        "year": [2010, 2020],
        "venue": ["SIGIR", "A, B = C"],
    }
    assert parse_filters(["year=1999", "metadata.topic=fusion"]) == {"year": [1999, 1999], "metadata.topic": ["fusion"]}
    for wrong in (["year=1999", "year=2000"], ["year=1999-2000"], ["=x"], ["venue="], ["year=20000"]):
        with pytest.raises(BadInput):
            parse_filters(wrong)


def test_assignments_keep_everything_after_the_first_equals_sign() -> None:
    assert assignments(["title=Titel = Name"], "--column") == [("title", "Titel = Name")]


@given(st.text())
def test_printed_text_holds_nothing_that_steers_a_terminal(text: str) -> None:
    shown = printable(text)
    assert all(c == " " or c.isprintable() or ord(c) > 0x9F for c in shown)
    assert not any("\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069" for c in shown)
    assert "\n" not in shown
    assert printable(shown) == shown
    shown.encode("utf-8")


def test_printed_text_keeps_what_people_write() -> None:
    assert printable("  Ünïcode 检索 עברית\tmodel\r\nnext ") == "Ünïcode 检索 עברית model next"


def test_json_holds_results_and_no_number_that_json_lacks() -> None:
    values = {"piece": Piece("é", "lexical"), "numbers": (1, 2.5, float("nan"), float("inf")), "path": Path("/a")}
    assert json.loads(to_json(values)) == {
        "piece": {"text": "é", "mark": "lexical"},
        "numbers": [1, 2.5, None, None],
        "path": "/a",
    }


def test_an_unexpected_failure_is_json_too(cli: Cli, filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("app.verbs.services.Services.search", broken)
    ended = cli("search", "x", "--json")
    assert (ended.code, ended.error["type"], ended.error["message"]) == (70, "Unexpected", "ZeroDivisionError: oops")


def test_a_folder_of_other_files_is_left_alone_and_adopted_only_when_asked(cli: Cli, tmp_path: Path) -> None:
    paper, folder = tmp_path / "paper.txt", tmp_path / "W"
    paper.write_text("A paper on retrieval.")
    notes = [folder / "indexes" / "my-index" / "a.bin", folder / "tmp-notes" / "b.txt"]
    for path in notes:
        path.parent.mkdir(parents=True)
        path.write_text("mine")
    refused = cli("-w", folder, "add", paper, "-c", "c", "--no-index")
    assert refused.code == 2
    assert "holds other files ('indexes', 'tmp-notes') and is no workspace" in refused.err
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == notes

    beside = tmp_path / "beside"
    beside.mkdir()
    (beside / "tmp-notes").write_text("mine")
    assert cli("-w", beside, "add", paper, "-c", "c", "--no-index").code == 2
    assert cli("--adopt", "-w", beside, "add", paper, "-c", "c", "--no-index").code == 0
    (beside / "indexes" / "my-index").mkdir(parents=True)
    (beside / "indexes" / "my-index" / "a.bin").write_text("mine")
    for _ in range(2):
        assert cli("-w", beside, "add", paper, "-c", "c", "--no-index").code == 0
    assert (beside / "tmp-notes").read_text() == (beside / "indexes" / "my-index" / "a.bin").read_text() == "mine"
    assert "Triptych did not make: indexes/my-index" in cli("-w", beside, "doctor").out
