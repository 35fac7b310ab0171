"""How the pages look and behave in every state: sizes, themes, contrast, keys, speed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes import FakeServices
from running import REPAINT, Running, entrance

pytestmark = pytest.mark.browser
QUERY = "q=dense+retrieval+for+scientific+literature"
PAGES = {
    "browse": "/",
    "search": f"/?{QUERY}&doc=paper-000",
    "long": "/?q=dense&doc=long",
    "compare": f"/?tab=compare&{QUERY}",
    "ledger": f"/?tab=compare&panel=ledger&{QUERY}",
    "why": f"/?tab=compare&panel=why&on=paper-001&{QUERY}",
    "editor": f"/?tab=compare&panel=editor&{QUERY}",
    "compare start": "/?tab=compare",
    "failed": f"/?tab=compare&col=BM25&col=Not+built&{QUERY}",
    "calibrated search": f"/?p=Dense,+platt&{QUERY}",
    "nothing relevant": "/?p=Dense,+platt&q=dense+cake",
    "threshold": f"/?tab=compare&col=BM25&col=Dense,+platt&o.t=0.5&{QUERY}",
    "nothing kept": "/?tab=compare&col=BM25&col=Dense,+platt&q=dense+cake",
    "calibrate": "/?tab=calibrate&q=cake+recipes&o.job=job-cal",
    "calibrate stale": "/?tab=calibrate&o.run=cal-1&q=dense&o.t=0.5",
    "calibrate without judgments": "/?tab=calibrate&c=CISI",
    "evaluate": "/?tab=evaluate",
    "evaluate tests": "/?tab=evaluate&o.run=ev-1&o.tests=yes&o.sort=p50&panel=questions",
    "evaluate changes": "/?tab=evaluate&o.run=ev-2&o.beside=ev-1&o.job=job-8&o.measure=AP",
    "evaluate gone": "/?tab=evaluate&o.run=ev-9",
    "no questions": "/?tab=evaluate&c=CISI",
    "library": "/?tab=library",
    "nothing": "/?q=zzzz&p=BM25",
    "gone": "/?c=nowhere",
}

CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1); const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3]));
  const luminance = (rgb) => { const [r, g, b] = rgb.map(c => { c /= 255; return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (node) => { const layers = []; for (let at = node; at; at = at.parentElement) { const color = rgba(getComputedStyle(at).backgroundColor); if (color[3] > 0) layers.push(color); if (color[3] === 1) break; }
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]); };
  const low = [];
  const walker = document.createTreeWalker(document.querySelector('#tp-app'), NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.nodeValue.trim() || !node.checkVisibility({opacityProperty: true, visibilityProperty: true}) || node.closest('.sr-only, .skip, option, svg')) continue;
    const style = getComputedStyle(node), back = behind(node), front = over(rgba(style.color), back);
    const [a, b] = [luminance(front), luminance(back)].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < (large ? 3 : 4.5)) low.push(`${ratio.toFixed(2)} ${node.className || node.tagName} "${text.nodeValue.trim().slice(0, 30)}"`);
  }
  return [...new Set(low)];
}"""


def visit(page: Any, address: str) -> None:
    """Another address without loading the page again, as a step back or forward does it."""
    page.evaluate(
        "(address) => { document.querySelector('#tp-app').dataset.address = ''; history.pushState(null, '', address); dispatchEvent(new PopStateEvent('popstate')); }",
        address,
    )
    page.wait_for_function("document.querySelector('#tp-app').dataset.address !== ''")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(open_page: Any, fake: Any, theme: str) -> None:
    page = open_page(fake.address, theme=theme)
    for name, address in PAGES.items():
        visit(page, address)
        assert page.evaluate(CONTRAST) == [], name


@pytest.mark.parametrize("width", [800, 1280, 1920])
def test_nothing_spills_over(open_page: Any, fake: Any, width: int) -> None:
    page = open_page(fake.address, width=width, height=900)
    for name, address in PAGES.items():
        visit(page, address)
        spilled = page.evaluate(
            """() => [document.documentElement, ...document.querySelectorAll('.sidebar, .page-head, .side, .reader-scroll, #tp-results, .panel, .hit, .facet label, .btn, .column-head')]
              .filter(n => n.checkVisibility() && n.scrollWidth > n.clientWidth + 1 && n.clientWidth > 0).map(n => `${n.className || n.tagName} ${n.scrollWidth} > ${n.clientWidth}`)"""
        )
        assert spilled == [], name
        outside = page.evaluate(
            "() => [...document.querySelectorAll('.page-head .btn, .pane-bar .icon-btn')].filter(n => n.checkVisibility()).filter(n => { const r = n.getBoundingClientRect(); return r.right > innerWidth + 1 || r.left < 0; }).length"
        )
        assert outside == 0, name


