"""Servers that drip, flood, lie, break off and send elsewhere, each met by the client for language models and by the one for model hubs."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from engine.errors import BadInput, TriptychError, Unreachable
from engine.models import chat as llm
from engine.models.chat import ChatModel, Endpoint
from engine.models.hub import hub
from engine.models.hub.hub import Hub, HubFile, Repository
from engine.network.addresses import ALLOW, allowed_hosts
from engine.network.budget import watched
from engine.network.client import CONNECT_S, Client
from tests.net.raw_server import Line, RawServer, answer

LIMIT_S = 0.5
COMMIT = "0123456789abcdef0123456789abcdef01234567"
Ask = Callable[..., Any]


@pytest.fixture(autouse=True)
def _small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", ALLOW, llm.KEY):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(hub, "ANSWER_SECONDS", LIMIT_S)
    monkeypatch.setattr(hub, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(llm, "PAUSE_S", 0.01)


def ask_model(url: str, seconds: float = LIMIT_S, allow: tuple[str, ...] = ()) -> Any:
    model = ChatModel(Endpoint(f"{url}/v1", "m", seconds, "", allowed_hosts(allow)))
    try:
        return model.ask("hello", max_tokens=1)
    finally:
        model.close()


def ask_hub(url: str, seconds: float = LIMIT_S, allow: tuple[str, ...] = ()) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", url)
        patch.setattr(hub, "ANSWER_SECONDS", seconds)
        with Hub(allow_hosts=allow) as connection:
            return connection.describe("someone/model")


both = pytest.mark.parametrize("ask", [ask_model, ask_hub])


def drips_headers(line: Line) -> None:
    line.say(b"HTTP/1.1 200 OK\r\n")
    line.drip(b"X-Name: value\r\n")


def drips_the_body(line: Line) -> None:
    line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    line.drip(b" ")


def drips_chunks(line: Line) -> None:
    line.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    line.drip(b"1\r\n \r\n", 0.01)


def is_about_to_answer(line: Line) -> None:
    while not line.closing.wait(0.02):
        line.say(b"HTTP/1.1 102 Processing\r\n\r\n")


def drips_empty_gzip(line: Line) -> None:
    line.say(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n")
    empty = gzip.compress(b"")
    while not line.closing.wait(0.02):
        line.say(b"%x\r\n%s\r\n" % (len(empty), empty))


@both
@pytest.mark.parametrize(
    "script", [Line.wait, drips_headers, drips_the_body, drips_chunks, is_about_to_answer, drips_empty_gzip]
)
def test_who_drips_is_left_at_the_deadline(ask: Ask, script: Callable[[Line], None]) -> None:
    with RawServer(script) as server:
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1.* within 0\.5 s"):
            ask(server.address)
        assert LIMIT_S <= time.monotonic() - began < 3 * LIMIT_S
        assert len(server.heads) == 1, "the time was up, so asking again would double it"


@both
def test_encryption_that_never_begins_ends_at_the_deadline(ask: Ask) -> None:
    with RawServer(Line.wait) as server:
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"127\.0\.0\.1.* within 0\.5 s"):
            ask(server.address.replace("http:", "https:"))
        assert time.monotonic() - began < 3 * LIMIT_S


@both
def test_a_name_server_that_never_answers_ends_at_the_deadline(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(20) and [])
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"models\.example.* within 0\.5 s"):
        ask("http://models.example")
    over.set()
    assert time.monotonic() - began < 3 * LIMIT_S


@both
@pytest.mark.parametrize("script", [Line.wait, drips_the_body])
def test_an_interrupt_ends_waiting_at_once(ask: Ask, script: Callable[[Line], None]) -> None:
    with RawServer(script) as server:

        def interrupt() -> None:
            while not server.heads:  # once the question is there, and only the answer is not
                time.sleep(0.02)
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ask(server.address, 60.0)
        assert time.monotonic() - began < 10


class Stop(Exception):
    pass


def stop_after(seconds: float) -> Callable[[], None]:
    ends = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() > ends:
            raise Stop

    return check


@both
@pytest.mark.parametrize("script", [Line.wait, drips_the_body])
def test_who_watches_ends_waiting_soon(ask: Ask, script: Callable[[Line], None]) -> None:
    with RawServer(script) as server:
        began = time.monotonic()
        with watched(stop_after(0.2)), pytest.raises(Stop):
            ask(server.address, 60.0)
        assert time.monotonic() - began < 2


@pytest.fixture
def stop_while_connecting(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Ends the waiting half a second after the connection was begun, however long a busy machine took to come to it; fails where it is asked late."""
    begun: list[float] = []
    connect = socket.create_connection

    def connects(*given: Any, **named: Any) -> socket.socket:
        begun.append(time.monotonic())
        return connect(*given, **named)

    def check() -> None:
        waited = time.monotonic() - begun[0] if begun else 0.0
        assert waited < 0.8 * CONNECT_S, "nobody asked while it waited"
        if waited > 0.5:
            raise Stop

    monkeypatch.setattr(socket, "create_connection", connects)
    return check


