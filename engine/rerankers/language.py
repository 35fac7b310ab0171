"""What rerankers that ask a language model share: prompts from files, passages cut to size, and a note on every call."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from engine.errors import Unreachable
from engine.models.chat import Answer, ChatModel
from engine.pipeline.context import Context
from engine.rerankers.base import Reranker

CALLS_NOTE = "language model calls"
"""The detail of the span: a table (schema CALLS), one row for each question that was put to the model."""

CALLS = pl.Schema(
    {
        "qid": pl.String,
        "first": pl.Int32,  # the places (from 1) of the candidates that were asked about, in the order at that time
        "last": pl.Int32,
        "status": pl.String,  # ok, partial, malformed, failed
        "reason": pl.String,
        "prompt_tokens": pl.Int64,
        "answer_tokens": pl.Int64,
        "attempts": pl.Int32,
        "ms": pl.Float64,
    }
)
FAILURES = 2
"""After this many questions in a row without an answer, the rest of a query's questions are not put."""


@dataclass(eq=False)
class Calls:
    """The questions of one query: puts them, notes what came of each, and gives up on a server that does not answer."""

    model: ChatModel
    qid: str
    deadline: float | None
    rows: list[tuple[str, int, int, str, str, int, int, int, float]] = field(default_factory=list)
    failed: int = 0

    @property
    def over(self) -> bool:
        """Whether no further question should be put."""
        late = self.deadline is not None and time.monotonic() >= self.deadline
        return late or self.failed >= FAILURES

    def ask(self, prompt: str, span: tuple[int, int], *, max_tokens: int, alternatives: int = 0) -> Answer | None:
        """The answer, noted as ok until `judge` says otherwise; None, noted with the reason, where there is none. span: places from 0."""
        started = time.monotonic()
        try:
            answer = self.model.ask(prompt, max_tokens=max_tokens, alternatives=alternatives, deadline=self.deadline)
        except Unreachable as error:
            self.failed += 1
            ms = (time.monotonic() - started) * 1000
            self.rows.append((self.qid, span[0] + 1, span[1], "failed", str(error), -1, -1, 0, ms))
            return None
        self.failed = 0
        self.rows.append((self.qid, span[0] + 1, span[1], "ok", "", *answer.tokens, answer.attempts, answer.ms))
        return answer

    def judge(self, status: str, reason: str) -> None:
        """What the last answer was worth."""
        row = self.rows[-1]
        self.rows[-1] = (*row[:3], status, reason, *row[5:])


class LanguageReranker(Reranker):
    """Subclasses answer `scored`. Needs an endpoint that the user has named; see engine.llm."""

    candidates: int = Field(20, ge=1, le=200, description="How many of the first hits are shown to the model.")
    words: int = Field(150, ge=5, le=2_000, description="How many words of each document the model reads.")

    @abstractmethod
    def scored(self, query: str, texts: Sequence[str], calls: Calls) -> NDArray[np.float64]:
        """float64 [texts]: a score for each text, given in the order so far; NaN where there is none."""

    def score(self, query: str, candidates: pl.DataFrame, ctx: Context) -> NDArray[np.float64]:
        deadline = None if self.budget_ms is None else time.monotonic() + self.budget_ms / 1000
        calls = Calls(ctx.resources.language_model(), candidates["qid"][0], deadline)
        texts = [shortened(text, self.words) for text in ctx.resources.texts(candidates["doc_id"].to_list())]
        scores = self.scored(query, texts, calls)
        noted = pl.DataFrame(calls.rows, schema=CALLS, orient="row")
        earlier = ctx.noted(CALLS_NOTE)
        ctx.note(CALLS_NOTE, noted if earlier is None else pl.concat([earlier, noted]))
        return scores


def by_order(order: Sequence[int]) -> NDArray[np.float64]:
    """Scores that put texts in this order: the last gets 1, each one before it 1 more."""
    scores = np.empty(len(order))
    scores[list(order)] = np.arange(len(order), 0, -1)
    return scores


def shortened(text: str, words: int) -> str:
    """The first words of a text on one line."""
    return " ".join(text.split(None, words)[:words])


@cache
def template(name: str) -> str:
    """A prompt from the files beside this one; `<<query>>`, `<<passages>>` and `<<count>>` are filled in."""
    return resources.files("engine.rerankers").joinpath("prompts", f"{name}.txt").read_text("utf-8").strip()


def filled(name: str, query: str, passages: str, count: int) -> str:
    """The prompt `name`. What is filled in is never searched for further places, so no document can add one."""
    values = {"query": " ".join(query.split()), "passages": passages, "count": str(count)}
    pieces = template(name).split("<<")
    return pieces[0] + "".join(values[key] + rest for key, rest in (piece.split(">>", 1) for piece in pieces[1:]))


def plain(text: str) -> str:
    """A text without the marks around passages, so that a passage cannot end itself and begin to give orders."""
    return text.replace("<<<", "‹").replace(">>>", "›")


def excerpt(text: str) -> str:
    """The beginning of an answer, quoted for a note."""
    shown = " ".join(text.split())
    return repr(shown if len(shown) <= 80 else shown[:79] + "…")
