"""The Calibrate page as it is called: choices live in the address, fits are jobs, thresholds are tried, pipelines are saved."""

from __future__ import annotations

import base64
import csv
import io
from pathlib import Path

import pytest
from driving import Page
from fake_calibration import calibration, effects, method
from fakes import FakeServices
from lxml import etree

from app.drawing import calibration_charts
from app.results import calibration_table
from app.results.calibration import Histogram
from app.ui.pages.calibrate import trying
from app.ui.web.dispatch import Access
from app.ui.web.session import UiState

START = UiState(page="calibrate", collection="Retrieval papers")


@pytest.fixture
def page(page: Page) -> Page:
    page.state = START
    page.call("open")
    return page


def test_the_newest_calibration_is_shown_with_the_best_calibrated_map(page: Page) -> None:
    assert page.state.option("run") == "cal-2"
    html = page.call("open")["regions"]["tp-main"]
    assert "4 questions without a relevant document" in html
    assert '<option value="platt" selected>' in html, "of the least ECE"
    assert "0.310 → <b>0.040</b>" in html, "before by min-max, and after"
    assert "Stale" not in html
    page.call("cal-open", id="cal-1")
    assert "the judgments have changed" in page.call("open")["regions"]["tp-main"]


def test_without_judgments_it_says_what_to_do(page: Page) -> None:
    page.state = UiState(page="calibrate", collection="CISI")
    html = page.call("open")["regions"]["tp-main"]
    assert "No judgments to learn from" in html
    assert 'data-page="judge"' in html
    assert "cal-run" not in html


def test_a_calibration_that_is_gone_is_said_and_the_history_stays(page: Page) -> None:
    page.state = START.with_options(run="cal-9")
    html = page.call("open")["regions"]["tp-main"]
    assert "No calibration of this collection" in html
    assert "History" in html


def test_what_is_fitted_is_chosen_in_the_address_and_started_as_a_job(page: Page) -> None:
    page.call("cal-toggle", name="pipe", value="Hybrid")
    page.call("cal-toggle", name="method", value="cosine_adapter")
    page.call("cal-set", name="wish", value="results")
    page.call("cal-set", name="value", value="7")
    page.call("cal-set", name="depth", value="50")
    asked: dict[str, object] = {}
    page.services.start_calibration = lambda *names, **given: asked.update(given, names=names) or "job-cal"  # type: ignore[method-assign, func-returns-value]
    reply = page.call("cal-run")
    pipelines = asked["names"][1]  # type: ignore[index]
    assert pipelines == ("Dense", "Hybrid")
    assert asked["methods"] == ("min_max", "platt", "beta", "isotonic", "mixture")
    assert (asked["target"], asked["folds"], asked["depth"], asked["rating"]) == ("results<=7", 5, 50, 1)
    assert page.state.option("job") == "job-cal"
    assert reply["poll"]
    assert "7 of 18 fits" in page.call("jobs")["regions"]["cal-job"]
    page.state = START.with_options(job="job-cal-done")
    page.call("open")
    assert (page.state.option("job"), page.state.option("run")) == ("", "cal-2")


def test_wrong_numbers_and_settings_are_refused(page: Page) -> None:
    page.call("cal-set", name="folds", value="many")
    assert "whole number" in page.call("cal-run")["regions"]["tp-alert"]
    page.call("cal-set", name="folds", value="21")
    assert "2 to 20 folds" in page.call("cal-run")["regions"]["tp-alert"]
    assert page.call("cal-set", name="run", value="x")["failed"]
    assert page.call("cal-look", name="run", value="x")["failed"]
    assert page.call("cal-toggle", name="set", value="x")["failed"]


def test_a_slide_redraws_only_what_the_threshold_does(page: Page) -> None:
    page.call("cal-query", query="dense retrieval")
    reply = page.call("cal-slide", value="0.5")
    assert set(reply["regions"]) == {"cal-tried", "cal-saved", "tp-alert"}
    html = reply["regions"]["cal-tried"]
    assert "3 of the first 5 hits are kept." in html, "0.9, 0.72, 0.54 of 0.9, 0.72, 0.54, 0.36, 0.18"
    assert html.count("is-dropped") == 2
    assert "measured at 0.500" in html
    assert "<dt>Precision</dt><dd>50%</dd>" in html
    assert html in page.call("open")["regions"]["tp-main"], "a link shows the same"
    page.call("cal-look", name="t", value="")
    assert page.state.option("t") == ""


@pytest.mark.parametrize("value", ["", "x", "nan", "-1", "2", "1e9"])
def test_a_threshold_that_is_none_falls_back_to_the_chosen_one(page: Page, value: str) -> None:
    html = page.call("cal-slide", value=value)["regions"]["cal-tried"]
    assert "<dt>Threshold</dt><dd>0.200</dd>" in html
    assert "each with the threshold that the others chose for the target" in html


@pytest.mark.parametrize(
    ("wish", "value", "threshold"),
    # precision .1 + .04 i, recall 1 − i/20, best kept 1 − i/25, results 100 − 5 i at the threshold i/20
    [("recall", "0.9", 0.1), ("best", "0.9", 0.1), ("precision", "0.5", 0.5), ("results", "10", 0.9), ("recall", "1", 0.0)],
)  # fmt: skip
def test_a_threshold_is_chosen_for_a_target(page: Page, wish: str, value: str, threshold: float) -> None:
    html = page.call("cal-aim", wish=wish, value=value)["regions"]["cal-results"]
    assert float(page.state.option("t")) == pytest.approx(threshold)
    assert f"measured at {threshold:.3f}" in html
    assert f'<option value="{wish}" selected>' in html


