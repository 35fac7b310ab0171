"""What a cross-encoder says of every document for a few questions of its own making (ANNCUR; Yadav et al., EMNLP 2022).

The questions are titles and sentences of the collection's documents. Scores of texts for different questions are much alike, so a new query is
roughly a mixture of them, and which one it is can be told from the exact scores of a few documents: see `engine.retrievers.cur`.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from engine.encoders.base import Encoder
from engine.errors import BadInput, IndexNotReady
from engine.indexes.base import (
    Allowed,
    BuildInfo,
    IndexSpec,
    OpenIndex,
    UnitSource,
    checked_mask,
    checked_numbers,
    checked_width,
)
from engine.indexes.shards import PARTIAL, Shards
from engine.indexes.stored.files import (
    NUMBERS,
    damaged,
    load_array,
    load_info,
    load_numbers,
    positions,
    save_array,
    save_info,
)
from engine.kernels.cur import sampled
from engine.kernels.topk import empty_hits, put_hits
from engine.models.catalogue import DEFAULT_CROSS
from engine.types import FloatRows, Ints, Progress, ProgressSink, TopK, ignore_progress

if TYPE_CHECKING:
    from engine.encoders.cross import PairScorer

SCORES, ANCHORS = "scores.npy", "anchors.npy"
NONE = -1  # in the place of an anchor, where a collection has fewer documents than questions are wanted
MOST_WORDS = 32  # of a question
PAIRS_A_SECOND = 200  # of the bundled model on two cores, for estimates
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class CurInfo(BaseModel):
    """The description stored with the index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["cur/1"] = "cur/1"
    spec: dict[str, str | int]
    fingerprint: str
    rows: int = Field(ge=0)


class CurIndex(IndexSpec, name="cur"):
    """The scores of all documents for questions made from some of them. Costs as many readings as documents × questions."""

    kind: ClassVar[str] = "cur"
    scored: ClassVar[bool] = True
    joint: ClassVar[bool] = True
    unit: Literal["document"] = Field("document", description="what a row stands for: whole documents")
    model: str = Field(DEFAULT_CROSS, min_length=1, max_length=200, description="the cross-encoder")
    queries: int = Field(40, ge=1, le=1_000, description="how many questions are made from the documents")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="which documents they are made from")

    def label(self) -> str:
        return f"CUR · {self.model} · {self.queries} questions"

    def effort(self, units: int) -> str:
        pairs = units * min(units, self.queries)
        minutes = max(1, round(pairs / PAIRS_A_SECOND / 60))
        return f"{pairs:,} pairs for the cross-encoder, about {minutes:,} min at {PAIRS_A_SECOND} a second"

    def expected_fingerprint(self, encoder: Callable[[str], Encoder[Any]]) -> str:
        """See IndexSpec; `encoder` opens cross-encoders here."""
        return encoder(self.model).fingerprint

    def build(
        self, source: UnitSource, previous: OpenIndex | None, folder: Path, progress: ProgressSink = ignore_progress
    ) -> BuildInfo:
        """See IndexSpec. details: pairs (that were scored now), questions, anchors (a fingerprint of the documents that ask).

        The documents that ask depend on the collection as it is, not on the builds before. Where documents come or go, a few of them change:
        then new documents are scored for all questions, and the others for the new questions. Scores are kept in `folder`/partial until the
        end, so that an interrupted build goes on where it stopped. `progress` hears phase "score", in pairs.
        """
        scorer = source.scorer(self.model)
        wanted = checked_numbers(source)
        anchors = sampled(wanted, self.queries, self.seed)
        scores = np.zeros((len(wanted), self.queries), np.float32)
        old = previous if isinstance(previous, CurOpenIndex) and previous.fingerprint == scorer.fingerprint else None
        held = np.full(len(wanted), NONE) if old is None else positions(old.numbers, wanted)
        asked = np.full(len(anchors), NONE) if old is None else positions(old.anchors[old.anchors != NONE], anchors)
        if old is not None:
            kept = np.ix_(held >= 0, np.flatnonzero(asked >= 0))
            scores[kept] = old.scores[np.ix_(held[held >= 0], asked[asked >= 0])]
        parts = [
            (np.flatnonzero(held < 0), np.arange(len(anchors))),
            (np.flatnonzero(held >= 0), np.flatnonzero(asked < 0)),
        ]
        total = sum(len(rows) * len(columns) for rows, columns in parts)
        progress(Progress("score", 0, total, "pairs"))
        done = 0
        for rows, columns in parts:
            if not len(rows) or not len(columns):
                continue
            questions = [question(text, int(number)) for number, text in
                         zip(anchors[columns], source.texts(anchors[columns]), strict=True)]  # fmt: skip
            shards = Shards(folder / PARTIAL, _Asking(scorer, anchors[columns], questions))

            def report(step: Progress, before: int = done, width: int = len(columns)) -> None:
                progress(Progress("score", before + step.done * width, total, "pairs"))

            shards.encode(source, wanted[rows], report)
            scores[np.ix_(rows, columns)] = shards.rows(wanted[rows])
            done += len(rows) * len(columns)
        progress(Progress("score", total, total, "pairs"))
        padded = np.concatenate([anchors, np.full(self.queries - len(anchors), NONE, np.int64)])
        for name, values in ((NUMBERS, wanted), (SCORES, scores), (ANCHORS, padded)):
            save_array(folder, name, values)
        info = CurInfo(spec=self.model_dump(), fingerprint=scorer.fingerprint, rows=len(wanted))
        save_info(folder, info)
        shutil.rmtree(folder / PARTIAL, ignore_errors=True)
        named = hashlib.sha256(anchors.tobytes()).hexdigest()[:12]
        details: dict[str, str | int | float] = {"pairs": total, "questions": len(anchors), "anchors": named}
        return BuildInfo(len(wanted), self.queries, info.fingerprint, details)

    def open(self, folder: Path) -> CurOpenIndex:
        info = load_info(folder, CurInfo)
        if info.spec != self.model_dump():
            raise IndexNotReady(f"The CUR index was built with {info.spec}, not {self.model_dump()}. Build it again.")
        return CurOpenIndex(folder, info, self.queries)


