"""Every action of the page, called as the page calls it: right regions, right address, and an answer whatever comes in."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import Page
from fakes import FakeServices
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.ui.frame.site import site
from app.ui.web.dispatch import Access, Action, Dispatcher, Site, Ui
from app.ui.web.protocol import Reply
from app.ui.web.session import UiState
from app.ui.web.uploads import Uploads

SEARCH = UiState(
    collection="Retrieval papers", query="dense retrieval", pipeline="Hybrid", columns=("BM25", "Dense", "Hybrid")
)
COMPARE = SEARCH.with_(page="compare")
LIBRARY = SEARCH.with_(page="library")


def test_the_first_request_fills_every_region_and_settles_the_address(page: Page) -> None:
    reply = page.call("open")
    assert {"tp-sidebar", "tp-head", "tp-main", "tp-side"} <= set(reply["regions"])
    assert page.state.collection == "Retrieval papers"
    assert page.state.pipeline == "Hybrid"
    assert page.state.columns == ("BM25", "Dense", "Hybrid")
    assert "Questions that came with this collection" in reply["regions"]["tp-main"]
    assert reply["poll"], "a job is running"


def test_a_first_start_leads_to_the_library(tmp_path: Path) -> None:
    page = Page(FakeServices(tmp_path, empty=True))
    reply = page.call("open")
    assert "Start with a collection" in reply["regions"]["tp-main"]
    assert 'data-page="library"' in reply["regions"]["tp-main"]
    reply = page.call("go", page="library")
    assert "Drop files here" in reply["regions"]["tp-main"]


def test_the_example_is_one_press_away(tmp_path: Path) -> None:
    page = Page(FakeServices(tmp_path, empty=True))
    for where in ("search", "compare", "library"):
        assert 'data-action="add-example"' in page.call("go", page=where)["regions"]["tp-main"]
    page.call("go", page="search")
    reply = page.call("add-example")
    assert page.state.collection == "Retrieval papers"
    assert "Retrieval papers" in reply["regions"]["tp-sidebar"]
    assert reply["poll"]
    assert 'data-action="add-example"' not in page.call("go", page="library")["regions"]["tp-main"]
    reader = Page(FakeServices(tmp_path, empty=True, read_only=True), Access(write=False))
    for where in ("search", "library"):
        assert "add-example" not in reader.call("go", page=where)["regions"]["tp-main"]


def test_a_permalink_restores_everything(page: Page) -> None:
    page.state = COMPARE.with_(k=5, document="paper-000", filters=(("venue", ("SIGIR",)),))
    before = page.state
    reply = page.call("open")
    assert page.state == before
    assert reply["regions"]["tp-main"].count("data-hit ") == 15
    assert "On dense retrieval for scientific literature" in reply["regions"]["tp-side"]


def test_searching_paging_filtering(page: Page) -> None:
    page.state = SEARCH
    reply = page.call("search", query="dense encoders", pipeline="Dense")
    assert reply["push"]
    assert (page.state.query, page.state.pipeline) == ("dense encoders", "Dense")
    assert reply["regions"]["tp-results"].count("data-hit ") == 20
    page.call("page", offset="20")
    assert page.state.offset == 20
    reply = page.call("filter", name="venue", value="SIGIR")
    assert page.state.filters == (("venue", ("SIGIR",)),)
    assert page.state.offset == 0
    page.call("filter", name="venue", value="SIGIR")
    assert page.state.filters == ()
    page.call("years", low="2015", high="2001")
    assert page.state.values("year") == ("2001", "2015")
    page.call("clear-filters")
    assert page.state.filters == ()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("empty", "This collection is empty"),
        ("indexing", "Documents are being added"),
        ("paused", "Adding documents is paused"),
    ],
)
def test_a_collection_without_documents_is_not_blamed_on_the_query(
    page: Page, monkeypatch: pytest.MonkeyPatch, state: str, words: str
) -> None:
    services = page.services
    bare = dataclasses.replace(services.collection(SEARCH.collection), documents=0, state=state)
    found = dataclasses.replace(services.search(SEARCH.collection, "x", "BM25"), cards=(), total=0)
    columns = services.compare(SEARCH.collection, "x", ("BM25", "Dense"))
    without = dataclasses.replace(columns, columns=tuple(dataclasses.replace(one, hits=()) for one in columns.columns))
    monkeypatch.setattr(services, "collection", lambda name: bare)
    monkeypatch.setattr(services, "search", lambda *args, **options: found)
    monkeypatch.setattr(services, "compare", lambda *args, **options: without)
    page.state = SEARCH
    assert words in page.call("search", query="dense")["regions"]["tp-results"]
    page.call("go", page="compare")
    assert words in page.call("compare", query="dense")["regions"]["tp-board"]


def test_a_facet_is_widened_and_shortened_without_a_new_page(page: Page) -> None:
    page.state = SEARCH
    reply = page.call("facet", name="venue")
    assert set(reply["regions"]) == {"tp-facets", "tp-alert"}
    assert page.state.option_values("wide") == ("venue",)
    page.call("facet", name="authors")
    page.call("facet", name="venue")
    assert page.state.option_values("wide") == ("authors",)


def test_a_search_that_fails_says_so_in_place_and_offers_the_remedy(page: Page) -> None:
    page.state = SEARCH
    reply = page.call("search", query="dense", pipeline="Not built")
    assert "not built yet" in reply["regions"]["tp-results"]
    assert 'data-action="index"' in reply["regions"]["tp-results"]


def test_reading_and_keeping(page: Page) -> None:
    page.state = SEARCH
    reply = page.call("read", doc="paper-000")
    assert "Why it was found" in reply["regions"]["tp-side"]
    assert page.state.document == "paper-000"
    page.call("star", doc="paper-000", state="on")
    assert page.services.kept == ["paper-000"]
    reply = page.call("shortlist")
    assert "BibTeX" in reply["regions"]["tp-side"]
    assert page.call("export-shortlist", format="bibtex")["download"]["name"] == "shortlist.bib"
    page.call("star", doc="paper-000", state="off")
    assert page.services.kept == []
    assert page.call("close")["regions"]["tp-side"] == ""
    assert (page.state.document, page.state.panel) == ("", "")


def test_a_document_that_is_gone(page: Page) -> None:
    page.state = SEARCH
    assert "Not found" in page.call("read", doc="nope")["regions"]["tp-side"]


def test_comparing_and_changing_columns(page: Page) -> None:
    page.state = COMPARE
    reply = page.call("compare", query="dense retrieval", k="5")
    assert page.state.k == 5
    assert reply["regions"]["tp-board"].count("data-hit ") == 15
    page.call("column", index="0", value="Hybrid")
    assert page.state.columns == ("Hybrid", "Dense", "BM25"), "columns change places"
    page.call("column-add")
    assert page.state.columns == ("Hybrid", "Dense", "BM25", "Not built")
    page.call("column-left", index="3")
    assert page.state.columns == ("Hybrid", "Dense", "Not built", "BM25")
    page.call("column-remove", index="2")
    page.call("column-remove", index="2")
    assert page.state.columns == ("Hybrid", "Dense")
    assert page.call("column-remove", index="1")["failed"]
    assert page.state.columns == ("Hybrid", "Dense")


def test_filters_are_cleared_on_the_page_where_one_is(page: Page) -> None:
    for state, region in ((SEARCH, "tp-results"), (COMPARE, "tp-board")):
        page.state = state.with_filter("venue", ("SIGIR",))
        assert region in page.call("clear-filters")["regions"]
        assert page.state.filters == ()


def test_a_document_is_deleted_after_a_question(page: Page) -> None:
    page.state = SEARCH.with_(document="paper-000")
    assert "Delete this document?" in page.call("ask-delete-document", doc="paper-000")["dialog"]
    reply = page.call("delete-document", doc="paper-000")
    assert "paper-000" not in page.services.papers
    assert reply["closeDialog"]
    assert 'data-doc="paper-000"' not in reply["regions"]["tp-main"]


def test_the_ledger_of_an_address_without_columns_says_so(page: Page) -> None:
    page.state = COMPARE.with_(columns=(), panel="ledger")
    reply = page.call("ledger", value="BM25")
    assert "failed" not in reply
    assert "fault of Triptych" not in reply["regions"]["tp-side"]


def test_ledger_why_and_exports(page: Page) -> None:
    page.state = COMPARE
    reply = page.call("panel", panel="ledger")
    assert "Σ 1 / (60 + rank)" in reply["regions"]["tp-side"]
    assert "single list" in page.call("ledger", value="BM25")["regions"]["tp-side"]
    reply = page.call("why", doc="paper-000")
    assert "below the cut-off" in reply["regions"]["tp-side"].lower()
    assert (page.state.panel, page.state.subject) == ("why", "paper-000")
    assert "paper-000" in page.call("find", text="scientific")["regions"]["tp-found"]
    page.call("ledger", value="Hybrid")
    ledger = page.call("export-ledger")["download"]["text"]
    assert (
        ledger.splitlines()[0]
        == "rank,doc_id,title,score,BM25 rank,BM25 raw,BM25 contribution,Dense rank,Dense raw,Dense contribution"
    )
    columns = page.call("export-compare")["download"]["text"].splitlines()
    assert len(columns) == 1 + 30


def test_editing_a_pipeline_both_ways(page: Page) -> None:
    page.state = COMPARE
    reply = page.call("panel", panel="editor")
    assert "tp-yaml" in reply["regions"]["tp-side"]
    yaml = page.services.pipeline("Hybrid").yaml
    reply = page.call("editor-edit", op="set", path='["pipeline", 1, "cutoff", "k"]', value="7", yaml=yaml)
    assert "k: 7" in reply["regions"]["tp-yaml"]
    reply = page.call("editor-yaml", yaml="pipeline:\n- bm25: {k: 3}\n")
    assert 'value="3"' in reply["regions"]["tp-editor-form"]
    assert "Line 1" in page.call("editor-yaml", yaml="nonsense")["regions"]["tp-editor-status"]
    reply = page.call("pipeline-save", name="Mine", yaml=yaml)
    assert "Mine" in page.services.saved
    assert ">Mine</option>" in reply["regions"]["tp-main"]
    assert page.call("pipeline-export", name="My Pipe/..", yaml=yaml)["download"]["name"] == "my-pipe.yaml"
    page.call("pipeline-delete", name="Mine")
    assert "Mine" not in page.services.saved


def test_library_adds_what_was_previewed(page: Page, tmp_path: Path) -> None:
    page.state = LIBRARY
    source = tmp_path / "papers.csv"
    source.write_text("id,title\n1,x\n")
    reply = page.call("preview", path=str(source))
    assert "Columns: which one feeds which field" in reply["regions"]["lib-preview"]
    page.state = LIBRARY.with_(collection="")
    reply = page.call("preview", path=str(source))
    assert 'value="papers"' in reply["regions"]["lib-preview"], "a first collection is named like the file"
    reply = page.call(
        "add", paths=f'["{source}"]', target="New", duplicates="keep", index=True, **{"column.title": "title"}
    )
    assert reply["poll"]
    assert page.state.collection == "New"


def test_jobs_are_polled_and_their_end_redraws_the_rest(page: Page) -> None:
    page.state = LIBRARY
    reply = page.call("jobs", running="job-1")
    assert reply["poll"]
    assert set(reply["regions"]) == {"tp-jobline", "tp-jobs", "tp-alert"}
    reply = page.call("jobs", running="job-1,job-d")
    assert {"tp-sidebar", "lib-collections", "lib-indexes"} <= set(reply["regions"])
    assert reply["say"] == "Add notes: Done"


def test_rejections_are_paged_and_exported(page: Page) -> None:
    page.state = LIBRARY
    reply = page.call("rejections", job="job-1", offset="50")
    assert "51–60 of 60" in reply["regions"]["tp-rejected-job-1"]
    assert len(page.call("export-rejections", job="job-1")["download"]["text"].splitlines()) == 61


def test_collections_are_made_renamed_and_deleted_with_their_name_typed(page: Page) -> None:
    page.state = LIBRARY
    page.call("create-collection", name="Mine", description="Drafts")
    assert page.state.collection == "Mine"
    asked = page.call("ask-edit-collection", name="Mine")["dialog"]
    assert 'value="Mine"' in asked
    assert 'value="Drafts"' in asked
    reply = page.call("edit-collection", name="Mine", new="Ours", description="Papers for <b>chapter two</b>")
    assert page.state.collection == "Ours"
    assert "Papers for &lt;b&gt;chapter two" in reply["regions"]["lib-collections"]
    assert page.call("edit-collection", name="Ours", new="Ours", description="x" * 20_000)["failed"]
    assert page.call("delete-collection", name="Ours", typed="wrong")["failed"]
    assert "Ours" in page.services.names
    page.call("delete-collection", name="Ours", typed="Ours")
    assert "Ours" not in page.services.names
    assert page.state.collection == "Retrieval papers"


ALL = site().actions
WRITES = [name for name, action in ALL.items() if action.writes]


@pytest.mark.parametrize("action", WRITES)
def test_a_read_only_server_refuses_every_change(action: str, tmp_path: Path) -> None:
    page = Page(FakeServices(tmp_path), Access(write=False, server_paths=False))
    page.state = LIBRARY
    before = (list(page.services.names), list(page.services.kept), dict(page.services.saved))
    reply = page.call(
        action,
        name="CISI",
        typed="CISI",
        doc="paper-000",
        state="on",
        job="job-1",
        yaml="pipeline: []",
        paths='["/etc/passwd"]',
        target="x",
    )
    assert reply["failed"]
    assert "for reading only" in reply["regions"]["tp-alert"]
    assert "data-readonly" in page.call("open")["regions"]["tp-sidebar"]
    assert (page.services.names, page.services.kept, page.services.saved) == before


def test_paths_on_the_server_need_leave_and_uploads_need_to_be_uploads(tmp_path: Path) -> None:
    page = Page(FakeServices(tmp_path), Access(server_paths=False))
    page.state = LIBRARY
    outside = tmp_path / "secret.txt"
    outside.write_text("x")
    inside = page.uploads.root / ("a" * 64) / "a.csv"
    inside.parent.mkdir()
    inside.write_text("x")
    sly = page.uploads.root / ("a" * 64) / "sly.csv"
    sly.symlink_to(outside)
    for path in (
        str(outside),
        str(sly),
        f"{inside.parent}/../../../secret.txt",
        "a.csv",
        str(page.uploads.root),
    ):
        assert page.call("preview", paths=[path]).get("failed"), path
        assert page.call("add", paths=[path], target="x").get("failed"), path
    assert not page.call("preview", paths=[str(inside)]).get("failed")


values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.lists(st.text(max_size=5), max_size=3)
)
keys = st.sampled_from(
    [
        "query",
        "pipeline",
        "k",
        "offset",
        "doc",
        "name",
        "value",
        "index",
        "panel",
        "path",
        "paths",
        "yaml",
        "op",
        "low",
        "high",
        "job",
        "text",
        "state",
        "format",
        "page",
        "new",
        "typed",
        "column",
    ]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    action=st.sampled_from(sorted(ALL)) | st.text(max_size=10),
    url=st.text(max_size=60) | st.just(COMPARE.to_query()),
    args=st.dictionaries(keys, values, max_size=6),
)
def test_direct_calls_with_any_values_get_an_answer(page: Page, action: str, url: str, args: dict[str, Any]) -> None:
    reply = page.dispatcher.call({"action": action, "url": url, "args": args, "alert": "__proto__"})
    assert "fault of Triptych" not in str(reply)
    assert set(reply) >= {"regions", "url"}


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "x",
        7,
        {},
        {"action": None},
        {"action": ["search"]},
        {"action": "search", "url": 5, "args": "x"},
        {"action": "search", "args": {"query": "x" * 500_000}},
    ],
)
def test_malformed_requests_get_an_answer(page: Page, payload: Any) -> None:
    assert "fault of Triptych" not in str(page.dispatcher.call(payload))


def test_a_query_of_ten_thousand_words_is_cut_with_a_notice(page: Page) -> None:
    page.state = SEARCH
    reply = page.call("search", query="retrieval " * 10_000)
    assert "longer than 2,000 characters" in reply["regions"]["tp-results"]


def test_an_unexpected_failure_is_logged_under_a_reference_and_tells_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Reply:
        raise RuntimeError("secret detail")

    dispatcher = Dispatcher(Ui(FakeServices(tmp_path), Access(), Uploads(tmp_path)), Site({"x": Action(broken)}))  # type: ignore[arg-type]
    html = dispatcher.call({"action": "x"})["regions"]["tp-alert"]
    assert "secret detail" not in html
    reference = html.split("reference ")[1][:8]
    assert reference in caplog.text
    assert "secret detail" in caplog.text


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[Dispatcher, list[int], threading.Event]]:
    active: list[int] = [0, 0]
    lock, go = threading.Lock(), threading.Event()

    def work(ui: Ui, state: UiState, args: Any) -> Reply:
        with lock:
            active[0] += 1
            active[1] = max(active[1], active[0])
        go.wait(5)
        with lock:
            active[0] -= 1
        return Reply(state=state.with_(query=args.text("query")))

    yield (
        Dispatcher(
            Ui(FakeServices(tmp_path), Access(), Uploads(tmp_path)),
            Site({"work": Action(work)}),
            running=3,
            waiting=17,
            patience=5.0,
        ),
        active,
        go,
    )  # type: ignore[arg-type]
    go.set()


def test_twenty_at_once_are_answered_three_at_a_time_and_the_rest_is_turned_away(
    slow: tuple[Dispatcher, list[int], threading.Event],
) -> None:
    dispatcher, active, go = slow
    answers: dict[int, Any] = {}

    def ask(i: int) -> None:
        answers[i] = dispatcher.call({"action": "work", "args": {"query": f"q{i}"}})

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while active[0] < 3 and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.1)
    turned_away = dispatcher.call({"action": "work"})
    assert "Too many requests" in turned_away["regions"]["tp-alert"]
    go.set()
    for thread in threads:
        thread.join(10)
    assert active[1] == 3
    assert {i: UiState.from_query(answer["url"]).query for i, answer in answers.items()} == {
        i: f"q{i}" for i in range(20)
    }
