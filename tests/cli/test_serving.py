"""`triptych demo` and `ui`: what they make ready, and that they answer on this computer and stop when told."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from app.verbs.example import EXAMPLE
from app.verbs.services import Services
from engine.workspace.creation import SERVER
from tests.cli.conftest import Cli
from tests.conftest import ROOT

PIPELINE = "name: Example\npipeline:\n- bm25: {k: 5}\n"


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small stand-in for the bundled examples."""
    from engine.models import paths

    folder = tmp_path / "examples"
    corpus = folder / "retrieval-papers" / "corpus.jsonl"
    corpus.parent.mkdir(parents=True)
    corpus.write_text('{"_id": "a", "title": "Fusion", "text": "Lists are merged."}\n', encoding="utf-8")
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / "example.yaml").write_text(PIPELINE, encoding="utf-8")
    bundled = paths.bundled_folder
    monkeypatch.setattr(paths, "bundled_folder", lambda name: folder if name == "examples" else bundled(name))
    return folder


def test_the_demo_makes_everything_ready_once(cli: Cli, examples: Path, workspace: Path) -> None:
    first = cli("demo", "--no-serve", "--json")
    assert (first.code, first.data["name"], first.data["documents"], first.data["state"]) == (0, EXAMPLE, 1, "ready")
    assert [
        card["doc_id"] for card in cli("search", "merged lists", "--pipeline", "Example", "--json").data["cards"]
    ] == ["a"]
    jobs = cli("jobs", "list", "--json").data["jobs"]
    assert cli("demo", "--no-serve").out == f"{EXAMPLE}: 1 document, ready.\n"
    assert cli("jobs", "list", "--json").data["jobs"] == jobs


def test_the_demo_goes_on_where_it_was_cut_off_and_keeps_what_the_user_changed(
    cli: Cli, examples: Path, workspace: Path
) -> None:
    with Services(workspace) as services:
        services.save_pipeline("Example", "pipeline:\n- bm25: {k: 7}\n")
        services.wait(services.add([str(examples / "retrieval-papers")], EXAMPLE, index=False), 60)
        assert services.collection(EXAMPLE).state == "unindexed"
    assert cli("demo", "--no-serve", "--json").data["state"] == "ready"
    assert "k: 7" in cli("pipelines", "show", "Example").out


def test_serving_other_computers_needs_to_be_said_and_a_password(
    cli: Cli, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRIPTYCH_PASSWORD", raising=False)
    assert "LAN" in cli("ui", "--host", "0.0.0.0", "--no-browser", "--json").error["message"]
    assert "TRIPTYCH_PASSWORD" in cli("ui", "--lan", "--host", "0.0.0.0", "--no-browser", "--json").error["message"]
    monkeypatch.setenv("TRIPTYCH_PASSWORD", "short")
    assert "8 characters" in cli("ui", "--lan", "--host", "0.0.0.0", "--no-browser", "--json").error["message"]


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")
def test_the_interface_answers_on_loopback_and_stops_on_control_c(filled: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from app.cli.main import main\nmain()",
        "ui",
        "--no-browser",
        "--json",
        "-w",
        str(filled),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as child:
        try:
            assert child.stdout is not None
            told = json.loads("".join(child.stdout.readline() for _ in range(5)))
            assert (told["workspace"], told["pid"]) == (str(filled), child.pid)
            assert told["address"].startswith("http://127.0.0.1:")
            kept = filled / SERVER
            assert stat.S_IMODE(kept.stat().st_mode) == 0o600
            found = json.loads(kept.read_text())
            assert (found["pid"], f"{found['address']}/?token={found['token']}") == (child.pid, told["address"])
            with pytest.raises(urllib.error.HTTPError, match="401"):
                urllib.request.urlopen(found["address"], timeout=30)
            opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with opener.open(told["address"], timeout=30) as answer:
                assert (answer.status, answer.url) == (200, f"{found['address']}/")
                assert b"Triptych" in answer.read()
        finally:
            child.send_signal(signal.SIGINT)
            _, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert not (filled / SERVER).exists(), "removed at an orderly end"
