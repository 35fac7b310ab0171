"""What the verbs about judging and voting return: plain frozen values that the CLI prints as JSON and the UI draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.results.search import Card, Piece


@dataclass(frozen=True, slots=True)
class QueueView:
    """Documents to be judged, and how far one assessor is with them.

    `state` is "preparing" while the pipelines run (the job `job_id` tells how far), "ready", or "failed" when that job ended otherwise.
    """

    queue_id: str
    job_id: str
    state: Literal["preparing", "ready", "failed"]
    query_set: str
    pipelines: tuple[str, ...]
    order: str
    depth: int
    measure: str
    created_at: str
    total: int
    judged: int
    skipped: int

    @property
    def left(self) -> int:
        """Documents that this assessor neither judged nor skipped."""
        return self.total - self.judged - self.skipped


@dataclass(frozen=True, slots=True)
class JudgingItem:
    """One document of a queue as the assessor sees it: nothing tells which pipeline found it. `text` has the words of the query marked.

    `description` is what the query's own fields say is wanted; `rating` and `note` are what this assessor gave before, if anything.
    """

    queue_id: str
    position: int
    query_set: str
    qid: str
    query: str
    description: str
    doc_id: str
    title: str
    text: tuple[Piece, ...]
    authors: tuple[str, ...]
    year: int | None
    venue: str
    url: str
    rating: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a document of a queue came from: the rank in each pipeline that found it, and what it could do to the verdict, if that was asked."""

    found: tuple[tuple[str, int], ...]
    effect: float | None


@dataclass(frozen=True, slots=True)
class UndoneView:
    """An act that was taken back: `action` is judge, remove, skip or note; `rating` is what stands now. `position` is its place in `queue_id`."""

    action: str
    qid: str
    doc_id: str
    rating: int | None
    queue_id: str
    position: int | None


@dataclass(frozen=True, slots=True)
class JudgedCard:
    """A judgment made on a card: where it is kept, and every rating that now counts for the query."""

    query_set: str
    qid: str
    rating: int | None
    ratings: dict[str, int]


@dataclass(frozen=True, slots=True)
class MeasuredLists:
    """Measures of lists of documents for one query, by list and measure; None where nobody judged a document of the query."""

    judged: int
    values: dict[str, dict[str, float | None]]


@dataclass(frozen=True, slots=True)
class AssessorView:
    """Somebody who judged, and how much."""

    name: str
    judgments: int


@dataclass(frozen=True, slots=True)
class PairKappa:
    """Two assessors over the `shared` documents that both judged. `same` is the share on which they agree; kappa is None where chance alone would."""

    left: str
    right: str
    shared: int
    same: float
    kappa: float | None


@dataclass(frozen=True, slots=True)
class DifferentJudgments:
    """A document on which assessors differ: their ratings in the order given, and the one that counts by the rule."""

    qid: str
    query: str
    doc_id: str
    title: str
    ratings: dict[str, int]
    counts: int


@dataclass(frozen=True, slots=True)
class AssessorAgreement:
    """How far the assessors of a set agree. Fleiss' kappa is over the `shared` documents that all of them judged."""

    query_set: str
    rule: str
    assessors: tuple[AssessorView, ...]
    pairs: tuple[PairKappa, ...]
    shared: int
    fleiss: float | None
    different: tuple[DifferentJudgments, ...]


@dataclass(frozen=True, slots=True)
class BlindSession:
    """A blind comparison of two pipelines. Which is left is drawn anew each round, from the seed."""

    session_id: str
    pipelines: tuple[str, str]
    k: int
    query_set: str
    seed: int
    created_at: str
    rounds: int
    votes: int


@dataclass(frozen=True, slots=True)
class BlindRound:
    """Two anonymous columns for one query; cards carry no scores, no ratings, and nothing of who found them."""

    session_id: str
    round_no: int
    query: str
    left: tuple[Card, ...]
    right: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class BlindReveal:
    """Who was who, told after the vote; `preferred` is "" for a tie and where both were bad."""

    round_no: int
    query: str
    vote: str
    left: str
    right: str
    preferred: str


@dataclass(frozen=True, slots=True)
class BlindResults:
    """What was voted. `share` is that of the first pipeline among the votes that preferred one, with its Wilson interval; p is the sign test's.

    All three are None without such a vote. `level` is that of the interval.
    """

    session: BlindSession
    wins: tuple[int, int]
    ties: int
    bad: int
    share: float | None
    low: float | None
    high: float | None
    p: float | None
    level: float
    rounds: tuple[BlindReveal, ...]
