"""A real workspace behind the real server: what a page asked for goes on without it, and direct calls meet the same checks."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.ui.frame.site import site
from app.ui.web import server
from app.verbs.services import Services
from engine.types import Record

CALL = "/gradio_api/component_server"
WORDS = ("sparse", "dense", "fusion", "onion", "bread", "token", "weight", "vector", "query", "passage")


class Served:
    """The server on a thread."""

    def __init__(self, folder: Path) -> None:
        self.services = Services(folder)
        self.services.create_collection("papers")
        workspace = self.services.engine.workspace
        records = [
            Record(f"p{n}", f"{WORDS[n % 10]} study", f"{WORDS[n // 10]} and {WORDS[n % 7]}") for n in range(100)
        ]
        workspace.documents.upsert(workspace.collection("papers").collection_id, records, "test")
        assert self.services.wait(self.services.index("papers", ["bm25"]), 60).status == "done"
        self.listener = server.listen("127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        app = server.make_app(self.services, site())
        self.headers = {"Authorization": f"Bearer {app.door.token}"}
        self.server = server.http_server(app)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)
        with httpx.Client(base_url=self.address, timeout=30, headers=self.headers) as client:
            parts = client.get("/config").json()["components"]
        self.component = next(part["id"] for part in parts if part["type"] == "html")

    def call(self, payload: Any) -> Any:
        """One request on a connection of its own, which is closed after it."""
        body = {"data": payload, "component_id": self.component, "session_hash": "s", "fn_name": "call"}
        with httpx.Client(base_url=self.address, timeout=30, headers=self.headers) as client:
            answer = client.post(CALL, content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert answer.status_code == 200
        return answer.json()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.listener.close()
        self.services.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    running = Served(tmp_path_factory.mktemp("workspace"))
    yield running
    running.stop()


def test_a_job_goes_on_when_its_page_is_gone(served: Served, tmp_path: Path) -> None:
    source = tmp_path / "more.jsonl"
    source.write_text("\n".join(json.dumps({"id": f"n{i}", "title": f"new {i}"}) for i in range(300)))
    asked = {
        "action": "add",
        "url": "?tab=library",
        "args": {"paths": [str(source)], "target": "added", "index": False},
    }
    assert not served.call(asked).get("failed")
    (job,) = [job for job in served.services.jobs() if job.kind == "add"]
    assert served.services.wait(job.job_id, 60).status == "done"
    assert served.services.collection("added").documents == 300


@pytest.mark.parametrize(
    ("action", "url", "args"),
    [
        ("search", "?c=papers&p=BM25", {"query": "x" * 900_000}),
        ("search", "?c=papers&p=BM25&k=100000&from=99999999999999999999", {"query": "sparse"}),
        ("page", "?c=papers&p=BM25&q=sparse", {"offset": 10**30}),
        ("compare", "?tab=compare&c=papers&col=BM25&col=BM25&col=BM25&col=BM25&col=BM25&k=-1", {"query": "sparse"}),
        ("search", "?c=papers&p=BM25&q=sparse&f.year=x..y&f.venue=%00&f.metadata.=1&f.secret=1", {}),
        ("search", "?c=../../etc&p=BM25", {"query": "sparse"}),
        ("search", "?c=papers&p=__class__", {"query": "sparse"}),
        ("create-collection", "?tab=library", {"name": "x" * 100_000}),
        ("create-collection", "?tab=library", {"name": "a\x00b"}),
        ("create-collection", "?tab=library", {"name": "\ud800"}),
        ("add", "?tab=library", {"paths": ["/" + "x" * 4_000], "target": "t"}),
        ("add", "?tab=library", {"paths": ["a\x00b"], "target": "t"}),
        ("add", "?tab=library", {"paths": ["~nobody-of-this-name/x"], "target": "t"}),
        ("read", "?c=papers&p=BM25&q=sparse", {"doc": "x" * 100_000}),
        ("close", "", {"__proto__": {"admin": True}}),
        ("shutdown", "", {}),
    ],
)
def test_a_direct_call_with_long_or_hidden_values_gets_an_answer_and_changes_nothing(
    served: Served, action: str, url: str, args: dict[str, Any]
) -> None:
    known = {collection.name for collection in served.services.collections()}
    reply = served.call({"action": action, "url": url, "args": args})
    text = json.dumps(reply)
    assert "fault of Triptych" not in text
    assert len(text) < 1_000_000
    made = {collection.name for collection in served.services.collections()} - known
    assert all(name.isprintable() and len(name) <= 200 for name in made)
    assert action != "add" or not made


def test_twenty_pages_searching_at_once_get_their_own_answers(served: Served) -> None:
    """More than the server runs at once: the rest waits in line, and nothing is mixed up."""

    def ask(word: str) -> str:
        reply = served.call({"action": "search", "url": "?c=papers&p=BM25", "args": {"query": word}})
        return str(reply["regions"]["tp-results"])

    words = [*WORDS, *WORDS]
    expected = {word: [c.doc_id for c in served.services.search("papers", word, "BM25").cards] for word in WORDS}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, words))
    for word, html in zip(words, answers, strict=True):
        shown = [part.split('"', 1)[0] for part in html.split('data-doc="')[1:]]
        assert list(dict.fromkeys(shown)) == expected[word], word


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("?tab=search&c=nowhere", "There is no collection"),
        ("?c=papers&p=BM25&q=sparse&doc=nothing", "Not found"),
        ("?tab=compare&c=papers&q=sparse&col=BM25&col=Gone", "There is no pipeline called"),
        ("?tab=evaluate&c=papers&o.run=nothing", "There is no evaluation"),
        ("?tab=calibrate&c=papers&o.run=nothing", "No calibration"),
        ("?tab=judge&c=papers&o.queue=nothing", "not there any more"),
        ("?tab=blind&c=papers&o.session=nothing", "not there any more"),
        ("?tab=library&o.view=models&panel=model&on=nothing", "There is no model"),
    ],
)
def test_an_address_of_what_is_not_there_says_so(served: Served, url: str, words: str) -> None:
    reply = served.call({"action": "open", "url": url})
    assert words in unescape(str(reply["regions"]))
    assert "fault of Triptych" not in str(reply)


@pytest.mark.parametrize(
    "path", ["/collections/nowhere", "/evaluations/1", "/jobs/1", "/exports/1.csv", "/ui/nothing.css"]
)
def test_a_resource_that_is_not_there_is_a_404(served: Served, path: str) -> None:
    with httpx.Client(base_url=served.address, headers=served.headers) as client:
        assert client.get(path).status_code == 404
