"""Two thousand requests of any kind against the guarded app: none ends in a fault, and none tells a document to whoever has no token."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeServices
from serving import CALL, UPLOAD

from app.ui.frame.site import site
from app.ui.web import server
from app.ui.web.access import OWNER, READER
from app.ui.web.door import Door
from app.ui.web.guard import Guard
from app.ui.web.passwords import Password

REQUESTS = 2_000
SECRETS = ("On dense retrieval for scientific literature", "paper-0", "Retrieval papers")
"""What stands in the workspace: a title, the ids of documents, the name of a collection."""
METHODS = (*["GET"] * 9, *["POST"] * 9, "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "X" * 50)
STEMS = (
    "/", "/config", "/login", "/logout", "/ui/triptych.css", "/ui/../build.py", "/theme.css", "/favicon.ico", "/manifest.json", UPLOAD, CALL,
    "/gradio_api/startup-events", "/gradio_api/file=/etc/passwd", "/gradio_api/queue/join", "/gradio_api/heartbeat", "/assets/x.js",
    "/static/fonts/x", "/api/search", "/mcp", "/docs", "//evil.example/", "/\\evil",
)  # fmt: skip
SCRAPS = (
    "?", "#", "%00", "\x00", "%2e%2e/", "../", "é", "\udcff", "token=", "&", "=", ";", "{}", "[", '"', "<script>", "a" * 3000, " ", "\t", "q=dense",
    "c=Retrieval+papers", "tab=compare", "1e999", "-1", "null",
)  # fmt: skip
HEADERS = (
    "host", "origin", "cookie", "authorization", "content-type", "content-length", "sec-fetch-site", "sec-fetch-mode", "x-forwarded-host",
    "x-forwarded-for", "forwarded", "accept", "accept-encoding", "range", "transfer-encoding", "x-odd",
)  # fmt: skip
VALUES = (
    "localhost", "127.0.0.1:7860", "evil.example", "http://localhost", "https://evil.example", "null", "same-origin", "cross-site", "navigate",
    "application/json", "multipart/form-data; boundary=x", "multipart/form-data", "application/x-www-form-urlencoded", "0", "10", "99999999999",
    "-1", "x", "bytes=0-", "chunked", "gzip", "*/*", "",
)  # fmt: skip


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Guard:
    door = Door(OWNER, READER, password=Password.of("correct horse"))
    folder = tmp_path_factory.mktemp("workspace")
    return server.make_app(FakeServices(folder), site(), door=door, max_upload=50_000)  # type: ignore[arg-type]


def body(chance: random.Random) -> bytes:
    kind = chance.randrange(6)
    if kind == 0:
        return b""
    if kind == 1:
        return chance.randbytes(chance.choice((1, 50, 60_000)))
    if kind == 2:
        return f"secret={scrap(chance)}&next={scrap(chance)}".encode("utf-8", "surrogatepass")
    if kind == 3:
        file = b'--x\r\nContent-Disposition: form-data; name="files"; filename="../a.csv"\r\n\r\nid\r\n1\r\n--x--\r\n'
        return file[: chance.randrange(len(file) + 40)]
    args = {chance.choice(("query", "doc", "name", "paths", "yaml", "value")): scrap(chance) for _ in range(2)}
    payload = {"action": chance.choice(sorted(site().actions)), "url": scrap(chance), "args": args}
    call = {
        "data": payload,
        "component_id": chance.choice((1, 2, 3, 4, "x", None, 10**30)),
        "session_hash": "s",
        "fn_name": "call",
    }
    text = json.dumps(call)
    return text.encode()[: chance.choice((len(text), len(text), chance.randrange(len(text))))]


def scrap(chance: random.Random) -> str:
    return "".join(chance.choice(SCRAPS) for _ in range(chance.randrange(4)))


def request(chance: random.Random, credential: tuple[str, str] | None) -> tuple[dict[str, Any], bytes]:
    """A scope, as an HTTP server would hand it on, and its body."""
    path = chance.choice(STEMS) + (scrap(chance) if chance.random() < 0.2 else "")
    content = body(chance)
    headers = {"host": "localhost", "content-length": str(len(content)), "content-type": "application/json"}
    for _ in range(chance.choice((0, 0, 0, 1, 3))):
        headers[chance.choice(HEADERS)] = chance.choice(VALUES) + (scrap(chance) if chance.random() < 0.2 else "")
    if credential:
        headers[credential[0]] = credential[1]
    query = scrap(chance).encode("utf-8", "surrogatepass")
    raw = [(name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in headers.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": chance.choice(METHODS), "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"), "query_string": query, "root_path": "", "scheme": "http", "headers": raw,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860), "state": {},
    }  # fmt: skip
    return scope, content


async def answered(app: Guard, scope: dict[str, Any], content: bytes) -> tuple[int, bytes]:
    """(status, everything that was told: headers and body)."""
    status, told, sent = 0, bytearray(), False

    async def receive() -> Any:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)
        told.extend(b"".join(name + b":" + value for name, value in message.get("headers", ())))
        told.extend(message.get("body", b""))

    async with asyncio.timeout(30):
        await app(scope, receive, send)
    return status, bytes(told)


def every(app: Guard, seed: int, count: int, credential: tuple[str, str] | None) -> Iterator[tuple[Any, int, bytes]]:
    chance = random.Random(seed)

    async def run() -> list[tuple[Any, int, bytes]]:
        done = []
        for _ in range(count):
            scope, content = request(chance, credential)
            done.append((scope, *await answered(app, scope, content)))
        return done

    with ThreadPoolExecutor(1) as pool:  # Gradio's loop is not to be that of the test
        yield from pool.submit(lambda: asyncio.run(run())).result()


def bearer(app: Guard) -> tuple[str, str]:
    return "authorization", f"Bearer {app.door.token}"


@pytest.mark.parametrize(
    ("seed", "credential"),
    [(1, lambda app: None), (2, bearer), (3, lambda app: ("cookie", app.door.cookie(READER, {"scheme": "http", "server": ("", 7860)}).split(";")[0]))],
    ids=["nobody", "owner", "reader"],
)  # fmt: skip
def test_any_request_is_answered_and_only_those_with_leave_are_told_anything(
    guarded: Guard, seed: int, credential: Callable[[Guard], tuple[str, str] | None]
) -> None:
    shown = credential(guarded)
    count = REQUESTS if shown is None else REQUESTS // 2
    statuses: Counter[int] = Counter()
    for scope, status, told in every(guarded, seed, count, shown):
        case = {name: scope[name] for name in ("method", "path", "query_string", "headers")}
        assert 200 <= status < 500, case
        statuses[status] += 1
        if shown is None:
            assert status >= 400, case
            assert not any(secret.encode() in told for secret in SECRETS), case
    assert sum(statuses.values()) == count
    if shown is None:
        assert statuses[401] > count / 10
    else:
        assert statuses[200] > count / 20, statuses


def test_the_secrets_are_there_to_be_told(guarded: Guard) -> None:
    """So that the absence above means something: the owner is told them by one such request."""
    call = {
        "data": {"action": "search", "url": "?c=Retrieval+papers&p=BM25", "args": {"query": "dense"}},
        "component_id": next(key for key, block in blocks(guarded).items() if type(block).__name__ == "HTML"),
        "session_hash": "s",
        "fn_name": "call",
    }
    content = json.dumps(call).encode()
    headers = {"host": "localhost", "content-type": "application/json", "content-length": str(len(content))}
    raw = [(name.encode(), value.encode()) for name, value in (headers | dict([bearer(guarded)])).items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": CALL, "raw_path": CALL.encode(),
        "query_string": b"", "root_path": "", "scheme": "http", "headers": raw, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 7860), "state": {},
    }  # fmt: skip
    with ThreadPoolExecutor(1) as pool:
        status, told = pool.submit(lambda: asyncio.run(answered(guarded, scope, content))).result()
    assert status == 200
    assert SECRETS[0].encode() in told
    assert SECRETS[1].encode() in told


def blocks(app: Guard) -> dict[int, Any]:
    gradio: Any = app.app
    return dict(
        next(
            route.app.get_blocks().blocks
            for route in gradio.routes
            if hasattr(getattr(route, "app", None), "get_blocks")
        )
    )


def test_the_workspace_is_as_it_was(guarded: Guard, tmp_path: Path) -> None:
    """What nobody asked for with leave has left nothing, and what a reader asked for neither; run on a server of its own."""
    services = FakeServices(tmp_path)
    app = server.make_app(services, site(), door=Door(OWNER, READER, password=Password.of("correct horse")))  # type: ignore[arg-type]
    cookie = app.door.cookie(READER, {"scheme": "http", "server": ("", 7860)}).split(";")[0]
    before = (sorted(services.papers), list(services.names), dict(services.saved), list(services.kept))
    files = sorted(tmp_path.rglob("*"))
    for credential in (None, ("cookie", cookie)):
        for _ in every(app, 4, 300, credential):
            pass
    assert (sorted(services.papers), list(services.names), dict(services.saved), list(services.kept)) == before
    assert sorted(tmp_path.rglob("*")) == files
