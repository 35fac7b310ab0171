"""The Evaluate page with the example collection: run, look, follow a question, export, bring in more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import Running

from app.verbs.services import Services
from engine.models.paths import bundled_folder

pytestmark = pytest.mark.browser
COLLECTION = "Retrieval papers"
SLOW = 90_000


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The example collection with its judged questions, indexed."""
    with Services(tmp_path_factory.mktemp("example")) as services:
        folder = bundled_folder("examples") / "retrieval-papers"
        services.wait(services.add([str(folder)], COLLECTION), 240)
        running = Running(services)
        yield running
        running.stop()


def test_an_evaluation_from_the_questions_to_one_of_them(open_page: Any, example: Running) -> None:
    page = open_page(f"{example.address}/?tab=evaluate")
    page.get_by_text("Which pipeline is better on your questions?").wait_for()
    page.locator(".check", has_text="nDCG@10").hover()
    page.locator("#tp-tip", has_text="How close the order is to the best possible one").wait_for()
    page.locator(".check", has_text="R@100").locator("input").click()
    page.wait_for_function("!new URLSearchParams(location.search).getAll('o.metric').includes('R@100')")
    page.get_by_role("button", name="Run the evaluation").click()
    page.wait_for_function("location.search.includes('o.job=')")
    address = page.url
    page.close()  # it goes on

    page = open_page(address)
    page.locator(".leaderboard tbody tr").nth(2).wait_for(timeout=SLOW)
    page.wait_for_function("location.search.includes('o.run=') && !location.search.includes('o.job=')")
    heads = [text.strip() for text in page.locator(".leaderboard thead th").all_inner_texts()]
    assert heads == ["Pipeline", "nDCG@10", "AP", "RR@10", "judged@10", "p50", "p95"]
    page.get_by_role("button", name="AP", exact=True).first.click()
    page.locator("th[aria-sort=descending]", has_text="AP").wait_for()
    assert page.locator(".leaderboard tbody tr").first.inner_text().startswith("▲\nHybrid")
    page.get_by_label("Compare with", exact=True).select_option("Hybrid")
    page.wait_for_function("location.search.includes('o.base=Hybrid')")
    page.locator(".leaderboard .chip", has_text="baseline").wait_for()
    assert page.locator(".bar-q").count() == page.locator(".heat-q").count() == 82
    assert page.locator(".heat-group").count() == 6

    with page.expect_download() as download:
        page.get_by_text("Export").click()
        page.locator(".menu-row", has_text="Leaderboard").get_by_role("button", name="CSV").click()
    assert Path(download.value.path()).read_text(encoding="utf-8").startswith("pipeline,measure,")

    page.locator(".bars").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    words = page.evaluate("document.activeElement.dataset.tip")
    assert page.locator("#tp-tip").inner_text() == words
    page.keyboard.press("Enter")
    page.wait_for_function("location.search.includes('tab=compare')")
    page.locator("[data-column='2'] [data-hit]").first.wait_for()
    assert page.locator("#tp-query").input_value() in words
    assert page.locator(".rated").count() > 3, "judgments stand on the cards"
    page.go_back()
    page.locator(".leaderboard").wait_for()


def test_an_evaluation_is_shown_although_the_page_was_left_meanwhile(open_page: Any, example: Running) -> None:
    page = open_page(f"{example.address}/?tab=evaluate&c=Retrieval+papers&o.pipe=Hybrid&o.pipe=Late")
    before = {one.evaluation_id for one in example.services.evaluations(COLLECTION)}
    page.locator("#ev-setup summary").click()
    page.get_by_role("button", name="Run the evaluation").click()
    page.wait_for_function("location.search.includes('o.job=')")
    page.locator("[data-page=search]").click()
    page.wait_for_function("location.search.includes('tab=search')")
    page.locator("[data-page=evaluate]").click()
    page.wait_for_function("location.search.includes('tab=evaluate')")
    page.wait_for_function(
        "(before) => { const run = new URLSearchParams(location.search).get('o.run'); return run && !before.includes(run); }",
        arg=list(before), timeout=SLOW,
    )  # fmt: skip
    page.locator(".leaderboard").wait_for()


def test_questions_are_brought_in_and_wrong_lines_are_named(open_page: Any, example: Running, tmp_path: Path) -> None:
    good, bad = tmp_path / "questions.txt", tmp_path / "bad.jsonl"
    good.write_text("how are lists merged?\nwhat is a cross-encoder?\n")
    bad.write_text('{"_id": "1", "text": "x"}\n{oops\n')
    page = open_page(f"{example.address}/?tab=evaluate&panel=questions")
    page.get_by_label("Into the query set").fill("mine")
    page.locator("#tp-side [data-upload]").set_input_files(str(bad))
    page.locator("#questions-alert", has_text="line 2: is not JSON").wait_for()
    page.locator("#tp-side [data-upload]").set_input_files(str(good))
    page.locator("#questions-alert", has_text="2 questions and 0 judgments into “mine”").wait_for()
    page.locator(".set", has_text="mine").wait_for()
    page.get_by_role("button", name="Close (Esc)").click()
    page.wait_for_function("document.querySelector('#tp-side').hidden")
    page.get_by_text("No judgments: only disagreement can be measured.").wait_for(state="attached")
    if not page.locator("#ev-setup details[open]").count():
        page.locator("#ev-setup summary").first.click()
    page.get_by_role("button", name="Where do they disagree?").click()
    question = page.locator("#ev-disagree").get_by_role("button", name="what is a cross-encoder?")
    question.wait_for(timeout=SLOW)
    page.wait_for_function("location.search.includes('o.disagree=') && !location.search.includes('o.job=')")
    shown = page.url
    question.click()
    page.locator("[data-column='2'] [data-hit]").first.wait_for(timeout=SLOW)
    assert "tab=compare" in page.url
    assert page.locator("#tp-query").input_value() == "what is a cross-encoder?"
    page.go_back()
    question.wait_for()
    assert page.url == shown, "it is kept, and has an address"
    page.get_by_role("button", name="Judge them").click()
    page.get_by_role("button", name="Prepare the queue").wait_for()
    assert page.get_by_label("Query set").input_value() == "mine"