class CurOpenIndex:
    """The documents' scores for the questions, memory-mapped. Read-only, so any thread may search it."""

    def __init__(self, folder: Path, info: CurInfo, width: int) -> None:
        """Raises WorkspaceDamaged when a file is not what was written."""
        self.fingerprint = info.fingerprint
        self.numbers = load_numbers(folder, info.rows)
        self.scores: FloatRows = load_array(folder, SCORES, np.float32, (info.rows, width), mapped=True)
        """float32 [rows, questions]; columns without a question hold zeros."""
        self.anchors: Ints = load_array(folder, ANCHORS, np.int64, (width,))
        """int64 [questions]: the unit that each question was made from, ascending; -1 behind them where there are fewer."""
        if not np.isfinite(self.scores).all():
            raise damaged(folder, f"{SCORES} holds values that are not numbers")
        if not np.isin(self.anchors[self.anchors != NONE], self.numbers).all():
            raise damaged(folder, f"{ANCHORS} names documents that it does not hold")

    def search(self, queries: FloatRows, k: int, allowed: Allowed | None = None) -> TopK:
        """See OpenIndex; a query is a mixture of the questions, float32 [queries, questions], a score its inner product with a row."""
        if queries.ndim != 2 or queries.shape[1] != self.scores.shape[1] or not np.isfinite(queries).all():
            raise BadInput(f"A query for this index is {self.scores.shape[1]} numbers, one for each question.")
        mask = checked_mask(allowed, self.numbers)
        found = TopK(*empty_hits(len(queries), checked_width(k, len(self.numbers))))
        for place, mixture in enumerate(queries):
            scores = (self.scores @ mixture).astype(np.float32)
            put_hits(found, place, scores if mask is None else np.where(mask, scores, np.float32(-np.inf)), k)
        return found


class _Asking:
    """Stands where shards expect an encoder: the row of a text is its scores for the questions."""

    def __init__(self, scorer: PairScorer, anchors: Ints, questions: Sequence[str]) -> None:
        self._scorer = scorer
        self._questions = questions
        self.card = scorer.card.model_copy(update={"family": "dense", "dimensions": len(questions)})
        identity = [scorer.fingerprint, anchors.tolist()]
        self.fingerprint = hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    def encode_queries(self, texts: Sequence[str]) -> FloatRows:
        """Questions are not asked of questions."""
        raise BadInput("A cross-encoder gives no row to a query alone.")

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> FloatRows:
        """float32 [texts, questions]; `progress` hears of texts, as if each question were a part of every text."""
        rows = np.zeros((len(texts), len(self._questions)), np.float32)
        for column, asked in enumerate(self._questions):
            before = column * len(texts)

            def report(step: Progress, before: int = before) -> None:
                progress(Progress("encode", (before + step.done) // len(self._questions), len(texts)))

            rows[:, column] = self._scorer.score(asked, texts, report)
        return rows


def question(text: str, number: int) -> str:
    """A question out of a document: its title (or first sentence) where its number is even, else a sentence further down; at most
    MOST_WORDS words."""
    found = [part.strip() for part in _SENTENCE_END.split(text) if part.strip()] or [text]
    later = found[1:] or found
    chosen = found[0] if number % 2 == 0 else later[number // 2 % len(later)]
    return " ".join(chosen.split()[:MOST_WORDS])