def test_in_a_narrow_window_collections_open_beside_the_rail(open_page: Any, fake: Any) -> None:
    page = open_page(fake.address, width=900)
    rail = page.get_by_role("button", name="Collections", exact=True)
    assert page.locator("#tp-collections").is_hidden()
    assert page.get_by_role("button", name="Evaluate", exact=True).count() == 1, "icons keep their names"
    rail.click()
    page.locator("#tp-collections").wait_for()
    assert rail.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    page.wait_for_function("document.activeElement.dataset.local === 'collections'")
    assert page.locator("#tp-collections").is_hidden()
    rail.click()
    other = page.locator("#tp-collections .collection:not(.is-current)").first
    name = other.get_attribute("data-name")
    other.click()
    page.wait_for_function("(name) => new URLSearchParams(location.search).get('c') === name", arg=name)
    assert page.locator("#tp-collections").is_hidden()


def test_in_a_narrow_window_filters_open_at_a_press(open_page: Any, fake: Any) -> None:
    page = open_page(f"{fake.address}/?tab=search&q=dense+retrieval", width=1024)
    assert page.locator("#tp-facets").is_hidden()
    page.get_by_role("button", name="Filters").click()
    page.locator("#tp-facets").wait_for()
    page.locator("#tp-facets input[type=checkbox]").first.check()
    page.wait_for_function("location.search.includes('f.')")
    page.keyboard.press("/")
    page.wait_for_function("document.activeElement.id === 'tp-query'")


def test_first_start_in_words(open_page: Any, tmp_path: Any) -> None:
    running = Running(FakeServices(tmp_path, empty=True))
    try:
        page = open_page(running.address)
        page.get_by_text("Start with a collection").wait_for()
        page.keyboard.press("g")
        page.keyboard.press("c")
        page.wait_for_function("location.search.includes('tab=compare')")
        page.get_by_text("Start with a collection").wait_for()
        page.keyboard.press("g")
        page.keyboard.press("l")
        page.get_by_text("No collection yet").wait_for()
    finally:
        running.stop()


def test_the_theme_follows_the_system_until_it_is_chosen(open_page: Any, fake: Any) -> None:
    page = open_page(fake.address, theme="dark")
    theme = "document.documentElement.dataset.theme"
    assert page.evaluate(theme) == "dark"
    page.emulate_media(color_scheme="light")
    page.wait_for_function(f"{theme} === 'light'")
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate(theme) == "dark"
    page.reload()
    page.wait_for_selector("html.is-ready")
    assert page.evaluate(theme) == "dark"


def test_keys(open_page: Any, fake: Any) -> None:
    page = open_page(fake.address + f"/?tab=compare&{QUERY}")
    page.keyboard.press("?")
    page.locator("#tp-keys[open]").wait_for()
    page.keyboard.press("Escape")
    assert page.locator("#tp-keys[open]").count() == 0
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "tp-query"
    page.keyboard.type("s j o ? /")
    assert page.locator("#tp-query").input_value() == "s j o ? /", "letters typed into the query are letters"
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    where = "[document.activeElement.closest('[data-column]').dataset.column, document.activeElement.dataset.rank]"
    assert page.evaluate(where) == ["0", "2"]
    page.keyboard.press("k")
    assert page.evaluate(where) == ["0", "1"]
    here = page.evaluate("document.activeElement.dataset.doc")
    page.keyboard.press("ArrowRight")
    column, rank = page.evaluate(where)
    assert column == "1"
    assert page.evaluate("document.activeElement.dataset.doc") == here or rank == "1"
    page.keyboard.press("Enter")
    page.locator(".reader-title").wait_for()
    page.keyboard.press("Escape")
    page.wait_for_function("document.querySelector('#tp-side').hidden")
    assert page.evaluate("document.activeElement.dataset.hit !== undefined"), "focus goes back to the card"


