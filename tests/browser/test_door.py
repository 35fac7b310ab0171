"""The token in a real browser: gone from the address, good for a second tab, and not lent to other sites."""

from __future__ import annotations

from typing import Any

from running import Running, entrance

PERMALINK = "?tab=compare&q=dense+retrieval&col=BM25&col=Dense"


def test_the_token_leaves_the_address_and_a_second_tab_needs_none(browser: Any, fake: Running) -> None:
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(entrance(f"{fake.address}/{PERMALINK}"))
        page.wait_for_selector("html.is-ready")
        assert "token" not in page.url
        assert "q=dense+retrieval" in page.url
        assert "token" not in page.evaluate("document.cookie")
        second = context.new_page()
        assert second.goto(f"{fake.address}/{PERMALINK}").status == 200
        second.wait_for_selector("html.is-ready")
        second.locator("[data-doc]").first.wait_for()
    finally:
        context.close()


def test_a_browser_without_the_token_gets_the_form_and_comes_to_the_wished_page(browser: Any, fake: Running) -> None:
    context = browser.new_context()
    try:
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        assert page.goto(f"{fake.address}/{PERMALINK}").status == 401
        page.get_by_label("Token or address").fill("nonsense")
        page.get_by_role("button", name="Open").click()
        page.get_by_role("alert").wait_for()
        page.get_by_label("Token or address").fill(entrance(fake.address))
        page.get_by_role("button", name="Open").click()
        page.wait_for_selector("html.is-ready")
        assert "q=dense+retrieval" in page.url
        assert "token" not in page.url
        assert problems == []
    finally:
        context.close()


def test_a_link_on_another_site_opens_after_one_click(browser: Any, fake: Running) -> None:
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(entrance(fake.address))
        page.wait_for_selector("html.is-ready")
        link = f'<a href="{fake.address}/?q=dense">here</a>'
        page.route("http://other.test/*", lambda route: route.fulfill(body=link, content_type="text/html"))
        page.goto("http://other.test/")
        page.get_by_text("here").click()
        page.get_by_role("link", name="Open this page").click()
        page.wait_for_selector("html.is-ready")
        assert "q=dense" in page.url
    finally:
        context.close()
