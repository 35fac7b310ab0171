"""A language model behind an OpenAI-compatible endpoint (Ollama, llama.cpp, vLLM and others): one question, one answer, with log-probabilities.

Nothing is sent anywhere until someone names an endpoint, in the workspace (`triptych llm set`) or by TRIPTYCH_LLM_URL. A pipeline cannot name
one, because pipelines are shared, and documents must not follow a stranger's file to a stranger's server. The key comes from
TRIPTYCH_LLM_KEY only and is never stored. Redirects are not followed, and addresses that only metadata services have are refused, for the same
reason.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.errors import BadInput, TriptychError, Unreachable
from engine.network.addresses import allowed_hosts, refuse_name
from engine.network.budget import Budget, Overdue, told_to_wait

if TYPE_CHECKING:
    from engine.network.client import Client

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
    """Where a model answers: the address up to and including "/v1", and the model's name there.

    timeout_s: how long one question may take in all, with every further attempt; allowed: hosts that are asked although their addresses are
    refused otherwise.
    """

    url: str
    model: str
    timeout_s: float = TIMEOUT_S
    key: str = field(default="", repr=False)
    allowed: frozenset[str] = frozenset()

    @classmethod
    def checked(cls, url: str, model: str, timeout_s: float = TIMEOUT_S, allow_hosts: Iterable[str] = ()) -> Endpoint:
        """Raises BadInput on what is no address or no name, and on an address that is refused."""
        if not _is_address(url.strip()):
            raise BadInput(
                f"{url!r} is no address of a language model. Write it like http://127.0.0.1:11434/v1, without a name, key or query."
            )
        name = model.strip()
        if not name or len(name) > 200 or not name.isprintable():
            raise BadInput(f"{model!r} is no name of a model; ask the server for its names, e.g. `ollama list`.")
        if not 1 <= timeout_s <= 3_600:
            raise BadInput(f"A timeout lasts 1 to 3,600 seconds; got {timeout_s!r}.")
        allowed = allowed_hosts(allow_hosts)
        refuse_name(urlsplit(url.strip()).hostname or "", allowed)
        return cls(url.strip().rstrip("/"), name, float(timeout_s), os.environ.get(KEY, ""), allowed)

    @property
    def host(self) -> str:
        """The host and port, for messages."""
        return urlsplit(self.url).netloc


def _is_address(url: str) -> bool:
    """Whether it is an http address of a host, without a name, key or query."""
    import httpx

    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")
        httpx.URL(url)
    except (
        ValueError,
        httpx.InvalidURL,
    ):  # brackets without an address, a port that is no number, a host that no name server could know
        return False
    spare = parts.username or parts.password or parts.query or parts.fragment
    return whole and not spare and url.isprintable() and " " not in url


def named_endpoint(setting: Mapping[str, Any] | None) -> Endpoint | None:
    """The endpoint of the environment, else of the workspace's setting; None where neither names one. Raises BadInput on an unusable one."""
    if os.environ.get(URL):
        return Endpoint.checked(os.environ[URL], os.environ.get(MODEL, ""))
    if setting:
        timeout_s, allowed = float(setting.get("timeout_s", TIMEOUT_S)), setting.get("allow_hosts", ())
        return Endpoint.checked(str(setting["url"]), str(setting["model"]), timeout_s, allowed)
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
        self._client: Client | None = None

    def ask(self, prompt: str, *, max_tokens: int, alternatives: int = 0, deadline: float | None = None) -> Answer:
        """Put one question, at temperature 0. alternatives: of how many likeliest first tokens to return log-probabilities;
        deadline: `time.monotonic()` after which nothing is worth waiting for.

        A server that is busy or fails is asked again, up to ATTEMPTS times, within the endpoint's timeout. Raises Unreachable where there is no
        usable answer, BadInput where the address turns out to be refused, and what those raise who watch (`engine.network.budget.watched`).
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
        self._connection()  # what has to be loaded first is not the server's time
        wait = self.endpoint.timeout_s
        if deadline is not None:
            wait = min(wait, max(deadline - time.monotonic(), 0.001))
        budget, started, pause = Budget.of(self.endpoint.host, wait), time.monotonic(), PAUSE_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                text, first, tokens = _read(self._post(body, budget))
                return Answer(text, first, tokens, (time.monotonic() - started) * 1000, attempt)
            except _Again as problem:
                pause = max(pause, problem.pause)
                late = time.monotonic() + pause >= budget.ends
                if attempt == ATTEMPTS or late:
                    asked = f", and asks to be left alone for {problem.pause:,.0f} s" if problem.pause else ""
                    raise Unreachable(f"{self.endpoint.host} gave no usable answer: {problem}{asked}") from None
                budget.sleep(pause)
                pause *= 2
        raise AssertionError("the loop returns or raises")

    def close(self) -> None:
        """Let go of the connections."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _post(self, body: Mapping[str, Any], budget: Budget) -> Any:
        import httpx

        from engine.network.client import unpacked

        headers = {"Authorization": f"Bearer {self.endpoint.key}"} if self.endpoint.key else {}
        try:
            with self._connection().stream(
                "POST", f"{self.endpoint.url}/chat/completions", budget, json=body, headers=headers
            ) as response:
                content = b"".join(unpacked(response, MOST_BYTES))
                if response.status_code in AGAIN:
                    raise _Again(f"HTTP {response.status_code}", told_to_wait(response.headers.get("retry-after", "")))
                if response.status_code != 200:
                    elsewhere = response.headers.get("location", "")
                    raise Unreachable(_refused(self.endpoint, response.status_code, content, elsewhere))
                return json.loads(content)
        except Overdue as error:
            raise Unreachable(f"{self.endpoint.host} gave no whole answer within {budget.seconds:g} s.") from error
        except httpx.TimeoutException:
            raise _Again(f"no answer within {budget.seconds:g} s") from None
        except httpx.RequestError as error:  # of the connection, or an answer that is not packed as its header says
            raise _Again(f"{type(error).__name__}: {error}") from None
        except (ValueError, RecursionError):
            raise _Again("the answer is not JSON") from None

    def _connection(self) -> Client:
        from engine.network.client import Client

        with self._lock:
            if self._client is None:
                # A proxy of the environment is for servers elsewhere, never for one on this computer.
                here = urlsplit(self.endpoint.url).hostname in ("127.0.0.1", "localhost", "::1")
                self._client = Client(allowed=self.endpoint.allowed, proxies=not here)
            return self._client


class _Again(TriptychError):
    """A failure that may pass. pause: seconds that the server asks to be left alone, 0 where it does not say."""

    def __init__(self, why: str, pause: float = 0.0) -> None:
        super().__init__(why)
        self.pause = pause


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


def _refused(endpoint: Endpoint, status: int, content: bytes, elsewhere: str) -> str:
    if elsewhere and 300 <= status < 400:
        return (
            f"{endpoint.host} answered HTTP {status} and sends to {elsewhere[:200]!r}. Redirects are not followed, because documents would go "
            "there; name that address instead if you trust it."
        )
    told = " ".join(content[:300].decode("utf-8", "replace").split())
    remedy = {
        401: f"Set {KEY} to a valid key.",
        403: f"Set {KEY} to a key that may use {endpoint.model!r}.",
        404: f"Check the address and the model's name ({endpoint.model!r}).",
    }.get(status, "Check the address, the model and the server's log.")
    return f"{endpoint.host} answered HTTP {status}: {told or 'nothing more'}. {remedy}"