@both
def test_who_watches_ends_a_handshake_soon(ask: Ask, stop_while_connecting: Callable[[], None]) -> None:
    with RawServer(Line.wait) as server, watched(stop_while_connecting), pytest.raises(Stop):
        ask(server.address.replace("http:", "https:"), 60.0)


@both
@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="elsewhere a full queue of connections refuses, and is no wait"
)
def test_who_watches_ends_connecting_soon(ask: Ask, stop_while_connecting: Callable[[], None]) -> None:
    with ExitStack() as held:
        full = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # nobody accepts them, so that the system answers no further ones
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        with watched(stop_while_connecting), pytest.raises(Stop):
            ask(f"http://127.0.0.1:{full.getsockname()[1]}", 60.0)


@both
def test_a_connection_that_comes_too_late_is_closed(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, over, connect = threading.Event(), threading.Event(), socket.create_connection

    def connects_late(*given: Any, **named: Any) -> socket.socket:
        begun.set()
        over.wait(60)
        return connect(*given, **named)

    def check() -> None:
        if begun.is_set():
            raise Stop

    with RawServer(Line.wait) as server:
        with monkeypatch.context() as patched:
            patched.setattr(socket, "create_connection", connects_late)
            with watched(check), pytest.raises(Stop):
                ask(server.address, 60.0)
        over.set()
        ends = time.monotonic() + 20
        while server.heads != [b""]:
            assert time.monotonic() < ends, "nobody hung up"
            time.sleep(0.02)


def floods(line: Line) -> None:
    line.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    piece = b"%x\r\n%s\r\n" % (65_536, b" " * 65_536)
    while not line.closing.is_set():
        line.say(piece)


def packed_in_gzip(line: Line) -> None:
    line.say(answer(gzip.compress(bytes(60_000_000)), "Content-Encoding: gzip\r\n"))


def packed_twice(line: Line) -> None:
    inner = gzip.compress(bytes(60_000_000))
    line.say(answer(gzip.compress(inner), "Content-Encoding: gzip, gzip\r\n"))


def packed_with_zlib(line: Line) -> None:
    line.say(answer(zlib.compress(bytes(60_000_000)), "Content-Encoding: deflate\r\n"))


@both
@pytest.mark.parametrize("script", [floods, packed_in_gzip, packed_twice, packed_with_zlib])
def test_floods_and_bombs_are_cut_off(ask: Ask, script: Callable[[Line], None]) -> None:
    with (
        RawServer(script) as server,
        pytest.raises(Unreachable, match=r"127\.0\.0\.1:\d+ (sent more than|answered with)"),
    ):
        ask(server.address, 30.0)


@both
def test_an_answer_in_gzip_is_read_however_it_is_cut(ask: Ask) -> None:
    body = f'{{"choices": [{{"message": {{"content": "A"}}}}], "sha": "{COMMIT}", "siblings": []}}'.encode()
    packed = gzip.compress(body[:30]) + gzip.compress(body[30:])

    def script(line: Line) -> None:
        line.say(f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode())
        for at in range(len(packed)):
            line.say(packed[at : at + 1])

    with RawServer(script) as server:
        found = ask(server.address, 20.0)
    assert getattr(found, "text", "A") == "A"
    assert getattr(found, "commit", COMMIT) == COMMIT


@both
@pytest.mark.parametrize("packing", ["br", "zstd", "gzip, gzip, gzip"])
def test_packings_that_were_not_asked_for_are_not_unfolded(ask: Ask, packing: str) -> None:
    def script(line: Line) -> None:
        line.say(answer(b"\x8b\x02\x80{}\x03", f"Content-Encoding: {packing}\r\n"))

    with RawServer(script) as server, pytest.raises(Unreachable, match="which was not asked for"):
        ask(server.address, 20.0)
    assert b"accept-encoding: identity" in server.heads[0].lower()


@both
def test_a_packed_answer_that_is_cut_off_is_none(ask: Ask) -> None:
    with (
        RawServer(
            lambda line: line.say(answer(gzip.compress(b'{"a": 1}')[:-6], "Content-Encoding: gzip\r\n"))
        ) as server,
        pytest.raises(Unreachable, match="cut off"),
    ):
        ask(server.address, 20.0)


@both
def test_a_connection_that_is_reset_is_tried_again_and_then_given_up(ask: Ask) -> None:
    def script(line: Line) -> None:
        line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        time.sleep(0.05)
        line.reset()

    with RawServer(script) as server, pytest.raises(Unreachable, match=r"127\.0\.0\.1"):
        ask(server.address, 20.0)
    assert len(server.heads) in (llm.ATTEMPTS, hub.TRIES)


@both
@pytest.mark.parametrize("header", ["999999999999", "3600"])
def test_a_server_that_asks_for_hours_is_not_waited_for(ask: Ask, header: str) -> None:
    with RawServer(lambda line: line.say(answer(b"", f"Retry-After: {header}\r\n", "429 Too Many Requests"))) as server:
        began = time.monotonic()
        with pytest.raises(Unreachable, match=f"asks to be left alone for {int(header):,} s"):
            ask(server.address, 20.0)
        assert time.monotonic() - began < 2
        assert len(server.heads) == 1


@both
@pytest.mark.parametrize("header", ["-1", "soon", "Wed, 21 Oct 2099 07:28:00 GMT", "٣", "9" * 400])
def test_what_is_no_number_of_seconds_is_no_reason_to_wait(ask: Ask, header: str) -> None:
    said = f"Retry-After: {header}\r\n".encode()
    body = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n" + said + b"\r\n"
    with RawServer(lambda line: line.say(body)) as server, pytest.raises(Unreachable, match="503"):
        ask(server.address, 20.0)
    assert len(server.heads) in (llm.ATTEMPTS, hub.TRIES)


# where requests go


@both
@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "169.254.1.7", "[fe80::1]", "100.100.100.200", "[fd00:ec2::254]", "metadata.google.internal", "METADATA.google.internal.",
        "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "224.0.0.1",
    ],
)  # fmt: skip
def test_addresses_of_metadata_services_are_refused(ask: Ask, host: str) -> None:
    with pytest.raises(BadInput, match=r"--allow-host"):
        ask(f"http://{host}")


