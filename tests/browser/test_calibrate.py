"""The Calibrate page with the example collection: fit, slide the threshold, see what is dropped, save, and go on in Compare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from running import Running

from app.services import Services
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


def test_from_fitting_to_a_calibrated_pipeline_in_compare(open_page: Any, example: Running) -> None:
    page = open_page(f"{example.address}/?tab=calibrate&o.pipe=BM25&o.method=min_max&o.method=platt")
    page.get_by_text("Is the best hit any good?").wait_for()
    page.get_by_role("button", name="Fit and measure").click()
    page.wait_for_function("location.search.includes('o.run=')", timeout=SLOW)
    page.locator(".cal-panel").nth(1).wait_for()
    assert page.locator(".cal-table tbody th").all_inner_texts() == ["min-max (query)", "platt"]

    page.get_by_label("Calibrator", exact=True).select_option("platt")
    page.get_by_label("Question", exact=True).fill("how are ranked lists fused?")
    page.keyboard.press("Enter")
    page.locator(".cal-hit").nth(19).wait_for()
    page.get_by_label("Threshold").fill("1")
    page.get_by_text("Nothing relevant here").wait_for()
    assert page.locator(".cal-hit.is-dropped").count() == 20
    page.get_by_label("Threshold").fill("0")
    page.get_by_text("20 of the first 20 hits are kept.").wait_for()
    page.wait_for_function("new URLSearchParams(location.search).get('o.t') === '0'")
    assert page.locator(".cal-hit.is-dropped").count() == 0

    page.get_by_label("Save as pipeline").fill("BM25, sure")
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("#cal-saved").get_by_role("button", name="Open in Compare").click()
    page.wait_for_function("location.search.includes('tab=compare')")
    page.locator("[data-column='1'] [data-hit]").first.wait_for()
    assert page.evaluate("new URLSearchParams(location.search).getAll('col').slice(0, 2)") == ["BM25", "BM25, sure"]
