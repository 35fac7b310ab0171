"""What stands before every request: which host, from where, by whom, to which path, how large; and the headers of every answer.

One pure ASGI layer, so that uploads and event streams pass through without being held in memory.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.ui.web import login
from app.ui.web.access import granted
from app.ui.web.door import Door

log = logging.getLogger("triptych.ui")

SAFE_METHODS = ("GET", "HEAD")
MAX_CALL = 1_000_000
UPLOAD = "/gradio_api/upload"
PATHS = re.compile(
    r"/(?:|ui/[\w.-]+|(?:assets|static)/[\w./+-]+|theme\.css|config/?|favicon\.ico|manifest\.json"
    r"|gradio_api/(?:upload|component_server/?|startup-events|heartbeat/\w+))\Z"
)
POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; media-src 'self'; object-src 'none'; frame-src 'none'; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
"""Scripts need the nonce of this very answer, so an injected handler or tag never runs. 'unsafe-eval' is what Gradio's HTML component needs for its template."""

PROMOTION = re.compile(rb'<meta\s+(?:property="og:|name="twitter:)[^>]*>\s*')
"""Gradio's own cards for social networks, with addresses elsewhere."""


PRINTABLE = re.compile(rb"[!-~]*")
FORWARDED = re.compile(rb"forwarded|x-forwarded-.*|x-real-ip|x-original-.*", re.IGNORECASE)
"""Headers by which a proxy tells how it was reached. Anyone can send them, so nothing behind the guard ever sees them."""


@dataclass(frozen=True, slots=True)
class Public:
    """The address under which a proxy shows this server: scheme, and host with its port if it has one."""

    scheme: str
    netloc: str


@dataclass(frozen=True, slots=True)
class Rules:
    """`hosts`: names under which this server may be asked for. `max_upload`: bytes of one upload request; 0 refuses them all."""

    hosts: frozenset[str]
    max_upload: int
    public: Public | None = None


class TooLarge(Exception):
    """More bytes came than were announced or are allowed."""


class Guard:
    """The layer itself."""

    def __init__(self, app: ASGIApp, rules: Rules, door: Door) -> None:
        self.app = app
        self.rules = rules
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        scope = plain_scope(scope, self.rules.public)
        limit = self.rules.max_upload if scope["path"] == UPLOAD else MAX_CALL
        sender, counted = _Sender(send, secrets.token_urlsafe(18)), _counted(receive, limit)
        try:
            refused = foreign(scope, self.rules)
            if refused:
                await PlainTextResponse(refused[1], refused[0])(scope, counted, sender)
                return
            answer = await login.answer(self.door, scope, counted)
            if answer is not None:
                await answer(scope, counted, sender)
                return
            await self._let_in(scope, counted, sender)
        except TooLarge:
            if not sender.started:
                await PlainTextResponse("The request is too large.", 413)(scope, receive, sender)

    async def _let_in(self, scope: Scope, receive: Receive, send: _Sender) -> None:
        access = self.door.who(scope)
        if access is None:
            await login.refused(self.door, scope)(scope, receive, send)
            return
        if scope["path"] == "/":
            # The address after `?` belongs to our script; Gradio would read a page and stored states out of it.
            scope = {**scope, "query_string": b""}
        unfit = unusable(scope, self.rules, write=access.write)
        if unfit:
            await PlainTextResponse(unfit[1], unfit[0])(scope, receive, send)
            return
        try:
            with granted(access):
                await self.app(scope, receive, send)
        except TooLarge:
            raise
        except (
            asyncio.CancelledError
        ):  # the server is ending, and this request took longer than it waits; its thread hears of nothing
            if not send.started:
                await PlainTextResponse("Triptych was stopped before this was done.", 503)(scope, receive, send)
            return
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
        if not send.started:
            # The dispatcher answers whatever happens, so a call that fails was none: Gradio stumbles over ids and fields that it does not know.
            posted = scope["method"] == "POST"
            told = (
                "This request is not one that the page makes."
                if posted
                else "This failed; the log of the server says why."
            )
            await PlainTextResponse(told, 400 if posted else 500)(scope, receive, send)


