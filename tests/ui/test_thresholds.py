"""Estimates on cards, the line below the threshold, and the threshold of Compare: every number by hand.

The calibrated pipeline of the stand-in gives 0.8, 0.72, 0.64, 0.56, 0.48, 0.40, 0.32, 0.24 … and keeps from 0.3 on, so seven hits.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from driving import Page
from lxml import html
from test_dispatch import COMPARE, SEARCH

from app.drawing import relevance
from app.results.search import Calibrated, Card
from app.ui.pages.compare import cutting

NAME = "Dense, platt"
TOLD = Calibrated("platt", 0.3, (0.9, 0.5, 0.3, 0.1), (0.9, 0.1))
CARD = Card("d", "", (), None, "", "", "", (), 1, 0.5)


def drawn(reply: dict[str, dict[str, str]], region: str = "tp-main") -> html.HtmlElement:
    return html.fragment_fromstring(reply["regions"][region], create_parent="div")


def words(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def test_search_shows_estimates_and_opens_what_was_dropped(page: Page) -> None:
    page.state = SEARCH.with_(pipeline=NAME, query="dense retrieval")
    shown = drawn(page.call("open"))
    hits = shown.xpath('//ol[@data-hits="true" or @data-hits=""]/li')
    assert [words(hit.xpath('.//*[@class="cal-p"]')[0]) for hit in hits] == [
        f"est. relevance{p}%" for p in (80, 72, 64, 56, 48, 40, 32)
    ]
    told = hits[0].xpath('.//*[@class="cal-p"]/@title')[0]
    assert told == (
        "Estimated probability of relevance 0.8000, by the calibrator platt of this pipeline, which keeps it: the threshold is 0.3000"
    )
    assert "score 0." not in words(hits[0]), "the estimate is the score"
    (below,) = shown.xpath("//details[@data-below]")
    total = 75 - 7
    assert words(below.find("summary")) == f"{total} below the threshold of 30%"
    dropped = below.xpath(".//li")
    assert len(dropped) == 20
    assert all("is-dropped" in hit.get("class") for hit in dropped)
    assert "which drops it" in dropped[0].xpath('.//*[@class="cal-p"]/@title')[0]
    assert f"{total - 20} less likely ones are not listed." in words(below)


def test_a_list_that_the_threshold_empties_says_so_honestly(page: Page) -> None:
    page.state = SEARCH.with_(pipeline=NAME, query="cake recipes, dense")
    shown = drawn(page.call("open"))
    assert "Nothing relevant here" in words(shown)
    assert "The likeliest of 75 hits has an estimated relevance of 8.0%" in words(shown)
    assert "drops what lies below 30%" in words(shown)
    assert len(shown.xpath("//details[@data-below]//li")) == 20
    page.state = SEARCH.with_(pipeline="BM25", query="zzzz")
    assert "Nothing relevant here" not in words(drawn(page.call("open"))), "nothing was found, which is another thing"


def test_compare_counts_per_column_and_marks_each_own_threshold(page: Page) -> None:
    page.state = COMPARE.with_(columns=("Dense", NAME), query="dense retrieval")
    shown = drawn(page.call("open"))
    (slider,) = shown.xpath('//input[@id="tp-cut"]')
    assert (slider.get("value"), slider.get("data-own"), slider.get("step")) == ("0.300", "0.300", "0.005")
    assert shown.xpath('//*[contains(@class, "cut-mark ")]/@style') == ["--at:0.3000"]
    assert words(shown.xpath("//output")[0]) == "30%"
    plain, calibrated = shown.xpath("//section[@data-column]")
    assert "Scores are not calibrated" in words(plain)
    assert plain.get("data-probabilities") is None
    probabilities = calibrated.get("data-probabilities").split()
    assert probabilities[:8] == ["0.8", "0.72", "0.64", "0.56", "0.48", "0.4", "0.32", "0.24"]
    assert (len(probabilities), calibrated.get("data-kept")) == (75, "7")
    line = words(calibrated.xpath('.//p[contains(@class, "cut-line")]')[0])
    relevant = [float(p) for p in calibrated.get("data-relevant").split()]
    lost = sum(p < 0.3 for p in relevant)
    assert line == f"7 kept · 68 dropped ({lost} of 1 relevant)"
    assert len(calibrated.xpath('.//ol[@data-hits="1"]/li')) == 7
    assert len(calibrated.xpath(".//details[@data-below]//li")) == 3, "down to the cut-off of ten"
    assert not calibrated.xpath('.//ol[@data-hits="1"]/li[contains(@class, "is-dropped")]')


def test_a_threshold_of_the_address_greys_and_counts(page: Page) -> None:
    page.state = COMPARE.with_(columns=("Dense", NAME), query="dense retrieval").with_options(t="0.5")
    shown = drawn(page.call("open"))
    assert shown.xpath('//input[@id="tp-cut"]/@value') == ["0.500"]
    column = shown.xpath("//section[@data-probabilities]")[0]
    assert words(column.xpath('.//p[contains(@class, "cut-line")]')[0]).startswith("4 kept · 71 dropped")
    classes = [hit.get("class") for hit in column.xpath('.//ol[@data-hits="1"]/li')]
    assert ["is-dropped" in one for one in classes] == [False] * 4 + [True] * 3
    assert column.xpath('.//*[@data-cut="none"]/@hidden'), "something is kept"
    assert words(column.xpath(".//summary")[-1]).startswith("71 below the threshold")
    page.state = page.state.with_options(t="0.2")
    column = drawn(page.call("open")).xpath("//section[@data-probabilities]")[0]
    folded = [hit.get("class") for hit in column.xpath(".//details[@data-below]//li")]
    assert ["is-dropped" in one for one in folded] == [False, True, True], "0.24 comes back, 0.16 does not"
    page.state = page.state.with_options(t="0.9")
    column = drawn(page.call("open")).xpath("//section[@data-probabilities]")[0]
    assert not column.xpath('.//*[@data-cut="none"]/@hidden')
    assert "The likeliest hit has an estimated relevance of 80%." in words(column)


@pytest.mark.parametrize("text", ["", "x", "nan", "-0.1", "1.1", "inf", "1e9"])
def test_a_threshold_that_is_none_leaves_every_column_its_own(page: Page, text: str) -> None:
    assert cutting.asked(text) is None
    page.state = COMPARE.with_(columns=("Dense", NAME), query="dense retrieval").with_options(t=text)
    shown = drawn(page.call("open"))
    assert shown.xpath('//input[@id="tp-cut"]/@value') == ["0.300"]
    assert not shown.xpath('//*[contains(@class, "is-cut")]')


def test_without_a_calibrated_column_one_sentence_says_where_it_would_help(page: Page) -> None:
    page.state = COMPARE
    shown = drawn(page.call("open"))
    assert not shown.xpath('//input[@id="tp-cut"]')
    assert not shown.xpath('//p[contains(@class, "cut-line")]')
    (hint,) = shown.xpath('//p[contains(@class, "cut-hint-end")]')
    assert "Calibrate a pipeline to turn its scores into probabilities" in words(hint)
    assert hint.xpath('.//button[@data-action="go"]/@data-page') == ["calibrate"]
    page.state = COMPARE.with_(query="zzzz", columns=("BM25", "BM25 2"))
    assert not drawn(page.call("open")).xpath('//p[contains(@class, "cut-hint-end")]'), "nothing was found"


def test_what_lies_far_below_is_counted_but_not_opened() -> None:
    line = html.fragment_fromstring(str(relevance.below(TOLD, [])))
    assert (line.tag, words(line)) == ("p", "1 below the threshold of 30%")
    assert relevance.below(replace(TOLD, threshold=0.0), []) is None


def test_both_score_and_estimate_are_shown_where_a_later_stage_scored_anew() -> None:
    plain = str(relevance.score(CARD, None))
    assert "score 0.5000" in plain
    assert "relevance" not in plain
    assert "score" not in words(html.fragment_fromstring(str(relevance.score(replace(CARD, probability=0.5), TOLD))))
    both = words(html.fragment_fromstring(str(relevance.score(replace(CARD, probability=0.25), TOLD))))
    assert both == "est. relevance25%score 0.5000"


@pytest.mark.parametrize(("p", "text"), [(0.0, "0%"), (0.004, "0.4%"), (0.0999, "10.0%"), (0.1, "10%"), (0.725, "72%"), (1.0, "100%")])  # fmt: skip
def test_percentages(p: float, text: str) -> None:
    assert relevance.percent(p) == text


@pytest.mark.parametrize(("t", "text"), [(0.3, "30%"), (0.125, "12.5%"), (0.0871, "8.7%"), (1.0, "100%"), (0.0, "0%")])
def test_thresholds(t: float, text: str) -> None:
    assert relevance.cut(t) == text