@both
@pytest.mark.parametrize("written", ["2852039166", "0xa9fea9fe", "169.16689662", "169.254.43518"])
def test_the_address_counts_and_not_how_it_is_written(ask: Ask, written: str) -> None:
    with pytest.raises(BadInput, match=r"169\.254\.169\.254"):
        ask(f"http://{written}")


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/v1", "http://[fe80::1]/v1", "http://metadata.google.internal/v1"]
)
def test_an_endpoint_that_is_refused_is_not_even_named(url: str) -> None:
    with pytest.raises(BadInput, match="--allow-host"):
        Endpoint.checked(url, "m")
    host = url.split("/")[2].strip("[]")
    assert Endpoint.checked(url, "m", allow_hosts=[host.upper()]).url == url
    with pytest.raises(BadInput, match="no host"):
        Endpoint.checked(url, "m", allow_hosts=[url])


def names(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[str]:
    """Let every name have the first of `answers` the first time it is looked up, then the second, and so on."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *given: Any, **named: Any) -> Any:
        if not str(host).endswith(".example"):
            return real(host, port, *given, **named)
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


@both
def test_a_name_that_leads_to_a_refused_address_is_refused_unless_it_is_named(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    names(monkeypatch, "169.254.169.254")
    with pytest.raises(BadInput, match=r"models\.example leads to 169\.254\.169\.254.*--allow-host models\.example"):
        ask("http://models.example:1")
    reached: list[Any] = []

    def connect(address: Any, *_: Any, **__: Any) -> socket.socket:
        reached.append(address)
        raise ConnectionRefusedError("nobody")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(Unreachable):
        ask("http://models.example:1", allow=("Models.example",))
    monkeypatch.setenv(ALLOW, "other.example, 169.254.169.254")
    with pytest.raises(Unreachable):
        ask("http://models.example:1")
    assert set(reached) == {("169.254.169.254", 1)}


@both
def test_the_address_that_was_checked_is_the_one_that_is_asked(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = names(monkeypatch, "127.0.0.1", "169.254.169.254")
    body = f'{{"choices": [{{"message": {{"content": "A"}}}}], "sha": "{COMMIT}", "siblings": []}}'.encode()
    with RawServer(lambda line: line.say(answer(body))) as server:
        assert ask(f"http://models.example:{server.port}", 5.0)
    assert asked == ["models.example"]
    assert f"host: models.example:{server.port}".encode() in server.heads[0].lower()


def test_a_language_model_cannot_send_documents_elsewhere() -> None:
    with (
        RawServer(lambda line: line.say(answer(b""))) as elsewhere,
        RawServer(
            lambda line: line.say(answer(b"", f"Location: {elsewhere.address}/v1\r\n", "307 Over There"))
        ) as server,
        pytest.raises(Unreachable, match=f"sends to '{elsewhere.address}/v1'. Redirects are not followed"),
    ):
        ask_model(server.address, 5.0)
    assert elsewhere.heads == []


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("http://169.254.169.254/latest/meta-data", "--allow-host 169.254.169.254"),
        ("http://metadata.google.internal/", "--allow-host metadata.google.internal"),
        ("file:///etc/passwd", "in circles or elsewhere"),
        ("ftp://127.0.0.1/x", "in circles or elsewhere"),
    ],
)
def test_a_hub_cannot_send_to_refused_addresses(place: str, told: str) -> None:
    with (
        RawServer(lambda line: line.say(answer(b"", f"Location: {place}\r\n", "302 Found"))) as server,
        pytest.raises(TriptychError, match=told),
    ):
        ask_hub(server.address, 5.0)
    assert len(server.heads) == 1


def test_a_hub_that_sends_in_circles_is_left() -> None:
    with (
        RawServer(lambda line: line.say(answer(b"", "Location: /again\r\n", "302 Found"))) as server,
        pytest.raises(Unreachable, match="in circles"),
    ):
        ask_hub(server.address, 5.0)


def test_a_redirect_does_not_leave_encryption() -> None:
    client = Client()
    before = httpx.Request("GET", "https://hub.example/x")
    with pytest.raises(httpx.UnsupportedProtocol, match="from https to http"):
        client._redirected(before, httpx.Request("GET", "http://hub.example/x"))
    assert client._redirected(before, httpx.Request("GET", "https://cdn.example/x")).url.host == "cdn.example"
    assert list(client.elsewhere) == ["cdn.example"]
    client.close()


def test_hosts_that_a_hub_sends_to_are_told_and_get_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    body = f'{{"sha": "{COMMIT}", "siblings": []}}'.encode()
    with RawServer(lambda line: line.say(answer(body))) as elsewhere:
        place = elsewhere.address.replace("127.0.0.1", "localhost")
        with RawServer(lambda line: line.say(answer(b"", f"Location: {place}/x\r\n", "302 Found"))) as server:
            monkeypatch.setenv("HF_ENDPOINT", server.address)
            with Hub() as connection:
                assert connection.elsewhere == ()
                assert connection.describe("someone/model").commit == COMMIT
                assert connection.elsewhere == ("localhost",)
    assert b"hf_secret" in server.heads[0]
    assert b"hf_secret" not in elsewhere.heads[0]


@both
def test_through_a_proxy_names_and_numbers_are_checked_as_they_are_written(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = names(monkeypatch, "169.254.169.254")
    body = f'{{"choices": [{{"message": {{"content": "A"}}}}], "sha": "{COMMIT}", "siblings": []}}'.encode()
    with RawServer(lambda line: line.say(answer(body))) as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "here.example")
        for host in ("169.254.169.254", "metadata.google.internal"):
            with pytest.raises(BadInput, match="--allow-host"):
                ask(f"http://{host}", 5.0)
        assert asked == proxy.heads == []
        assert ask("http://models.example", 5.0)
        assert b" http://models.example/" in proxy.heads[0]
        assert asked == [], "the proxy looks names up"
        with pytest.raises(BadInput, match="leads to 169"):
            ask("http://here.example", 5.0)


def test_a_proxy_is_not_asked_for_a_model_on_this_computer(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(lambda line: line.say(answer(b'{"choices": [{"message": {"content": "A"}}]}'))) as server:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        assert ask_model(server.address, 5.0).text == "A"


# files of a hub


def drips_a_file(line: Line) -> None:
    line.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000)
    line.drip(b"x")


@pytest.fixture
def dripping(monkeypatch: pytest.MonkeyPatch) -> Iterator[RawServer]:
    with RawServer(drips_a_file) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setattr(hub, "SLOWEST", 1_000_000)
        yield server


def test_a_file_that_drips_is_given_up_and_kept(dripping: RawServer, tmp_path: Any) -> None:
    began = time.monotonic()
    with Hub() as connection, pytest.raises(Unreachable, match=r"127\.0\.0\.1.* within 0\.6 s.*What arrived is kept"):
        connection.fetch(Repository("a/b", COMMIT, ()), HubFile("w", 100_000, "0" * 64), tmp_path / "w", lambda _: None)
    assert time.monotonic() - began < 2
    assert (tmp_path / "w.part").stat().st_size >= 1000
    assert len(dripping.heads) == 1


def test_a_file_that_drips_can_be_called_off(
    dripping: RawServer, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 60.0)
    began = time.monotonic()
    check = stop_after(0.2)
    with Hub() as connection, pytest.raises(Stop):
        connection.fetch(
            Repository("a/b", COMMIT, ()), HubFile("w", 100_000, "0" * 64), tmp_path / "w", lambda _: check()
        )
    assert time.monotonic() - began < 2


def test_a_file_that_is_packed_into_a_bomb_is_cut_off(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(packed_in_gzip) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        monkeypatch.setattr(hub, "ANSWER_SECONDS", 20.0)
        with Hub() as connection, pytest.raises(Unreachable, match="larger than"):
            connection.fetch(
                Repository("a/b", COMMIT, ()), HubFile("w", 1000, "0" * 64), tmp_path / "w", lambda _: None
            )
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) == 0
