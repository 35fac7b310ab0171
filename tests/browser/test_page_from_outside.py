"""A page of another package in the browser: gone to by its key, its style sheet in force, its action answered at the top of the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import Running

from app.drawing.controls import button
from app.drawing.html import el
from app.ui.frame import registry
from app.ui.frame.page import Page
from app.ui.web.dispatch import Action
from app.ui.web.protocol import Reply

pytestmark = pytest.mark.browser


def _page(folder: Path) -> Page:
    def turn(ui: Any, state: Any, args: Any) -> Reply:
        return Reply({"atlas-map": el("b", "turned")}, state=state.with_options(turned="yes"))

    return Page(
        name="atlas",
        title="Atlas",
        icon="chart",
        order=15,
        key="a",
        asked=True,
        head=lambda ui, state: el("h1", "Atlas"),
        main=lambda ui, state: el(
            "div",
            el("div", style="height:3000px"),
            button("Turn it", "atlas-turn"),
            el("p", "as it was", id="atlas-map"),
            id="atlas",
        ),
        actions={"atlas-turn": Action(turn, top=True)},
        options=("turned",),
        styles=("atlas.css",),
        folder=folder,
    )


class Entry:
    value = "outside:PAGE"

    def __init__(self, page: Page) -> None:
        self.page = page

    def load(self) -> Page:
        return self.page


@pytest.fixture
def atlas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    from fakes import FakeServices

    (tmp_path / "atlas.css").write_text("#tp-app #atlas { color: rgb(1, 2, 3) }\n")
    known = (registry.parts, registry.pages, registry.panels, registry.carried)
    monkeypatch.setattr(registry, "entry_points", lambda group: [Entry(_page(tmp_path))])
    for found in known:
        found.cache_clear()
    running = Running(FakeServices(tmp_path))
    yield running
    running.stop()
    monkeypatch.undo()
    for found in known:
        found.cache_clear()


def test_it_is_gone_to_by_its_key_and_answers(open_page: Any, atlas: Running) -> None:
    page = open_page(f"{atlas.address}/?tab=search&q=maps")
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.wait_for_url("**tab=atlas*")
    page.locator('.sidebar [data-page="atlas"].is-current').wait_for()
    assert page.title() == "maps · Atlas · Triptych"
    assert page.locator("#atlas").evaluate("(it) => getComputedStyle(it).color") == "rgb(1, 2, 3)"
    page.get_by_role("button", name="Turn it").click()
    page.locator("#atlas-map b").wait_for()
    assert "o.turned=yes" in page.url
    assert page.locator("#tp-main").evaluate("(it) => it.scrollTop") == 0
    page.keyboard.press("?")
    page.locator("#tp-keys").get_by_text("Go to Search, Atlas, Compare").wait_for()
