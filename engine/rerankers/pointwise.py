"""Pointwise reranking by a language model: one passage at a time, a whole-number score weighted by the probabilities of its digits.

The expected digit separates passages that the likeliest digit alone would tie (ERank; Cai et al., 2025; first in Zhuang et al., "Beyond Yes
and No", NAACL 2024).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.errors import Cancelled
from engine.network.budget import SLICE_S, watched
from engine.rerankers.language import Calls, LanguageReranker, excerpt, filled, plain

DIGITS = "0123456789"
LEAST_MASS = 0.05
"""Digits that hold less probability than this together were not what the model wanted to say."""


class Pointwise(LanguageReranker, name="pointwise"):
    """Ask a language model to grade each passage by itself. A passage without a grade keeps its order behind the others, and is flagged."""

    parallel: int = Field(4, ge=1, le=32, description="How many questions wait for an answer at a time.")

    def label(self) -> str:
        return "pointwise"

    def scored(self, query: str, texts: Sequence[str], calls: Calls) -> NDArray[np.float64]:
        scores = np.full(len(texts), np.nan)
        with _grading(self.parallel) as grading:
            for start in range(0, len(texts), self.parallel):
                if calls.over:
                    break
                places = range(start, min(start + self.parallel, len(texts)))
                parts = [Calls(calls.model, calls.qid, calls.deadline) for _ in places]
                graded = grading(lambda place, part: _grade(query, texts[place], place, part), places, parts)
                for place, grade in zip(places, graded, strict=True):
                    scores[place] = np.nan if grade is None else grade
                for part in parts:
                    calls.rows += part.rows
                    calls.failed = calls.failed + 1 if part.failed else 0
        return scores


@contextmanager
def _grading(parallel: int) -> Iterator[Callable[..., Iterator[float | None]]]:
    """`map` over threads that end with whoever waits for them: they see the same checks, and an interrupt here interrupts them there."""
    given_up = threading.Event()

    def check() -> None:
        if given_up.is_set():
            raise Cancelled("The grading was given up.")

    with ThreadPoolExecutor(parallel, thread_name_prefix="grade") as pool, watched(check):

        def started(grade: Callable[..., float | None], *given: Iterable[Any]) -> Iterator[float | None]:
            # A context can be entered once at a time, so each question gets a copy of its own.
            futures = [pool.submit(copy_context().run, grade, *one) for one in zip(*given, strict=True)]
            for future in futures:
                while not wait([future], SLICE_S).done:  # one without end cannot be interrupted everywhere
                    continue
                yield future.result()

        try:
            yield started
        except BaseException:
            given_up.set()
            raise


def _grade(query: str, text: str, place: int, calls: Calls) -> float | None:
    prompt = filled("pointwise", query, f"<<<{plain(text)}>>>", 1)
    answer = calls.ask(prompt, (place, place + 1), max_tokens=1, alternatives=20)
    if answer is None:
        return None
    expected = expected_digit(answer.first)
    if expected is not None:
        return expected
    if not answer.first and answer.text.strip() in tuple(DIGITS):
        calls.judge("partial", "the endpoint gives no log-probabilities; the digit itself is taken")
        return float(answer.text.strip())
    calls.judge("malformed", f"not a digit: {excerpt(answer.text)}")
    return None


def expected_digit(first: Mapping[str, float]) -> float | None:
    """Σ d × p(d) / Σ p(d) over the digits among the likeliest first tokens; None where they hold less than LEAST_MASS together."""
    chances = {digit: np.exp(first[digit]) for digit in DIGITS if digit in first}
    mass = sum(chances.values())
    return float(sum(int(digit) * p for digit, p in chances.items()) / mass) if mass >= LEAST_MASS else None
