"""Judging by keyboard with the example collection, and a blind vote: what is seen, what is kept, and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import Running

from app.verbs.services import Services
from engine.models.paths import bundled_folder

pytestmark = pytest.mark.browser
COLLECTION = "Retrieval papers"
SLOW = 120_000
QUESTIONS = "how are ranked lists merged?\nwhat is a cross-encoder?\ndoes query expansion help dense retrieval?\n"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The example collection, indexed for words, with three questions that nobody judged."""
    folder = tmp_path_factory.mktemp("example")
    with Services(folder / "workspace") as services:
        papers = bundled_folder("examples") / "retrieval-papers" / "corpus.jsonl"
        services.wait(services.add([str(papers)], COLLECTION, index=False), 240)
        short = "name: Titles\npipeline:\n- bm25: {k: 100, k1: 0.2, b: 0.0}\n"
        services.save_pipeline("Titles", short)
        services.wait(services.index(COLLECTION, services.needed_indexes(["BM25", "Titles"])), 240)
        (folder / "mine.txt").write_text(QUESTIONS)
        services.import_queries(COLLECTION, str(folder / "mine.txt"), query_set="mine")
        running = Running(services)
        yield running
        running.stop()


def counts(page: Any) -> list[int]:
    """Judged, skipped, left."""
    return [int(text.replace(",", "")) for text in page.locator(".jd-count b").all_inner_texts()]


def press(page: Any, key: str, judged: int) -> None:
    """Press a key, and wait until that many are judged."""
    page.keyboard.press(key)
    page.wait_for_function(f"document.querySelector('.jd-count b')?.textContent === '{judged}'")


def scores(page: Any) -> list[str]:
    """The first measure of every pipeline, as it stands on the page."""
    return page.locator(".jd-scores tbody td:nth-child(2)").all_inner_texts()


def test_ten_documents_are_judged_by_keyboard_two_undone_and_the_measures_follow(
    open_page: Any, example: Running, tmp_path: Path
) -> None:
    page = open_page(f"{example.address}/?tab=judge&o.set=mine&o.pipe=BM25&o.pipe=Titles&o.order=pool")
    page.get_by_role("button", name="Prepare the queue").click()
    page.locator(".jd-document").wait_for(timeout=SLOW)
    assert counts(page)[:2] == [0, 0]
    total = counts(page)[2]
    assert total >= 12
    assert page.locator(".jd-document mark").count() > 0, "words of the question are marked"
    assert "Titles" not in page.locator(".jd-grid").inner_text(), "nothing tells who found it"

    first = page.locator(".jd-document").inner_text()
    page.keyboard.press("n")
    page.keyboard.type("hits 3 but not really")
    page.keyboard.press("Escape")
    press(page, "3", 1)
    assert page.locator(".jd-document").inner_text() != first
    page.keyboard.press("m")
    page.locator(".jd-scores").wait_for()
    before = scores(page)
    assert len(before) == 2
    assert all(re.fullmatch(r"[01]\.\d{4}", value) for value in before)
    for judged, key in enumerate("021302130", start=2):
        press(page, key, judged)
    assert counts(page) == [10, 0, total - 10]
    after_ten = scores(page)
    assert after_ten != before, "the measures follow the judgments"
    page.keyboard.press("s")
    page.wait_for_function("document.querySelectorAll('.jd-count b')[1].textContent === '1'")
    press(page, "u", 10)
    page.wait_for_function("document.querySelectorAll('.jd-count b')[1].textContent === '0'")
    press(page, "u", 9)
    press(page, "u", 8)
    assert counts(page) == [8, 0, total - 8]
    assert scores(page) != after_ten, "and what was undone counts no more"

    page.keyboard.press("w")
    page.locator(".jd-finders").wait_for()
    assert "BM25" in page.locator(".jd-found").inner_text() or "Titles" in page.locator(".jd-found").inner_text()
    page.reload()
    page.locator(".jd-finders").wait_for()
    assert counts(page) == [8, 0, total - 8], "the address shows the same"

    page.get_by_role("button", name="Judgments", exact=True).click()
    page.locator("#tp-side", has_text="Who judged").wait_for()
    with page.expect_download() as download:
        page.locator("#tp-side").get_by_role("button", name="TREC qrels").click()
    qrels = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(qrels) == 8
    assert all(re.fullmatch(r"\S+ 0 \S+ [0-3]", line) for line in qrels)
    assert download.value.suggested_filename == "mine-qrels.txt"
    with page.expect_download() as download:
        page.locator("#tp-side").get_by_role("button", name="Log", exact=True).click()
    log = Path(download.value.path()).read_text(encoding="utf-8")
    assert "hits 3 but not really" in log
    assert log.count(",judge,") == 10, "what was undone is still in the log"

    page.goto(f"{example.address}/?tab=evaluate&o.set=mine&o.pipe=BM25&o.pipe=Titles")
    page.locator("[data-action='ev-run']").click()
    page.locator(".leaderboard").wait_for(timeout=SLOW)
    means = page.locator(".leaderboard .lb-mean").all_inner_texts()
    with page.expect_download() as download:
        page.get_by_role("button", name="Report", exact=True).click()
    assert download.value.suggested_filename == "report.html"
    download.value.save_as(tmp_path / "report.html")
    opened_from_disk(page.context.browser, tmp_path / "report.html", means)


