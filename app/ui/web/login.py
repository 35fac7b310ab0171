"""The page before the door: how to get in, the form to do it with, and the answer to what is typed there."""

from __future__ import annotations

from math import ceil
from urllib.parse import parse_qsl, quote_from_bytes

from markupsafe import Markup
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope

from app.drawing.html import el
from app.ui.web.access import Access
from app.ui.web.door import Door, MustWait, parted

PATH = "/login"
MOST_BODY = 20_000
SAFE = "/?&=;:@+$,!*'()-._~%"
"""What may stand in the query of an address as it is; anything else is written %XX."""
NO_STORE = {"Cache-Control": "no-store"}
STYLE = """
:root { color-scheme: light dark; --bg: #f5f5f2; --surface: #fff; --ink: #191d24; --soft: #474d57; --line: #c3c6c9; --brand: #24428f; --on: #fff; --bad: #a8231c; }
@media (prefers-color-scheme: dark) { :root { --bg: #101319; --surface: #171b22; --ink: #e9ebef; --soft: #b7bdc8; --line: #434b58; --brand: #8fb0ff; --on: #0e1730; --bad: #ff9a90; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px; background: var(--bg); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", "Liberation Sans", sans-serif; }
main { width: min(460px, 100%); background: var(--surface); border: 1px solid var(--line); border-radius: 8px; padding: 28px; }
svg { width: 32px; height: 32px; display: block; }
h1 { font-size: 20px; margin: 12px 0 8px; }
p { margin: 0 0 14px; color: var(--soft); }
code { font: 13px ui-monospace, Menlo, Consolas, "Noto Sans Mono", "Liberation Mono", monospace; background: var(--bg); border-radius: 4px; padding: 1px 4px; overflow-wrap: anywhere; }
label { display: block; font-weight: 600; margin-bottom: 4px; }
input { width: 100%; font: inherit; padding: 8px 10px; color: inherit; background: var(--bg); border: 1px solid var(--line); border-radius: 6px; }
button, .go { display: inline-block; font: inherit; font-weight: 600; margin-top: 12px; padding: 8px 16px; border: 0; border-radius: 6px; background: var(--brand); color: var(--on); text-decoration: none; cursor: pointer; }
.go { margin: 0 0 18px; }
[role=alert] { color: var(--bad); font-weight: 600; }
:focus-visible { outline: 2px solid var(--brand); outline-offset: 2px; }
"""
MARK = Markup(
    '<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" fill="#1d2433"/>'
    '<rect x="5" y="8" width="6" height="16" rx="1.6" fill="#6cb2f5"/><rect x="13" y="5.5" width="6" height="21" rx="1.6" fill="#ff9f5c"/>'
    '<rect x="21" y="8" width="6" height="16" rx="1.6" fill="#3fcaa0"/></svg>'
)


async def answer(door: Door, scope: Scope, receive: Receive) -> Response | None:
    """The answer to an address with a token, and to what was typed on the page before the door; None for everything else."""
    if scope["path"] == "/" and scope["method"] in ("GET", "HEAD"):
        return _with_token(door, scope)
    if scope["path"] != PATH or not door.token:
        return None
    if scope["method"] != "POST":
        return refused(door, scope)
    return await _typed(door, scope, receive)


def refused(door: Door, scope: Scope, problem: str = "", status: int = 401, rest: bytes | None = None) -> Response:
    """What someone gets who was not let in: the page for the eyes, a sentence for programs. `rest` is the query of the wished-for page."""
    headers = NO_STORE | ({"WWW-Authenticate": 'Bearer realm="Triptych"'} if status == 401 else {})
    if scope["path"] not in ("/", PATH):
        sentence = "This needs the token of the address that `triptych ui` printed, as `Authorization: Bearer TOKEN`."
        return PlainTextResponse(sentence, status, headers)
    wished = scope["query_string"] if rest is None else rest
    return HTMLResponse(_page(door, scope, problem, parted(wished)[1]), status, headers)


