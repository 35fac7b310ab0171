"""The workbench as a person uses it: first start, add a file, search, read, compare, keep, share."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from engine.serving.running import Running

pytestmark = pytest.mark.browser


def query_of(page: Any) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def titles(page: Any, scope: str = "#tp-results") -> list[str]:
    return page.locator(f"{scope} .hit-title").all_inner_texts()


def test_first_start_add_a_file_watch_the_job_and_search(open_page: Any, fresh: Any, corpus_file: Path) -> None:
    page = open_page(fresh.address)
    page.get_by_text("Start with a collection").wait_for()
    page.get_by_role("button", name="Add documents in the Library").click()
    page.locator("[data-upload]").set_input_files(str(corpus_file))
    page.get_by_text("Columns: which one feeds which field").or_(page.locator(".preview-table")).first.wait_for()
    assert "Dense retrieval, part 0" in page.locator(".preview-table").inner_text()
    page.get_by_label("Into the collection").fill("My papers")
    page.get_by_role("button", name="Add to the collection").click()
    page.locator(".job").first.wait_for()
    page.locator(".job.is-done").wait_for(timeout=60_000)
    assert "30 added" in page.locator(".job.is-done").inner_text()
    page.locator(".collection", has_text="My papers").get_by_text("Ready").wait_for()
    assert page.locator("#lib-indexes tbody tr").count() >= 2
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.locator("#tp-query").fill("rank fusion")
    page.keyboard.press("Enter")
    page.locator("#tp-results .summary b").wait_for()
    page.wait_for_function("document.querySelector('#tp-results .hit-title').innerText.startsWith('Rank fusion')")
    assert query_of(page)["c"] == ["My papers"]


def test_a_job_goes_on_when_the_page_is_closed(
    open_page: Any, fresh: Any, corpus_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, tell = threading.Event(), Running.__call__
    monkeypatch.setattr(Running, "__call__", lambda running, step: (closed.wait(60), tell(running, step))[1])
    page = open_page(fresh.address + "/?tab=library")
    page.get_by_label("Or a file or folder on this computer").fill(str(corpus_file))
    page.get_by_role("button", name="Preview").click()
    page.get_by_label("Into the collection").fill("Papers")
    page.get_by_role("button", name="Add to the collection").click()
    page.locator(".job").first.wait_for()
    page.close()
    (job,) = fresh.services.jobs()
    assert job.status in ("queued", "running"), "it had not ended when the page was closed"
    closed.set()
    assert fresh.services.wait(job.job_id, 60).status == "done"
    assert fresh.services.collection("Papers").documents == 30


def test_browse_ask_read_and_keep(open_page: Any, filled: Any) -> None:
    page = open_page(filled.address)
    assert page.locator("[data-hit]").count() == 20
    page.keyboard.press("/")
    page.keyboard.type("score calibration")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#tp-results .hit-title').innerText.startsWith('Score calibration')")
    assert page.locator("#tp-results mark.m-lexical").count() > 3
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.locator(".reader-title").wait_for()
    second = titles(page)[1]
    assert page.locator(".reader-title").inner_text() == second
    assert page.locator(".why").count() == 2
    assert page.locator("#tp-neighbours li").count() > 2
    page.keyboard.press("s")
    page.locator("#tp-side .star[aria-pressed=true]").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_function("document.querySelector('#tp-side').hidden")
    page.get_by_role("button", name=re.compile("Shortlist")).click()
    page.locator("#tp-side .small-title").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="BibTeX").click()
    assert "title = {" in Path(download.value.path()).read_text()
    assert download.value.suggested_filename == "shortlist.bib"
    page.locator("#tp-side .star").click()
    page.get_by_text("Nothing kept yet").wait_for()


def test_filters_and_the_year_histogram(open_page: Any, filled: Any) -> None:
    page = open_page(filled.address + "/?q=retrieval&p=BM25")
    page.locator(".facet label", has_text="SIGIR").click()
    page.wait_for_function("location.search.includes('f.venue=SIGIR')")
    page.wait_for_function(
        "[...document.querySelectorAll('#tp-results .by-venue')].every(v => v.innerText === 'SIGIR')"
    )
    page.locator(".facet label", has_text="ECIR").click()
    page.wait_for_function("location.search.includes('f.venue=ECIR')")
    page.wait_for_function("new Set([...document.querySelectorAll('.by-venue')].map(v => v.innerText)).size === 2")
    bars = page.locator("[data-years] .bar")
    first, last = bars.first.bounding_box(), bars.nth(2).bounding_box()
    page.mouse.move(first["x"] + 2, first["y"] + 30)
    page.mouse.down()
    page.mouse.move(last["x"] + 2, last["y"] + 30, steps=4)
    page.mouse.up()
    page.wait_for_function("location.search.includes('f.year=')")
    low, high = (int(year) for year in query_of(page)["f.year"])
    years = [int(text) for text in page.locator("#tp-results .by-year").all_inner_texts()]
    assert years
    assert all(low <= year <= high for year in years)
    page.get_by_role("button", name="Clear").first.click()
    page.wait_for_function("!location.search.includes('f.')")


def test_a_first_comparison_shows_the_four_families(open_page: Any, filled: Any) -> None:
    page = open_page(filled.address + "/?tab=compare&q=dense+retrieval")
    page.locator("[data-column='3'] [data-hit]").first.wait_for()
    chosen = [page.get_by_label(f"Pipeline of column {number}").input_value() for number in range(1, 5)]
    assert chosen == ["BM25", "Sparse", "Dense", "Late"]
    assert page.locator(".pair").count() == 6


def test_compare_three_pipelines(open_page: Any, filled: Any) -> None:
    page = open_page(filled.address + "/?tab=compare&col=BM25&col=Dense&col=Hybrid")
    page.locator("#tp-query").fill("dense retrieval for scientific search")
    page.keyboard.press("Enter")
    page.locator("[data-column='2'] [data-hit]").first.wait_for()
    assert page.locator("[data-column]").count() == 3
    ids = [
        [hit.get_attribute("data-doc") for hit in page.locator(f"[data-column='{i}'] [data-hit]").all()]
        for i in range(3)
    ]
    shared = sum(doc in ids[i + 1] for i in range(2) for doc in ids[i])
    page.wait_for_function(f"document.querySelectorAll('.flow-line').length === {shared}")
    assert page.locator(".pair").count() == 3
    assert page.locator(".pair").first.inner_text().startswith("●")
    assert f"{len(set(ids[0]) & set(ids[1]))}/10" in page.locator(".pair").first.inner_text()
    doc = next(doc for doc in ids[0] if doc in ids[1] and doc in ids[2])
    page.locator(f"[data-column='0'] .hit[data-doc='{doc}']").hover()
    page.wait_for_function("document.querySelectorAll('.hit.is-followed').length === 3")
    assert page.locator(".flow-line.is-followed").count() == 2
    chips = page.locator("[data-column='1'] .move").all_inner_texts()
    expected = [
        f"▲{ids[0].index(d) - r}"
        if d in ids[0] and ids[0].index(d) > r
        else f"▼{r - ids[0].index(d)}"
        if d in ids[0] and ids[0].index(d) < r
        else "="
        if d in ids[0]
        else "new"
        for r, d in enumerate(ids[1])
    ]
    assert chips == expected
    page.get_by_role("button", name="Fusion ledger").click()
    page.locator(".ledger tbody tr").first.wait_for()
    assert page.locator(".ledger tbody tr").count() == 10
    page.keyboard.press("Escape")
    missing = page.locator("[data-action=why]").first
    page.locator("[data-hit]", has=missing).first.hover()
    missing.click()
    page.locator("section.why").nth(2).wait_for()
    assert page.locator(".verdict").count() == 3


def test_the_lines_follow_the_cards(open_page: Any, filled: Any) -> None:
    page = open_page(filled.address + "/?tab=compare&q=dense+retrieval")
    page.locator(".flow-line").first.wait_for(state="attached")
    distance = """() => { const frame = document.querySelector('[data-columns]').getBoundingClientRect();
        return Math.max(...[...document.querySelectorAll('.flow-line')].map(line => {
          const hits = [...document.querySelectorAll('[data-hit]')].filter(hit => hit.dataset.doc === line.dataset.line);
          const [x, y] = line.getAttribute('d').slice(1).split(/[ C]/).map(Number);
          return Math.min(...hits.map(hit => { const r = hit.getBoundingClientRect(); return Math.hypot(r.right - frame.left - x, r.top + r.height / 2 - frame.top - y); }));
        })); }"""
    assert page.evaluate(distance) < 1
    page.set_viewport_size({"width": 1700, "height": 900})
    page.wait_for_timeout(150)
    assert page.evaluate(distance) < 1
    page.locator("#tp-main").evaluate("main => main.scrollTo(0, 300)")
    page.wait_for_timeout(150)
    assert page.evaluate(distance) < 1


def test_a_permalink_brings_everything_back(open_page: Any, filled: Any) -> None:
    page = open_page(filled.address + "/?tab=compare")
    page.locator("#tp-query").fill("query expansion")
    page.keyboard.press("Enter")
    page.locator("[data-column='1'] [data-hit]").first.wait_for()
    page.get_by_label("Pipeline of column 1").select_option("Hybrid")
    page.wait_for_function("location.search.includes('col=Hybrid&col=Sparse')")
    page.get_by_label("Hits per column").select_option("5")
    page.wait_for_function("document.querySelectorAll('[data-column=\"0\"] [data-hit]').length === 5")
    page.locator("[data-column='1'] .hit-title").nth(2).click()
    page.locator(".reader-title").wait_for()
    link = page.url
    shown = (titles(page, "#tp-board"), page.locator(".reader-title").inner_text())
    other = open_page(link)
    assert (titles(other, "#tp-board"), other.locator(".reader-title").inner_text()) == shown
    assert other.url == link
    assert other.locator("#tp-query").input_value() == "query expansion"


def test_back_and_forward(open_page: Any, filled: Any) -> None:
    page = open_page(filled.address)
    for words in ("rank fusion", "inverted indexes"):
        page.locator("#tp-query").fill(words)
        page.keyboard.press("Enter")
        page.wait_for_function(
            f"document.querySelector('#tp-results .hit-title')?.innerText.toLowerCase().startsWith('{words}')"
        )
    page.go_back()
    page.wait_for_function("document.querySelector('#tp-results .hit-title').innerText.startsWith('Rank fusion')")
    assert page.locator("#tp-query").input_value() == "rank fusion"
    page.go_forward()
    page.wait_for_function("document.querySelector('#tp-results .hit-title').innerText.startsWith('Inverted indexes')")


def test_hostile_documents_do_nothing(open_page: Any, filled: Any) -> None:
    page = open_page(filled.address + "/?q=dense+retrieval+evil.example&doc=hostile")
    page.locator(".reader-title").wait_for()
    assert "<img src=https://evil.example/x.png onerror=alert(1)>" in page.locator(".reader-title").inner_text()
    assert page.locator("#tp-app img, #tp-app script, #tp-app iframe").count() == 0
    page.goto(page.url.replace("tab=search", "tab=compare"))
    page.locator("[data-column] .hit[data-doc=hostile]").first.wait_for()
    page.wait_for_timeout(200)


def test_hostile_file_names_and_errors_do_nothing(open_page: Any, fresh: Any, tmp_path: Path) -> None:
    file = tmp_path / "<img src=x onerror=alert(1)>${alert(1)}.jsonl"
    file.write_text('{"_id": "1", "title": "One", "text": "word"}\n{<img src=x onerror=alert(1)>\n', encoding="utf-8")
    page = open_page(fresh.address + "/?tab=library")
    page.get_by_label("Or a file or folder on this computer").fill(str(file))
    page.get_by_role("button", name="Preview").click()
    page.locator(".preview-head strong", has_text="<img src=x onerror=alert(1)>${alert(1)}.jsonl").wait_for()
    page.get_by_label("Into the collection").fill("<b>x</b>")
    page.get_by_role("button", name="Add to the collection").click()
    page.locator(".job.is-done").wait_for(timeout=60_000)
    page.locator(".skipped summary").click()
    page.locator(".skipped td", has_text="onerror=alert(1)").first.wait_for()
    page.get_by_label("Or a file or folder on this computer").fill(str(tmp_path / "<img src=y onerror=alert(2)>"))
    page.get_by_role("button", name="Preview").click()
    page.locator("#lib-add-alert", has_text="<img src=y onerror=alert(2)>").wait_for()
    assert page.locator("#tp-app img, #tp-app script, #tp-app iframe, .collection b").count() == 0


def test_a_pipeline_is_edited_in_the_form_and_in_the_yaml(open_page: Any, filled: Any) -> None:
    page = open_page(filled.address + "/?tab=compare&q=rank+fusion&panel=editor&on=Hybrid")
    field = page.locator(".node-field", has_text="Weights").locator("input")
    field.fill("0.25, 0.75")
    field.press("Tab")
    page.wait_for_function("document.querySelector('#tp-yaml').value.includes('- 0.75')")
    page.locator("#tp-yaml").fill("pipeline:\n- bm25: {k: 77}\n- cutoff: {k: 3}\n")
    page.wait_for_function("[...document.querySelectorAll('#tp-editor-form input')].some(i => i.value === '77')")
    page.locator("#tp-yaml").fill("pipeline:\n- bm25: {k: many}\n")
    page.locator("#tp-editor-status .box-error").wait_for()
    page.locator("#tp-yaml").fill("pipeline:\n- bm25: {k: 77}\n- cutoff: {k: 3}\n")
    page.locator("#tp-editor-status .editor-ok").wait_for()
    page.locator(".editor-foot").get_by_label("Name", exact=True).fill("Top three")
    page.get_by_role("button", name="Save").click()
    page.locator(".select-column option", has_text="Top three").first.wait_for(state="attached")
    page.locator("#tp-editor-status", has_text="Saved “Top three”").wait_for()
    assert page.get_by_label("Pipeline to edit").input_value() == "Top three"
    with page.expect_download() as download:
        page.get_by_role("button", name="Export YAML").click()
    assert "k: 77" in Path(download.value.path()).read_text()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.get_by_label("Pipeline of column 2").select_option("Top three")
    page.wait_for_function("document.querySelectorAll('[data-column=\"1\"] [data-hit]').length === 3")


def test_collections_are_made_renamed_and_deleted(open_page: Any, fresh: Any) -> None:
    page = open_page(fresh.address + "/?tab=library")
    page.locator(".library-head").get_by_role("button", name="New collection").click()
    page.get_by_role("button", name="Create").click()
    page.locator("#tp-dialog-alert .box-error").wait_for()
    page.get_by_label("Name", exact=True).fill("../Drafts")
    page.get_by_role("button", name="Create").click()
    page.locator(".collection-name").wait_for()
    page.get_by_role("button", name="Rename or describe").click()
    page.get_by_label("Name", exact=True).fill("Final")
    page.get_by_label("Description").fill("What is read for chapter two")
    page.keyboard.press("Enter")
    page.locator(".collection-name", has_text="Final").wait_for()
    page.locator("#lib-collections small", has_text="What is read for chapter two").wait_for()
    page.get_by_role("button", name="Delete").click()
    page.get_by_label("Name", exact=True).fill("Fin")
    page.locator("#tp-dialog").get_by_role("button", name="Delete").click()
    page.locator("#tp-dialog-alert").get_by_text("The name does not match").wait_for()
    page.get_by_label("Name", exact=True).fill("Final")
    page.keyboard.press("Enter")
    page.get_by_text("No collection yet").wait_for()
    assert fresh.services.collections() == ()
