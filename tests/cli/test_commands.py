"""The commands on a real workspace."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from app.verbs.services import Services
from tests.cli.conftest import PAPERS, Cli, Ended


def ids(ended: Ended) -> list[str]:
    return [card["doc_id"] for card in ended.data["cards"]]


def test_add_counts_what_it_did_and_lists_what_it_skipped(cli: Cli, papers: Path) -> None:
    added = cli("add", papers, "--collection", "papers", "--no-index", "--json")
    assert (added.code, added.err) == (0, "")
    assert added.data["job"]["status"] == "done"
    assert added.data["job"]["counts"]["added"] == 4
    assert added.data["job"]["counts"]["rejected"] == 1
    (skipped,) = added.data["rejections"]
    assert "3" in skipped["place"]  # the third line is not JSON
    again = cli("add", papers, "--no-index")
    assert "4 unchanged" in again.out
    assert "skipped papers.jsonl" in again.out


def test_a_dry_run_shows_the_columns_and_stores_nothing(cli: Cli, workspace: Path, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("Nr;Titel;Inhalt\n1;Eins;Erster Text\n", encoding="utf-8")
    columns = ("--column", "title=Titel", "--column", "text=Inhalt", "--column", "doc_id=Nr")
    shown = cli("add", table, *columns, "--dry-run", "--json")
    (preview,) = shown.data["previews"]
    assert preview["records"][0] | {"url": ""} == {
        "doc_id": "1", "title": "Eins", "text": "Erster Text", "authors": [], "year": None, "venue": "", "url": "",
    }  # fmt: skip
    assert not workspace.exists()
    assert "title from Titel" in cli("add", table, *columns, "--dry-run").out


def test_search_finds_filters_and_says_how(cli: Cli, filled: Path) -> None:
    found = cli("search", "weights", "--pipeline", "BM25", "--json")
    assert set(ids(found)) == {"p1", "p3", "p4"}
    assert found.data["cards"][0]["found_by"][0]["rank"] == 1
    only = cli("search", "weights", "-p", "BM25", "-f", "year=2009", "-f", "venue=SIGIR", "--json")
    assert ids(only) == ["p4"]
    assert len(ids(cli("search", "weights", "-p", "BM25", "-k", "2", "--json"))) == 2


def test_a_search_without_hits_succeeds_and_says_so(cli: Cli, filled: Path) -> None:
    ended = cli("search", "zebra", "--pipeline", "BM25")
    assert ended.code == 0
    assert "finds nothing" in ended.out


def test_a_calibrated_pipeline_tells_estimates_and_what_its_threshold_leaves_out(cli: Cli, filled: Path) -> None:
    with Services(filled) as services:
        steps = "pipeline:\n- bm25: {k: 10}\n- platt: {slope: 0.0, intercept: 0.0, threshold: %s}\n"
        services.save_pipeline("even", steps % 0.5)
        services.save_pipeline("strict", steps % 0.75)
    shown = cli("search", "weights", "-p", "even")
    assert shown.out.count("relevance 50.0%") == 3
    assert "below the threshold" not in shown.out
    ended = cli("search", "weights", "-p", "strict")
    assert ended.code == 0
    told = " ".join(ended.out.split())
    assert "Nothing relevant here: the likeliest of 3 hits has an estimated relevance of 50.0%" in told
    assert "strict drops what lies below 75.0%" in told
    compared = cli("compare", "weights", "-p", "even", "-p", "strict").out
    assert "even: 3 kept, 0 below the threshold of 50.0%" in compared
    assert "strict: 0 kept, 3 below the threshold of 75.0%" in compared
    told = cli("search", "weights", "-p", "strict", "--json").data
    assert (told["cards"], told["calibrated"]["probabilities"]) == ([], [0.5] * 3)
    assert len(told["calibrated"]["dropped"]) == 3


def test_output_is_never_broken_by_what_is_in_a_title(cli: Cli, filled: Path) -> None:
    for ended in (cli("search", "weights", "-p", "BM25"), cli("show", "p4"), cli("show", "p3")):
        assert ended.code == 0, ended.err
        assert "\x1b" not in ended.out
        assert "\u202e" not in ended.out
    shown = cli("search", "ranking", "-p", "BM25").out
    assert "检索 [bold]模型[/bold] long" in shown  # markup in data is text, and nothing is cut without a terminal


def test_compare_shows_columns_and_a_failed_pipeline_says_why(cli: Cli, filled: Path) -> None:
    both = cli("compare", "weights", "-p", "BM25", "-p", "Dense", "--json")
    assert both.code == 0
    lexical, dense = both.data["columns"]
    assert len(lexical["hits"]) == 3
    assert "not built" in dense["error"]
    human = cli("compare", "weights", "-p", "BM25", "-p", "Dense").out
    assert "Dense failed:" in human
    assert "Learned sparse retrieval" in human


def test_compare_shows_stages_one_after_another(cli: Cli, filled: Path) -> None:
    path = filled.parent / "read.yaml"
    path.write_text(
        "name: Read\npipeline:\n- bm25\n- cutoff: {k: 2}\n- cross\n- platt: {slope: 0.0, intercept: -1.0, threshold: 0.5}\n"
    )
    assert cli("pipelines", "save", str(path)).code == 0
    (read,) = cli("compare", "weights", "-p", "Read", "--stages", "--json").data
    assert [column["kind"] for column in read["columns"]] == ["retrieved", "reranked", "calibrated"]
    assert [len(column["hits"]) for column in read["columns"]] == [3, 2, 0]
    human = cli("compare", "weights", "-p", "Read", "--stages").out
    assert "BM25: cut after 2 of 3" in human
    assert "✂ cut" in human
    assert "platt: 2 below the threshold" in human


def test_why_tells_that_no_word_is_shared(cli: Cli, filled: Path) -> None:
    (answer,) = cli("why", "weights", "p2", "-p", "BM25", "--json").data["answers"]
    assert answer["verdict"] == "no_shared_term"
    assert "BM25:" in cli("why", "weights", "p2", "-p", "BM25").out


def test_the_only_collection_is_the_default_and_two_are_a_question(cli: Cli, filled: Path) -> None:
    assert cli("search", "weights", "-p", "BM25").code == 0
    assert cli("collections", "create", "second").code == 0
    ended = cli("search", "weights", "-p", "BM25", "--json")
    assert ended.code == 2
    assert "papers, second" in ended.error["message"]


def test_collections_are_renamed_described_and_deleted(cli: Cli, filled: Path) -> None:
    assert cli("collections", "rename", "papers", "articles").code == 0
    (view,) = cli("collections", "list", "--json").data["collections"]
    assert (view["name"], view["documents"]) == ("articles", 4)
    assert cli("collections", "describe", "articles", " On weights ").out == "articles: On weights\n"
    assert cli("collections", "list", "--json").data["collections"][0]["description"] == "On weights"
    assert cli("collections", "describe", "articles", "").out == "articles has no description now.\n"
    assert cli("collections", "delete", "articles", "--dry-run").out == "Would delete articles with 4 documents.\n"
    refused = cli("collections", "delete", "articles", "--json")
    assert refused.code == 2
    assert "--yes" in refused.error["message"]
    assert cli("collections", "delete", "articles", "--yes").code == 0
    assert cli("collections", "list", "--json").data["collections"] == []


def test_pipelines_are_checked_saved_used_exported_and_deleted(cli: Cli, filled: Path, tmp_path: Path) -> None:
    file = tmp_path / "short.yaml"
    file.write_text("name: Short\npipeline:\n- bm25: {k: 1}\n", encoding="utf-8")
    assert cli("pipelines", "save", file, "--dry-run").code == 0
    assert cli("pipelines", "show", "Short").code == 3
    assert cli("pipelines", "save", file).code == 0
    assert len(ids(cli("search", "weights", "-p", "Short", "--json"))) == 1
    target = tmp_path / "out.yaml"
    assert cli("pipelines", "export", "Short", "--output", target).code == 0
    assert cli("pipelines", "save", target, "--name", "Again").code == 0
    names = [view["name"] for view in cli("pipelines", "list", "--json").data["pipelines"]]
    assert {"BM25", "Dense", "Hybrid", "Short", "Again"} <= set(names)
    assert cli("pipelines", "delete", "Short").code == 0
    assert cli("pipelines", "delete", "BM25").code == 2


def test_a_pipeline_that_is_wrong_is_refused_with_the_place(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("name: W\npipeline:\n- bm25: {k1: many}\n", encoding="utf-8")
    ended = cli("pipelines", "save", file, "--json")
    assert ended.code == 2
    assert "k1" in ended.error["message"]


def test_the_plan_of_an_index_run_names_what_is_missing(cli: Cli, filled: Path) -> None:
    states = {view["kind"]: view["state"] for view in cli("index", "--dry-run", "--json").data["indexes"]}
    assert states == {"sparse": "absent", "dense": "absent", "late": "absent"}
    assert cli("index", "--dry-run", "--pipeline", "BM25").out == "Every index is up to date.\n"


def test_the_shortlist_is_exported(cli: Cli, filled: Path, workspace: Path, tmp_path: Path) -> None:
    with Services(workspace) as services:
        services.shortlist_add("papers", "p2")
    rows = list(csv.DictReader(io.StringIO(cli("export", "shortlist", "--format", "csv").out)))
    assert [(row["doc_id"], row["title"]) for row in rows] == [("p2", "Dense retrieval")]
    target = tmp_path / "list.bib"
    assert cli("export", "shortlist", "--output", target).code == 0
    assert "title = {{Dense retrieval}}" in target.read_text(encoding="utf-8")
    assert cli("export", "shortlist", "--format", "ris", "--json").data["text"].startswith("TY  - ")


def test_jobs_are_listed_and_shown_with_every_skipped_row(cli: Cli, filled: Path) -> None:
    jobs = cli("jobs", "list", "--json").data["jobs"]
    assert [job["kind"] for job in jobs] == ["index", "add"]
    shown = cli("jobs", "show", jobs[1]["job_id"][:10], "--json").data
    (skipped,) = shown["rejections"]
    assert skipped["reason"].startswith("not valid JSON")
    assert cli("jobs", "resume", jobs[1]["job_id"]).code == 2
    assert cli("jobs", "cancel", jobs[1]["job_id"]).code == 2
    assert "4 added" in cli("jobs", "list").out


def test_doctor_finds_a_healthy_workspace_and_a_damaged_one(cli: Cli, filled: Path, workspace: Path) -> None:
    healthy = cli("doctor", "--json")
    assert healthy.code == 0, healthy.out
    assert "error" not in {finding["level"] for finding in healthy.data["findings"]}
    database = workspace / "triptych.duckdb"
    database.write_bytes(database.read_bytes()[:5000])
    damaged = cli("doctor", "--json")
    assert damaged.code == 5
    assert "triptych.duckdb" in json.dumps(damaged.data)


def test_models_are_listed_with_their_provenance(cli: Cli) -> None:
    (card, *_) = cli("models", "list", "--json").data["models"]
    assert {"license", "licence"} & set(card)
    assert card["dimensions"] == 384
    assert "384 dimensions" in cli("models", "list").out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("search", "x"), 3, "no workspace"),
        (("search", "x", "--filter", "year=soon"), 2, "year=2010..2020"),
        (("search", "x", "--filter", "year=2020..2010"), 2, "backwards"),
        (("search", "x", "--filter", "venue"), 2, "NAME=VALUE"),
        (("search", "x", "--k", "0"), 2, "--k"),
        (("search",), 2, "QUERY"),
        (("dance",), 2, "dance"),
        (("add", "nowhere.bib", "--collection", "c"), 2, "nowhere.bib"),
        (("jobs", "show", "abc"), 3, "no workspace"),
        (("pipelines", "save", "nowhere.yaml"), 2, "nowhere.yaml"),
        (("ui", "--writable"), 2, "--lan"),
    ],
)
def test_errors_have_codes_and_name_the_input_in_both_forms(
    cli: Cli, arguments: tuple[str, ...], code: int, said: str
) -> None:
    told = cli(*arguments, "--json")
    assert (told.code, told.error["exit_code"], told.out) == (code, code, "")
    assert said in told.error["message"]
    human = cli(*arguments)
    assert (human.code, human.out) == (code, "")
    assert human.err.strip()


def test_unknown_names_list_the_known_ones(cli: Cli, filled: Path) -> None:
    assert cli("search", "x", "--collection", "other", "--json").error["type"] == "NotFound"
    assert "'papers'" in cli("search", "x", "--collection", "other").err
    assert "Hybrid" in cli("search", "x", "--pipeline", "Hibrid").err
    assert cli("search", "weights", "--pipeline", "Dense").code == 9  # its index is not built


def test_an_owned_workspace_is_refused_with_the_owner(cli: Cli, filled: Path, workspace: Path) -> None:
    import os

    with Services(workspace):
        ended = cli("collections", "create", "more", "--json")
    assert (ended.code, ended.error["type"]) == (4, "WorkspaceInUse")
    assert str(os.getpid()) in ended.error["message"]


def test_the_workspace_is_named_before_or_after_the_command(cli: Cli, papers: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert cli("--workspace", other, "collections", "create", "a").code == 0
    assert cli("collections", "create", "b", "--workspace", other).code == 0
    found = cli("--json", "-w", other, "collections", "list").data
    assert [view["name"] for view in found["collections"]] == ["a", "b"]
    assert found["workspace"] == str(other)


def test_the_fixture_holds_what_the_tests_count() -> None:
    assert sum("weights" in paper["text"] for paper in PAPERS) == 3


def test_a_model_is_benchmarked(cli: Cli) -> None:
    (speed,) = cli("models", "bench", "all-MiniLM-L6-v2", "--documents", "2", "--json").data["benchmark"]["speeds"][-1:]
    assert speed["provider"] == "cpu"
    assert speed["documents_per_second"] > 0
    assert speed["peaks"]["int8"] > 0
    said = cli("models", "bench", "all-MiniLM-L6-v2", "--documents", "2").out
    assert "billion operations each" in said
    assert "of the int8 peak" in said
