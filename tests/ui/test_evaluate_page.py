"""The Evaluate page as it is called: choices live in the address, runs are jobs, and everything leads somewhere."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from driving import Page
from fakes import FakeServices

from app.ui.web.dispatch import Access
from app.ui.web.session import UiState

START = UiState(page="evaluate", collection="Retrieval papers")


@pytest.fixture
def page(page: Page) -> Page:
    page.state = START
    page.call("open")
    return page


def test_the_newest_evaluation_is_shown_and_named_in_the_address(page: Page) -> None:
    assert page.state.option("run") == "ev-2"
    html = page.call("open")["regions"]["tp-main"]
    assert "Leaderboard" in html
    assert "Question by question" in html
    assert "Where they disagree" not in html


def test_a_collection_without_questions_says_where_they_come_from(page: Page) -> None:
    page.state = UiState(page="evaluate", collection="CISI")
    html = page.call("open")["regions"]["tp-main"]
    assert "No questions to ask" in html
    assert 'data-panel="questions"' in html
    assert "ev-run" not in html


def test_an_evaluation_that_is_gone_is_said_and_the_history_stays(page: Page) -> None:
    page.state = START.with_options(run="ev-9")
    html = page.call("open")["regions"]["tp-main"]
    assert "There is no evaluation" in html
    assert "History" in html


def test_pipelines_and_metrics_are_checked_and_unchecked_in_the_address(page: Page) -> None:
    page.call("ev-toggle", name="pipe", value="Dense")
    assert page.state.option_values("pipe") == ("BM25", "Hybrid")
    page.call("ev-toggle", name="pipe", value="Not built")
    assert page.state.option_values("pipe") == ("BM25", "Hybrid", "Not built")
    page.call("ev-toggle", name="metric", value="AP")
    assert page.state.option_values("metric") == ("nDCG@10", "RR@10", "R@100")
    for name in ("BM25", "Hybrid", "Not built"):
        reply = page.call("ev-toggle", name="pipe", value=name)
    assert page.state.option_values("pipe") == ("-",), "none is not the same as the usual ones"
    assert "Choose at least one pipeline." in reply["regions"]["ev-setup"]
    assert "ev-results" not in reply["regions"]


def test_a_typed_metric_is_added_or_refused(page: Page) -> None:
    page.call("ev-metric", value=" P(rel=2)@5 ")
    assert page.state.option_values("metric")[-1] == "P(rel=2)@5"
    reply = page.dispatcher.call(
        {"action": "ev-metric", "url": page.state.to_query(), "args": {"value": "!"}, "alert": "ev-alert"}
    )
    assert "is not a metric" in reply["regions"]["ev-alert"]


def test_a_run_is_a_job_that_the_address_remembers(page: Page) -> None:
    page.state = page.state.with_options(pipe=["BM25", "their-system"])
    asked: dict[str, object] = {}
    page.services.start_evaluation = lambda *names, **given: asked.update(given, names=names) or "job-8"  # type: ignore[method-assign, func-returns-value]
    reply = page.call("ev-run")
    assert asked["names"] == ("Retrieval papers", ("BM25",))
    assert asked["runs"] == ("their-system",)
    assert asked["metrics"] == ("nDCG@10", "AP", "RR@10", "R@100")
    assert reply["poll"]
    assert reply["push"]
    assert page.state.option("job") == "job-8"
    assert "13 of 40 queries" in reply["regions"]["ev-job"]
    assert "13 of 40 queries" in page.call("jobs")["regions"]["ev-job"], "polling shows how it goes on"


def test_the_address_of_a_finished_job_becomes_that_of_its_evaluation(page: Page) -> None:
    page.state = START.with_options(job="job-9")
    page.call("open")
    assert (page.state.option("job"), page.state.option("run")) == ("", "ev-2")
    page.state = START.with_options(job="job-77")
    page.call("open")
    assert page.state.option("job") == ""


def test_how_it_is_looked_at_stays_in_the_address(page: Page) -> None:
    page.call("ev-sort", value="-AP")
    page.call("ev-measure", value="AP")
    page.call("ev-against", value="Dense")
    page.call("ev-set", name="base", value="Hybrid")
    page.call("ev-set", name="test", value="wilcoxon")
    page.call("ev-set", name="tests", value="yes")
    reply = page.call("ev-page", offset=15)
    html = reply["regions"]["ev-results"]
    assert "16–30 of 40" in html
    assert "AP of Dense minus Hybrid" in html
    again = page.call("open")["regions"]["tp-main"]
    assert html in again, "a link shows the same"
    page.call("ev-set", name="group", value="-")
    assert "no tag" not in page.call("open")["regions"]["tp-main"]


def test_unknown_settings_are_refused(page: Page) -> None:
    assert "no such setting" in page.call("ev-set", name="run", value="x")["regions"]["tp-alert"]
    assert page.call("ev-toggle", name="set", value="x")["failed"]


def test_a_question_opens_in_compare_with_the_same_pipelines(page: Page) -> None:
    page.call("ev-query", qid="q05")
    assert page.state.page == "compare"
    assert page.state.query == "dense retrieval for scientific literature"
    assert page.state.columns == ("BM25", "Dense", "Hybrid"), "those that are saved here"
    assert page.state.options == ()


def test_the_baseline_and_its_rival_come_first_where_not_all_fit(page: Page) -> None:
    page.services.saved |= dict.fromkeys(("опытный поиск",), "x")
    page.state = page.state.with_options(base="опытный поиск", against="Hybrid")
    page.call("ev-query", qid="q05")
    assert page.state.columns == ("Hybrid", "опытный поиск", "BM25", "Dense")


def test_changes_between_two_evaluations_are_shown_and_put_away(page: Page) -> None:
    reply = page.call("ev-changes", id="ev-1")
    assert "489 judgments" in reply["regions"]["ev-changes"]
    assert page.state.option("beside") == "ev-1"
    assert not page.call("ev-changes", id="")["regions"]["ev-changes"]


def test_opening_another_evaluation_forgets_what_was_set_for_the_former(page: Page) -> None:
    page.state = page.state.with_options(base="Dense", beside="ev-1", measure="AP")
    reply = page.call("ev-open", id="ev-1")
    assert page.state.option("run") == "ev-1"
    assert page.state.option("measure") == "AP"
    assert page.state.option("base") == ""
    assert "Stale" in reply["regions"]["ev-results"]
    assert "the judgments have changed and the documents have changed" in reply["regions"]["ev-results"]


def test_deleting_asks_first_and_then_shows_another(page: Page) -> None:
    assert "Delete this evaluation?" in page.call("ev-ask-delete", id="ev-2")["dialog"]
    reply = page.call("ev-delete", id="ev-2")
    assert reply["closeDialog"]
    assert page.state.option("run") == "ev-2", "the fake keeps it, and it is the newest"


@pytest.mark.parametrize(
    ("form", "name"), [("csv", "queries.csv"), ("parquet", "queries.parquet"), ("markdown", "queries.md")]
)
def test_exports_are_files(page: Page, form: str, name: str) -> None:
    download = page.call("ev-export", format=form, table="queries")["download"]
    assert download["name"] == name
    assert base64.b64decode(download["base64"]) == f"{form} queries".encode()
    assert page.call("ev-run-file", name="а/b c")["download"]["name"] == "а-b-c.run"


def test_the_report_is_of_what_is_shown(page: Page) -> None:
    assert 'data-action="ev-report"' in page.call("open")["regions"]["tp-main"]
    page.call("ev-set", name="base", value="Dense")
    page.call("ev-measure", value="AP")
    download = page.call("ev-report")["download"]
    assert (download["name"], download["mime"]) == ("report.html", "text/html")
    told = base64.b64decode(download["base64"]).decode()
    assert "('measure', 'AP')" in told
    assert "('baseline', 'Dense')" in told


def test_what_unjudged_documents_could_change_is_asked_for(page: Page) -> None:
    assert "ev-current" in page.call("ev-set", name="bounds", value="yes")["regions"]["ev-results"]
    html = page.call("ev-measure", value="AP")["regions"]["ev-results"]
    assert "AP, against BM25" in html
    assert "+0.0200 to +0.3100" in html
    assert "could flip" in html
    assert "and 3 more" in html
    assert "R@100 has no bounds." in page.call("ev-measure", value="R@100")["regions"]["ev-results"]
    assert "could flip" not in page.call("ev-set", name="bounds", value="")["regions"]["ev-results"]


def test_a_reader_may_look_but_not_run(tmp_path: Path) -> None:
    page = Page(FakeServices(tmp_path), Access(write=False))
    page.state = START
    html = page.call("open")["regions"]["tp-main"]
    assert "Leaderboard" in html
    for action in ("ev-run", "ev-again", "ev-delete", "questions-bring", "delete-set", "run-delete"):
        assert "reading only" in page.call(action)["regions"]["tp-alert"]
    assert 'data-action="ev-run"' not in html


# ------------------------------------------------------------------ questions
def test_the_pane_of_questions_lists_exports_and_brings_in(page: Page, tmp_path: Path) -> None:
    html = page.call("panel", panel="questions")["regions"]["tp-side"]
    assert "40 questions, 512 judgments" in html
    assert "their-system" in html
    assert page.call("set-export", name="default", what="judgments", format="trec")["download"]["name"] == "qrels.txt"
    assert (
        page.call("set-export", name="nur Fragen", what="queries", format="tsv")["download"]["name"]
        == "nur Fragen-queries.tsv"
    )
    assert page.call("set-export", name="default", what="judgments", format="exe")["failed"]
    file = tmp_path / "queries.jsonl"
    file.write_text("{}")
    reply = page.call("questions-bring", path=str(file), set="new", what="auto")
    assert "12 questions and 0 judgments into “new”" in reply["regions"]["questions-alert"]
    assert "3 answers are not documents." in reply["regions"]["questions-alert"]
    assert page.state.option("set") == "new"
    assert "Delete this set?" in page.call("ask-delete-set", name="default")["dialog"]
    assert page.call("run-delete", name="their-system")["regions"]["tp-side"]


def test_wrong_lines_are_named_where_the_files_are_brought_in(page: Page) -> None:
    reply = page.dispatcher.call(
        {
            "action": "questions-bring",
            "url": page.state.to_query(),
            "args": {"path": "/x/bad.txt"},
            "alert": "questions-alert",
        }
    )
    assert "bad.txt: line 3: is not JSON" in reply["regions"]["questions-alert"]


def test_uploads_are_read_from_the_upload_folder_only_and_deleted(tmp_path: Path) -> None:
    page = Page(FakeServices(tmp_path), Access(server_paths=False))
    page.state = START
    folder = page.uploads.root / ("a" * 64)
    folder.mkdir()
    uploaded = folder / "queries.jsonl"
    uploaded.write_text("{}")
    assert not page.call("questions-bring", paths=json.dumps([str(uploaded)]), set="default").get("failed")
    assert not folder.exists()
    assert page.call("questions-bring", path="/etc/hostname", set="default")["failed"]
    assert page.call("questions-bring", path="", set="default")["failed"]
