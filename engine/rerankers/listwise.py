"""Listwise reranking by a language model that sees several passages at once.

sliding: windows from the bottom of the list to its top, so that a good passage rises all the way (RankGPT; Sun et al., EMNLP 2023). full: the
whole list in one question (Liu et al., "Sliding Windows Are Not the End", ACL 2025). first_token: the order comes from the log-probabilities
of the first letter of the answer, one token a window (FIRST; Gangi Reddy et al., EMNLP 2024). group: whole numbers for each passage of a
group, comparable across groups (GroupRank; Sun et al., 2025).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from engine.rerankers.language import Calls, LanguageReranker, by_order, excerpt, filled, plain

LETTERS = "ABCDEFGHIJKLMNOPQRST"
"""Identifiers of first_token; endpoints tell log-probabilities of at most 20 alternatives."""
GRADES = range(11)
_ORDER = re.compile(r"\[(\d{1,3})\](?:\s*>\s*\[(\d{1,3})\])*")
_GRADE = re.compile(r"\[(\d{1,3})\]\s+(\d{1,2})")


class Listwise(LanguageReranker, name="listwise"):
    """Ask a language model for the order of several passages at once. An answer that is no whole order keeps the order so far, and is flagged."""

    mode: Literal["sliding", "full", "first_token", "group"] = Field(
        "sliding",
        description="sliding: overlapping windows, bottom to top; full: all at once; first_token: windows, by the first letter's "
        "log-probabilities; group: grades within groups.",
    )
    window: int = Field(10, ge=2, le=20, description="Passages in a question; not used by full.")
    stride: int = Field(5, ge=1, le=20, description="How far a window moves up; not used by full and group.")

    @model_validator(mode="after")
    def _overlap(self) -> Self:
        if self.mode in ("sliding", "first_token") and self.stride > self.window:
            raise ValueError("windows must not leave passages out between them: the stride is at most the window")
        return self

    def label(self) -> str:
        return f"listwise · {self.mode}"

    def scored(self, query: str, texts: Sequence[str], calls: Calls) -> NDArray[np.float64]:
        if self.mode == "group":
            return self._graded(query, texts, calls)
        ask = _first_letters if self.mode == "first_token" else _written_order
        order = list(range(len(texts)))
        for start, stop in self._windows(len(texts)):
            if calls.over:
                break
            places = order[start:stop]
            order[start:stop] = [places[n] for n in ask(query, [texts[n] for n in places], (start, stop), calls)]
        if calls.rows and all(row[3] == "failed" for row in calls.rows):
            return np.full(len(texts), np.nan)  # nothing was learned, so nothing is scored
        return by_order(order) if calls.rows else np.full(len(texts), np.nan)

    def _windows(self, count: int) -> list[tuple[int, int]]:
        """(start, stop) places, bottom to top; the last one reaches the top."""
        if self.mode == "full" or count <= self.window:
            return [(0, count)] if count > 1 else []
        starts = list(range(count - self.window, 0, -self.stride))
        return [(start, start + self.window) for start in [*starts, 0]]

    def _graded(self, query: str, texts: Sequence[str], calls: Calls) -> NDArray[np.float64]:
        """Grades, ties in the order so far (a step that no grade can bridge)."""
        scores = np.full(len(texts), np.nan)
        for start in range(0, len(texts), self.window):
            if calls.over:
                break
            stop = min(start + self.window, len(texts))
            grades = _grades(query, texts[start:stop], (start, stop), calls)
            if grades is not None:
                scores[start:stop] = grades
        return scores - np.arange(len(texts)) / (len(texts) + 1)


def numbered(texts: Sequence[str], identifier: Callable[[int], str] = lambda n: str(n + 1)) -> str:
    """Passages, each between marks with its identifier."""
    return "\n".join(f"[{identifier(n)}] <<<{plain(text)}>>>" for n, text in enumerate(texts))


def _written_order(query: str, texts: Sequence[str], span: tuple[int, int], calls: Calls) -> list[int]:
    """The places of the texts in the order that the model writes; as they are where it writes anything else."""
    as_it_was = list(range(len(texts)))
    answer = calls.ask(filled("listwise", query, numbered(texts), len(texts)), span, max_tokens=8 * len(texts) + 16)
    if answer is None:
        return as_it_was
    text = answer.text.strip()
    if not _ORDER.fullmatch(text):
        calls.judge("malformed", f"not an order: {excerpt(text)}")
        return as_it_was
    order = [int(number) - 1 for number in re.findall(r"\d+", text)]
    if sorted(order) == as_it_was:
        return order
    known = {number for number in order if 0 <= number < len(texts)}
    problem = "names a passage twice" if len(set(order)) < len(order) else "names a passage that there is not"
    status, reason = ("partial", "leaves passages out") if len(known) == len(order) else ("malformed", problem)
    calls.judge(status, f"{reason}: {excerpt(text)}")
    return as_it_was


def _first_letters(query: str, texts: Sequence[str], span: tuple[int, int], calls: Calls) -> list[int]:
    """The places of the texts by the log-probability of their letter; letters that the endpoint does not tell follow as they were."""
    prompt = filled("first_token", query, numbered(texts, LETTERS.__getitem__), len(texts))
    as_it_was = list(range(len(texts)))
    answer = calls.ask(prompt, span, max_tokens=1, alternatives=len(LETTERS))
    if answer is None:
        return as_it_was
    told = {place: answer.first[LETTERS[place]] for place in as_it_was if LETTERS[place] in answer.first}
    if not told:
        reason = "names no letter" if answer.first else "the endpoint gives no log-probabilities"
        calls.judge("malformed", f"{reason}: {excerpt(answer.text)}")
        return as_it_was
    if len(told) < len(texts):
        calls.judge("partial", f"log-probabilities of {len(told)} of {len(texts)} letters")
    return sorted(as_it_was, key=lambda place: (-told.get(place, -np.inf), place))


def _grades(query: str, texts: Sequence[str], span: tuple[int, int], calls: Calls) -> list[int] | None:
    answer = calls.ask(filled("group", query, numbered(texts), len(texts)), span, max_tokens=10 * len(texts) + 16)
    if answer is None:
        return None
    found: dict[int, int] = {}
    for line in answer.text.strip().splitlines():
        match = _GRADE.fullmatch(line.strip())
        if (
            match is None
            or int(match[2]) not in GRADES
            or not 1 <= int(match[1]) <= len(texts)
            or int(match[1]) in found
        ):
            calls.judge("malformed", f"not a grade for each passage: {excerpt(line)}")
            return None
        found[int(match[1])] = int(match[2])
    if len(found) < len(texts):
        calls.judge("partial", f"grades {len(found)} of {len(texts)} passages")
        return None
    return [found[number] for number in range(1, len(texts) + 1)]
