"""One pipeline from the inside: its stages joined by lines, and its reranker with another number of candidates and less time."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.browser

READ = "pipeline:\n- fuse:\n    inputs:\n    - bm25: {k: 100}\n    - dense: {k: 100}\n- cutoff: {k: 8}\n- cross: {candidates: 6}\n"
START = "/?tab=compare&col=BM25&col=Read&q=dense+retrieval+for+scientific+search"


@pytest.fixture
def address(filled: Any) -> str:
    filled.services.save_pipeline("Read", READ)
    return str(filled.address)


def documents(page: Any, column: int) -> list[str]:
    return [hit.get_attribute("data-doc") for hit in page.locator(f"[data-column='{column}'] [data-hit]").all()]


def expected_lines(lists: list[list[str]]) -> int:
    """From each hit to the nearest column on its right that shows the same document."""
    return sum(any(doc in later for later in lists[i + 1 :]) for i, one in enumerate(lists) for doc in one)


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1920, "dark")])
def test_lines_run_through_all_stages_and_a_document_is_followed(
    open_page: Any, address: str, width: int, theme: str
) -> None:
    page = open_page(address + START, width=width, theme=theme)
    page.locator("[data-column='1'] [data-hit]").first.wait_for()
    page.locator("[data-column='1']").get_by_role("button", name="Stages").click()
    page.locator("[data-column='3'] [data-hit]").first.wait_for()
    lists = [documents(page, i) for i in range(4)]
    page.wait_for_function(f"document.querySelectorAll('.flow-line').length === {expected_lines(lists)}")
    assert page.locator("[data-column='2'] .stage-line").inner_text().startswith("cut at 8")
    doc = next(doc for doc in lists[0] if doc in lists[2] and doc in lists[3])
    page.locator(f"[data-column='0'] .hit[data-doc='{doc}']").hover()
    many = sum(doc in one for one in lists)
    page.wait_for_function(f"document.querySelectorAll('.hit.is-followed').length === {many}")
    tops = page.evaluate(
        "[...document.querySelectorAll('[data-column] [data-hit]:first-child')].map(h => h.getBoundingClientRect().top)"
    )
    assert max(tops) - min(tops) < 1, "first hits stand level"
    wide = page.evaluate("[...document.querySelectorAll('.hit-stage')].some(h => h.scrollWidth > h.clientWidth + 1)")
    assert not wide, "nothing is wider than its card"
    page.keyboard.press("ArrowDown")
    page.locator(f"[data-column='3'] .hit[data-doc='{lists[3][0]}']").click()
    page.locator("#tp-side .reader-title").wait_for()
    assert page.locator("#tp-side .why").count() == 3, "both lists and the reranker"
    page.reload()
    page.locator("[data-column='3'] [data-hit]").first.wait_for()
    assert [documents(page, i) for i in range(4)] == lists
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Columns").click()
    page.locator(".select-column").first.wait_for()
    assert "o.view" not in page.url


def test_fewer_candidates_and_less_time(open_page: Any, address: str) -> None:
    page = open_page(address + START)
    page.locator("[data-column='1'] [data-hit]").first.wait_for()
    page.get_by_role("button", name="Rerank").click()
    page.locator("#rr-shown .rr-dot").first.wait_for()
    assert page.locator(".rr-dot").count() == 6
    assert page.locator("[data-column]").count() == 2
    slider = page.locator("#rr-candidates")
    assert (slider.get_attribute("min"), slider.get_attribute("max")) == ("8", "8"), "the list has no more"
    page.goto(page.url + "&o.n=4")
    page.locator("[data-column='0'] .stage-line").wait_for()
    assert page.locator("[data-column='0'] .stage-line").inner_text() == "no candidates from here"
    page.locator(".rr-point").last.click()
    page.wait_for_function("location.search.includes('o.n=8')")
    assert page.locator(".rr-dot").count() == 8
    doc = page.locator(".rr-dot").last.get_attribute("data-doc")
    page.locator(f".rr-dot[data-doc='{doc}']").hover()
    page.locator(f".hit.is-followed[data-doc='{doc}']").first.wait_for()
    page.get_by_role("button", name="As saved").click()
    page.locator(".rr-own").wait_for()
    page.locator(".rr-mover button", has_text="Why?").first.click()
    page.locator("#rr-why .why").nth(2).wait_for()
    assert page.locator("#rr-why .why").count() == 3
    page.locator("#rr-why").get_by_role("button", name="Close").click()
    page.wait_for_function("document.querySelector('#rr-why').childElementCount === 0")
    page.locator("#tp-query").fill("rank fusion")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "document.querySelector('[data-column=\"0\"] .hit-title').innerText.startsWith('Rank fusion')"
    )
    assert page.locator(".rr-figure").count() == 2
