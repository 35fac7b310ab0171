"""`triptych models` as its users call it: listed, shown, added, removed; nothing written on a dry run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.encoders.tiny import write_model


def test_the_catalogue_is_listed_without_a_workspace(cli: Cli, tmp_path: Path) -> None:
    listed = cli("models", "list", "--json").data["models"]
    assert {view["state"] for view in listed} == {"bundled", "available"}
    assert {view["family"] for view in listed} == {"dense", "sparse", "late", "cross"}
    assert not (tmp_path / "workspace").exists()
    rerankers = cli("models", "list", "--family", "cross", "--state", "available", "MIT", "--json").data["models"]
    assert [view["name"] for view in rerankers] == ["bge-reranker-base"]
    assert "cannot be run here" in cli("models", "list", "mxbai").out
    assert "No model" in cli("models", "list", "zzz").out


def test_a_model_is_shown(cli: Cli) -> None:
    shown = cli("models", "show", "baai/bge-small-en-v1.5").out
    assert "before queries: 'Represent this sentence for searching relevant passages: '" in shown
    assert cli("models", "show", "nope").code == 3


def test_a_folder_is_added_used_and_removed(cli: Cli, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "colors", similarity="cosine")
    plan = cli("models", "add", folder, "--dry-run", "--json").data["plan"]
    assert (plan["name"], plan["how"], plan["ready"]) == ("colors", "copy", True)
    assert not (tmp_path / "workspace").exists()
    ended = cli("models", "add", folder)
    assert ended.code == 0
    assert "Added colors: dense, 2 dimensions" in ended.out
    assert "pipelines: colors, BM25 + colors" in ended.out
    (tmp_path / "words.jsonl").write_text('{"_id": "1", "text": "red"}\n{"_id": "2", "text": "green"}\n')
    assert cli("add", tmp_path / "words.jsonl", "--collection", "words").code == 0
    # Adding documents does not encode them with every model that was ever added: that is for whoever asks.
    assert cli("search", "green", "--pipeline", "colors").code == 9
    assert cli("index", "--pipeline", "colors").code == 0
    hits = cli("search", "green", "--pipeline", "colors", "--json").data
    assert "2" in str(hits)
    assert cli("models", "show", "colors", "--json").data["model"]["used_by"] == ["words"]
    told = cli("models", "remove", "colors", "--dry-run").out
    assert "--force" in told
    assert "words" in told
    assert cli("models", "remove", "colors", "--json").error["exit_code"] == 2
    assert cli("models", "remove", "colors", "--force").code == 0
    assert cli("models", "remove", "colors").code == 3
    assert cli("search", "green", "--pipeline", "colors").code == 3


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("nope", 2, "not in the catalogue"),
        ("./nope", 2, "no folder"),
        ("mxbai-rerank-base-v2", 2, "cannot be added"),
        ("../../etc/passwd", 2, "no folder"),
        ("a/b/c", 2, "OWNER/NAME"),
    ],
)
def test_sources_that_are_none_are_refused_at_once(cli: Cli, source: str, code: int, said: str) -> None:
    ended = cli("models", "add", source, "--json")
    assert (ended.code, ended.error["exit_code"]) == (code, code)
    assert said in ended.error["message"]


def test_bundled_models_stay(cli: Cli, tmp_path: Path) -> None:
    write_model(tmp_path / "colors")
    assert cli("models", "add", tmp_path / "colors").code == 0
    assert "comes with the program" in cli("models", "remove", "all-MiniLM-L6-v2", "--json").error["message"]
