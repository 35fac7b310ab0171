"""The door: which host, which origin, which path, how large; the headers; and that nothing uploaded or stored can be fetched."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fakes import HOSTILE, FakeServices
from serving import CALL, UPLOAD, Running

from app.ui.frame.site import site
from app.ui.web import server
from app.ui.web.access import Access
from app.ui.web.door import Door
from app.ui.web.guard import Guard, Rules, host_name
from app.ui.web.passwords import Password
from engine.errors import BadInput, ReadOnly

PASSWORD = Password.of("correct horse")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(FakeServices(tmp_path_factory.mktemp("workspace")), max_upload=200_000, max_file=100_000)
    yield made
    made.stop()


def test_a_foreign_host_is_refused(running: Running) -> None:
    for host in (
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost@evil.example",
        "",
        "169.254.1.1",
    ):
        assert running.client.get("/", headers={"Host": host}).status_code == 400, host
    for host in ("localhost", f"127.0.0.1:{running.port}", "[::1]:7860", "LOCALHOST:1"):
        assert running.client.get("/favicon.ico", headers={"Host": host}).status_code == 200, host


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example", "garbage", "http://[bad"],
)
def test_a_foreign_origin_is_refused(running: Running, origin: str) -> None:
    files = {"files": ("a.csv", b"x")}
    assert running.client.post(UPLOAD, files=files, headers={"Origin": origin}).status_code == 403
    assert running.client.post(CALL, json={}, headers={"Origin": origin}).status_code == 403
    assert running.client.get("/config", headers={"Origin": origin}).status_code == 403


def test_other_sites_may_link_here_but_not_load_from_here(running: Running) -> None:
    crossing = {"Sec-Fetch-Site": "cross-site"}
    assert running.client.get("/", headers={**crossing, "Sec-Fetch-Mode": "navigate"}).status_code == 200
    assert running.client.get("/", headers={**crossing, "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    assert running.client.get("/config", headers={**crossing, "Sec-Fetch-Mode": "navigate"}).status_code == 403
    assert (
        running.client.post(UPLOAD, files={"files": ("a", b"x")}, headers={"Sec-Fetch-Site": "same-site"}).status_code
        == 403
    )


def test_its_own_origin_may(running: Running) -> None:
    origin = {"Origin": f"http://127.0.0.1:{running.port}", "Sec-Fetch-Site": "same-origin"}
    assert running.call({"action": "open"}, headers=origin).json()["regions"]


def test_an_oversize_upload_is_refused_by_length_by_file_and_without_a_length(running: Running) -> None:
    assert running.client.post(UPLOAD, files={"files": ("a.csv", b"x" * 250_000)}).status_code == 413
    assert running.client.post(UPLOAD, files={"files": ("a.csv", b"x" * 150_000)}).status_code == 413
    assert running.client.post(UPLOAD, content=iter([b"x" * 1000] * 300)).status_code == 411
    assert running.client.post(UPLOAD, files={"files": ("a.csv", b"x" * 50_000)}).status_code == 200


def test_a_call_is_bounded(running: Running) -> None:
    assert running.call({"action": "search", "args": {"query": "x" * 1_100_000}}).status_code == 413


def test_more_bytes_than_announced_are_not_read() -> None:
    read: list[int] = []
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            read.append(len(message["body"]))
            if not message["more_body"]:
                return

    async def receive() -> Any:
        return {"type": "http.request", "body": b"x" * 400, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-length", b"10")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": UPLOAD,
        "scheme": "http",
        "headers": headers,
        "query_string": b"",
    }
    with ThreadPoolExecutor(1) as pool:
        pool.submit(
            lambda: asyncio.run(Guard(app, Rules(frozenset({"localhost"}), 1000), Door(token=""))(scope, receive, send))
        ).result()  # type: ignore[arg-type]
    assert sum(read) <= 1000
    assert sent[0]["status"] == 413


def test_a_request_that_the_end_of_the_server_cuts_off_is_told_so() -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError  # what uvicorn throws in when its patience with running requests is over

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-length", b"2")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/gradio_api/component_server",
        "scheme": "http",
        "headers": headers,
        "query_string": b"",
    }
    guard = Guard(app, Rules(frozenset({"localhost"}), 1000), Door(token=""))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(guard(scope, receive, send))).result()  # type: ignore[arg-type]
    assert sent[0]["status"] == 503


def test_headers_of_every_answer(running: Running) -> None:
    for path in ("/", "/config", "/nothing", "/ui/triptych.css"):
        headers = running.client.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == policy["connect-src"] == "'self'"
        assert policy["object-src"] == policy["frame-ancestors"] == "'none'"
        assert "unsafe-inline" not in policy["script-src"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "server" not in headers


def test_the_nonce_is_fresh_and_on_every_script(running: Running) -> None:
    pages = [running.client.get("/") for _ in range(2)]
    nonces = [page.headers["content-security-policy"].split("'nonce-")[1].split("'")[0] for page in pages]
    assert nonces[0] != nonces[1]
    for page, nonce in zip(pages, nonces, strict=True):
        assert page.text.count("<script") == page.text.count(f'<script nonce="{nonce}"') > 3


def test_the_page_names_nobody_else(running: Running) -> None:
    text = running.client.get("/").text
    assert "fonts.googleapis" not in text
    assert "raw.githubusercontent" not in text
    assert "gradio.app" not in text.replace("gradio_app", "")


@pytest.mark.parametrize(
    "address", ["/?page=library", "/?deep_link=../../x", "/?view=api", "/?tab=compare&q=%3Cscript%3E", "/?__theme=dark"]
)
def test_gradio_does_not_read_the_address(running: Running, address: str) -> None:
    assert running.client.get(address).text.replace("nonce", "").count("<script") == running.client.get("/").text.count(
        "<script"
    )


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/file=/etc/passwd",
        "/gradio_api/proxy=http://x.hf.space/",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/gradio_api/queue/join",
        "/gradio_api/run/call",
        "/gradio_api/call/call",
        "/gradio_api/process_recording",
        "/gradio_api/mcp/sse",
        "/monitoring",
        "/monitoring/summary",
        "/docs",
        "/openapi.json",
        "/ui/../build.py",
        "/ui/%2e%2e/%2e%2e/pyproject.toml",
        "/assets/../../gradio/routes.py",
        "/vibe-edit/",
        "/svelte/x",
    ],
)
def test_what_the_page_does_not_need_is_not_there(running: Running, path: str) -> None:
    request = running.client.build_request("GET", f"http://127.0.0.1:{running.port}/")
    request.url = request.url.copy_with(raw_path=path.encode())
    assert running.client.send(request).status_code == 404
    assert running.client.post(path, json={}).status_code in (404, 405)


def test_an_uploaded_page_cannot_be_fetched_back(running: Running) -> None:
    path = running.client.post(UPLOAD, files={"files": ("evil.html", b"<script>alert(1)</script>")}).json()[0]
    assert Path(path).is_file()
    for address in (
        f"/gradio_api/file={path}",
        f"/file={path}",
        f"/gradio_api/file/{path}",
        f"/static/{path}",
        f"/ui/{path}",
    ):
        assert running.client.get(address).status_code in (403, 404)


def test_uploads_land_in_the_private_folder(running: Running) -> None:
    path = Path(running.client.post(UPLOAD, files={"files": ("../../evil.csv", b"x")}).json()[0])
    assert path.parent.parent.parts[-2:] == ("tmp", "uploads")
    assert path.name == "evil.csv"
    assert path.parent.parent.stat().st_mode & 0o777 == 0o700


def test_only_the_one_function_can_be_called(running: Running) -> None:
    component = running.component()
    for name in ("get_config", "postprocess", "__init__", "nope"):
        body = {"data": {}, "component_id": component, "session_hash": "s", "fn_name": name}
        assert running.client.post(CALL, json=body).status_code == 404


def test_a_direct_call_is_checked_like_the_page(running: Running) -> None:
    for payload in (
        {"action": "search", "url": "?c=Retrieval+papers", "args": {"query": "x" * 9000, "k": -5}},
        {"action": "compare", "args": {"k": 10**9}},
        {"action": HOSTILE},
        7,
    ):
        reply = running.call(payload)
        assert reply.status_code == 200
        assert "<img" not in str(reply.json()["regions"])
        assert "fault of Triptych" not in reply.text


def test_twenty_searches_at_once_get_their_own_answers(running: Running) -> None:
    component = running.component()

    def ask(i: int) -> tuple[int, str]:
        url = f"?tab=search&c=Retrieval+papers&p=BM25&from={i}"
        body = {
            "data": {"action": "page", "url": url, "args": {"offset": i}},
            "component_id": component,
            "session_hash": f"s{i}",
            "fn_name": "call",
        }
        with running.program(running.door.token) as client:
            return i, client.post(CALL, json=body).json()["regions"]["tp-results"]

    with ThreadPoolExecutor(20) as pool:
        for i, html in pool.map(ask, range(20)):
            assert f"<span>{i + 1}–{min(i + 20, 75)} of " in html


def test_a_read_only_server_takes_no_files(tmp_path: Path) -> None:
    reading = Running(FakeServices(tmp_path, read_only=True))
    try:
        assert reading.client.post(UPLOAD, files={"files": ("a.csv", b"x")}).status_code == 403
        assert (
            "for reading only"
            in reading.call({"action": "create-collection", "args": {"name": "x"}}).json()["regions"]["tp-alert"]
        )
        assert not (tmp_path / "tmp").exists()
    finally:
        reading.stop()
    with pytest.raises(ReadOnly):
        server.make_app(FakeServices(tmp_path, read_only=True), site(), door=Door(Access(write=True)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("host", "lan", "password", "token"),
    [
        ("0.0.0.0", False, PASSWORD, True),
        ("192.168.1.4", False, None, True),
        ("0.0.0.0", True, None, True),
        ("0.0.0.0", True, PASSWORD, False),
        ("127.0.0.1", True, PASSWORD, False),
        ("0.0.0.0", False, None, False),
    ],
)
def test_other_computers_only_on_request_with_a_password_and_never_without_a_token(
    host: str, lan: bool, password: Password | None, token: bool
) -> None:
    with pytest.raises(BadInput):
        server.check_address(host, lan=lan, password=password, token=token)


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("127.8.8.8", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("example.org", False),
    ],
)
def test_what_counts_as_this_computer(host: str, own: bool) -> None:
    assert server.is_loopback(host) is own


def test_a_taken_port_is_an_error_and_the_default_moves_on() -> None:
    with server.listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(BadInput, match=f"port {port}"):
            server.listen("127.0.0.1", port)
    with server.listen("127.0.0.1", None) as one, server.listen("127.0.0.1", None) as other:
        assert one.getsockname()[1] != other.getsockname()[1] >= server.FIRST_PORT
        assert one.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("localhost:80", "localhost"),
        ("[::1]:80", "[::1]"),
        ("LocalHost", "localhost"),
        ("a b", ""),
        ("localhost:", ""),
        ("localhost:80:80", ""),
        ("user@localhost", ""),
        ("", ""),
    ],
)
def test_host_names(header: str, host: str) -> None:
    assert host_name(header) == host


def test_serve_prints_its_address_and_can_be_reached(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import uvicorn

    def run(self: uvicorn.Server, sockets: list[socket.socket]) -> None:
        assert sockets[0].getsockname() == ("127.0.0.1", ready[0][1])

    def note(addresses: server.Addresses) -> None:
        parts = urlsplit(addresses.own)
        assert (parts.scheme, parts.hostname, parts.path) == ("http", "127.0.0.1", "/")
        assert len(parse_qs(parts.query)["token"][0]) >= 43, "256 bits"
        ready.append((addresses.own, parts.port or 0))

    ready: list[tuple[str, int]] = []
    monkeypatch.setattr(uvicorn.Server, "run", run)
    server.serve(FakeServices(tmp_path), site(), port=0, on_ready=note)  # type: ignore[arg-type]
    assert ready[0][0] in capsys.readouterr().err