def plain_scope(scope: Scope, public: Public | None) -> Scope:
    """The request without what a proxy says about it. Where a public address was given, and the request came by it, that is its host and scheme.

    Nothing is compressed on the way: on one computer it only costs time, and the page has to be readable for the nonce.
    """
    told = Headers(scope=scope)
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name != b"accept-encoding" and not FORWARDED.fullmatch(name)
    ]
    if public is None:
        return {**scope, "headers": kept}
    named = {told.get("x-forwarded-host", "").partition(",")[0].strip().lower(), told.get("host", "").lower()}
    if public.netloc not in named:
        return {**scope, "headers": kept}
    kept = [(b"host", public.netloc.encode()), *(pair for pair in kept if pair[0] != b"host")]
    return {**scope, "headers": kept, "scheme": public.scheme}


def foreign(scope: Scope, rules: Rules) -> tuple[int, str] | None:
    """(status, reason) where a request is refused for its host, method or origin, whoever sends it; None where it is not."""
    headers = Headers(scope=scope)
    host = host_name(headers.get("host", ""))
    if host not in rules.hosts:
        return 400, "This server is not known under that name."
    method = scope["method"]
    if method not in (*SAFE_METHODS, "POST"):
        return 405, "This method is not used here."
    origin = headers.get("origin")
    if origin is not None and not _same(origin, headers.get("host", ""), scope["scheme"]):
        return 403, "Requests from other sites are refused."
    site = headers.get("sec-fetch-site", "none")
    opened = method == "GET" and headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
    if site not in ("same-origin", "none") and not opened:
        return 403, "Requests from other sites are refused."
    return None


def unusable(scope: Scope, rules: Rules, *, write: bool) -> tuple[int, str] | None:
    """(status, reason) where a request of one who was let in asks for what is not there or is too large; None where it may pass."""
    if not PATHS.match(scope["path"]):
        return 404, "There is nothing here."
    if not PRINTABLE.fullmatch(scope["query_string"]):
        return 400, "The address holds characters that addresses do not have."
    return _size(scope, Headers(scope=scope), rules, write=write) if scope["method"] == "POST" else None


def _size(scope: Scope, headers: Headers, rules: Rules, *, write: bool) -> tuple[int, str] | None:
    upload = scope["path"] == UPLOAD
    if upload and not (write and rules.max_upload):
        return 403, "Files cannot be added here: the workspace is shown for reading only."
    length = headers.get("content-length", "")
    if not length.isdigit():
        return 411, "A Content-Length is needed."
    limit = rules.max_upload if upload else MAX_CALL
    return (
        (413, f"The request has {int(length):,} bytes; at most {limit:,} are taken.") if int(length) > limit else None
    )


def host_name(value: str) -> str:
    """The host of a Host header without its port, in lower case."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/@\s]+)(?::\d{1,5})?", value)
    return match.group(1).lower() if match else ""


def _same(origin: str, host: str, scheme: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in (scheme, "https") and parts.netloc.lower() == host.lower()


def _counted(receive: Receive, limit: int) -> Receive:
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit > 0:
            raise TooLarge
        return message

    return counted


class _Sender:
    """Sets the headers of an answer, and puts the nonce into the scripts of a page. The answer to a fault is left to the guard."""

    def __init__(self, send: Send, nonce: str) -> None:
        self._send = send
        self._nonce = nonce
        self._start: Message | None = None
        self._body = b""
        self._fault = False
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._fault = message["status"] == 500 and not self._fault
        if self._fault:
            return
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            self._dress(headers)
            if headers.get("content-type", "").startswith("text/html"):
                self._start = message
                return
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._page()
            return
        await self._send(message)

    def _dress(self, headers: MutableHeaders) -> None:
        headers["Content-Security-Policy"] = POLICY.format(nonce=self._nonce)
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "same-origin"
        headers["X-Frame-Options"] = "DENY"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=(), payment=()"
        del headers["server"]

    async def _page(self) -> None:
        """A page in one piece, its own script tags (they come from Gradio and from us, data in them is JSON with `<` escaped) marked with the nonce."""
        start: Any = self._start
        headers = MutableHeaders(scope=start)
        body = re.sub(rb"<script(?=[\s>])", f'<script nonce="{self._nonce}"'.encode(), PROMOTION.sub(b"", self._body))
        headers["Content-Length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})
