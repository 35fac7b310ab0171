"""Reports: every number of the leaderboard, nothing that a browser would fetch or run, and a size that can be sent."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from typing import Any

import pytest
from fake_evaluation import HOSTILE, MEASURES, NAMES, rows, value, view
from fake_report import ORIGIN, PAGES, calibrated, compared, hits, reported
from lxml import html

from app.drawing import calibration_charts
from app.report import flow as report_flow
from app.report import report
from app.results.evaluation import EvaluatedHit, EvaluationView
from app.results.report import CalibrationReport, ReportedQuery

ADDRESSES = {
    "href",
    "src",
    "srcset",
    "action",
    "formaction",
    "poster",
    "data",
    "background",
    "cite",
    "xlink:href",
    "ping",
    "manifest",
}


def text_of(element: Any) -> str:
    return " ".join(element.text_content().split())


def test_every_number_of_the_leaderboard_is_in_the_report() -> None:
    page = html.document_fromstring(report.evaluation(reported()))
    shown = view()
    board = page.xpath('//table[contains(@class, "leaderboard")]/tbody/tr')
    assert [row.get("data-key") for row in board] == list(NAMES)
    for one, row in zip(shown.pipelines, board, strict=True):
        told = text_of(row)
        for cell in one.cells:
            assert f"{cell.mean:.3f}" in told
            assert f"{cell.low:.3f}–{cell.high:.3f}" in told
            assert cell.wins is None or f"{cell.wins}/{cell.ties}/{cell.losses}" in told
        assert f"{one.judged:.2f}" in told
    tests = page.xpath('//section[@id="tests"]//tbody/tr')
    assert len(tests) == 4 * 5, "each measure of each pipeline but the baseline"
    for measure in range(4):
        for place, one in enumerate(shown.pipelines[1:]):
            cell, told = one.cells[measure], text_of(tests[measure * 5 + place])
            for number in (f"{cell.difference:+.4f}", f"{cell.difference_low:+.4f} to {cell.difference_high:+.4f}", f"{cell.p:.4f}", f"{cell.p_corrected:.4f}", f"{cell.cohen_dz:+.2f}", f"{cell.hedges_g:+.2f}", str(cell.wins), str(cell.losses)):  # fmt: skip
                assert number in told, (cell, told)
    left = page.xpath('//section[@id="leaderboard"]//h3/following-sibling::div[1]//tbody/tr')
    assert next(text_of(row) for row in left) == "●BM250.4900.530–––"
    known = text_of(page.xpath('//section[@id="values"]')[0])
    assert all(f"{value(i, 12, 0):.4f}" in known for i in range(6))
    assert "failed" in known


@pytest.mark.parametrize("kind", PAGES)
def test_nothing_is_fetched_run_or_left_to_press(kind: str) -> None:
    text = PAGES[kind]()
    page = html.document_fromstring(text)
    for element in page.iter():
        if not isinstance(element.tag, str):
            continue
        assert element.tag not in (
            "script",
            "img",
            "iframe",
            "object",
            "embed",
            "link",
            "base",
            "form",
            "button",
            "select",
            "input",
        ), element.tag
        for name, found in element.attrib.items():
            assert not name.startswith("on"), name
            if name in ADDRESSES:
                assert found.startswith("#"), (name, found)
                assert page.xpath("//*[@id=$id]", id=found[1:]), found
            assert name == "title" or "url(" not in found or name == "content", (name, found)
        assert "data-action" not in element.attrib
    sheet = re.search(r"<style>(.*?)</style>", text, re.S)
    assert sheet is not None
    assert "url(" not in sheet[1]
    assert "@import" not in sheet[1]
    policy = page.xpath('//meta[@http-equiv="Content-Security-Policy"]/@content')[0]
    assert policy.startswith("default-src 'none';")
    assert base64.b64encode(hashlib.sha256(sheet[1].encode()).digest()).decode() in policy
    assert "http:" not in policy
    assert "https:" not in policy
    assert "script-src" not in policy, "nothing but default-src may speak of scripts"


@pytest.mark.parametrize("kind", PAGES)
def test_hostile_texts_are_shown_as_text(kind: str) -> None:
    text = PAGES[kind]()
    assert "<script" not in text
    assert "<img" not in text
    assert HOSTILE in text_of(html.document_fromstring(text))


def test_a_hostile_name_of_a_pipeline_or_collection_is_text() -> None:
    shown = view(collection=HOSTILE, query_set=HOSTILE)
    first = replace(shown.pipelines[0], name=HOSTILE, yaml=f"name: {HOSTILE}")
    shown = replace(shown, baseline=HOSTILE, pipelines=(first, *shown.pipelines[1:]))
    text = report.evaluation(reported(shown, rows(20, "nDCG@10", NAMES[1:])))
    assert "<script" not in text
    assert "<img" not in text


def test_a_hundred_questions_and_four_pipelines_are_far_below_five_megabytes() -> None:
    shown = view(pipelines=view().pipelines[:4], queries=100, failures=())
    text_of_a_question = "What is known about " + "the effectiveness of learned sparse and dense retrieval " * 4
    table = tuple(replace(row, text=text_of_a_question) for row in rows(100, "nDCG@10", NAMES[:4]))
    asked = tuple(
        ReportedQuery(row.qid, row.text, row.values, tuple(hits(name, i, 20) for i, name in enumerate(NAMES[:4])))
        for row in table
    )
    size = len(report.evaluation(reported(shown, table, queries=asked, calibration=calibrated())).encode())
    assert size < 5_000_000, "even with every question side by side, twenty hits each"
    eight = len(report.evaluation(reported(shown, table, queries=asked[:8])).encode())
    assert eight < 1_500_000


def test_sections_without_anything_are_left_out() -> None:
    alone = view(pipelines=view().pipelines[:1], failures=())
    page = html.document_fromstring(report.evaluation(reported(alone, rows(5, "nDCG@10", NAMES[:1]), queries=())))
    assert page.xpath("//section/@id") == ["leaderboard", "latency", "map", "values", "pipelines", "origin"]
    assert text_of(page.xpath('//p[@class="verdict"]')[0]) == "BM25 has the highest nDCG@10, 0.480 (0.430 to 0.530)."


def test_the_verdict_names_the_best_and_whether_it_can_be_told() -> None:
    def said(shown: EvaluationView) -> str:
        return "".join(str(part) for part in report.verdict(shown, "nDCG@10")).replace("&lt;", "<")

    assert said(view()).endswith("; it is significantly better than BM25 (p\u00a0<\u00a00.001).")
    two = view(pipelines=view().pipelines[:2])
    assert said(two).endswith(
        "BM25</b> has the highest nDCG@10, 0.480 (0.430 to 0.530); no other is significantly worse."
    )


def test_lines_join_the_same_document_and_stubs_end() -> None:
    left = report_flow.FlowColumn("a", 0, tuple(EvaluatedHit(i + 1, d, d, 1.0, r) for i, (d, r) in enumerate([("x", 1), ("y", None), ("z", 0)])))  # fmt: skip
    right = report_flow.FlowColumn("b", 1, tuple(EvaluatedHit(i + 1, d, d, 1.0, None) for i, d in enumerate(["w", "x", "z"])))  # fmt: skip
    drawn = html.fragment_fromstring(str(report_flow.lines(left, right, 3)))
    paths = [(path.get("d"), path.get("class")) for path in drawn.iter("path")]
    assert paths == [
        ("M0 50C55 50 45 150 100 150", "flow-line is-relevant"),
        ("M0 150h14", "flow-end"),
        ("M0 250C55 250 45 250 100 250", "flow-line is-same"),
    ]
    moves = [report_flow.movement(*pair) for pair in ((1, None), (2, 2), (1, 4), (5, 3))]
    assert [html.fragment_fromstring(str(move)).text for move in moves] == ["new", "=", "▲3", "▼2"]


def test_the_comparison_holds_agreement_ledger_and_latency() -> None:
    page = html.document_fromstring(report.comparison(compared()))
    assert page.xpath("//section/@id") == ["side-by-side", "agreement", "ledger", "latency", "pipelines", "origin"]
    assert "2/10 0.500 0.432" in " ".join(
        cell.text_content() for cell in page.xpath('//section[@id="agreement"]//td[@class="num"]')
    )
    assert "#1 7.750 0.0164" in " ".join(
        cell.text_content() for cell in page.xpath('//section[@id="ledger"]//td[contains(@class, "num")]')
    )
    assert "The index is not built." in text_of(page.xpath('//section[@id="side-by-side"]')[0])
    assert "1.5 ms" in text_of(page.xpath('//section[@id="latency"]')[0])


def test_calibration_plots_stand_where_the_numbers_say() -> None:
    page = html.fragment_fromstring(
        str(
            calibration_charts.reliability(calibrated().pipelines[0].methods[0].bins, "Platt", calibration_charts.PAPER)
        )
    )
    dots = [(float(dot.get("cx")), float(dot.get("cy")), float(dot.get("r"))) for dot in page.iter("circle")]
    assert dots == [(53.0, 164.0, 4.1), (205.0, 50.0, 7.5)], "an empty bin has no dot"
    table = report.calibration(CalibrationReport(calibrated(), ORIGIN))
    assert "0.123" in table
    assert "0.101–0.145" in table
    assert MEASURES[0] not in table
