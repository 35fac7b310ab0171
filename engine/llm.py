"""A language model behind an OpenAI-compatible endpoint (Ollama, llama.cpp, vLLM and others): one question, one answer, with log-probabilities.

Nothing is sent anywhere until someone names an endpoint, in the workspace (`triptych llm set`) or by TRIPTYCH_LLM_URL. A pipeline cannot name
one, because pipelines are shared, and documents must not follow a stranger's file to a stranger's server. The key comes from
TRIPTYCH_LLM_KEY only and is never stored.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.errors import BadInput, TriptychError, Unreachable

if TYPE_CHECKING:
    import httpx

URL, MODEL, KEY = "TRIPTYCH_LLM_URL", "TRIPTYCH_LLM_MODEL", "TRIPTYCH_LLM_KEY"
SETTING = "llm"
TIMEOUT_S = 60.0
ATTEMPTS = 3
PAUSE_S = 0.25  # before the second attempt; doubled before each further one
MOST_BYTES = 4_000_000  # of an answer; a server that sends more is not answering the question
MOST_TOKENS = 1_000_000_000  # of a question or an answer; no count is larger
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model answers: the address up to and including "/v1", and the model's name there."""

    url: str
    model: str
    timeout_s: float = TIMEOUT_S
    key: str = field(default="", repr=False)

    @classmethod
    def checked(cls, url: str, model: str, timeout_s: float = TIMEOUT_S) -> Endpoint:
        """Raises BadInput on what is no address or no name."""
        if not _is_address(url.strip()):
            raise BadInput(
                f"{url!r} is no address of a language model. Write it like http://127.0.0.1:11434/v1, without a name, key or query."
            )
        name = model.strip()
        if not name or len(name) > 200 or not name.isprintable():
            raise BadInput(f"{model!r} is no name of a model; ask the server for its names, e.g. `ollama list`.")
        if not 1 <= timeout_s <= 3_600:
            raise BadInput(f"A timeout lasts 1 to 3,600 seconds; got {timeout_s!r}.")
        return cls(url.strip().rstrip("/"), name, float(timeout_s), os.environ.get(KEY, ""))

    @property
    def host(self) -> str:
        """The host and port, for messages."""
        return urlsplit(self.url).netloc


