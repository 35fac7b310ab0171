"""What the verbs in `services.py` return: plain frozen values that the CLI prints as JSON and the UI draws."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from engine.pipeline.explanation import Evidence


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text; `marks` names who matched it: "lexical" (a query term) or "semantic" (a token that the dense model weighs), or nothing."""

    text: str
    mark: Literal["", "lexical", "semantic"] = ""


@dataclass(frozen=True, slots=True)
class FoundBy:
    """One first-stage list in which a hit stood, with its rank and raw score there."""

    label: str
    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Card:
    """One result as shown: facts, snippet, and how it was found."""

    doc_id: str
    title: str
    authors: tuple[str, ...]
    year: int | None
    venue: str
    url: str
    source: str
    snippet: tuple[Piece, ...]
    rank: int
    score: float
    found_by: tuple[FoundBy, ...] = ()
    shortlisted: bool = False
    rating: int | None = None
    """The judgment for this query, where the query is one of the collection's judged questions."""
    probability: float | None = None
    """The estimated probability of relevance, where the pipeline holds a calibrate stage."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What the calibrate stage of a pipeline said of the hits that it received, those included that it dropped."""

    label: str
    """The calibrator, e.g. "platt"."""
    threshold: float
    """Hits with a lower probability are dropped."""
    probabilities: tuple[float, ...]
    """Of all hits received, best first."""
    relevant: tuple[float, ...]
    """Of those among them that are judged relevant, best first; empty where the query is not judged."""
    dropped: tuple[Card, ...] = ()
    """The first hits below the threshold, where the list that is shown reaches down to them."""

    def kept(self, threshold: float) -> int:
        """How many hits a threshold keeps."""
        return sum(p >= threshold for p in self.probabilities)

    def lost(self, threshold: float) -> int:
        """How many relevant hits a threshold drops."""
        return sum(p < threshold for p in self.relevant)

    @property
    def best(self) -> float:
        """The highest probability; 0 without hits."""
        return max(self.probabilities, default=0.0)


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One value of a field, and how many hits have it."""

    value: str
    count: int
    selected: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """`field` is "year", "venue", "source", "authors" or "metadata.<key>"."""

    field: str
    title: str
    values: tuple[FacetValue, ...]
    more: int = 0
    """How many further values exist beyond those listed."""
    cut: bool = False
    """Whether there are still others, which were not counted."""


@dataclass(frozen=True, slots=True)
class StageTime:
    """One stage of the trace. `ms` is its own time; `cached` says that another column had already run it in this request, and `ms` what it cost there."""

    path: str
    label: str
    ms: float
    rows_in: int
    rows_out: int
    cached: bool = False


@dataclass(frozen=True, slots=True)
class PipelineView:
    """A pipeline by name. `slot` (0..3) is its accent family when shown beside others."""

    name: str
    slot: int
    yaml: str
    summary: str
    """One line, e.g. "BM25 + all-MiniLM-L6-v2, fused by RRF (k=60)"."""
    reranks: bool = False
    """It has a rerank stage with stages before it."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A page of hits of one pipeline, with the facets of all of them."""

    collection: str
    query: str
    pipeline: PipelineView
    k: int
    offset: int
    total: int
    """Hits in the ranking (bounded by the pipeline's cut-off), before paging."""
    cards: tuple[Card, ...]
    facets: tuple[Facet, ...]
    stages: tuple[StageTime, ...]
    took_ms: float
    notices: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()
    """Questions that came with the collection; offered when there is no query."""
    calibrated: Calibrated | None = None
    """Where the pipeline holds a calibrate stage."""


@dataclass(frozen=True, slots=True)
class ColumnHit:
    """A hit in a column of a comparison, and how it stands against the column to the left."""

    card: Card
    movement: int | None
    """Ranks gained (+) or lost (-) against the column to the left; None when it is not there, or this is the first column."""
    new: bool
    """Not among the hits shown in the column to the left."""


@dataclass(frozen=True, slots=True)
class Column:
    """What one pipeline of a comparison returned, or why it failed."""

    pipeline: PipelineView
    hits: tuple[ColumnHit, ...]
    stages: tuple[StageTime, ...]
    took_ms: float
    """What the pipeline costs by itself, shared stages included."""
    total: int
    error: str = ""
    """A failed pipeline says why here and is never shown as zero results."""
    error_kind: str = ""
    """The name of that error's class, as in `engine.errors`."""
    calibrated: Calibrated | None = None
    """Where the pipeline holds a calibrate stage."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How much two columns agree on their first k documents: Jaccard, RBO (p=0.9), shared count."""

    left: int
    right: int
    jaccard: float
    rbo: float
    shared: int


