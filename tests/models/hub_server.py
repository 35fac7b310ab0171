"""A model hub on this computer: it answers what the real one answers when a model is downloaded, and can be told to fail."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer:
    """Repositories by name: {path: content}. `faults[path]` are met once each, in order, by requests for that path ("" is the listing)."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.faults: dict[str, list[str]] = {}
        self.lfs: set[str] = set()
        self.listing: dict[str, Any] = {}
        """Fields that the listing has besides, or instead."""
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.address = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        url = urlsplit(handler.path)
        headers = {key.lower(): value for key, value in handler.headers.items()}
        self.requests.append((handler.command, unquote(url.path), headers))
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", unquote(url.path)):
            self._list(handler, *match.groups())
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", unquote(url.path)):
            self._file(handler, headers, *match.groups())
        elif match := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", unquote(url.path)):
            self._content(handler, headers, *match.groups())
        else:
            send(handler, 404, b"nothing")

    def _fault(self, handler: BaseHTTPRequestHandler, path: str) -> bool:
        waiting = self.faults.get(path, [])
        fault = waiting.pop(0) if waiting else ""
        status = {"500": 500, "503": 503, "429": 429, "404": 404, "401": 401, "403": 403}.get(fault)
        if fault == "gated":
            send(handler, 401, b"gated", {"X-Error-Code": "GatedRepo"})
        elif fault == "html":
            send(handler, 200, b"<!doctype html><title>Log in</title>", {"Content-Type": "text/html; charset=utf-8"})
        elif status is not None:
            send(handler, status, b"no")
        return fault == "gated" or fault == "html" or status is not None

    def _list(self, handler: BaseHTTPRequestHandler, name: str, revision: str) -> None:
        if self._fault(handler, ""):
            return
        if name not in self.repositories:
            send(handler, 401, b'{"error":"Repository Not Found"}', {"X-Error-Code": "RepoNotFound"})
            return
        if revision not in ("main", COMMIT):
            send(handler, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return
        siblings: list[dict[str, Any]] = []
        for path, content in self.repositories[name].items():
            item: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": git_sha(content)}
            if path in self.lfs:
                item["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            siblings.append(item)
        body = {
            "sha": COMMIT,
            "siblings": siblings,
            "gated": False,
            "cardData": {"license": "apache-2.0"},
        } | self.listing
        send(handler, 200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _file(
        self, handler: BaseHTTPRequestHandler, headers: dict[str, str], name: str, commit: str, path: str
    ) -> None:
        content = self.repositories.get(name, {}).get(path)
        if content is None:
            send(handler, 404, b"", {"X-Error-Code": "EntryNotFound"})
        elif path in self.lfs:  # large files live elsewhere: the hub sends there, and says what they hash to
            place = self.address.replace("127.0.0.1", "localhost") + f"/cdn/{name}/{path}"
            linked = {"X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Linked-Size": str(len(content))}
            send(handler, 302, b"", {"Location": place, "X-Repo-Commit": commit, **linked})
        else:
            self._content(handler, headers, name, path)

    def _content(self, handler: BaseHTTPRequestHandler, headers: dict[str, str], name: str, path: str) -> None:
        waiting = self.faults.get(path, [])
        content = self.repositories[name][path]
        if waiting and waiting[0] == "cut":
            waiting.pop(0)
            start = int(match[1]) if (match := re.match(r"bytes=(\d+)-", headers.get("range", ""))) else 0
            half = content[start : start + (len(content) - start) // 2]
            handler.send_response(206 if start else 200)
            if start:
                handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            handler.send_header("Content-Length", str(len(content) - start))
            handler.end_headers()
            handler.wfile.write(half)
            handler.close_connection = True
            return
        if waiting and waiting[0] in ("wrong", "whole", "long"):
            fault = waiting.pop(0)
            body = {"wrong": bytes(len(content)), "whole": content, "long": content + b"more"}[fault]
            send(handler, 200, body)
            return
        if self._fault(handler, path):
            return
        if match := re.match(r"bytes=(\d+)-", headers.get("range", "")):
            start = int(match[1])
            send(handler, 206, content[start:], {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"})
            return
        send(handler, 200, content, {"ETag": f'"{git_sha(content)}"', "X-Repo-Commit": COMMIT})


def git_sha(content: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\x00" % len(content) + content).hexdigest()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for key, value in ({"Content-Type": "application/octet-stream"} | (headers or {})).items():
        handler.send_header(key, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


@contextmanager
def served() -> Iterator[HubServer]:
    """A hub that listens on this computer for as long as the `with` lasts."""
    hub = HubServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.answer(self)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
