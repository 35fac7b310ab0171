"""Calibrating the example collection in the browser: fit, look, slide, save, take the report along, and go on in Compare and Search."""

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
SAVED = "BM25, sure"
SLOW = 300_000
QUESTION = "how are ranked lists fused?"
JUDGED = "weighting a query word by how rarely it occurs across the collection"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The example collection with its judged questions, indexed."""
    with Services(tmp_path_factory.mktemp("example")) as services:
        folder = bundled_folder("examples") / "retrieval-papers"
        services.wait(services.add([str(folder)], COLLECTION), 240)
        running = Running(services)
        yield running
        running.stop()


@pytest.fixture(scope="module")
def calibrated(example: Running) -> Running:
    """The same with a calibrated pipeline, saved."""
    services = example.services
    if SAVED not in {view.name for view in services.pipelines()}:
        view = services.calibrate(COLLECTION, ["BM25"], methods=["platt"], target="best>=0.9")
        services.save_calibrated(COLLECTION, view.calibration_id, "BM25", "platt", name=SAVED, threshold=0.2)
    return example


def slide(page: Any, name: str, value: str) -> None:
    """As a finger does it: the value changes, and only an input event tells."""
    page.get_by_role("slider", name=name).fill(value)


def test_from_fitting_to_a_calibrated_pipeline_in_compare(open_page: Any, example: Running, tmp_path: Path) -> None:
    page = open_page(f"{example.address}/?tab=calibrate&o.pipe=BM25&o.method=platt&o.method=cosine_adapter&o.folds=2")
    page.get_by_text("Is the best hit any good?").wait_for()
    page.get_by_role("button", name="Fit and measure").click()
    page.locator(".cal-panel").nth(1).wait_for(timeout=SLOW)
    page.wait_for_function("location.search.includes('o.run=')")
    assert page.locator(".cal-table tbody th").all_inner_texts() == ["platt", "Cosine Adapter"]
    assert page.locator(".cal-chart").count() == 4, "precision and recall, scores, and two reliability diagrams"

    page.get_by_label("Calibrator", exact=True).select_option("cosine_adapter")
    page.get_by_label("Question", exact=True).fill(QUESTION)
    page.keyboard.press("Enter")
    page.locator(".cal-hit").nth(19).wait_for()
    assert page.locator(".cal-tried .line.is-shown, .cal-tried .line.is-other").count() == 2, (
        "this question's curve beside the global one"
    )
    page.get_by_text(
        "Cosine Adapter draws a curve for this question alone; platt is the same for every question."
    ).wait_for()

    slide(page, "Threshold", "1")
    page.get_by_text("Nothing relevant here").wait_for()
    assert page.locator(".cal-hit.is-dropped").count() == 20
    slide(page, "Threshold", "0")
    page.get_by_text("20 of the first 20 hits are kept.").wait_for()
    page.wait_for_function("new URLSearchParams(location.search).get('o.t') === '0'")
    assert page.locator(".cal-hit.is-dropped").count() == 0

    page.get_by_label("What the threshold is for").select_option("best")
    page.get_by_label("How much").fill("0.9")
    page.get_by_role("button", name="Choose").click()
    page.wait_for_function("Number(new URLSearchParams(location.search).get('o.t')) > 0")
    kept = page.locator(".cal-tiles div", has_text="Best kept").locator("dd").inner_text()
    assert 90 <= int(kept.rstrip("%")) <= 100

    with page.expect_download() as caught:
        page.get_by_role("button", name="Report").click()
    file = tmp_path / "calibration.html"
    caught.value.save_as(file)
    paper = open_page_from_disk(page, file)
    assert paper.locator("svg.cal-chart").count() == 5, "scores, and two drawings for each calibrator"
    paper.close()

    page.get_by_label("Save as pipeline").fill("BM25, by question")
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#cal-saved").get_by_role("button", name="Open in Compare").click()
    page.wait_for_function("location.search.includes('tab=compare')")
    page.locator("[data-column='1'][data-probabilities]").wait_for()
    columns = page.evaluate("new URLSearchParams(location.search).getAll('col').slice(0, 2)")
    assert columns == ["BM25", "BM25, by question"]


def open_page_from_disk(page: Any, file: Path) -> Any:
    """A file in a page of its own; nothing but the file may be asked for."""
    paper = page.context.new_page()
    asked: list[str] = []
    paper.on("request", lambda request: asked.append(request.url))
    paper.goto(file.as_uri())
    assert asked == [file.as_uri()]
    return paper


def test_the_threshold_of_compare_moves_without_the_server(open_page: Any, calibrated: Running) -> None:
    page = open_page(
        f"{calibrated.address}/?tab=compare&q={JUDGED.replace(' ', '+')}&col=BM25&col={SAVED.replace(' ', '+')}"
    )
    page.locator("[data-probabilities]").wait_for()
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.url) if request.method == "POST" else None)
    kept = page.locator("[data-probabilities] [data-cut=kept]")
    own = kept.inner_text()
    every = page.locator("[data-probabilities]").get_attribute("data-probabilities").split()
    for t in (0.9, 0.5, 0.35, 0.05, 0.0):
        slide(page, "Threshold", str(t))
        expected = sum(float(p) >= t for p in every)
        page.wait_for_function(
            "(n) => document.querySelector('[data-probabilities] [data-cut=kept]').textContent === n", arg=str(expected)
        )
        grey = page.locator("[data-probabilities] [data-p].is-dropped").evaluate_all(
            "hits => hits.map(hit => Number(hit.dataset.p))"
        )
        plain = page.locator("[data-probabilities] [data-p]:not(.is-dropped)").evaluate_all(
            "hits => hits.map(hit => Number(hit.dataset.p))"
        )
        assert all(p < t for p in grey)
        assert all(p >= t for p in plain)
        assert page.locator(".cut-none").is_visible() == (expected == 0)
    relevant = page.locator("[data-probabilities]").get_attribute("data-relevant").split()
    assert relevant
    slide(page, "Threshold", "1")
    page.wait_for_function("new URLSearchParams(location.search).get('o.t') === '1'")
    assert page.locator("[data-cut=lost]").inner_text() == str(len(relevant))
    assert calls == [], "nothing was asked of the server"

    slide(page, "Threshold", "0.35")
    page.wait_for_function("new URLSearchParams(location.search).get('o.t') === '0.35'")
    looks = """() => [document.querySelector('[data-probabilities] .cut-line').textContent,
      ...[...document.querySelectorAll('[data-probabilities] [data-p]')].map(hit => hit.dataset.doc + hit.classList.contains('is-dropped'))]"""
    shown = page.evaluate(looks)
    page.reload()
    page.wait_for_selector("html.is-ready")
    page.locator("[data-probabilities]").wait_for()
    assert page.get_by_role("slider", name="Threshold").input_value() == "0.35"
    assert page.evaluate(looks) == shown, "a link shows the same"
    page.get_by_role("button", name="Each its own").click()
    page.wait_for_function("!location.search.includes('o.t=')")
    assert kept.inner_text() == own
    assert page.locator("[data-probabilities] [data-hits='1'] .is-dropped").count() == 0


def test_what_the_threshold_drops_can_be_opened(open_page: Any, calibrated: Running) -> None:
    services = calibrated.services
    found = services.search(COLLECTION, JUDGED, SAVED)
    page = open_page(f"{calibrated.address}/?q={JUDGED.replace(' ', '+')}&p={SAVED.replace(' ', '+')}")
    page.locator("#tp-results [data-hit] .cal-p").first.wait_for()
    below = page.locator("details[data-below]")
    if found.total > 20:
        assert below.count() == 0, "it stands at the end of the list"
        page.get_by_role("button", name="Next").click()
    below.locator("summary").click()
    assert below.locator(".hit.is-dropped").count() == len(
        found.calibrated.dropped
        or services.search(COLLECTION, JUDGED, SAVED, offset=found.total - 1).calibrated.dropped
    )
    below.locator(".hit-title").first.click()
    page.locator(".reader-title").wait_for()
    page = open_page(f"{calibrated.address}/?q=zucchini+pizza+recipe&p={SAVED.replace(' ', '+')}")
    page.get_by_text("Nothing relevant here").wait_for()
    page.locator("details[data-below] summary").click()
    page.locator("details[data-below] .hit.is-dropped").first.wait_for()


def test_keys_and_lines_pass_over_what_is_folded(open_page: Any, calibrated: Running) -> None:
    page = open_page(
        f"{calibrated.address}/?tab=compare&q={JUDGED.replace(' ', '+')}&col={SAVED.replace(' ', '+')}&col=BM25&k=20"
    )
    folded = page.locator("[data-column='0'] details[data-below]")
    folded.wait_for()
    inside = "document.querySelector('[data-column=\"0\"] details[data-below] [data-hit]').dataset.doc"
    drawn = f'(() => {{ const doc = {inside}; return document.querySelectorAll(`[data-line="${{doc}}"]`).length; }})()'
    page.wait_for_function("document.querySelectorAll('.flow path').length > 0")
    assert page.evaluate(drawn) == 0
    folded.locator("summary").click()
    page.wait_for_function(f"{drawn} === 1")
