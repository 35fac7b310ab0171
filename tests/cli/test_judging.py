"""`triptych judging`, `runs`, `blind`, and what lies behind an evaluation, as their users give them."""

from __future__ import annotations

import csv
import io
import shlex
from pathlib import Path

import pytest

from app.verbs.services import Services
from engine.fusers import fit_lambdamart
from tests.cli.conftest import Cli

QUERIES = '{"_id": "1", "text": "learned sparse"}\n{"_id": "2", "text": "dense"}\n{"_id": "3", "text": "weights"}\n'


@pytest.fixture
def judged(filled: Path, cli: Cli, tmp_path: Path) -> Path:
    """The collection "papers" with three queries, two of them judged, and a pipeline "cut" that gives one document."""
    (tmp_path / "queries.jsonl").write_text(QUERIES)
    (tmp_path / "qrels.txt").write_text("1 0 p1 2\n2 0 p2 1\n2 0 p1 0\n")
    (tmp_path / "cut.yaml").write_text("name: =cut\npipeline:\n- bm25: {k: 1000}\n- cutoff: {k: 1}\n")
    with Services(filled) as services:
        services.import_queries("papers", tmp_path / "queries.jsonl")
        services.import_judgments("papers", tmp_path / "qrels.txt")
    return filled


def test_a_queue_is_judged_from_start_to_end(judged: Path, cli: Cli, tmp_path: Path) -> None:
    started = cli("judging", "start", "-p", "BM25", "-p", tmp_path / "cut.yaml", "--order", "pool", "--json")
    queue, total = started.data["queue_id"], started.data["total"]
    assert total >= 2
    item = cli("judging", "next", queue[:8], "--json").data["item"]
    assert (item["position"], item["rating"]) == (0, None)
    assert "1 judged" in cli("judging", "rate", queue[:8], 0, 3, "--note", "yes").out
    assert "1 skipped" in cli("judging", "skip", queue[:8], 1).out
    assert f"1 of {total:,} judged, 1 skipped (ready)" in cli("judging", "list").out
    assert cli("judging", "undo").out.startswith("Undid: skip ")
    assert "the latest counts" in cli("judging", "agreement").out or "differ nowhere" in cli("judging", "agreement").out
    assert cli("judging", "rule", "majority").code == 0
    assert cli("judgments", "export", "--format", "log").out.count("\n") == 3
    assert cli("judging", "next", "zzz").code == 2
    assert cli("judging", "delete", queue[:8]).code == 0