def test_a_target_that_is_out_of_reach_or_none_is_said(page: Page) -> None:
    assert "No threshold of platt reaches precision ≥ 0.95" in str(page.call("cal-aim", wish="precision", value="0.95"))
    assert "is no target" in str(page.call("cal-aim", wish="happiness", value="1"))
    assert page.call("cal-aim", wish="recall", value="many")["failed"]
    assert page.state.option("t") == ""


def test_a_threshold_is_written_no_higher_than_it_is() -> None:
    assert float(trying.written(0.123456789)) == 0.123456
    assert trying.written(1.0) == "1.000000"


def test_the_report_is_a_file(page: Page) -> None:
    download = page.call("cal-report")["download"]
    assert (download["name"], download["mime"]) == ("calibration.html", "text/html")
    assert b"recall" in base64.b64decode(download["base64"])
    page.state = START.with_options(run="cal-9")
    assert page.call("cal-report")["failed"]


def test_it_is_said_which_curves_are_of_this_question_alone(page: Page) -> None:
    html = page.call("cal-query", query="dense retrieval")["regions"]["cal-tried"]
    assert "min_max draws a curve for this question alone; platt and isotonic are the same for every question." in html


def test_where_nothing_is_relevant_it_says_so(page: Page) -> None:
    html = page.call("cal-query", query="chocolate cake")["regions"]["cal-tried"]
    assert "Nothing relevant here" in html
    assert "a probability of 10%" in html
    assert "Nothing found" in page.call("cal-query", query="nowhere")["regions"]["cal-tried"]


def test_the_pipeline_is_saved_as_tried_and_opened_in_compare(page: Page) -> None:
    asked: dict[str, object] = {}
    original = page.services.save_calibrated

    def save(*names: str, **given: object) -> object:
        asked.update(given, names=names)
        return original(*names, **given)  # type: ignore[arg-type]

    page.services.save_calibrated = save  # type: ignore[method-assign, assignment]
    page.call("cal-query", query="dense retrieval")
    page.call("cal-slide", value="0.5")
    reply = page.call("cal-save", name=" Hybrid, platt ")
    assert asked == {
        "name": "Hybrid, platt",
        "threshold": 0.5,
        "names": ("Retrieval papers", "cal-2", "Hybrid", "platt"),
    }
    assert "can be chosen in Search and Compare" in reply["regions"]["cal-saved"]
    page.call("cal-compare", saved="Hybrid, platt")
    assert page.state.option("t") == "0.5", "Compare goes on with the threshold"
    assert page.state.page == "compare"
    assert page.state.columns[:2] == ("Hybrid", "Hybrid, platt")
    assert page.state.query == "dense retrieval"


def test_a_server_for_reading_saves_and_deletes_nothing(tmp_path: Path) -> None:
    page = Page(FakeServices(tmp_path), Access(write=False))
    page.state = START
    html = page.call("open")["regions"]["tp-main"]
    for action in ("cal-run", "cal-save", "cal-ask-delete"):
        assert f'data-action="{action}"' not in html
        assert page.call(action, id="cal-2", name="x")["failed"]


def test_deleting_asks_first_and_shows_another_one(page: Page) -> None:
    assert "keep them" in page.call("cal-ask-delete", id="cal-2")["dialog"]
    assert page.call("cal-delete", id="cal-2")["closeDialog"]
    assert page.call("cal-delete", id="cal-9")["failed"]


def test_exports_hold_every_row(page: Page) -> None:
    text = page.call("cal-export", format="csv")["download"]["text"]
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["pipeline"], row["calibrator"]) for row in rows][2:4] == [("Hybrid", "isotonic"), ("Dense", "min_max")]
    assert (rows[1]["ECE"], rows[1]["recall"]) == ("0.04", "")
    table = page.call("cal-export", format="markdown")["download"]["text"]
    assert "| Hybrid | platt | 0.200 | 0.040 [0.030, 0.050] |" in table


def test_the_best_value_is_the_lowest_error_and_ties_have_none() -> None:
    assert calibration_table.best(calibration().pipelines[0].methods) == {"ECE": 0.04, "Brier": 0.02, "log loss": 0.12}


def test_the_nearest_measured_threshold_is_taken() -> None:
    found = trying.nearest(effects(), 0.26)
    assert found is not None
    assert found.threshold == 0.25
    assert trying.nearest((), 0.5) is None


def test_drawings_are_well_formed_and_put_marks_where_they_belong() -> None:
    drawn = etree.fromstring(str(calibration_charts.histogram(Histogram(0.0, 2.0, (0, 1), (4, 2)))))
    bars = drawn.findall(".//rect")
    assert len(bars) == 3, "an empty bin has no bar"
    heights = {bar.get("class"): float(bar.get("height")) for bar in bars[:2]}
    assert heights["bar-relevant"] == heights["bar-other"], "each side to its own height"
    drawn = etree.fromstring(str(calibration_charts.reliability(method("min_max").bins, "min_max")))
    dots = drawn.findall(".//circle")
    assert len(dots) == 2, "an empty bin has no dot"
    assert float(dots[0].get("r")) > float(dots[1].get("r")), "more hits"
    drawn = etree.fromstring(str(calibration_charts.trade(effects(), 0.5, 0.25)))
    lines = {line.get("class"): float(line.get("x1")) for line in drawn.findall(".//line")}
    assert lines["tried"] - lines["chosen"] == pytest.approx(0.25 * (560 - 44 - 14), abs=0.11)
    assert calibration_charts.curves((), "platt", 0.5) is None
