"""Reranking with a cross-encoder (Nogueira and Cho, 2019): the model reads the query and each candidate together."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Literal, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from engine.models.catalogue import DEFAULT_CROSS
from engine.pipeline.context import Context
from engine.pipeline.explanation import ScoreExplanation, TermWeight
from engine.rerankers.base import Deadline, Reached, Reranker
from engine.types import Ints

Settled: TypeAlias = Callable[[NDArray[np.float64], pl.DataFrame], bool]
Batches: TypeAlias = Generator[tuple[Ints, NDArray[np.float32]], None, None]

MAX_LEFT_OUT = 12
"""An explanation leaves out at most this many words of the query, and as many stretches of the document."""
_WORD = re.compile(r"\w+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Cross(Reranker, name="cross"):
    """Score each candidate with a cross-encoder; the new score is the model's logit.

    Candidates are read in the order in which they came, not by length: when the budget ends, the best candidates of the stage before have
    their scores, and those that it thought least of do not.

    A logit has no useful upper bound, so an early stop goes by what was seen: when the last n candidates left the first `top` as they were,
    with 95 % confidence at most 1 − 0.05^(1/n) of such candidates change it (about 3/n, the rule of three: Hanley and Lippman-Hand 1983,
    JAMA). Candidates further down are rather less likely to, so that share of the unread is a bound on what is missed.
    """

    model: str = Field(DEFAULT_CROSS, description="The cross-encoder, bundled or added to the workspace.")
    text: Literal["document", "best_passage"] = Field(
        "document",
        description="What the model reads: the document from its beginning, as far as the model's limit; or the passage that shares most "
        "words with the query.",
    )

    standing: float = Field(
        0.0,
        ge=0,
        le=10,
        description="How much the score before counts beside the model's, both brought to equal spread over what was scored; 0: not at all.",
    )

    early_stop: float | None = Field(
        None,
        gt=0,
        le=100,
        description="Stop when at most this many of the candidates not yet read can be expected among the first `top`, with 95 % confidence, "
        "given how many in a row were not. Empty: read all.",
    )
    top: int = Field(10, ge=1, le=1_000, description="How many of the first hits an early stop keeps in view.")

    def label(self) -> str:
        return f"rerank {self.candidates}" + ("" if self.model == DEFAULT_CROSS else f" ({self.model})")

    def score(self, query: str, candidates: pl.DataFrame, ctx: Context) -> NDArray[np.float64]:
        in_order = self.budget_ms is not None or self.early_stop is not None
        return self.among(self._read(query, candidates, ctx, lambda _: None, self.settled, in_order), candidates)

    def pair_scores(
        self, query: str, candidates: pl.DataFrame, ctx: Context, reached: Reached = lambda _: None
    ) -> NDArray[np.float64]:
        return self._read(query, candidates, ctx, reached, lambda scores, candidates: False, True)

    def settled(self, scores: NDArray[np.float64], candidates: pl.DataFrame) -> bool:
        """The early stop: see the class."""
        if self.early_stop is None:
            return False
        given = self.among(scores, candidates.head(len(scores)))
        unchanged = len(given) - 1 - int(np.argsort(-given, kind="stable")[: self.top].max())
        if unchanged == 0:
            return False
        share = 1 - 0.05 ** (1 / unchanged)
        return bool((len(candidates) - len(given)) * share <= self.early_stop)

    def _read(
        self, query: str, candidates: pl.DataFrame, ctx: Context, reached: Reached, settled: Settled, in_order: bool
    ) -> NDArray[np.float64]:
        deadline = Deadline(self.budget_ms)
        scores = np.full(len(candidates), np.nan)
        if deadline.passed:
            return scores
        texts = self.texts(query, candidates["doc_id"].to_list(), ctx)
        with closing(self.batches(query, texts, ctx, in_order)) as batches:
            for positions, found in batches:
                scores[positions] = found
                done = int(positions[-1]) + 1
                reached(done)
                if deadline.passed or settled(scores[:done], candidates):
                    break
        return scores

    def among(self, scores: NDArray[np.float64], candidates: pl.DataFrame) -> NDArray[np.float64]:
        return with_standing(scores, candidates["score"].to_numpy(), self.standing)

    def explain_document(self, query: str, doc_id: str, ctx: Context) -> ScoreExplanation | None:
        """What the score loses when one word of the query, or one sentence of the document, is left out: approximate, since such losses do not
        add up. Costs one reading for each; where a text has more than MAX_LEFT_OUT, neighbors go together.
        """
        (text,) = self.texts(query, [doc_id], ctx)
        if not text:
            return None
        words = stretches([match.span() for match in _WORD.finditer(query)], MAX_LEFT_OUT)
        sentences = stretches(sentence_spans(text), MAX_LEFT_OUT)
        whole, *without_sentence = self._scores(query, [text, *(_without(text, span) for span in sentences)], ctx)
        without_word = [self._scores(_without(query, span), [text], ctx)[0] for span in words]
        shift = ctx.resources.texts([doc_id])[0].find(
            text
        )  # a passage stands somewhere in its document, or under its title
        parts = [
            TermWeight(query[start:end], whole - left) for (start, end), left in zip(words, without_word, strict=True)
        ]
        for (start, end), left in zip(sentences, without_sentence, strict=True):
            place = (start + shift, end + shift) if shift >= 0 else (-1, -1)
            parts.append(TermWeight(text[start:end], whole - left, *place))
        note = (
            "Approximate: what the score loses when a word of the query, or a sentence of the document, is left out. "
            "Such losses do not add up to the score."
        ) + (
            " The score shown is the model's own, before the standing in the list before counts."
            if self.standing
            else ""
        )
        return ScoreExplanation(False, whole, tuple(sorted(parts, key=lambda part: -part.weight)), note, -1)

    def batches(self, query: str, texts: Sequence[str], ctx: Context, in_order: bool) -> Batches:
        """(positions, logits) of a few texts at a time, `in_order` the first ones first; closing it ends the work."""
        return ctx.resources.scorer(self.model).batches(query, texts)

    def _scores(self, query: str, texts: Sequence[str], ctx: Context) -> list[float]:
        scores = np.zeros(len(texts))
        for positions, found in self.batches(query, texts, ctx, in_order=False):
            scores[positions] = found
        return [float(score) for score in scores]

    def texts(self, query: str, doc_ids: Sequence[str], ctx: Context) -> list[str]:
        """What the model reads of these documents."""
        if self.text == "document":
            return ctx.resources.texts(doc_ids)
        passages = ctx.resources.passages(doc_ids)
        return [best_passage(query, found) for found in passages]


def best_passage(query: str, passages: Sequence[str]) -> str:
    """The passage with most of the query's different words, of equals the one with most occurrences, then the first; "" where there is none."""
    words = set(_WORD.findall(query.casefold()))

    def shared(passage: str) -> tuple[int, int]:
        found = [word for word in _WORD.findall(passage.casefold()) if word in words]
        return len(set(found)), len(found)

    return max(passages, key=shared, default="")


def with_standing(scores: NDArray[np.float64], before: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """The scores plus `weight` times the scores before, brought to mean 0 and the deviation that the scores have; NaN stays.

    A first stage knows what the model cannot: how rare each word is in this collection. Where all scores are equal, nothing is added.
    """
    reached = ~np.isnan(scores)
    if not weight or reached.sum() < 2:
        return scores
    earlier = before[reached]
    spread = earlier.std()
    if spread > 0:
        scores = scores.copy()
        scores[reached] += weight * scores[reached].std() / spread * (earlier - earlier.mean())
    return scores


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence, found by its punctuation; white space between them is left out."""
    starts = [0, *(match.end() for match in _SENTENCE_END.finditer(text))]
    ends = [*(match.start() for match in _SENTENCE_END.finditer(text)), len(text)]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if text[start:end].strip()]


def stretches(spans: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """At most `most` spans that cover the given ones, each from the start of one to the end of one, about equally many in each."""
    groups = np.array_split(np.arange(len(spans)), min(most, len(spans))) if spans else []
    return [(spans[group[0]][0], spans[group[-1]][1]) for group in groups]


def _without(text: str, span: tuple[int, int]) -> str:
    return " ".join((text[: span[0]] + " " + text[span[1] :]).split())