def opened_from_disk(browser: Any, file: Path, means: list[str]) -> None:
    """A report holds these numbers, and a browser without a network opens it, asks for nothing else, and complains of nothing."""
    context = browser.new_context(offline=True)
    told: list[str] = []
    page = context.new_page()
    page.on("request", lambda request: told.append(request.url))
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(file.as_uri())
    assert page.locator(".leaderboard .lb-mean").all_inner_texts() == means
    assert page.locator("#side-by-side article").count() > 0
    assert page.locator("#side-by-side .grade").count() > 0, "the judgments are there as chips"
    context.close()
    assert told == [file.as_uri()]


def test_a_card_is_judged_where_it_stands_and_its_column_measured(open_page: Any, example: Running) -> None:
    page = open_page(f"{example.address}/?tab=compare&q=rank+fusion+of+several+lists&col=BM25&col=Titles&o.who=ann")
    page.locator("[data-column='1'] [data-hit]").first.wait_for()
    assert page.locator(".scored").count() == 0
    page.locator("[data-column='0'] [data-hit]").first.focus()
    page.keyboard.press("3")
    page.locator("#tp-measures-0 .scored", has_text="RR@10").wait_for()
    shown = [text.split() for text in page.locator("#tp-measures-0 .scored").all_inner_texts()]
    assert shown == [["nDCG@10", "1.000"], ["P@5", "0.200"], ["RR@10", "1.000"]]
    first = page.locator("[data-column='0'] [data-hit]").first
    assert first.locator(".rated").inner_text() == "3"
    page.reload()
    page.locator("#tp-measures-0 .scored").first.wait_for()
    first.focus()
    page.keyboard.press("3")
    page.wait_for_function("document.querySelectorAll('.scored').length === 0")
    assert first.locator(".rated").is_hidden(), "the same grade again takes it back"


def test_a_blind_vote_tells_the_names_afterwards(open_page: Any, example: Running) -> None:
    page = open_page(f"{example.address}/?tab=judge")
    page.get_by_role("button", name="Blind A/B", exact=True).click()
    page.get_by_label("One pipeline").select_option("BM25")
    page.get_by_label("The other pipeline").select_option("Titles")
    page.get_by_label("Questions", exact=True).select_option("mine")
    page.get_by_role("button", name="Start", exact=True).click()
    page.locator(".bl-columns").wait_for(timeout=SLOW)
    assert not re.search("BM25|Titles", page.locator("#bl-main").inner_text())
    page.keyboard.press("ArrowLeft")
    page.locator(".bl-told", has_text="You preferred").wait_for()
    heads = page.locator(".bl-head h3").all_inner_texts()
    assert {name for name in ("BM25", "Titles") for head in heads if name in head} == {"BM25", "Titles"}
    page.keyboard.press("n")
    page.locator(".bl-votes").wait_for()
    page.keyboard.press("b")
    page.locator(".bl-results", has_text="1 times both bad").wait_for()
    assert "1 vote" in page.locator(".bl-verdict").inner_text()


def test_two_assessors_and_eight_votes_are_told_in_the_numbers_of_the_hand(open_page: Any, example: Running) -> None:
    services, question = example.services, "probabilistic relevance feedback"
    papers = [card.doc_id for card in services.search(COLLECTION, question, "BM25", limit=4).cards]
    for name, ratings in (("ann", (3, 0, 1, 2)), ("bob", (3, 0, 2, 2))):
        for doc_id, rating in zip(papers, ratings, strict=True):
            services.judge_card(COLLECTION, question, doc_id, rating, assessor=name, query_set="second")
    page = open_page(f"{example.address}/?tab=judge&o.set=second")
    page.get_by_role("button", name="Judgments", exact=True).click()
    pair = page.locator("#tp-side tr", has_text="ann · bob")
    pair.wait_for()
    # three of four are the same; chance gives (1·1 + 1·1 + 1·0 + 1·2) / 16 = 1/4
    assert pair.locator("td").all_inner_texts() == ["ann · bob", "4", "75%", "0.67", "substantial"]
    apart = page.locator("#tp-side table").last.locator("tbody td")
    assert apart.all_inner_texts()[1:] == ["1", "2", "2"], "the latest counts"
    page.get_by_label("Where assessors differ").select_option("majority")
    page.locator("#tp-side table td:last-child b", has_text=re.compile("^1$")).wait_for()
    assert apart.all_inner_texts()[1:] == ["1", "2", "1"]

    session = services.start_blind(COLLECTION, ["BM25", "Titles"], k=3, seed=5).session_id
    for number in range(1, 9):
        services.blind_round(COLLECTION, session, f"rank fusion {number}")
        left = services.engine.workspace.blind.round(session, number).left
        wanted = "BM25" if number == 4 else "Titles"
        services.vote(COLLECTION, session, number, "left" if left == wanted else "right")
    page.goto(f"{example.address}/?tab=blind&o.session={session}")
    page.locator(".bl-verdict").wait_for()
    # Wilson's interval of 7 in 8, and 2 (1 + 8) / 256
    assert page.locator(".bl-verdict").inner_text() == (
        "Titles was preferred in 88% of 8 votes (95% interval 53 to 98%): this could be chance (sign test, p = 0.070)."
    )
