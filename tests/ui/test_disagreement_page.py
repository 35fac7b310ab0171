"""Where pipelines disagree, on the Evaluate page: a job, an address, and what leads on from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from driving import Page
from fakes import FakeServices

from app.ui.web.dispatch import Access
from app.ui.web.session import UiState

START = UiState(page="evaluate", collection="Retrieval papers")


@pytest.fixture
def page(tmp_path: Path) -> Page:
    found = Page(FakeServices(tmp_path))
    found.state = START
    found.call("open")
    return found


def test_it_is_a_job_that_the_address_remembers(page: Page) -> None:
    page.state = page.state.with_options(set="nur Fragen", pipe=["BM25", "their-system"])
    asked: dict[str, object] = {}
    page.services.start_disagreement = lambda *names, **given: asked.update(given, names=names) or "job-8"  # type: ignore[method-assign, func-returns-value]
    reply = page.call("ev-disagree")
    assert asked == {
        "names": ("Retrieval papers", ("BM25",)),
        "runs": ("their-system",),
        "query_set": "nur Fragen",
    }, "a run of another system is compared too"
    assert reply["poll"]
    assert page.state.option("job") == "job-8"
    assert "13 of 40 queries" in reply["regions"]["ev-job"]


def test_one_that_is_done_is_named_by_the_address_and_stays_through_other_choices(page: Page) -> None:
    page.state = page.state.with_options(job="job-7")
    html = page.call("open")["regions"]["tp-main"]
    assert (page.state.option("job"), page.state.option("disagree")) == ("", "dis-1")
    assert "RBO .5" in html
    assert "the queries have changed" in html
    assert "It is not built." in html
    assert 'data-of="dis-1"' in html
    assert "ev-disagree" not in page.call("ev-sort", value="-AP")["regions"]
    assert "Where they disagree" in page.call("ev-open", id="ev-1")["regions"]["ev-disagree"]
    page.call("ev-disagree-close")
    assert page.state.option("disagree") == ""
    assert "Where they disagree" not in page.call("open")["regions"]["tp-main"]


def test_it_is_deleted_when_asked_twice(page: Page) -> None:
    gone: list[tuple[str, str]] = []
    page.services.delete_disagreement = lambda *which: gone.append(which)
    page.state = page.state.with_options(disagree="dis-1")
    assert 'data-action="ev-ask-disagree-delete"' in page.call("open")["regions"]["tp-main"]
    asked = page.call("ev-ask-disagree-delete", of="dis-1")
    assert 'data-action="ev-disagree-delete"' in asked["dialog"]
    assert gone == []
    page.call("ev-disagree-delete", of="dis-1")
    assert gone == [("Retrieval papers", "dis-1")]
    assert page.state.option("disagree") == ""


def test_one_that_is_gone_is_said(page: Page) -> None:
    page.state = page.state.with_options(disagree="dis-9")
    assert "There is no comparison" in page.call("open")["regions"]["tp-main"]


def test_two_lists_are_needed(page: Page) -> None:
    page.state = page.state.with_options(pipe=["BM25"])
    assert page.call("ev-disagree")["failed"]


def test_a_question_opens_with_what_was_compared_not_with_the_evaluation_on_the_page(page: Page) -> None:
    asked: list[tuple[str, str]] = []
    told = page.services.query_text
    page.services.query_text = lambda collection, query_set, qid: (
        asked.append((query_set, qid)) or told(collection, query_set, qid)
    )  # type: ignore[method-assign, func-returns-value]
    assert page.state.option("run") == "ev-2"
    page.call("ev-query", qid="q05", of="dis-1")
    assert asked == [("nur Fragen", "q05")]
    assert page.state.page == "compare"
    assert page.state.columns == ("BM25", "Dense")


def test_it_leads_to_a_queue_of_these_questions(page: Page) -> None:
    page.call("ev-judge", of="dis-1")
    assert page.state.page == "judge"
    assert dict(page.state.options) == {"order": ("disagreement",), "pipe": ("BM25", "Dense"), "set": ("nur Fragen",)}


def test_every_question_is_exported_with_formulas_defused(page: Page) -> None:
    download = page.call("ev-disagree-export", of="dis-1")["download"]
    assert download["text"].splitlines() == [
        "qid,query,jaccard,rbo_9,rbo_5,kendall_tau",
        "q05,<img src=x onerror=alert(1)><script>alert(1)</script>,0.1,0.12,0.05,",
        "q01,another,0.4,0.5,0.4,0.3",
    ]


def test_where_nothing_can_be_kept_it_is_answered_at_once(tmp_path: Path) -> None:
    page = Page(FakeServices(tmp_path), Access(write=False))
    page.state = START.with_options(set="nur Fragen")
    html = page.call("ev-disagree")["regions"]["ev-disagree"]
    assert 'data-set="nur Fragen"' in html
    assert "ev-judge" not in html
    page.state = page.state.with_options(run="ev-2")
    page.call("ev-query", qid="q05", set="nur Fragen")
    assert page.state.columns == ("BM25", "Dense", "Hybrid")