def test_everything_is_reached_by_tab_and_has_a_name(open_page: Any, fake: Any) -> None:
    page = open_page(fake.address)
    for name, address in PAGES.items():
        visit(page, address)
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('#tp-app button, #tp-app a, #tp-app input:not([type=hidden]), #tp-app select, #tp-app textarea, #tp-app summary')]
              .filter(n => !(n.getAttribute('aria-label') || n.innerText?.trim() || n.textContent.trim() && n.tagName !== 'SELECT' && n.tagName !== 'TEXTAREA' || n.labels?.[0]?.innerText.trim())).map(n => n.outerHTML.slice(0, 120))"""
        )
        assert nameless == [], name
        stuck = page.evaluate(
            "() => [...document.querySelectorAll('#tp-app button:not([disabled]), #tp-app a, #tp-app summary')].filter(n => n.tabIndex < 0 && !n.closest('[data-rove], [role=group]')?.querySelector('[tabindex=\"0\"]')).length"
        )
        assert stuck == 0, name


def test_old_results_stay_until_new_ones_are_there_and_nothing_jumps(open_page: Any, fake: Any) -> None:
    page = open_page(fake.address + f"/?{QUERY}")
    page.evaluate(
        """() => { window.seen = []; const look = () => { const list = document.querySelector('#tp-results .hits'); const box = list?.getBoundingClientRect();
            window.seen.push([list ? list.children.length : 0, box ? Math.round(box.top) : -1]); requestAnimationFrame(look); }; look(); }"""
    )
    page.locator("#tp-query").fill("rank fusion")
    page.keyboard.press("Enter")
    page.wait_for_function("location.search.includes('rank+fusion')")
    page.wait_for_timeout(100)
    seen = page.evaluate("window.seen")
    assert min(count for count, _ in seen) > 0
    assert len({top for _, top in seen}) == 1


def test_one_question_is_one_call_and_one_repaint(open_page: Any, fake: Any) -> None:
    """What keeps a comparison quick, whatever the machine; `tests.benchmarks.bench_repaint` tells how quick."""
    page = open_page(fake.address + f"/?tab=compare&{QUERY}")
    page.locator("[data-column='2'] [data-hit]").first.wait_for()
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.post_data) if request.method == "POST" else None)
    page.evaluate(REPAINT, "query expansion")
    asked = [json.loads(call)["data"]["action"] for call in calls]
    assert [action for action in asked if action != "jobs"] == ["compare"], (
        "a poll of the running job may fall in between"
    )


def test_what_is_chosen_while_a_search_runs_is_added_to_it(open_page: Any, fake: Any) -> None:
    page = open_page(fake.address + f"/?{QUERY}")
    page.locator("[data-change=filter]").first.wait_for()
    page.evaluate(
        """() => {
          const query = document.querySelector('#tp-query');
          query.value = 'rank fusion';
          query.form.requestSubmit();
          for (const box of [...document.querySelectorAll('[data-change=filter]')].slice(0, 2)) box.click();
        }"""
    )
    page.wait_for_function(
        "[...new URLSearchParams(location.search).keys()].filter(key => key.startsWith('f.')).length === 2"
    )
    assert "q=rank+fusion" in page.url
    assert page.locator("[data-change=filter]:checked").count() == 2


def test_the_answer_of_a_poll_never_overwrites_what_is_newer(open_page: Any, fake: Any) -> None:
    page = open_page(fake.address + "/?tab=evaluate&o.run=ev-2&o.job=job-8")
    page.locator("#ev-job").get_by_text("13 of 40 queries").wait_for()
    held: list[Any] = []

    def hold(route: Any) -> None:
        asked = route.request.post_data or ""
        if '"jobs"' in asked and not held:
            held.append(route)
        else:
            route.continue_()

    page.route("**/component_server/", hold)
    for _ in range(200):
        page.wait_for_timeout(50)
        if held:
            break
    page.locator("#ev-history [data-action=ev-open]").last.click()
    page.wait_for_function("!location.search.includes('o.job=')")
    assert page.locator("#ev-job").inner_text() == ""
    with page.expect_response("**/component_server/"):
        held[0].continue_()
    page.wait_for_timeout(100)
    assert page.locator("#ev-job").inner_text() == "", "it told of a job that is no longer what the page is about"


def test_jobs_show_their_progress_and_why_rows_were_skipped(open_page: Any, fake: Any) -> None:
    page = open_page(fake.address + "/?tab=library")
    page.get_by_text("60 rows skipped: see which and why").click()
    page.get_by_text("anthology.bib line 0").wait_for()
    page.wait_for_timeout(2500)
    assert page.locator(".skipped[open] table").count() == 1, "polling leaves what was opened open"
    page.locator(".skipped[open]").get_by_role("button", name="Next").click()
    page.get_by_text("51–60 of 60").wait_for()


def test_a_server_that_went_away_is_said(open_page: Any, tmp_path: Any, browser: Any) -> None:
    running = Running(FakeServices(tmp_path, empty=True))
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(entrance(running.address))
        page.wait_for_selector("html.is-ready")
        running.stop()
        page.keyboard.press("g")
        page.keyboard.press("l")
        page.get_by_text("The server does not answer").wait_for()
    finally:
        context.close()
