"""`triptych evaluate` and its neighbors, as their users give them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

import app.cli.options
from engine.types import Progress
from tests.cli.conftest import Cli

QUERIES = '{"_id": "1", "text": "learned sparse"}\n{"_id": "2", "text": "dense"}\n{"_id": "3", "text": "weights"}\n'


@pytest.fixture
def judged(filled: Path, cli: Cli, tmp_path: Path) -> Path:
    """The collection "papers" with a set of three queries, two of them judged."""
    (tmp_path / "queries.jsonl").write_text(QUERIES)
    (tmp_path / "qrels.txt").write_text("1 0 p1 2\n2 0 p2 1\n2 0 p1 0\n")
    assert cli("queries", "import", tmp_path / "queries.jsonl").code == 0
    imported = cli("judgments", "import", tmp_path / "qrels.txt")
    assert imported.out == "0 queries and 3 judgments are now in the query set default (trec).\n"
    return filled


def test_the_leaderboard_as_a_table(judged: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "cut.yaml").write_text("name: Cut\npipeline:\n- bm25: {k: 1000}\n- cutoff: {k: 1}\n")
    ended = cli(
        "evaluate",
        "--pipeline",
        "BM25",
        "-p",
        tmp_path / "cut.yaml",
        "--metric",
        "RR",
        "-m",
        "P@2",
        "--run-out",
        tmp_path / "runs",
    )
    assert ended.code == 0, ended.err
    head, *lines = ended.out.splitlines()
    assert head.split("  ")[0] == "pipeline"
    assert [word for word in head.split() if "@" in word or word == "RR"] == ["RR", "P@2", "judged@10"]
    assert any(line.startswith("BM25 (baseline)") and "1.000" in line for line in lines)
    assert any(line.startswith("Cut") and "0/2/0" in line for line in lines)
    assert "1 query has no judgment and was left out." in ended.out
    assert "Holm-corrected" in ended.out
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"BM25.run", "Cut.run"}
    assert (tmp_path / "runs" / "Cut.run").read_text().splitlines()[0].startswith("1 Q0 p1 1 ")


def test_json_and_csv_hold_the_same_numbers(judged: Path, cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "other.run"
    run.write_text("1 Q0 p2 1 5 x\n1 Q0 p1 2 4 x\n2 Q0 p2 1 1 x\n")
    arguments = ("evaluate", "-p", "BM25", "--run-in", run, "-m", "RR", "--correction", "none", "--test", "t")
    view = cli(*arguments, "--json").data["evaluation"]
    assert [one["name"] for one in view["pipelines"]] == ["BM25", "other"]
    assert view["pipelines"][1]["cells"][0]["mean"] == 0.75
    assert (view["queries"], view["unjudged"], view["test"]) == (2, 1, "t")
    table = cli(*arguments, "--csv")
    rows = list(csv.DictReader(io.StringIO(table.out)))
    assert [(row["pipeline"], float(row["mean"])) for row in rows] == [("BM25", 1.0), ("other", 0.75)]
    assert float(rows[1]["difference"]) == -0.25
    assert "2 judged queries" in table.err
    assert cli(*arguments, "--csv", "--json").code == 2


def test_stored_evaluations_are_listed_shown_and_deleted(judged: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("evaluations", "list").out == "Nothing was evaluated yet: triptych evaluate\n"
    name = cli("evaluate", "-p", "BM25", "-m", "RR", "--json").data["evaluation"]["evaluation_id"]
    listed = cli("evaluations", "list").out
    assert name[:12] in listed
    assert "BM25: RR 1.000" in listed
    assert "current" in listed
    assert "1.000" in cli("evaluations", "show", name[:6]).out
    (tmp_path / "more.txt").write_text("3 0 p1 1\n")
    assert cli("judgments", "import", tmp_path / "more.txt").code == 0
    assert "stale: the judgments have changed" in " ".join(cli("evaluations", "list").out.split())
    assert cli("evaluations", "delete", name[:6]).out == f"Deleted {name[:12]}.\n"
    assert cli("evaluations", "show", name[:6]).code == 2


def test_failures_are_shown_in_the_table(judged: Path, cli: Cli) -> None:
    ended = cli("evaluate", "-p", "BM25", "-p", "Dense", "-m", "RR")
    assert ended.code == 0
    assert "Dense failed on 2 queries, left out of every mean:" in ended.out
    assert "is not built yet" in ended.out
    alone = cli("evaluate", "-p", "Dense", "--json")
    assert (alone.code, alone.error["type"]) == (1, "TriptychError")


@pytest.mark.parametrize(
    ("qrels", "says"),
    [
        ("q 0 p1 1\n", "Every judged document is relevant"),
        ("q 0 p1 1\nr 0 p2 0\n", "With the unjudged left out: BM25 RR 0.500, Bpref 0.500."),
    ],
)
def test_gaps_in_the_judgments_are_told(judged: Path, cli: Cli, tmp_path: Path, qrels: str, says: str) -> None:
    (tmp_path / "gaps.jsonl").write_text('{"_id": "q", "text": "retrieval"}\n{"_id": "r", "text": "retrieval"}\n')
    (tmp_path / "gaps.txt").write_text(qrels)
    assert cli("queries", "import", tmp_path / "gaps.jsonl", "--queries", "gaps").code == 0
    assert cli("judgments", "import", tmp_path / "gaps.txt", "--queries", "gaps").code == 0
    said = " ".join(cli("evaluate", "-p", "BM25", "-m", "RR", "--queries", "gaps").out.split())
    assert "Much of the first ten is unjudged (BM25 50%)." in said
    assert says in said
    assert ("left out:" in said) == says.startswith("With")


def test_ctrl_c_keeps_what_is_finished(judged: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(app.cli.options._Lines):
        def __call__(self, step: Progress) -> None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(app.cli.options, "_Lines", Interrupted)
        stopped = cli("evaluate", "-p", "BM25")
    assert stopped.code == 130
    assert "Give the same command again" in stopped.err
    assert cli("jobs", "list", "--json").data["jobs"][0]["status"] in ("cancelled", "done")
    assert cli("evaluate", "-p", "BM25").code == 0
    assert "current" in cli("evaluations", "list").out


def test_disagreement_needs_no_judgments(judged: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "cut.yml").write_text("pipeline:\n- bm25: {k: 1000}\n- cutoff: {k: 1}\n")
    ended = cli("disagree", "-p", "BM25", "-p", tmp_path / "cut.yml", "--k", 5, "--limit", 1)
    assert ended.out.startswith("BM25 and cut: Jaccard@5 ")
    assert " at p = .9 and " in ended.out
    assert len(ended.out.splitlines()) == 5
    data = cli("disagree", "-p", "BM25", "-p", tmp_path / "cut.yml", "--json").data
    assert data["pairs"][0]["queries"] == 3
    assert cli("disagree", "-p", "BM25", "--json").error["exit_code"] == 2
    kept = data["disagreement_id"]
    assert f"evaluations delete {kept}" in cli("disagree", "-p", "BM25", "-p", tmp_path / "cut.yml").out
    assert cli("evaluations", "delete", kept, "--json").data["deleted"] == kept
    assert cli("evaluations", "delete", kept, "--json").error["exit_code"] == 2


def test_query_sets_are_listed_exported_and_deleted(judged: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("how are they weighed\n")
    assert cli("queries", "import", tmp_path / "plain.txt", "--queries", "plain").code == 0
    assert cli("queries", "list", "--json").data["query_sets"] == [
        {"name": "default", "queries": 3, "judged_queries": 2, "judgments": 3},
        {"name": "plain", "queries": 1, "judged_queries": 0, "judgments": 0},
    ]
    assert "plain" in cli("queries", "list").out
    assert cli("queries", "export").out == QUERIES
    assert cli("queries", "export", "-q", "plain", "--format", "tsv").out == "1\thow are they weighed\n"
    assert cli("judgments", "export").out == "1 0 p1 2\n2 0 p1 0\n2 0 p2 1\n"
    out = tmp_path / "out.csv"
    assert cli("judgments", "export", "--format", "csv", "--output", out).code == 0
    assert "learned sparse,p1,2" in out.read_text()
    assert cli("queries", "delete", "plain", "--json").code == 2
    assert cli("queries", "delete", "plain", "--yes").out == "Deleted plain: 1 queries.\n"
    assert cli("queries", "delete", "plain", "--yes").code == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("evaluate", "-p", "none.yaml"), "none.yaml does not exist"),
        (("evaluate", "-p", "Nothing"), "Known: BM25"),
        (("evaluate", "-q", "nothing"), "triptych queries import"),
        (("evaluate", "--run-in", "a/x.run", "--run-in", "b/x.run"), "same name"),
        (("queries", "import", "none.txt"), "none.txt does not exist"),
        (("judgments", "import", "none.txt"), "none.txt does not exist"),
    ],
)
def test_what_is_wrong_is_named(arguments: tuple[str, ...], says: str, judged: Path, cli: Cli) -> None:
    ended = cli(*arguments)
    assert ended.code in (2, 3)
    assert says in ended.err