def test_a_run_is_kept_evaluated_and_let_go(judged: Path, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "other.run"
    file.write_text("1 Q0 p2 1 5 x\n1 Q0 p1 2 4 x\n2 Q0 p2 1 1 x\n9 Q0 gone 1 1 x\n")
    kept = cli("runs", "import", file, "--name", "Theirs")
    assert (kept.out, kept.err) == (
        "Kept Theirs: 4 hits of 3 queries.\n", "1 of its documents are not in the collection.\n"
    )  # fmt: skip
    assert "from other.run" in cli("runs", "list").out
    view = cli("evaluate", "-p", "BM25", "--run", "Theirs", "-m", "RR", "--json").data["evaluation"]
    assert [(one["name"], one["imported"], one["cells"][0]["mean"]) for one in view["pipelines"]] == [
        ("BM25", False, 1.0), ("Theirs", True, 0.75)
    ]  # fmt: skip
    assert cli("runs", "delete", "Theirs").code == 0
    assert cli("evaluate", "--run", "Theirs").code == 3
    shown = cli("evaluations", "show", view["evaluation_id"][:6], "--json").data["evaluation"]
    assert shown["pipelines"][1]["cells"][0]["mean"] == 0.75, "the evaluation keeps its own copy"


def test_a_row_is_reproduced_by_the_command_that_it_names(judged: Path, cli: Cli, tmp_path: Path) -> None:
    view = cli("evaluate", "-p", "BM25", "-p", tmp_path / "cut.yaml", "-m", "RR", "-m", "P@2", "--json").data[
        "evaluation"
    ]
    command = view["pipelines"][1]["command"]
    assert command.startswith("triptych evaluations reproduce ")
    again = cli(*shlex.split(command)[1:])
    assert again.code == 0, again.err
    assert again.out.endswith("Reproduced.\n")
    with Services(judged) as services:
        services.engine.workspace.database.execute("test", "UPDATE evaluation_values SET value = 0.25")
    different = cli(*shlex.split(view["command"])[1:])
    assert different.code == 1
    assert different.out.endswith("Not the same.\n")


def test_tables_leave_in_every_form(judged: Path, cli: Cli, tmp_path: Path) -> None:
    view = cli("evaluate", "-p", "BM25", "-p", tmp_path / "cut.yaml", "-m", "RR", "--json").data["evaluation"]
    name = view["evaluation_id"][:8]
    rows = list(csv.reader(io.StringIO(cli("evaluations", "export", name, "--table", "queries").out)))
    assert rows[0] == ["qid", "query", "BM25", "'=cut"]
    assert rows[1] == ["1", "learned sparse", "1.0", "1.0"]
    markdown = cli("evaluations", "export", name, "--format", "markdown").out.splitlines()
    assert markdown[0].startswith("| pipeline | RR | failed |")
    assert markdown[2].startswith("| BM25 | 1.0000 | 0 |")
    latex = cli("evaluations", "export", name, "--format", "latex").out
    assert latex.startswith("\\begin{tabular}{lrrrrr}\npipeline & RR & failed & Judged@10 & p50\\_ms & p95\\_ms \\\\\n")
    out = tmp_path / "table.parquet"
    assert cli("evaluations", "export", name, "--format", "parquet", "--output", out).code == 0
    assert out.read_bytes()[:4] == b"PAR1"
    assert cli("evaluations", "export", name, "--format", "parquet").code == 2


def test_verdicts_and_changes_are_told(judged: Path, cli: Cli, tmp_path: Path) -> None:
    ids = [
        cli("evaluate", "-p", "BM25", "-p", tmp_path / "cut.yaml", "-m", "P@2", *more, "--json").data["evaluation"]["evaluation_id"]
        for more in ((), ("--depth", 5))
    ]  # fmt: skip
    told = cli("evaluations", "verdicts", ids[0][:8]).out
    assert "=cut minus BM25, P@2:" in told
    changes = cli("evaluations", "changes", ids[0][:8], ids[1][:8]).out
    assert "depth: 1000 → 5" in changes
    assert "BM25, P@2: 0.500 → 0.500" in changes


def test_trees_are_fitted_and_compared_with_weights(
    judged: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lightgbm", reason="lightgbm is an optional extra")
    monkeypatch.setitem(fit_lambdamart.SETTINGS, "min_data_in_leaf", 1)  # the fixture's lists are short
    arguments = (
        "pipelines",
        "fit",
        "-p",
        "BM25",
        "-p",
        tmp_path / "cut.yaml",
        "-m",
        "RR",
        "--folds",
        2,
        "--lambdamart",
    )
    told = cli(*arguments, "--save", "Trees").out
    assert "BM25: RR " in told
    assert "; weighted sum " in told
    assert "weight 0" not in told, "trees have no weights"
    assert told.endswith("Saved as Trees.\n")
    assert "lambdamart:" in cli("pipelines", "show", "Trees").out


def test_weights_are_fitted_and_blind_votes_counted(judged: Path, cli: Cli, tmp_path: Path) -> None:
    arguments = (
        "pipelines",
        "fit",
        "-p",
        "BM25",
        "-p",
        tmp_path / "cut.yaml",
        "-m",
        "RR",
        "--folds",
        2,
        "--save",
        "Fitted",
    )
    assert cli(*arguments).out.endswith("Saved as Fitted.\n")
    assert cli("pipelines", "fit").code == 2
    assert "leave out --norm" in cli(*arguments[:-2], "--lambdamart", "--norm", "z-score").err
    assert cli("blind", "list").out == "There is no blind comparison yet.\n"
    with Services(judged) as services:
        session = services.start_blind("papers", ["BM25", "Fitted"], seed=3).session_id
        services.blind_round("papers", session, "sparse")
        services.vote("papers", session, 1, "tie")
    assert "1 votes" in cli("blind", "list").out
    assert cli("blind", "results", session[:6]).out == "BM25: 0, Fitted: 0, ties: 1, both bad: 0\n"