def _with_token(door: Door, scope: Scope) -> Response | None:
    """Someone comes with the token in the address: a cookie takes its place, and the address is the same without it."""
    token, rest = parted(scope["query_string"])
    if token is None:
        return None
    if door.knows(token, scope):
        return _let_in(door, door.owner, scope, rest)
    if door.who(scope) is not None:
        return _go(rest)
    return refused(door, scope, "The token in this address is not that of the server that runs now.", rest=rest)


async def _typed(door: Door, scope: Scope, receive: Receive) -> Response:
    length = Headers(scope=scope).get("content-length", "")
    if not length.isdigit() or int(length) > MOST_BODY:
        return refused(door, scope, "This form takes a token or a password.", 413 if length.isdigit() else 411)
    body = await Request(scope, receive).body()
    try:
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        fields = {}
    rest = fields.get("next", "").encode("utf-8", "replace")
    try:
        access = await door.opens(fields.get("secret", ""), scope)
    except MustWait as wait:
        seconds = ceil(wait.seconds)
        answer = refused(door, scope, f"Too many wrong tries. Wait {seconds} s, and try again.", status=429, rest=rest)
        answer.headers["Retry-After"] = str(seconds)
        return answer
    if access is None:
        return refused(door, scope, "That does not open it. Was it copied or typed whole?", rest=rest)
    return _let_in(door, access, scope, rest)


def _let_in(door: Door, access: Access, scope: Scope, rest: bytes) -> Response:
    answer = _go(rest)
    answer.headers.append("Set-Cookie", door.cookie(access, scope))
    return answer


def _go(rest: bytes) -> Response:
    return Response(status_code=303, headers={"Location": _address(rest), **NO_STORE})


def _address(rest: bytes) -> str:
    """The page of a query, on this very server."""
    query = quote_from_bytes(rest, SAFE)
    return f"/?{query}" if query else "/"


def _page(door: Door, scope: Scope, problem: str, rest: bytes) -> str:
    near, guests = door.near(scope), door.password is not None
    crossing = Headers(scope=scope).get("sec-fetch-site", "none") in ("cross-site", "same-site")
    label = " or ".join([*(["token", "address"] if near else []), *(["password"] if guests else [])]).capitalize()
    field = el(
        "input", id="secret", name="secret", type="password", required=True, autofocus=not crossing,
        autocomplete="current-password", maxlength=1_000,
    )  # fmt: skip
    body = el(
        "main",
        MARK,
        el("h1", "Triptych"),
        el("p", problem, role="alert") if problem else None,
        _after_a_link(rest) if crossing else None,
        _how_to_begin() if near else None,
        el("p", "From another computer, type the password that was set for it.") if guests else None,
        el(
            "form",
            el("label", label, for_="secret"),
            field,
            el("input", type="hidden", name="next", value=quote_from_bytes(rest, SAFE)),
            el("button", "Open", type="submit"),
            method="post",
            action=PATH,
        ),
    )
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("title", "Triptych"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Markup('<link rel="icon" href="data:,">'),
        el("style", Markup(STYLE)),  # noqa: S704 - written above
    )
    return "<!doctype html>" + str(el("html", head, el("body", body), lang="en"))


def _after_a_link(rest: bytes) -> Markup:
    """Browsers keep the cookie back when another site's link is followed, so that no site can act in one's name; a click here is one's own."""
    return el(
        "div",
        el("p", "You followed a link from another site. If you have Triptych open in this browser, go on:"),
        el("a", "Open this page", href=_address(rest), class_="go"),
    )


def _how_to_begin() -> Markup:
    return el(
        "p",
        "This workbench opens for whoever started it. Its address, with the token, is what ",
        el("code", "triptych ui"),
        " or ",
        el("code", "triptych demo"),
        " printed in the terminal; open that, or paste it here.",
    )
