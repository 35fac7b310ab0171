"""A first start, clicked through page by page: every page opens, says how to begin, and leaves the console quiet."""

from __future__ import annotations

from typing import Any

import pytest

from app.ui.frame import registry

pytestmark = pytest.mark.browser


def test_every_page_of_an_empty_workspace_opens_by_a_click(open_page: Any, fresh: Any) -> None:
    page = open_page(fresh.address)
    for name in registry.pages():
        if name == "blind":  # has no place in the sidebar
            page.locator('.sidebar [data-action="go"][data-page="compare"]').click()
            page.locator('#tp-head [data-action="go"][data-page="blind"]').click()
        else:
            page.locator(f'.sidebar [data-action="go"][data-page="{name}"]').click()
        page.wait_for_url(f"**tab={name}*")
        begin = "Drop a file above" if name == "library" else "Start with a collection"
        page.locator("#tp-main").get_by_text(begin).wait_for()
        assert page.locator("#tp-alert").inner_text() == ""
        page.reload()
        page.wait_for_selector("html.is-ready")
        page.locator("#tp-main").get_by_text(begin).wait_for()