def _is_address(url: str) -> bool:
    """Whether it is an http address of a host, without a name, key or query."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")
    except ValueError:  # brackets without an address, a port that is no number, a host that no name server could know
        return False
    spare = parts.username or parts.password or parts.query or parts.fragment
    return whole and not spare and url.isprintable() and " " not in url


def named_endpoint(setting: Mapping[str, Any] | None) -> Endpoint | None:
    """The endpoint of the environment, else of the workspace's setting; None where neither names one. Raises BadInput on an unusable one."""
    if os.environ.get(URL):
        return Endpoint.checked(os.environ[URL], os.environ.get(MODEL, ""))
    if setting:
        return Endpoint.checked(str(setting["url"]), str(setting["model"]), float(setting.get("timeout_s", TIMEOUT_S)))
    return None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. first: the log-probabilities of the likeliest first tokens (empty where the server gives none);
    tokens: (of the prompt, of the answer), -1 where unknown."""

    text: str
    first: Mapping[str, float]
    tokens: tuple[int, int]
    ms: float
    attempts: int


class ChatModel:
    """Asks an endpoint. Thread-safe; connections are kept between questions."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._client: httpx.Client | None = None

    def ask(self, prompt: str, *, max_tokens: int, alternatives: int = 0, deadline: float | None = None) -> Answer:
        """Put one question, at temperature 0. alternatives: of how many likeliest first tokens to return log-probabilities;
        deadline: `time.monotonic()` after which nothing is worth waiting for.

        A server that is busy or fails is asked again, up to ATTEMPTS times. Raises Unreachable where there is no usable answer.
        """
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": max_tokens,
            "temperature": 0,
            "seed": 0,
        }
        if alternatives:
            body |= {"logprobs": True, "top_logprobs": alternatives}
        started, pause = time.monotonic(), PAUSE_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                reply = self._post(body, deadline)
                text, first, tokens = _read(reply)
                return Answer(text, first, tokens, (time.monotonic() - started) * 1000, attempt)
            except _Again as problem:
                late = deadline is not None and time.monotonic() + pause >= deadline
                if attempt == ATTEMPTS or late:
                    raise Unreachable(f"{self.endpoint.host} gave no usable answer: {problem}") from None
                time.sleep(pause)
                pause *= 2
        raise AssertionError("the loop returns or raises")

    def close(self) -> None:
        """Let go of the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _post(self, body: Mapping[str, Any], deadline: float | None) -> Any:
        import httpx

        wait = self.endpoint.timeout_s
        if deadline is not None:
            wait = min(wait, max(deadline - time.monotonic(), 0.001))
        connection = self._connection()
        headers = {"Authorization": f"Bearer {self.endpoint.key}"} if self.endpoint.key else {}
        ends = time.monotonic() + wait
        try:
            with connection.stream(
                "POST", f"{self.endpoint.url}/chat/completions", json=body, headers=headers, timeout=wait
            ) as response:
                content = b""
                for part in response.iter_bytes():
                    content += part
                    if len(content) > MOST_BYTES:
                        raise Unreachable(f"{self.endpoint.host} sent more than {MOST_BYTES:,} bytes for one answer.")
                    if time.monotonic() > ends:  # a server that trickles never meets the timeout of a read
                        raise _Again(f"no whole answer within {wait:g} s")
                if response.status_code in AGAIN:
                    raise _Again(f"HTTP {response.status_code}")
                if response.status_code != 200:
                    raise Unreachable(_refused(self.endpoint, response.status_code, content))
                return httpx.Response(200, content=content).json()
        except httpx.TimeoutException:
            raise _Again(f"no answer within {wait:g} s") from None
        except httpx.RequestError as error:  # of the connection, or an answer that is not packed as its header says
            raise _Again(f"{type(error).__name__}: {error}") from None
        except (ValueError, RecursionError):
            raise _Again("the answer is not JSON") from None

    def _connection(self) -> httpx.Client:
        import httpx

        with self._lock:
            if self._client is None:
                # Redirects are not followed: they would carry documents to a server that nobody named. A proxy of the environment is
                # for servers elsewhere, never for one on this computer.
                here = urlsplit(self.endpoint.url).hostname in ("127.0.0.1", "localhost", "::1")
                self._client = httpx.Client(follow_redirects=False, trust_env=not here)
            return self._client


class _Again(TriptychError):
    """A failure that may pass."""


def _read(reply: Any) -> tuple[str, dict[str, float], tuple[int, int]]:
    try:
        choice = reply["choices"][0]
        text = choice["message"]["content"]
        if not isinstance(text, str):
            raise TypeError
        listed = ((choice.get("logprobs") or {}).get("content") or [{}])[0].get("top_logprobs") or []
        first: dict[str, float] = {}
        for one in listed:
            token, value = str(one["token"]).strip(), float(one["logprob"])
            if token and token not in first and not math.isnan(value):
                first[token] = min(value, 0.0)
        usage = reply.get("usage") or {}
        return text, first, (_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, AttributeError):
        raise _Again("the answer does not have the form of a chat completion") from None


def _count(told: Any) -> int:
    """A number of tokens as the server tells it; -1 where that is none."""
    return told if isinstance(told, int) and not isinstance(told, bool) and 0 <= told <= MOST_TOKENS else -1


def _refused(endpoint: Endpoint, status: int, content: bytes) -> str:
    told = " ".join(content[:300].decode("utf-8", "replace").split())
    remedy = {
        401: f"Set {KEY} to a valid key.",
        403: f"Set {KEY} to a key that may use {endpoint.model!r}.",
        404: f"Check the address and the model's name ({endpoint.model!r}).",
    }.get(status, "Check the address, the model and the server's log.")
    return f"{endpoint.host} answered HTTP {status}: {told or 'nothing more'}. {remedy}"
