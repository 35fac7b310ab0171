"""The Models page, called as the page calls it: filters in the address, plans before downloads, questions before deletions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driving import Page
from fake_models import LONG
from fakes import FakeServices
from test_dispatch import COMPARE, LIBRARY

from app.ui.web.dispatch import Access
from app.ui.web.session import UiState
from engine.errors import NotFound

MODELS = LIBRARY.with_options(view="models")


@pytest.fixture
def page(page: Page) -> Page:
    page.state = MODELS
    return page


def listed(reply: dict[str, Any], region: str = "md-catalogue") -> set[str]:
    html = reply["regions"][region]
    return {view.name for view in FakeServices(Path("x")).models() if f'data-name="{view.name}"' in html}


def test_the_library_shows_documents_or_models(page: Page) -> None:
    page.state = LIBRARY
    assert 'id="md-catalogue"' not in page.call("open")["regions"]["tp-main"]
    reply = page.call("library-view", view="models")
    assert 'id="md-catalogue"' in reply["regions"]["tp-main"]
    assert page.state.option("view") == "models"
    assert listed(reply, "tp-main") == {view.name for view in page.services.models()}
    assert 'id="lib-add"' in page.call("library-view", view="documents")["regions"]["tp-main"]


def test_filters_are_in_the_address_and_combine(page: Page) -> None:
    assert listed(page.call("model-filter", what="where", value="here")) == {
        "bge-small-en-v1.5",
        LONG,
        "half",
        "e5-small-v2",
    }
    assert listed(page.call("model-filter", what="kind", value="cross")) == set()
    reply = page.call("model-filter", what="where", value="available")
    assert {"bge-reranker-base", "ms-marco-MiniLM-L6-v2"} <= listed(reply)
    assert listed(page.call("model-filter", what="find", value="chinese zh MIT")) == set()
    assert listed(page.call("model-filter", what="find", value="zh mit")) == {"bge-reranker-base"}
    again = UiState.from_query(page.state.to_query())
    assert [again.option(name) for name in ("view", "kind", "where", "find")] == [
        "models",
        "cross",
        "available",
        "zh mit",
    ]
    assert len(listed(page.call("model-filter", what="all", value=""))) == len(page.services.models())
    assert page.state == MODELS


def test_unknown_filters_show_everything(page: Page) -> None:
    page.state = MODELS.with_options(kind="<b>", where="nowhere")
    assert len(listed(page.call("open"), "tp-main")) == len(page.services.models())


def test_a_plan_comes_before_a_download(page: Page) -> None:
    reply = page.call("model-plan", source="bge-base-en-v1.5")
    form = reply["regions"]["md-plan"]
    assert "133 MB, 2 files" in form
    assert "BAAI/bge-base-en-v1.5" in form
    assert 'value="bge-base-en-v1.5"' in form
    converted = page.call("model-plan", source="bge-base-en-v1.5", value="int4")["regions"]["md-plan"]
    assert "torch" in converted
    assert "disabled" in converted
    reply = page.call("model-add", source="bge-base-en-v1.5", name="bge-base-en-v1.5")
    assert reply["poll"]
    assert reply["regions"]["md-plan"] == ""
    assert page.services.model("bge-base-en-v1.5").state == "here"


def test_a_model_that_is_here_can_be_added_again_under_a_free_name(page: Page) -> None:
    page.services.models()
    form = page.call("model-plan", source="bge-small-en-v1.5")["regions"]["md-plan"]
    assert 'data-field="name" value="bge-small-en-v1.5-2"' in form
    form = page.call("model-plan", source="bge-small-en-v1.5", name="mine")["regions"]["md-plan"]
    assert 'data-field="name" value="mine"' in form
    form = page.call("model-plan", source="bge-small-en-v1.5", replace="true")["regions"]["md-plan"]
    assert 'data-field="name" value="bge-small-en-v1.5"' in form


def test_a_conversion_may_be_forced(page: Page) -> None:
    asked = {"source": "bge-base-en-v1.5", "quantise": "none"}
    assert 'data-field="force"' in page.call("model-plan", **asked)["regions"]["md-plan"]
    assert 'data-field="force"' not in page.call("model-plan", source="bge-base-en-v1.5")["regions"]["md-plan"]
    assert "not faithful" in page.call("model-add", **asked)["regions"]["tp-alert"]
    assert page.call("model-add", **asked, force=True)["poll"]


def test_what_cannot_be_had_says_why_in_place(page: Page) -> None:
    call = {"action": "model-plan", "url": "?" + page.state.to_query(), "alert": "md-alert"}
    reply = page.dispatcher.call({**call, "args": {"source": "offline/model"}})
    assert "Check the connection" in reply["regions"]["md-alert"]
    assert "not in the catalogue" in page.dispatcher.call({**call, "args": {"source": "nope"}})["regions"]["md-alert"]


def test_folders_are_read_only_on_ones_own_computer(tmp_path: Path) -> None:
    page = Page(FakeServices(tmp_path), Access(server_paths=False))
    page.state = MODELS
    assert "folder on this computer" not in page.call("open")["regions"]["tp-main"]
    assert "Folders are not read here" in page.call("model-plan", source="/home/someone/model")["regions"]["tp-alert"]


def test_one_model_beside_the_table(page: Page) -> None:
    reply = page.call("model", name="bge-small-en-v1.5")
    assert "143 documents/s, 410 queries/s, 41% of the peak on cpu" in reply["regions"]["tp-side"]
    assert (page.state.panel, page.state.subject) == ("model", "bge-small-en-v1.5")
    assert "0.9981" in page.call("open")["regions"]["tp-side"]
    page.call("go", page="search")
    assert page.state.panel == ""


def test_a_pane_of_another_page_is_closed(page: Page) -> None:
    page.state = LIBRARY.with_(panel="model", subject=LONG)
    assert page.call("open")["regions"]["tp-side"] == ""


def test_deletion_asks_and_says_what_goes_along(page: Page) -> None:
    asked = page.call("ask-model-delete", name=LONG)["dialog"]
    assert "“Retrieval papers”" in asked
    assert 'data-force="true"' in asked
    assert page.call("model-delete", name=LONG)["failed"]
    page.call("model", name=LONG)
    reply = page.call("model-delete", name=LONG, force="true")
    assert reply["closeDialog"]
    assert page.state.panel == ""
    assert LONG not in listed(reply)


def test_a_model_is_measured_where_it_is_here(page: Page) -> None:
    assert page.call("model-bench", name="bge-small-en-v1.5")["poll"]
    assert page.call("model-bench", name="bge-base-en-v1.5")["failed"]


def test_read_only_pages_offer_no_changes(tmp_path: Path) -> None:
    page = Page(FakeServices(tmp_path), Access(write=False))
    page.state = MODELS.with_(panel="model", subject=LONG)
    reply = page.call("open")
    for region in ("tp-main", "tp-side"):
        for action in ("model-plan", "model-add", "model-bench", "ask-model-delete"):
            assert f'data-action="{action}"' not in reply["regions"][region]


def test_jobs_of_this_page_are_those_about_models(page: Page) -> None:
    assert page.call("jobs", running="")["regions"]["tp-jobs"].count('data-key="job') == 0
    page.state = LIBRARY
    assert page.call("jobs", running="")["regions"]["tp-jobs"].count('data-key="job') > 0


def test_where_the_pipeline_of_a_deleted_model_was_compared_another_can_be_chosen(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise NotFound("There is no pipeline called 'gone'. Known: very many.")

    monkeypatch.setattr(page.services, "compare", refuse)
    page.state = COMPARE.with_(columns=("BM25", "gone"))
    board = page.call("open")["regions"]["tp-main"]
    assert "There is no pipeline called &#39;gone&#39;. Choose another one in its column." in board
    assert "gone (missing)" in board
    assert page.call("column", index=1, value="Dense")["regions"]["tp-board"]
    assert page.state.columns == ("BM25", "Dense")
