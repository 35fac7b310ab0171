"""A report opens from disk, in light and dark, and asks the network for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_report import PAGES


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_reports_open_from_disk_and_no_request_leaves(browser: Any, tmp_path: Path, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme, offline=True)
    asked: list[str] = []
    said: list[str] = []
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    files = []
    for kind, made in PAGES.items():
        files.append((tmp_path / f"{kind}.html").as_uri())
        (tmp_path / f"{kind}.html").write_text(made(), encoding="utf-8")
        page.goto(files[-1])
        grounds = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert grounds == {"light": "rgb(245, 245, 242)", "dark": "rgb(16, 19, 25)"}[scheme], (
            "the style sheet is let in by its hash"
        )
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{kind} is {wide} pixels too wide"
        for link in page.locator("nav a").all():
            assert page.locator(link.get_attribute("href")).count() == 1
    context.close()
    assert asked == files
    assert said == []
