"""HTTP for language models and model hubs: total deadlines, bounded answers, checked addresses, redirects that are
never silent.

httpx limits each read, so a server that drips outlasts any limit; here one budget counts for name look-up, connection,
headers and body, and whoever waits is asked every SLICE_S seconds whether to go on. A name is looked up once and the
connection goes to the number that was checked. Through a proxy, which looks names up itself, only names and numbers as
they are written can be checked.
"""

from __future__ import annotations

import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx

from engine.errors import Unreachable
from engine.network.addresses import as_number, refuse_name, refuse_number
from engine.network.budget import SLICE_S, Budget

CONNECT_S = 5.0
MOST_REDIRECTS = 5
_PIECE = 65_536
_T = TypeVar("_T")
_BUDGET: ContextVar[Budget] = ContextVar("budget")


class TooLarge(Unreachable):
    """A server sent more than an answer can have."""


class Client:
    """Connections that are kept between requests. Thread-safe. elsewhere: the hosts that redirects led to, in order.

    allowed: hosts whose addresses are not checked; proxies: whether those of the environment are used.
    """

    def __init__(
        self, *, headers: Mapping[str, str] | None = None, allowed: frozenset[str] = frozenset(), proxies: bool = True
    ) -> None:
        self.elsewhere: dict[str, None] = {}
        # What is not asked for need not be unfolded: answers come as they are.
        self._http = httpx.Client(
            headers={"accept-encoding": "identity", **(headers or {})},
            transport=_Transport(allowed, proxies),
            follow_redirects=False,
            trust_env=False,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    @contextmanager
    def stream(
        self,
        method: str,
        url: str,
        budget: Budget,
        *,
        silent_s: float | None = None,
        follow: bool = False,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Iterator[httpx.Response]:
        """The answer, whose body `unpacked` gives. silent_s: the longest wait for a single byte; follow: also to where
        redirects lead.

        Raises Overdue, BadInput for an address that is refused, what the budget's check raises, and errors of httpx.
        """
        token = _BUDGET.set(budget)
        response: httpx.Response | None = None
        try:
            timeout = httpx.Timeout(silent_s or budget.seconds, connect=min(CONNECT_S, budget.seconds))
            request = self._http.build_request(method, url, headers=dict(headers or {}), json=json, timeout=timeout)
            for _ in range(MOST_REDIRECTS + 1):
                response = self._http.send(request, stream=True)
                if not follow or response.next_request is None:
                    break
                response.close()
                request = self._redirected(request, response.next_request)
            else:
                raise httpx.TooManyRedirects(f"more than {MOST_REDIRECTS} redirects", request=request)
            yield response
        finally:
            if response is not None:
                response.close()
            _BUDGET.reset(token)

    def _redirected(self, request: httpx.Request, following: httpx.Request) -> httpx.Request:
        """The next request; one to another host is noted. Raises UnsupportedProtocol where it would leave encryption,
        or HTTP."""
        before, after = request.url, following.url
        if after.scheme not in ("http", "https") or (before.scheme == "https" and after.scheme == "http"):
            raise httpx.UnsupportedProtocol(f"a redirect from {before.scheme} to {after.scheme}", request=request)
        if before.host != after.host:
            self.elsewhere.setdefault(after.host)
        return following


def unpacked(response: httpx.Response, most: int | None) -> Iterator[bytes]:
    """The body in pieces of at most 64 KB, decompressed where it is packed. most None: whoever takes the pieces counts
    them.

    Raises TooLarge beyond `most` bytes, DecodingError on what cannot be unpacked, and what `stream` raises.
    """
    total = 0
    pieces: Iterable[bytes] = response.iter_raw()
    for packing in reversed(_packings(response)):
        pieces = _inflated(pieces, packing)
    for piece in pieces:
        total += len(piece)
        if most is not None and total > most:
            raise TooLarge(
                f"{response.url.netloc.decode('ascii', 'replace')} sent more than {most:,} bytes, so its answer "
                "was not read."
            )
        yield piece


def _packings(response: httpx.Response) -> list[str]:
    named = [one.strip().lower() for one in response.headers.get("content-encoding", "").split(",")]
    packings = [one for one in named if one not in ("", "identity")]
    unknown = [one for one in packings if one not in ("gzip", "x-gzip", "deflate")]
    if unknown or len(packings) > 2:
        raise httpx.DecodingError(
            f"the answer is packed as {', '.join(packings)[:80]}, which was not asked for", request=response.request
        )
    return packings


def _inflated(pieces: Iterable[bytes], packing: str) -> Iterator[bytes]:
    """A gzip or zlib stream, unfolded piece by piece, so that a small input never becomes a large one in memory."""
    bits = 15 if packing == "deflate" else 31
    unfolder, begun = zlib.decompressobj(bits), False
    try:
        for piece in pieces:
            while piece:
                if unfolder.eof:
                    unfolder = zlib.decompressobj(bits)  # gzip files may stand one behind the other
                begun = True
                part = unfolder.decompress(piece, _PIECE)
                piece = unfolder.unused_data if unfolder.eof else unfolder.unconsumed_tail
                if part:
                    yield part
        while begun and not unfolder.eof:
            part = unfolder.decompress(unfolder.unconsumed_tail, _PIECE)
            if not part:
                raise httpx.DecodingError("the packed answer is cut off")
            yield part
    except zlib.error as error:
        raise httpx.DecodingError(f"the answer is not packed as it says: {error}") from None


class _Transport(httpx.BaseTransport):
    """Sends requests to checked addresses, or through the proxy that the environment names for them."""

    def __init__(self, allowed: frozenset[str], proxies: bool) -> None:
        self._allowed, self._proxies = allowed, proxies
        self._ways: dict[str, httpx.HTTPTransport] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        refuse_name(request.url.host, self._allowed)
        proxy = _proxy_for(request.url) if self._proxies else ""
        with self._lock:
            if proxy not in self._ways:
                self._ways[proxy] = self._way(proxy)
            way = self._ways[proxy]
        return way.handle_request(request)

    def close(self) -> None:
        for way in self._ways.values():
            way.close()

    def _way(self, proxy: str) -> httpx.HTTPTransport:
        way = httpx.HTTPTransport(proxy=proxy or None)
        # httpx hands none of httpcore's backends on. Tests fail should this place ever be called otherwise.
        way._pool._network_backend = _Backend(None if proxy else self._allowed)
        return way


def _proxy_for(url: httpx.URL) -> str:
    """The proxy that the environment names for an address; "" for none."""
    named = getproxies()
    proxy = named.get(url.scheme) or named.get("all") or ""
    if not proxy or proxy_bypass(url.netloc.decode("ascii", "replace")):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


class _Backend(httpcore.NetworkBackend):
    """Connects to the addresses that a name was found to have, each checked. allowed None: to a proxy, which the user
    has named."""

    def __init__(self, allowed: frozenset[str] | None) -> None:
        self._allowed = allowed
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        budget = _BUDGET.get()
        problem: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in _addresses(host, port, budget):
            number = as_number(address)
            if number is not None and self._allowed is not None:
                refuse_number(number, host, self._allowed)
            most = min(budget.left(), CONNECT_S if timeout is None else timeout)
            connect = partial(self._plain.connect_tcp, address, port, most, local_address, socket_options)
            try:
                return _Stream(_beside(connect, budget))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
        budget.left()
        raise problem


def _addresses(host: str, port: int, budget: Budget) -> list[str]:
    """The numbers that a host has now. The system's look-up knows no limit of time."""
    if as_number(host) is not None:
        return [host]
    try:
        entries = _beside(partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM), budget)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host} cannot be found: {error}") from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def _beside(work: Callable[[], _T], budget: Budget) -> _T:
    """What `work`, which hears nothing while it waits, gives or raises. It runs in a thread that is left alone when the
    time is up or `budget` says so; a connection that it makes after that is closed."""
    ended: Future[_T] = Future()

    def run() -> None:
        try:
            ended.set_result(work())
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=run, daemon=True, name="connecting").start()
    try:
        while not wait([ended], min(SLICE_S, budget.left())).done:
            pass
    except BaseException:
        ended.add_done_callback(_close_late)
        raise
    return ended.result()


def _close_late(ended: Future[Any]) -> None:
    if ended.exception() is None and isinstance(stream := ended.result(), httpcore.NetworkStream):
        stream.close()


class _Stream(httpcore.NetworkStream):
    """A connection each of whose operations asks the budget of the request that it serves now."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        budget = _BUDGET.get()
        silent = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return self._inner.read(max_bytes, min(SLICE_S, budget.left()))
            except httpcore.ReadTimeout:
                if silent is not None and time.monotonic() >= silent:
                    budget.left()
                    raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        budget = _BUDGET.get()
        for start in range(0, len(buffer), _PIECE // 4):  # the limit counts for each piece that the system takes
            left = budget.left()
            self._inner.write(buffer[start : start + _PIECE // 4], left if timeout is None else min(left, timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        budget = _BUDGET.get()
        most = min(budget.left(), CONNECT_S if timeout is None else timeout)
        try:
            return _Stream(_beside(partial(self._inner.start_tls, ssl_context, server_hostname, most), budget))
        except httpcore.ConnectTimeout:
            budget.left()
            raise

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
