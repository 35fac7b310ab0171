"""Judging, grading on cards and voting as the page calls them: choices live in the address, nothing tells who found what until asked."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from driving import Page
from fakes import FakeServices

from app.drawing import grades
from app.results.judging import BlindResults, BlindReveal, BlindSession
from app.ui.pages.blind import view as blind
from app.ui.pages.judge import agreement
from app.ui.web.dispatch import Access
from app.ui.web.session import UiState

START = UiState(page="judge", collection="Retrieval papers")
QUEUE = START.with_options(queue="qu-1")
BLIND = UiState(page="blind", collection="Retrieval papers")


@pytest.fixture
def page(page: Page) -> Page:
    page.state = QUEUE
    return page


def work(page: Page) -> str:
    found: str = page.call("open")["regions"]["tp-main"]
    return found


# ---------------------------------------------------------------------- queue
def test_without_a_queue_the_page_says_what_to_do_and_lists_the_queues(page: Page) -> None:
    page.state = START
    html = work(page)
    assert "Which documents are relevant?" in html
    assert "Prepare the queue" in html
    assert html.count('data-action="jd-open"') == 3
    page.state = UiState(page="judge", collection="CISI")
    html = work(page)
    assert "No questions to judge" in html
    assert 'data-panel="questions"' in html
    page.state = START.with_options(queue="qu-77")
    assert "not there any more" in work(page)


def test_choices_for_a_queue_live_in_the_address_and_start_it_as_a_job(page: Page) -> None:
    page.state = START
    page.call("jd-toggle", name="pipe", value="Dense")
    page.call("jd-toggle", name="pipe", value="their-system")
    page.call("jd-toggle", name="again", value="yes")
    page.call("jd-set", name="order", value="flip")
    page.call("jd-set", name="base", value="Hybrid")
    page.call("jd-set", name="depth", value="20")
    reply = page.call("jd-start")
    assert page.services.asked == {
        "pipelines": ("BM25", "Hybrid"), "runs": ("their-system",), "query_set": "default", "depth": 20, "order": "flip",
        "measure": "nDCG@10", "baseline": "Hybrid", "again": True,
    }  # fmt: skip
    assert reply["poll"]
    assert page.state.option("queue") == "qu-0"
    assert "13 of 40 queries" in reply["regions"]["jd-job"]
    assert reply["regions"]["jd-work"] == ""
    polled = page.call("jobs")["regions"]
    assert "13 of 40 queries" in polled["jd-job"], "polling shows how it goes on"
    assert "jd-work" not in polled
    assert "jd-work" in page.call("jobs", running="job-77")["regions"], "a job has ended: the queue may be ready"
    assert page.call("jd-set", name="queue", value="x")["failed"]
    assert page.call("jd-toggle", name="metric", value="x")["failed"]


def test_an_order_that_compares_needs_two_pipelines(page: Page) -> None:
    page.state = START.with_options(pipe=["BM25"])
    assert "This order needs two pipelines" in work(page)
    page.state = START.with_options(pipe=["BM25"], order="pool")
    assert "needs two" not in work(page)


def test_grading_goes_on_to_the_next_document_and_undo_comes_back(page: Page) -> None:
    assert "1 of 6" in work(page)
    reply = page.call("jd-judge", position="0", rating="2")
    assert page.services.acts == [("me", "judge", 0, 2)]
    assert "2 of 6" in reply["regions"]["jd-work"]
    assert reply["say"] == "Judged 2; 5 left"
    page.call("jd-skip", position="1")
    assert page.call("jd-note", position="2", value="Why?")["say"] == "Note kept"
    reply = page.call("jd-undo")
    assert "The note was taken back." in reply["regions"]["jd-alert"]
    assert page.state.option("at") == "2"
    assert "2 of 6" in page.call("jd-undo")["regions"]["jd-work"]
    assert page.state.option("at") == "1", "the skipped one is shown again"
    page.call("jd-undo")
    assert page.services.acts == []
    assert "nothing left to undo" in page.call("jd-undo")["regions"]["jd-alert"]


def test_arrows_go_back_and_forth_and_stay_in_the_address(page: Page) -> None:
    page.call("jd-judge", position="0", rating="3")
    html = page.call("jd-step", at="1", by="-1")["regions"]["jd-work"]
    assert page.state.option("at") == "0"
    assert re.search(r'jd-grade g-3 is-on"', html), "what was given stands pressed"
    assert "To the next unjudged" in html
    assert page.call("jd-step", at="0", by="-1")["url"].count("o.at=0") == 1
    page.call("jd-step", at="5", by="1")
    assert page.state.option("at") == "", "beyond the last is the next unjudged"


def test_nothing_tells_who_found_it_until_asked_and_that_is_kept(page: Page) -> None:
    html = work(page)
    document = html[html.index("jd-grid") : html.index("jd-setup")]
    assert "BM25" not in document
    assert "#2" not in document
    html = page.call("jd-reveal", position="0")["regions"]["jd-work"]
    assert "BM25" in html
    assert "−0.0125" in html
    page.call("jd-judge", position="0", rating="1")
    assert page.services.revealed is True
    page.call("jd-judge", position="1", rating="1")
    assert page.services.revealed is False


def test_the_end_of_a_queue_offers_the_skipped_ones_and_the_export(page: Page) -> None:
    for position in range(6):
        reply = page.call("jd-skip" if position in (1, 4) else "jd-judge", position=position, rating=1)
    html = reply["regions"]["jd-work"]
    assert "This queue is done" in html
    assert "Go through the 2 skipped" in html
    assert page.call("jd-export", name="default", format="trec")["download"]["name"] == "qrels.txt"
    assert page.call("jd-export", name="default", format="log")["download"]["name"] == "judging-log.csv"
    assert page.call("jd-export", name="default", format="exe")["failed"]
    assert "2 of 6" in page.call("jd-again")["regions"]["jd-work"]
    assert "5 of 6" in page.call("jd-skip", position="1")["regions"]["jd-work"], "skipped again is passed over"
    assert "This queue is done" in page.call("jd-judge", position="4", rating="0")["regions"]["jd-work"]


def test_each_assessor_has_progress_of_their_own(page: Page) -> None:
    page.call("jd-judge", position="0", rating="2")
    reply = page.call("jd-who", value="  zoë  ")
    assert page.state.option("who") == "zoë"
    assert "1 of 6" in reply["regions"]["jd-work"]
    page.call("jd-judge", position="0", rating="0")
    assert page.services.acts[-1] == ("zoë", "judge", 0, 0)
    page.call("go", page="search")
    assert page.state.option("who") == "zoë", "the name goes along"
    assert page.state.option("queue") == ""


def test_scores_so_far_are_shown_when_asked(page: Page) -> None:
    assert "There are no judgments yet." in page.call("jd-set", name="means", value="yes")["regions"]["jd-work"]
    assert "38 judged questions" in page.call("jd-judge", position="0", rating="1")["regions"]["jd-work"]
    assert "38 judged" not in page.call("jd-set", name="means", value="")["regions"]["jd-work"]


def test_the_pane_of_agreement_and_its_rule(page: Page) -> None:
    html = page.call("panel", panel="agreement")["regions"]["tp-side"]
    assert "0.72" in html
    assert "substantial" in html
    assert "nothing in common" in html
    assert "0.41" in html, "Fleiss' kappa"
    assert "Disagreements (1)" in html
    page.call("jd-rule", set="default", value="median")
    assert page.services.rule == "median"
    assert page.call("jd-rule", set="default", value="mine")["failed"]
    html = page.call("jd-set", name="set", value="nur Fragen")["regions"]["tp-side"]
    assert "Nobody has judged" in html


def test_hostile_documents_are_text(page: Page) -> None:
    page.state = QUEUE.with_options(at="5")
    html = work(page)
    assert "<img src=x" not in html
    assert 'href="javascript' not in html
    assert "&lt;img src=x" in html


def test_deleting_a_queue_asks_first(page: Page) -> None:
    assert "the judgments made from it stay" in page.call("jd-ask-delete", id="qu-1")["dialog"].lower()
    assert page.call("jd-delete", id="qu-1")["closeDialog"]
    assert page.state.option("queue") == ""


@pytest.mark.parametrize(
    ("action", "args"),
    [
        ("jd-judge", {"position": "0", "rating": "7"}),
        ("jd-judge", {"position": "", "rating": "1"}),
        ("jd-skip", {"position": "-3"}),
        ("jd-note", {"position": "0", "value": "x" * 10_001}),
        ("jd-reveal", {}),
    ],
)
def test_what_makes_no_sense_is_refused(page: Page, action: str, args: dict[str, str]) -> None:
    assert page.call(action, **args)["failed"]


# ---------------------------------------------------------------------- cards
def test_a_grade_on_a_card_is_kept_and_measured_at_once(page: Page) -> None:
    page.state = UiState(
        page="compare", collection="Retrieval papers", query="dense retrieval", columns=("BM25", "Dense"), k=5
    )
    html = page.call("open")["regions"]["tp-main"]
    shown = re.findall(r'data-grade="2" data-doc="([^"]+)"', html)
    assert len(shown) == 10, "a control on each card"
    assert "nDCG@" not in html
    lists = json.dumps([shown[:5], ["nothing"]])
    reply = page.call("grade", doc=shown[0], grade="2", column="0", rank="1", lists=lists)
    assert page.services.shown_with == {"assessor": "me", "pipeline": "BM25", "rank": 1}
    assert "nDCG@5" in reply["regions"]["tp-measures-0"]
    assert "0.200" in reply["regions"]["tp-measures-0"]
    assert "0.000" in reply["regions"]["tp-measures-1"]
    reply = page.call("grade", doc=shown[0], grade="", column="0", rank="1", lists=lists)
    assert page.services.card_ratings == {}
    assert reply["regions"]["tp-measures-0"] == ""


def test_cards_are_judged_on_search_under_the_assessors_name(page: Page) -> None:
    page.state = UiState(
        collection="Retrieval papers", query="dense retrieval", pipeline="Hybrid", options=(("who", ("ann",)),)
    )
    html = page.call("open")["regions"]["tp-main"]
    assert 'data-grade="3"' in html
    page.call("grade", doc="paper-000", grade="0", rank="3", lists="[]")
    assert page.services.shown_with == {"assessor": "ann", "pipeline": "Hybrid", "rank": 3}
    page.state = page.state.with_(query="")
    assert "data-grade=" not in page.call("open")["regions"]["tp-main"], "browsing has no query to judge for"


@pytest.mark.parametrize("lists", ["{", "7", '["a"]', "[[1]]", json.dumps([[]] * 9), "[" * 5000])
def test_lists_that_cannot_be_read_are_refused(page: Page, lists: str) -> None:
    page.state = UiState(collection="Retrieval papers", query="dense retrieval", pipeline="Hybrid")
    assert page.call("grade", doc="paper-000", grade="1", lists=lists)["failed"]


# ---------------------------------------------------------------------- blind
def test_a_blind_round_has_no_names_until_the_vote(page: Page) -> None:
    page.state = BLIND
    html = work(page)
    assert "Which results do people prefer?" in html
    reply = page.call("bl-start")
    assert page.state.option("session") == "bl-1"
    assert page.state.option("round") == "1"
    html = reply["regions"]["bl-main"]
    assert "BM25" not in html
    assert "Hybrid" not in html
    assert html.count('data-action="bl-vote"') == 4
    assert page.call("open")["regions"]["tp-main"].count('data-action="bl-vote"') == 4, "a link shows the same round"
    reply = page.call("bl-vote", round="1", choice="left")
    html = reply["regions"]["bl-main"]
    assert "You preferred" in html
    assert "your choice" in html
    assert "What the votes say" in html
    assert "Hybrid was preferred in 100% of 1 vote" in html
    assert 'data-action="bl-vote"' not in html
    assert page.call("bl-vote", round="1", choice="right")["failed"], "one vote a round"
    assert "question 2" in page.call("bl-next")["regions"]["bl-main"]
    assert "own &lt;b&gt;words" in page.call("bl-next", query="own <b>words")["regions"]["bl-main"]


def test_a_blind_comparison_of_typed_questions_waits_for_one(page: Page) -> None:
    page.state = BLIND.with_options(session="bl-2")
    html = work(page)
    assert "Type a question" in html
    assert 'id="bl-next"' not in html
    assert page.call("bl-next", query=" ")["failed"]
    page.call("bl-next", query="mine")
    assert page.state.option("round") == "4"


def test_choosing_the_same_pipeline_twice_changes_places(page: Page) -> None:
    page.state = BLIND
    page.call("bl-set", name="first", value="Hybrid")
    assert (page.state.option("first"), page.state.option("second")) == ("Hybrid", "BM25")
    page.call("bl-set", name="set", value="")
    assert page.state.option("set") == "-"
    assert page.call("bl-set", name="round", value="3")["failed"]
    assert page.call("bl-open", id="bl-1")["push"]
    assert "Which results do people prefer?" in page.call("bl-close")["regions"]["bl-main"]
    assert "Delete this comparison?" in page.call("bl-ask-delete", id="bl-1")["dialog"]
    assert page.call("bl-delete", id="bl-1")["closeDialog"]


def test_a_comparison_or_round_that_is_gone_is_said(page: Page) -> None:
    page.state = BLIND.with_options(session="bl-9")
    assert "not there any more" in work(page)
    page.state = BLIND.with_options(session="bl-1", round="77")
    assert "no such round" in work(page)


def test_a_reader_may_look_but_not_judge_or_vote(tmp_path: Path) -> None:
    page = Page(FakeServices(tmp_path), Access(write=False))
    page.state = QUEUE
    html = work(page)
    assert "reading only" in html
    assert 'data-action="jd-judge"' not in html
    for action in (
        "jd-start",
        "jd-judge",
        "jd-skip",
        "jd-note",
        "jd-undo",
        "jd-rule",
        "grade",
        "bl-start",
        "bl-vote",
        "bl-next",
    ):
        assert "reading only" in page.call(action)["regions"]["tp-alert"]
    page.state = UiState(page="compare", collection="Retrieval papers", query="dense", columns=("BM25", "Dense"))
    assert "data-grade=" not in page.call("open")["regions"]["tp-main"]


# ---------------------------------------------------------------------- views
@pytest.mark.parametrize(
    ("kappa", "words"),
    [
        (None, "not defined"),
        (-0.2, "no better than chance"),
        (0.2, "slight"),
        (0.41, "moderate"),
        (0.81, "almost perfect"),
    ],
)
def test_kappa_in_words(kappa: float | None, words: str) -> None:
    assert agreement.kappa_words(kappa) == words


def test_the_pressed_grade_is_the_one_that_tab_reaches() -> None:
    buttons = re.findall(
        r'data-grade="(\d)".*?tabindex="(-?\d)".*?aria-pressed="(\w+)"', str(grades.control("d", 2, 1))
    )
    assert buttons == [("0", "-1", "false"), ("1", "-1", "false"), ("2", "0", "true"), ("3", "-1", "false")]
    assert str(grades.control("d", None, 1)).count('tabindex="0"') == 1
    assert "judged 7" in str(grades.control("d", 7, 1)), "a rating beyond the buttons is said"
    assert "hidden" in str(grades.mark(None, "d"))


def test_measures_are_shown_only_where_something_was_judged() -> None:
    assert grades.measures({}) is None
    assert grades.measures({"RR@10": None}) is None
    assert "0.500" in str(grades.measures({"RR@10": 0.5}))


def test_the_verdict_of_the_votes_names_who_is_ahead_and_whether_that_may_be_chance() -> None:
    session = BlindSession("s", ("A", "B"), 5, "", 1, "2026-05-02T10:11:12", 9, 9)
    behind = BlindResults(
        session, (1, 7), 1, 0, 0.125, 0.022, 0.471, 0.0703, 0.95, (BlindReveal(1, "q", "left", "B", "A", "B"),)
    )
    text = str(blind.results(behind))
    assert (
        "B was preferred in 88% of 8 votes (95% interval 53 to 98%): this could be chance (sign test, p = 0.070)"
        in text
    )
    assert "more than chance" in str(blind.results(replace(behind, p=0.0004)))
    assert "p &lt; 0.001" in str(blind.results(replace(behind, p=0.0004)))
    assert blind.results(replace(behind, rounds=())) is None
    none = replace(behind, wins=(0, 0), share=None, low=None, high=None, p=None)
    assert "No vote preferred one of them yet." in str(blind.results(none))
