"""What the verbs about evaluation return: plain frozen values that the CLI prints as JSON and the UI draws."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class QuerySetView:
    """A named set of queries; `judged_queries` counts those with a judgment of any rating."""

    name: str
    queries: int
    judged_queries: int
    judgments: int


@dataclass(frozen=True, slots=True)
class Imported:
    """What came out of a file. `form` is the layout it had; notices tell what does not fit the collection."""

    query_set: str
    form: str
    queries: int
    judgments: int
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Brought:
    """What came out of one file. `kind` is "queries", "judgments" or "run"; `name` the set or run; of a run, `judgments` counts its hits."""

    file: str
    kind: str
    name: str
    queries: int
    judgments: int
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetricView:
    """A metric that can be chosen. `example` is how it is usually written; `words` say what it tells, `about` how it is computed."""

    name: str
    example: str
    words: str
    about: str
    parameters: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeasureCell:
    """One measure of one pipeline. What compares with the baseline is None for the baseline itself, and where there is none.

    `condensed` is the mean with unjudged documents left out of the lists, None where the measure has no such form or nothing is judged irrelevant; `low` and `high` bound the mean at the evaluation's level; `significant` is +1 or -1 where the corrected p is below 1 - level, else 0.
    """

    measure: str
    mean: float | None
    low: float | None
    high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p: float | None
    p_corrected: float | None
    significant: int
    cohen_dz: float | None
    hedges_g: float | None
    wins: int | None
    ties: int | None
    losses: int | None
    condensed: float | None = None


@dataclass(frozen=True, slots=True)
class StageLatency:
    """Milliseconds of one stage over the queries; `path` is its place in the pipeline."""

    path: str
    label: str
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class EvaluatedPipeline:
    """One row of the leaderboard. `yaml` is empty for an imported run, which has no times either."""

    name: str
    yaml: str
    cells: tuple[MeasureCell, ...]
    judged: float | None
    """Judged@10: the mean share of the first ten that have a judgment."""
    p50: float | None
    p95: float | None
    stages: tuple[StageLatency, ...]
    failed: int
    """On how many queries it failed; they are in no mean, of any pipeline."""
    error: str
    """Why, for the first of them."""
    imported: bool = False
    """A run of another system, not a pipeline of this workspace."""
    bpref: float | None = None
    """Made for judgments with gaps: how rarely rejected documents stand above relevant ones."""
    command: str = ""
    """What reproduces this row; empty where nothing is stored."""


@dataclass(frozen=True, slots=True)
class FailedQuery:
    """A query on which a pipeline failed, and how."""

    pipeline: str
    qid: str
    error: str


@dataclass(frozen=True, slots=True)
class EvaluationView:
    """A leaderboard. `queries` is how many the means and tests are over: those that are judged and that every pipeline answered."""

    evaluation_id: str
    """Empty where nothing could be stored."""
    collection: str
    query_set: str
    created_at: str
    finished: bool
    stale: tuple[str, ...]
    metrics: tuple[str, ...]
    baseline: str
    test: str
    correction: str
    level: float
    queries: int
    unjudged: int
    pipelines: tuple[EvaluatedPipeline, ...]
    failures: tuple[FailedQuery, ...]
    command: str = ""
    """What reproduces the whole; empty where nothing is stored."""


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """A stored evaluation in a list. `best` is the pipeline with the highest mean of `measure`, the first metric; "" where there is none."""

    evaluation_id: str
    query_set: str
    created_at: str
    finished: bool
    stale: tuple[str, ...]
    pipelines: tuple[str, ...]
    metrics: tuple[str, ...]
    queries: int
    best: str
    measure: str
    mean: float | None
    done: int = 0
    """Queries that have run, judged or not."""


@dataclass(frozen=True, slots=True)
class QueryValues:
    """One query of an evaluation: the value of one measure by pipeline, None where it failed; `spread` is largest minus smallest.

    `tags` are the plain values of the query's metadata, to group queries by.
    """

    qid: str
    text: str
    values: dict[str, float | None]
    spread: float
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EvaluatedHit:
    """One hit of one query in an evaluation; `rating` is None where nobody judged it, `title` is "" where the document is not there."""

    rank: int
    doc_id: str
    title: str
    score: float
    rating: int | None


@dataclass(frozen=True, slots=True)
class PipelineHits:
    """The first hits of one pipeline or imported run on one query; `error` tells why there are none where it failed."""

    pipeline: str
    imported: bool
    hits: tuple[EvaluatedHit, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class ChangedSetting:
    """Something that two evaluations were asked differently, in words."""

    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ChangedMean:
    """The mean of one measure of one pipeline in two evaluations; None where one of them has none."""

    pipeline: str
    measure: str
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class EvaluationChanges:
    """What changed from one evaluation to another."""

    before: EvaluationSummary
    after: EvaluationSummary
    settings: tuple[ChangedSetting, ...]
    means: tuple[ChangedMean, ...]


@dataclass(frozen=True, slots=True)
class ReproducedRow:
    """A mean as it was stored and as it came out again; `largest` is the largest difference on any query, None where a value is missing."""

    pipeline: str
    measure: str
    stored: float | None
    again: float | None
    largest: float | None


@dataclass(frozen=True, slots=True)
class Reproduction:
    """Rows of a stored evaluation run again from its specification. `same`: every value within 1e-9; `stale` says what changed since."""

    evaluation_id: str
    rows: tuple[ReproducedRow, ...]
    same: bool
    stale: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PairBounds:
    """How far unjudged documents could move the mean difference of a pipeline from the baseline.

    `stands`: the better of the two stays the better whatever they turn out to be. `exact`: both bounds are reached by some judgments; else
    the truth may be narrower, never wider. `unjudged` counts the documents (by query) that nobody judged and that could matter.
    """

    pipeline: str
    difference: float
    low: float
    high: float
    stands: bool
    exact: bool
    unjudged: int


@dataclass(frozen=True, slots=True)
class FlipDocument:
    """An unjudged document of a query; `effect` is what it adds to the mean difference (`pipeline` minus baseline) if it is relevant."""

    qid: str
    query: str
    doc_id: str
    title: str
    pipeline: str
    effect: float


@dataclass(frozen=True, slots=True)
class VerdictBounds:
    """Which unjudged documents could flip a verdict, the most effective first. `rating` is what a relevant one is assumed to be worth."""

    measure: str
    baseline: str
    rating: int
    queries: int
    pairs: tuple[PairBounds, ...]
    documents: tuple[FlipDocument, ...]


@dataclass(frozen=True, slots=True)
class RunView:
    """An imported run; `absent` counts its documents that are not in the collection."""

    name: str
    tag: str
    source: str
    queries: int
    hits: int
    absent: int
    imported_at: str


@dataclass(frozen=True, slots=True)
class FittedPipeline:
    """A fusion fitted to judgments: `method` is wsum or lambdamart.

    `held_out` is what to expect of it: the mean over queries, each measured under what was fitted to the others' folds. `weights` are those
    that a weighted sum gets, `weighted` is its held-out mean, `equal` the mean under equal weights, `singles` that of each input alone.
    `saved` is the name it was saved under, "" where it was not.
    """

    yaml: str
    inputs: tuple[str, ...]
    method: str
    weights: tuple[float, ...]
    measure: str
    held_out: float
    weighted: float
    equal: float
    singles: tuple[float, ...]
    fold_weights: tuple[tuple[float, ...], ...]
    queries: int
    saved: str


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """How far two pipelines agree, averaged over `queries`: Jaccard@k, RBO at p = .9 and at p = .5 (`rbo_top`, nearly all of whose weight
    is on the first three), and Kendall's tau over the documents both found."""

    left: str
    right: str
    queries: int
    jaccard: float
    rbo: float
    rbo_top: float
    tau: float | None


@dataclass(frozen=True, slots=True)
class QueryAgreement:
    """One query, averaged over the pairs of pipelines."""

    qid: str
    text: str
    jaccard: float
    rbo: float
    rbo_top: float
    tau: float | None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Where pipelines and imported runs differ, without judgments: pairs, and the queries with the most different ones first.

    `names` are all that were compared. `disagreement_id` is "" where nothing is kept; `stale` says what has changed since.
    """

    collection: str
    query_set: str
    k: int
    names: tuple[str, ...]
    pairs: tuple[PairAgreement, ...]
    queries: tuple[QueryAgreement, ...]
    failures: tuple[FailedQuery, ...]
    disagreement_id: str = ""
    created_at: str = ""
    stale: tuple[str, ...] = ()