@dataclass(frozen=True, slots=True)
class CompareResult:
    """One query by two to four pipelines, side by side, and how far each pair agrees."""

    collection: str
    query: str
    k: int
    columns: tuple[Column, ...]
    agreement: tuple[Agreement, ...]
    took_ms: float
    judged: bool
    """The query is one of the collection's judged questions, so cards carry ratings."""
    notices: tuple[str, ...] = ()
    suggestions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """What one input list gave to one fused hit; rank and raw are None where the list did not hold it."""

    rank: int | None
    raw: float | None
    normalised: float | None
    contribution: float


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A fused hit, and what each list gave to it."""

    doc_id: str
    title: str
    rank: int
    score: float
    entries: tuple[LedgerEntry, ...]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The fusion ledger: per hit, each list's rank, raw score and contribution. `formula` in words and symbols."""

    pipeline: str
    method: str
    formula: str
    inputs: tuple[str, ...]
    rows: tuple[LedgerRow, ...]


@dataclass(frozen=True, slots=True)
class Attribution:
    """A term or token and what it adds to the score; `start`/`end` are offsets in the document's "title. text" form, -1 when not located."""

    token: str
    weight: float
    start: int = -1
    end: int = -1


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one stage gave this score. The weights sum to the score when `exact`; `evidence` says what was compared."""

    label: str
    family: str
    exact: bool
    score: float
    rank: int | None
    attributions: tuple[Attribution, ...]
    note: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Why a document is not among the hits of one pipeline. `verdict`: shown, below_cutoff, below_threshold, filtered, missed_by_ann, no_shared_term, not_in_collection, not_indexed, error."""

    pipeline: str
    slot: int
    verdict: str
    sentence: str
    details: tuple[tuple[str, str], ...] = ()
    """One (retriever, what happened there) pair per first-stage list."""


@dataclass(frozen=True, slots=True)
class DocumentView:
    """Everything the reader pane shows."""

    doc_id: str
    title: str
    text: str
    authors: tuple[str, ...]
    year: int | None
    venue: str
    url: str
    source: str
    metadata: tuple[tuple[str, str], ...]
    passages: tuple[tuple[int, int], ...]
    shortlisted: bool
    neighbours: tuple[Card, ...] = ()
    explanations: tuple[Explanation, ...] = ()


@dataclass(frozen=True, slots=True)
class IndexView:
    """One index of a collection: its state, its size, and what it loses."""

    generation_id: str
    kind: str
    label: str
    """e.g. "BM25 · english" or "Dense · all-MiniLM-L6-v2 · exact"."""
    rows: int
    bytes: int
    built_at: str
    state: Literal["ready", "behind", "absent", "building", "damaged"]
    """damaged: it cannot be opened or described here; `note` says why."""
    behind: int
    """Live units that the index does not hold yet."""
    recall: float | None
    """Measured recall@10 against exact search; None for lexical indexes."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class CollectionView:
    """A collection with its counts, its size and its indexes."""

    name: str
    description: str
    documents: int
    passages: int
    created_at: str
    bytes: int
    indexes: tuple[IndexView, ...]
    judged_queries: int
    state: Literal["empty", "paused", "ready", "behind", "indexing", "unindexed"]
    """paused: nothing is in it yet, and a job that would add something was paused or waits to be resumed."""


DELETED = "(deleted)"
"""What stands for the name of a collection that is gone."""


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as it stands: how far it is, what it counted, what went wrong."""

    job_id: str
    kind: str
    collection: str
    label: str
    status: Literal["queued", "running", "paused", "interrupted", "done", "failed", "cancelled"]
    phase: str
    done: int
    total: int | None
    unit: str
    rate: float | None
    eta_seconds: float | None
    counts: dict[str, int]
    """added, changed, unchanged, duplicate, rejected."""
    error: str
    started_at: str
    finished_at: str
    wish: Literal["", "pause", "cancel", "stop"] = ""
    """What a running job was asked to do, and does at its next step."""
    result: str = ""
    """The id of what it makes, as an evaluation, or the name of a model; "" where that is not one thing."""
    hosts: str = ""
    """Where a download came from, when the hub sent to other hosts for its files: their names, in order."""


@dataclass(frozen=True, slots=True)
class RejectionView:
    """A row that was skipped: where it stood, why, and what stood there."""

    place: str
    reason: str
    excerpt: str


@dataclass(frozen=True, slots=True)
class ColumnGuess:
    """Which input column feeds a field of the document; "" when none."""

    field: str
    column: str


@dataclass(frozen=True, slots=True)
class Preview:
    """The first records of what is about to be added, with the guessed columns."""

    format: str
    source: str
    guesses: tuple[ColumnGuess, ...]
    available: tuple[str, ...]
    records: tuple[dict[str, Any], ...]
    rejected: tuple[RejectionView, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkspaceView:
    """The workspace: its folder, what it takes, its collections, and what there is to know about it."""

    folder: str
    bytes: int
    free_bytes: int
    read_only: bool
    collections: tuple[CollectionView, ...]
    notices: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class LanguageModelView:
    """The named endpoint. After a trial: what it answered, whether it tells log-probabilities, and how long it took; None before one."""

    url: str
    model: str
    timeout_s: float
    has_key: bool
    from_environment: bool
    answer: str = ""
    log_probabilities: bool | None = None
    ms: float | None = None
