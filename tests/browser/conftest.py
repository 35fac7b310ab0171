"""One chromium for a module, one server per kind of workspace, and a page that fails its test on anything untoward."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "ui")]

from running import Running, entrance  # noqa: E402

from app.verbs.services import Services  # noqa: E402

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
OURS = ("http://127.0.0.1:", "data:", "blob:")
HOSTILE = "<img src=https://evil.example/x.png onerror=alert(1)>${alert(1)} [x](javascript:alert(1)) <script>alert(1)</script>"
COLLECTION = "Papers"


def corpus() -> list[dict[str, Any]]:
    """Thirty short papers, two of them in other scripts, one of them an attack."""
    topics = ("dense retrieval", "query expansion", "rank fusion", "score calibration", "inverted indexes")
    rows = []
    for i in range(27):
        topic = topics[i % 5]
        text = f"We study {topic} for scientific search. Experiment {i} compares words with meaning, and reports precision over {i + 3} topics."
        rows.append(
            {
                "_id": f"p{i:02d}",
                "title": f"{topic.capitalize()}, part {i}",
                "text": text,
                "year": 1995 + i,
                "venue": ("SIGIR", "ECIR", "ACL")[i % 3],
                "authors": [f"Author {i % 7}"],
            }
        )
    rows.append(
        {
            "_id": "cjk",
            "title": "基于预训练模型的稠密检索",
            "text": "本文研究稠密检索 dense retrieval 在中文文献上的效果。",
            "year": 2021,
        }
    )
    rows.append(
        {
            "_id": "arabic",
            "title": "استرجاع المعلومات الكثيف",
            "text": "ندرس dense retrieval للنصوص العربية.",
            "year": 2022,
        }
    )
    rows.append(
        {
            "_id": "hostile",
            "title": f"Dense retrieval {HOSTILE}",
            "text": f"dense retrieval {HOSTILE} ![i](https://evil.example/i.png)",
            "year": 2020,
            "url": "javascript:alert(1)",
            "venue": HOSTILE,
            "authors": [HOSTILE],
        }
    )
    return rows


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "papers.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in corpus()), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, corpus_file: Path) -> Iterator[Running]:
    """A real workspace with the corpus, indexed."""
    with Services(tmp_path_factory.mktemp("filled")) as services:
        services.wait(services.add([str(corpus_file)], COLLECTION), 120)
        assert services.collection(COLLECTION).state == "ready", services.jobs()
        running = Running(services)
        yield running
        running.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Running]:
    """A real workspace with nothing in it."""
    with Services(tmp_path / "fresh") as services:
        running = Running(services)
        yield running
        running.stop()


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Synthetic data in every state."""
    from fakes import FakeServices

    running = Running(FakeServices(tmp_path_factory.mktemp("fake")))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip("chromium is not on this machine")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens pages; afterwards no error, no dialog and no foreign request may have happened on any of them."""
    problems: list[str] = []
    contexts: list[Any] = []

    def opened(address: str, *, width: int = 1280, height: int = 800, theme: str = "light") -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on(
            "console",
            lambda message: (
                problems.append(f"console: {message.text}") if message.type in ("error", "warning") else None
            ),
        )
        page.on("pageerror", lambda error: problems.append(f"page error: {error}"))
        page.on("dialog", lambda dialog: (problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith(OURS) else problems.append(f"foreign request: {request.url}")
            ),
        )
        page.on(
            "response",
            lambda response: problems.append(f"{response.status}: {response.url}") if response.status >= 400 else None,
        )
        page.goto(entrance(address))
        page.wait_for_selector("html.is-ready")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []
