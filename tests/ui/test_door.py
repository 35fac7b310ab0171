"""Who is let in: the token in the address, the cookie after it, the form, the password for other computers; and who is not."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes import FakeServices
from serving import UPLOAD, Running

from app.ui.frame.site import site
from app.ui.web import passwords, server
from app.ui.web.access import OWNER, READER, Access, asking
from app.ui.web.announcement import announced
from app.ui.web.door import Door, parted, token_in
from app.ui.web.passwords import FREE, FREE_OVERALL, MOST_ADDRESSES, Password, Tries
from engine.errors import BadInput
from engine.workspace.creation import SERVER
from tests.conftest import ROOT

WORD = "correct horse"
PASSWORD = Password.of(WORD)
DOCUMENT = "On dense retrieval for scientific literature"
PATHS = (
    "/",
    "/config",
    "/ui/triptych.css",
    "/theme.css",
    "/favicon.ico",
    "/login",
    "/assets/index.js",
    "/static/img/logo.svg",
    "/gradio_api/startup-events",
    "/gradio_api/heartbeat/abc",
    "/gradio_api/file=/etc/passwd",
    "/api/search",
    "/mcp",
    "/nothing",
)


def scope(
    client: str = "127.0.0.1", arrived: str = "127.0.0.1", scheme: str = "http", **headers: str
) -> dict[str, Any]:
    """A request as the HTTP server hands it on."""
    told = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "client": (client, 50_000), "server": (arrived, 7860), "scheme": scheme, "headers": told}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(FakeServices(tmp_path_factory.mktemp("workspace")))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """With a password for readers, as on a local network."""
    door = Door(OWNER, READER, password=PASSWORD)
    made = Running(FakeServices(tmp_path_factory.mktemp("shared")), door=door)
    yield made
    made.stop()


@contextmanager
def guest(shared: Running) -> Iterator[httpx.Client]:
    """A browser that has typed the password."""
    with shared.program() as client:
        assert client.post("/login", data={"secret": WORD}).headers["location"] == "/"
        yield client


# without anything


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_told_without_the_token(running: Running, path: str) -> None:
    with running.program() as stranger, running.program("x" * 43) as guesser:
        for client in (stranger, guesser):
            answer = client.get(path)
            assert answer.status_code == 401
            assert DOCUMENT not in answer.text
            assert "gradio" not in answer.text.lower()
        if path != "/login":
            assert stranger.post(path, json={}).status_code == 401
        assert stranger.head(path).status_code == 401


def test_another_user_of_this_computer_reads_and_changes_nothing(running: Running, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.write_text('{"id": "1", "title": "private words"}\n')
    names, kept = list(running.client.get("/config").json()), list(FakeServices(tmp_path).kept)
    calls = (
        {"action": "preview", "url": "?tab=library", "args": {"path": str(secret)}},
        {"action": "search", "url": "?c=Retrieval+papers&p=BM25", "args": {"query": "dense"}},
        {"action": "star", "url": "?c=Retrieval+papers", "args": {"doc": "paper-000", "state": "on"}},
        {"action": "create-collection", "url": "?tab=library", "args": {"name": "mine"}},
    )
    with running.program() as stranger:
        for payload in calls:
            answer = running.call(payload, client=stranger)
            assert (answer.status_code, "private words" in answer.text, DOCUMENT in answer.text) == (401, False, False)
        assert stranger.post(UPLOAD, files={"files": ("a.csv", b"x")}).status_code == 401
    assert "mine" not in running.call({"action": "open"}).text
    assert list(running.client.get("/config").json()) == names
    assert kept == []
    assert running.call(calls[1]).json()["regions"]["tp-results"].count("data-hit ") == 20, "with the token it answers"


def test_the_page_before_the_door_says_how_to_get_in(running: Running) -> None:
    with running.program() as stranger:
        answer = stranger.get("/?tab=compare&q=%3Cscript%3E")
        assert answer.headers["content-type"].startswith("text/html")
        assert "triptych ui" in answer.text
        assert '<form method="post" action="/login">' in answer.text
        assert 'value="tab=compare&amp;q=%3Cscript%3E"' in answer.text
        assert "<script" not in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert "Bearer" in stranger.get("/api/search").text


# the token in the address, and the cookie after it


def test_the_token_in_the_address_becomes_a_cookie_and_the_address_stays_as_it_was(running: Running) -> None:
    wished = "tab=compare&q=dense+retrieval%20%C3%A9&f.venue=a%26b&col=BM25&col=Dense&empty="
    with running.program() as browser:
        for asked in (f"token={running.door.token}&{wished}", f"{wished}&token={running.door.token}"):
            answer = browser.get(f"/?{asked}")
            assert (answer.status_code, answer.headers["location"]) == (303, f"/?{wished}")
        assert browser.get(f"/?token={running.door.token}").headers["location"] == "/"
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"triptych-{running.port}=")
        assert set(cookie.split("; ")[1:]) == {"Path=/", "HttpOnly", "SameSite=Strict"}
        assert running.door.token not in cookie
        assert browser.get("/").status_code == 200
        assert browser.get("/config").status_code == 200
        assert browser.get("/?token=stale&q=x").headers["location"] == "/?q=x", "who is in stays in"


def test_a_wrong_token_is_refused_without_being_repeated(running: Running) -> None:
    with running.program() as stranger:
        answer = stranger.get("/?q=x&token=%3Cimg%20onerror%3Dy%3E")
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert "onerror" not in answer.text
        assert 'value="q=x"' in answer.text


def test_a_cookie_is_good_for_one_start_of_one_server() -> None:
    first, second = Door(), Door()
    cookie = first.cookie(OWNER, scope()).split(";")[0]
    assert first.who(scope(cookie=cookie)) == OWNER
    assert second.who(scope(cookie=cookie)) is None
    assert Door(token=first.token).who(scope(cookie=cookie)) is None
    assert first.cookie(OWNER, scope(scheme="https")).endswith("; Secure")


@pytest.mark.parametrize("value", ["", "x", "é", "\udcff", "a" * 100_000])
def test_odd_cookies_and_tokens_are_wrong_ones(value: str) -> None:
    door = Door(OWNER, READER, password=PASSWORD)
    assert not door.knows(value, scope())
    raw = [(b"cookie", b"triptych-7860=" + value.encode("latin-1", "replace")), (b"authorization", b"Bearer \xff")]
    assert door.who({**scope(), "headers": raw}) is None


# what is typed


def test_a_typed_token_or_a_pasted_address_opens_the_page_that_was_wished(running: Running) -> None:
    token = running.door.token
    for typed in (token, f"  {token}\n", f"{running.address}/?tab=judge&token={token}", f"?token={token}"):
        with running.program() as browser:
            answer = browser.post("/login", data={"secret": typed, "next": "tab=compare&q=%C3%A9"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/?tab=compare&q=%C3%A9")
            assert browser.get("/").status_code == 200
    with running.program() as browser:
        assert browser.post("/login", data={"secret": "wrong"}).status_code == 401
        assert browser.post("/login", data={}).status_code == 401
        assert browser.post("/login", content=b"\xff&%ff&" * 100).status_code == 401
        assert browser.post("/login", data={"secret": "x" * 30_000}).status_code == 413
        assert browser.post("/login", content=iter([b"x"])).status_code == 411
        assert browser.get("/").status_code == 401


@pytest.mark.parametrize(
    "wished",
    ["//evil.example", "https://evil.example", "\r\nSet-Cookie: a=b", "/\\evil", "token=x&q=<script>", "é\udcff"],
)
def test_the_form_leads_nowhere_else(running: Running, wished: str) -> None:
    with running.program() as browser:
        body = {"secret": running.door.token, "next": wished.encode("utf-8", "surrogatepass")}
        answer = browser.post("/login", data=body)
        assert re.fullmatch(r"/(\?[!-~]*)?", answer.headers["location"])
        assert "a=b" not in answer.headers["set-cookie"]
        assert "<" not in answer.headers["location"]


# from other sites


def test_a_link_on_another_site_opens_after_a_click_and_a_form_there_does_nothing(running: Running) -> None:
    crossing = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    with running.program() as browser:  # SameSite=Strict: the cookie does not come along
        answer = browser.get("/?tab=compare&q=x", headers=crossing)
        assert answer.status_code == 401
        assert '<a href="/?tab=compare&amp;q=x"' in answer.text
        assert "Open this page" not in browser.get("/?q=x").text
        typed = {"secret": running.door.token}
        assert browser.post("/login", data=typed, headers=crossing).status_code == 403
        assert browser.post("/login", data=typed, headers={"Origin": "https://evil.example"}).status_code == 403


# programs


def test_programs_show_the_token_in_a_header(running: Running) -> None:
    for scheme in ("Bearer", "bearer"):
        with httpx.Client(base_url=running.address, headers={"Authorization": f"{scheme} {running.door.token}"}) as one:
            assert one.get("/config").status_code == 200
    for wrong in (
        f"Basic {running.door.token}",
        running.door.token,
        f"Bearer {running.door.token}x",
        "Bearer",
    ):
        with httpx.Client(base_url=running.address, headers={"Authorization": wrong}) as one:
            assert one.get("/config").status_code == 401, wrong


def test_what_did_not_come_through_the_door_has_no_access() -> None:
    with pytest.raises(LookupError):
        asking()


def test_without_a_token_everyone_is_in_and_that_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Door(token="").who(scope()) == OWNER
    server._say(server.Addresses("http://127.0.0.1:7860"), Door(token=""), "")
    assert "every user and program of this computer" in capsys.readouterr().err
    server._say(server.Addresses("http://127.0.0.1:7860"), Door(), "")
    assert "every user" not in capsys.readouterr().err


# the local network


def test_the_token_counts_on_this_computer_only_unless_a_proxy_brings_everyone() -> None:
    door = Door(OWNER, READER, password=PASSWORD)
    bearer = {"authorization": f"Bearer {door.token}"}
    cookie = {"cookie": door.cookie(OWNER, scope()).split(";")[0]}
    for shown in (bearer, cookie):
        assert door.who(scope(**shown)) == OWNER
        assert door.who(scope("::1", **shown)) == OWNER
        assert door.who(scope("::ffff:127.0.0.1", **shown)) == OWNER
        assert door.who(scope("192.168.1.4", arrived="192.168.1.4", **shown)) == OWNER, "its own address on the network"
        assert door.who(scope("192.168.1.7", arrived="192.168.1.4", **shown)) is None
        assert door.who({**scope(**shown), "client": None}) is None
    assert Door(token=door.token, anywhere=True).who(scope("192.168.1.7", arrived="192.168.1.4", **bearer)) == OWNER


def test_a_guest_comes_in_by_the_password_and_reads(shared: Running, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jsonl"
    secret.write_text('{"id": "1", "title": "private words"}\n')
    with shared.program() as stranger:
        assert stranger.get("/config").status_code == 401
        assert stranger.post("/login", data={"secret": "wrong"}).status_code == 401
        assert "password" in stranger.get("/").text.lower()
    search = {"action": "search", "url": "?c=Retrieval+papers&p=BM25", "args": {"query": "dense"}}
    preview = {"action": "preview", "url": "?tab=library", "args": {"path": str(secret)}}
    make = {"action": "create-collection", "url": "?tab=library", "args": {"name": "x"}}
    with guest(shared) as browser:
        assert shared.call(search, client=browser).json()["regions"]["tp-results"].count("data-hit ") == 20
        for refused in (preview, make):
            assert "for reading only" in shared.call(refused, client=browser).json()["regions"]["tp-alert"]
        assert browser.post(UPLOAD, files={"files": ("a.csv", b"x")}).status_code == 403
        assert "data-readonly" in shared.call({"action": "open"}, client=browser).json()["regions"]["tp-sidebar"]
    assert "lib-preview" in shared.call(preview).json()["regions"], "the owner of the same server may"
    assert shared.client.post(UPLOAD, files={"files": ("a.csv", b"x")}).status_code == 200


def test_a_guest_who_may_write_still_reads_no_files_of_the_server(tmp_path: Path) -> None:
    writing = Running(FakeServices(tmp_path), door=Door(OWNER, Access(server_paths=False), password=PASSWORD))
    secret = tmp_path / "secret.jsonl"
    secret.write_text('{"id": "1", "title": "private words"}\n')
    try:
        with guest(writing) as browser:
            for action, args in (
                ("preview", {"path": str(secret)}),
                ("preview", {"paths": [str(secret)]}),
                ("add", {"paths": [str(secret)], "target": "x"}),
                ("questions-bring", {"path": str(secret)}),
            ):
                payload = {"action": action, "url": "?tab=library&c=CISI", "args": args}
                answer = writing.call(payload, client=browser).json()
                assert "not an uploaded file" in answer["regions"]["tp-alert"], action
            uploaded = browser.post(UPLOAD, files={"files": ("a.csv", b"id,title\n1,x\n")}).json()
            shown = writing.call(
                {"action": "preview", "url": "?tab=library", "args": {"paths": uploaded}}, client=browser
            )
            assert "lib-preview" in shown.json()["regions"]
    finally:
        writing.stop()


# the password


def test_the_password_is_kept_as_a_hash() -> None:
    door = Door(OWNER, READER, password=Password.of("a very plain word"))
    assert "a very plain word" not in repr(vars(door)) + repr(door.password)
    assert b"a very plain word" not in door.password.salt + door.password.digest  # type: ignore[union-attr]
    assert Password.of(WORD).digest != Password.of(WORD).digest, "salted"
    assert PASSWORD.fits(WORD)
    assert not PASSWORD.fits(WORD + " ")
    with pytest.raises(BadInput, match="8 characters"):
        Password.of("short")


def test_wrong_tries_make_the_next_one_wait_twice_as_long_each_time() -> None:
    tries, now, waits = Tries(), 1000.0, []
    for _ in range(10):
        waits.append(tries.begin("10.0.0.1", now))
        if waits[-1]:
            now += waits[-1]
            assert tries.begin("10.0.0.1", now) == 0
    assert waits == [0, 0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert tries.begin("10.0.0.2", now) == 0, "another address does not wait for that one"
    tries.right("10.0.0.1")
    assert tries.begin("10.0.0.1", now) == 0


def test_many_addresses_together_wait_as_well_and_are_forgotten() -> None:
    tries = Tries()
    for i in range(FREE_OVERALL):
        assert tries.begin(f"10.0.{i // 250}.{i % 250}", 5.0) == 0
    assert tries.begin("10.9.9.9", 5.0) == 1.0
    assert tries.begin("10.9.9.9", 5.0 + 3601) == 0
    many = Tries()
    for i in range(3 * MOST_ADDRESSES):
        many.begin(f"10.{i // 65_536}.{i // 256 % 256}.{i % 256}", 10.0 * i)
    assert len(many._by_address) <= MOST_ADDRESSES
    assert passwords.network("2001:db8::1") == passwords.network("2001:db8::2") != passwords.network("2001:db8:0:1::1")


def test_guessing_is_slowed_and_nobody_else_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a password is hashed, and while guesses are turned away, other requests are answered at once."""
    running = Running(FakeServices(tmp_path), door=Door(OWNER, READER, password=PASSWORD))
    begun, go = threading.Event(), threading.Event()

    def slow(self: Password, text: str) -> bool:
        begun.set()
        return go.wait(20) and text == WORD

    monkeypatch.setattr(Password, "fits", slow)
    try:
        with ThreadPoolExecutor(1) as pool, running.program() as browser:
            asked = pool.submit(browser.post, "/login", data={"secret": "guess"})
            assert begun.wait(10)
            started = time.monotonic()
            assert running.client.get("/config").status_code == 200
            assert time.monotonic() - started < 5
            go.set()
            assert asked.result().status_code == 401
        with running.program() as browser:
            codes = [browser.post("/login", data={"secret": "guess"}).status_code for _ in range(6)]
            assert codes == [401] * (FREE - 1) + [429] * (7 - FREE)
            told = browser.post("/login", data={"secret": WORD})
            assert (told.status_code, told.headers["retry-after"]) == (429, "1"), "even the right one waits"
            assert browser.post("/login", data={"secret": running.door.token}).status_code == 303, (
                "a token is not guessed"
            )
    finally:
        go.set()
        running.stop()


# what a proxy says


def test_what_a_proxy_says_is_not_believed(running: Running) -> None:
    lies = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "203.0.113.9",
        "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
        "X-Forwarded-Prefix": "/evil",
        "X-Real-IP": "203.0.113.9",
    }
    for path in ("/", "/config", "/theme.css"):
        answer = running.client.get(path, headers=lies)
        assert answer.status_code == 200
        assert "evil" not in answer.text + str(answer.headers)
    assert running.client.get("/config", headers=lies).json()["root"] == running.address
    with running.program() as browser:
        assert "Secure" not in browser.get(f"/?token={running.door.token}", headers=lies).headers["set-cookie"]


def test_the_public_address_is_used_where_it_was_given(tmp_path: Path) -> None:
    public = server.public_address("https://papers.example.org/")
    proxied = Running(FakeServices(tmp_path), door=Door(anywhere=True), public=public)
    try:
        for headers in ({"Host": "papers.example.org"}, {"X-Forwarded-Host": "papers.example.org"}):
            assert proxied.client.get("/config", headers=headers).json()["root"] == "https://papers.example.org"
            own = {**headers, "Origin": "https://papers.example.org"}
            assert proxied.call({"action": "open"}, headers=own).status_code == 200
            with proxied.program() as browser:
                answer = browser.get(f"/?token={proxied.door.token}", headers=headers)
                assert "Secure" in answer.headers["set-cookie"]
        foreign = {"X-Forwarded-Host": "evil.example"}
        assert proxied.client.get("/config", headers=foreign).json()["root"] == proxied.address
        assert proxied.client.get("/", headers={"Host": "evil.example"}).status_code == 400
    finally:
        proxied.stop()


@pytest.mark.parametrize(
    "url",
    ["papers.example.org", "ftp://x", "https://", "https://a/b", "https://a?b", "https://u@h", "https://a:b", "//a"],
)
def test_what_is_no_public_address(url: str) -> None:
    with pytest.raises(BadInput, match="no public address"):
        server.public_address(url)


@pytest.mark.parametrize(
    ("host", "public", "own", "others"),
    [
        ("127.0.0.1", "", "http://127.0.0.1:80/?token=T", ""),
        ("::1", "", "http://[::1]:80/?token=T", ""),
        ("0.0.0.0", "", "http://127.0.0.1:80/?token=T", "http://LAN:80"),
        ("192.168.1.4", "", "http://192.168.1.4:80/?token=T", "http://192.168.1.4:80"),
        ("127.0.0.1", "https://p.org", "https://p.org/?token=T", ""),
        ("0.0.0.0", "https://p.org", "https://p.org/?token=T", "https://p.org"),
    ],
)
def test_the_addresses_that_are_printed(
    host: str, public: str, own: str, others: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_lan_address", lambda: "LAN")
    door = Door(OWNER, READER, token="T", password=PASSWORD if others else None)
    where = server.public_address(public) if public else None
    assert server._addresses(host, 80, door, where) == server.Addresses(own, others)


def test_tokens_are_found_in_addresses() -> None:
    assert token_in("abc") == "abc"
    assert token_in("http://x/?a=b&token=abc#c") == "abc"
    assert token_in("http://[bad?token=1") == "http://[bad?token=1"
    assert parted(b"a=1&token=x&&b") == ("x", b"a=1&b")
    assert parted(b"tokens=1&a.token=2") == (None, b"tokens=1&a.token=2")


# the file in the workspace


def test_the_file_for_other_programs_is_private_from_its_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    replace = os.replace

    def watched(source: Path, target: Path) -> None:
        modes.append(stat.S_IMODE(source.stat().st_mode))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    opened: list[int] = []
    raw = os.open
    monkeypatch.setattr(os, "open", lambda *args: opened.append(args[2]) or raw(*args))
    before = os.umask(0)
    try:
        with announced(tmp_path, "http://127.0.0.1:1", "secret") as problem:
            assert problem == ""
            told = json.loads((tmp_path / SERVER).read_text())
            assert told == {"address": "http://127.0.0.1:1", "token": "secret", "pid": os.getpid()}
            assert stat.S_IMODE((tmp_path / SERVER).stat().st_mode) == 0o600
    finally:
        os.umask(before)
    assert (modes, opened) == ([0o600], [0o600])
    assert list(tmp_path.iterdir()) == []


def test_the_file_follows_no_link_and_leaves_a_later_servers_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / SERVER).symlink_to(outside)
    (folder / f"{SERVER}.new").symlink_to(outside)
    with announced(folder, "a", "b"):
        assert outside.read_text() == "precious"
        assert not (folder / SERVER).is_symlink()
        (folder / SERVER).write_text('{"pid": 1}')
    assert (folder / SERVER).read_text() == '{"pid": 1}'


def test_a_server_starts_where_no_file_can_be_written(tmp_path: Path) -> None:
    with announced(tmp_path / "absent", "a", "b") as problem:
        assert "could not be written" in problem


def test_a_read_only_workspace_is_served_without_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn

    seen: list[Any] = []
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: seen.append(sorted(tmp_path.rglob("*"))))
    server.serve(FakeServices(tmp_path, read_only=True), site(), port=0)  # type: ignore[arg-type]
    server.serve(FakeServices(tmp_path), site(), port=0)  # type: ignore[arg-type]
    assert seen[0] == []
    assert tmp_path / SERVER in seen[1]


@pytest.mark.skipif(
    sys.platform == "win32" or getattr(os, "geteuid", lambda: 1)() != 0, reason="only root becomes others"
)
def test_a_process_of_another_user_gets_neither_the_token_nor_a_page(running: Running) -> None:
    script = """
import encodings.idna, http.client, json, os, stringprep, sys
folder, port = sys.argv[1], int(sys.argv[2])
os.setgid(65534); os.setuid(65534)
try:
    kept = open(os.path.join(folder, "server.json")).read()
except OSError as error:
    kept = type(error).__name__
asked = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
asked.request("GET", "/config")
print(json.dumps([os.listdir(folder), kept, asked.getresponse().status]))
"""
    with tempfile.TemporaryDirectory() as open_to_all:
        folder = Path(open_to_all)
        folder.chmod(0o755)
        with announced(folder, running.address, running.door.token):
            command = [sys.executable, "-c", script, str(folder), str(running.port)]
            told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == [[SERVER], "PermissionError", 401]
