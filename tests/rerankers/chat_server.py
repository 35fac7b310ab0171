"""A real server on loopback that speaks the chat-completions protocol with log-probabilities, and answers by a rule that can be checked by hand.

A passage is worth the number of its words that are words of the query. The server reads the query and the passages from the prompt as a
model would. `faults` are used up, one a request, before it answers properly.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from engine.rerankers.listwise import LETTERS

PASSAGE = re.compile(r"^\[(\w+)\] <<<(.*)>>>$", re.MULTILINE)
ALONE = re.compile(r"^<<<(.*)>>>$", re.MULTILINE)
QUERY = re.compile(r"^Query: (.*)$", re.MULTILINE)


def worth(query: str, text: str) -> int:
    asked = set(query.lower().split())
    return sum(word in asked for word in text.lower().split())


class ChatServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *, log_probabilities: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.log_probabilities = log_probabilities
        self.faults: deque[str] = deque()
        self.prompts: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[dict] = []
        self.gate = threading.Lock()
        self.closing = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True, kwargs={"poll_interval": 0.01}).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def __enter__(self) -> ChatServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address) -> None:
        """A client that went away is no news here."""

    def answer(self, prompt: str) -> tuple[str, dict[str, float]]:
        query = QUERY.search(prompt)[1]
        passages = PASSAGE.findall(prompt)
        if not passages:
            value = min(worth(query, ALONE.search(prompt)[1]), 8)
            # Three quarters on the digit, a quarter on the next: the expected digit is value + .25.
            return str(value), {str(value): math.log(0.75), str(value + 1): math.log(0.25)}
        ranked = sorted(passages, key=lambda one: -worth(query, one[1]))
        if passages[0][0] in LETTERS:
            total = sum(math.exp(worth(query, text)) for _, text in passages)
            return ranked[0][0], {name: worth(query, text) - math.log(total) for name, text in passages}
        if "from 0 (not" in prompt:
            return "\n".join(f"[{name}] {min(worth(query, text), 10)}" for name, text in passages), {}
        return " > ".join(f"[{name}]" for name, _ in ranked), {}


class Handler(BaseHTTPRequestHandler):
    server: ChatServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        with self.server.gate:
            self.server.prompts.append(prompt)
            self.server.bodies.append(body)
            self.server.headers.append(dict(self.headers))
            fault = self.server.faults.popleft() if self.server.faults else ""
        text, first = self.server.answer(prompt)
        if fault == "slow":
            self.server.closing.wait(30)
        elif fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "500")
            self.end_headers()
            self.wfile.write(b'{"choices": [{"mess')
            self.close_connection = True
            return
        elif fault.isdigit():
            return self.reply(int(fault), b'{"error": {"message": "no"}}')
        elif fault == "redirect":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        elif fault == "html":
            return self.reply(200, b"<html>Sign in</html>")
        elif fault == "empty":
            return self.reply(200, b'{"choices": []}')
        elif fault == "deep":
            return self.reply(200, b"[" * 200_000)
        elif fault == "not gzip":
            return self.reply(200, b"plain", {"Content-Encoding": "gzip"})
        elif fault == "endless tokens":
            return self.reply(200, b'{"choices": [{"message": {"content": 1}}], "usage": {"prompt_tokens": Infinity}}')
        elif fault == "huge":
            return self.reply(200, b" " * 5_000_000)
        elif fault:
            text, first = fault, {}
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        if body.get("logprobs") and self.server.log_probabilities and first:
            likeliest = sorted(first.items(), key=lambda one: -one[1])[: body["top_logprobs"]]
            told = [{"token": token, "logprob": value, "bytes": None} for token, value in likeliest]
            choice["logprobs"] = {"content": [{**told[0], "top_logprobs": told}]}
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(text.split())}
        self.reply(200, json.dumps({"choices": [choice], "usage": usage}).encode())

    def reply(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
