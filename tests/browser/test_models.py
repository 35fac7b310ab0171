"""The Models page in a browser: a model from a hub on this computer is looked up, added, searched with, and deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running import Running

from engine.models.hub import hub
from tests.models.hub_server import HubServer, served
from tests.models.test_adding import NAME, contents, original

pytestmark = pytest.mark.browser
PAGE = "/?tab=library&o.view=models"


@pytest.fixture
def hub_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with served() as server:
        server.repositories[NAME] = contents(original(tmp_path / "original"))
        server.lfs.add("onnx/model.onnx")
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(hub, "PAUSE_SECONDS", 0.0)
        yield server


def row(page: Any, name: str) -> Any:
    return page.locator(".md-table tr", has=page.locator(f"[data-name='{name}'].cell-title"))


def test_a_model_is_looked_up_added_and_deleted(
    fresh: Running, hub_server: HubServer, open_page: Callable[..., Any]
) -> None:
    page = open_page(fresh.address + PAGE)
    page.fill("[data-field=source]", NAME)
    page.keyboard.press("Enter")
    page.wait_for_selector(".md-planned")
    assert "It has an ONNX graph of its own" in page.inner_text(".md-planned")
    assert "tiny" not in fresh.services.engine.workspace.models.cards()
    page.click(".md-planned button[type=submit]")
    row(page, "tiny").wait_for()
    assert "Added" in row(page, "tiny").inner_text()
    assert {"tiny", "BM25 + tiny"} <= {view.name for view in fresh.services.pipelines()}
    page.click("[data-name='tiny'].cell-title")
    page.wait_for_selector(".md-pane")
    assert "Apache-2.0" in page.inner_text(".md-pane")
    page.click(".md-pane [data-action=ask-model-delete]")
    page.click("#tp-dialog button[type=submit]")
    row(page, "tiny").wait_for(state="detached")
    assert fresh.services.engine.workspace.models.cards() == {}


def test_what_the_hub_does_not_have_is_said_in_place(
    fresh: Running, hub_server: HubServer, open_page: Callable[..., Any]
) -> None:
    page = open_page(fresh.address + PAGE)
    page.fill("[data-field=source]", "someone/<img src=x onerror=alert(1)>")
    page.keyboard.press("Enter")
    page.wait_for_selector("#md-alert .box-error")
    page.fill("[data-field=source]", "someone/else")
    page.keyboard.press("Enter")
    page.wait_for_selector("#md-alert :text('There is no model')")
    assert page.locator(".md-planned").count() == 0


def test_filters_narrow_and_survive_a_reload(fake: Running, open_page: Callable[..., Any]) -> None:
    page = open_page(fake.address + PAGE)
    page.click(".switch-item[data-value=cross]")
    row(page, "bge-reranker-base").wait_for()
    row(page, "bge-base-en-v1.5").wait_for(state="detached")
    page.fill("#md-catalogue input[type=search]", "zh")
    row(page, "ms-marco-MiniLM-L6-v2").wait_for(state="detached")
    page.reload()
    row(page, "bge-reranker-base").wait_for()
    assert page.locator(".md-table tbody tr").count() == 1
    assert page.input_value("#md-catalogue input[type=search]") == "zh"
    page.fill("#md-catalogue input[type=search]", "no such model")
    page.wait_for_selector("#md-catalogue .empty")
    page.click("#md-catalogue .empty button")
    row(page, "bge-base-en-v1.5").wait_for()


@pytest.mark.parametrize(("width", "theme"), [(800, "light"), (1280, "dark"), (1920, "light")])
def test_nothing_leaves_the_page_at_any_width(
    fake: Running, open_page: Callable[..., Any], width: int, theme: str
) -> None:
    page = open_page(fake.address + PAGE, width=width, theme=theme)
    row(page, "bge-small-en-v1.5").wait_for()
    assert (
        page.evaluate("document.querySelector('#tp-main').scrollWidth - document.querySelector('#tp-main').clientWidth")
        <= 1
    )
    beyond = page.evaluate(
        "[...document.querySelectorAll('.library > *')].filter((panel) => panel.getBoundingClientRect().right > innerWidth).length"
    )
    assert beyond == 0
