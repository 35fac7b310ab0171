"""What the views of one pipeline from the inside return: its stages one after another, and one reranker before and after."""

from __future__ import annotations

from dataclasses import dataclass

from app.results.search import Explanation, PipelineView


@dataclass(frozen=True, slots=True)
class StageHit:
    """One hit of one stage."""

    doc_id: str
    title: str
    rank: int
    score: float
    probability: float | None = None
    """Of relevance, where the stage is a calibrator."""
    rating: int | None = None
    movement: int | None = None
    """Ranks gained (+) or lost (-) against the whole list that the stage received; None where that did not hold it, or there were several."""
    new: bool = False
    """The stage received a list, and found this document itself."""
    sources: tuple[int | None, ...] = ()
    """The ranks in the lists that a fusion merged."""
    next_rank: int | None = None
    """The rank that the stage after this one gave it; None where it did not keep it, or there is none."""
    lost: str = ""
    """Why the next stage does not have it: cut, threshold, unselected, unfound; or empty."""


@dataclass(frozen=True, slots=True)
class StageColumn:
    """One stage with the first hits of its list. `kind`: rewritten, retrieved, feedback, fused, reranked, calibrated, selected or other."""

    kind: str
    label: str
    ms: float
    received: int
    returned: int
    hits: tuple[StageHit, ...]
    inputs: tuple[int, ...] = ()
    """The places of the columns whose lists it received."""
    feeds: int | None = None
    """The place of the column that received its list."""
    cut: int | None = None
    """After how many hits its list was cut before it went on."""
    dropped: tuple[StageHit, ...] = ()
    """The best of the hits that a threshold dropped, with the ranks that they came with."""
    dropped_total: int = 0
    cached: bool = False
    facts: tuple[str, ...] = ()
    """Sentences on what the stage did."""


@dataclass(frozen=True, slots=True)
class StagesResult:
    """A pipeline unrolled: its stages in the order in which they ran, the inputs of a fusion before it. Cut-offs stand at the list they cut."""

    collection: str
    query: str
    pipeline: PipelineView
    k: int
    columns: tuple[StageColumn, ...]
    took_ms: float
    judged: bool
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RerankedHit:
    """One document before and after. `score` is None where the reranker gave it none: it was no candidate, or was not reached."""

    doc_id: str
    title: str
    rating: int | None
    received: int
    rank: int
    before: float
    score: float | None


@dataclass(frozen=True, slots=True)
class CandidatePoint:
    """What a number of candidates costs and gives. `overlap`: the share of the first k that all candidates together would give."""

    candidates: int
    ms: float
    measure: float | None
    """None where nothing is judged for the query."""
    overlap: float


@dataclass(frozen=True, slots=True)
class RerankingResult:
    """One rerank stage of a pipeline, with a chosen number of candidates and a chosen budget.

    hits: every document that was a candidate or stood among the first k, in the order received. `most`: how many could be scored at the most;
    `reached`: how many of the chosen were, by the budget.
    """

    collection: str
    query: str
    pipeline: PipelineView
    stages: tuple[str, ...]
    """All rerank stages of the pipeline; `at` is the one shown."""
    at: int
    k: int
    received: int
    candidates: int
    most: int
    reached: int
    budget_ms: int | None
    own_candidates: int
    own_budget_ms: int | None
    separate: bool
    """Whether scores depend on their pairs alone, so that one scoring tells what other numbers of candidates would give."""
    gave_up_ms: int | None
    """After how many milliseconds the scoring was given up before it had reached all; None where it was not."""
    before_ms: float
    ms: float
    hits: tuple[RerankedHit, ...]
    judged: int
    measure: str
    before: float | None
    after: float | None
    curve: tuple[CandidatePoint, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MoveExplanation:
    """Why one document stood where it did before a reranker, and what the reranker saw in it; `after` is None where it cannot tell."""

    doc_id: str
    title: str
    text: str
    before: tuple[Explanation, ...]
    after: Explanation | None
    note: str = ""
