"""What the verbs about evaluation return: plain frozen values that the CLI prints as JSON and the UI draws."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QuerySetView:
    """A named set of questions; `judged_queries` counts those with a judgment of any rating."""

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

    `low` and `high` bound the mean at the evaluation's level; `significant` is +1 or -1 where the corrected p is below 1 - level, else 0.
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


@dataclass(frozen=True, slots=True)
class FailedQuery:
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


@dataclass(frozen=True, slots=True)
class QueryValues:
    """One query of an evaluation: the value of one measure by pipeline, None where it failed; `spread` is largest minus smallest."""

    qid: str
    text: str
    values: dict[str, float | None]
    spread: float


@dataclass(frozen=True, slots=True)
class PairAgreement:
    """How far two pipelines agree, averaged over `queries`: Jaccard@k, RBO (p=0.9), and Kendall's tau over the documents both found."""

    left: str
    right: str
    queries: int
    jaccard: float
    rbo: float
    tau: float | None


@dataclass(frozen=True, slots=True)
class QueryAgreement:
    """One query, averaged over the pairs of pipelines."""

    qid: str
    text: str
    jaccard: float
    rbo: float
    tau: float | None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Where pipelines differ, without judgments: pairs, and the queries with the most different ones first."""

    collection: str
    query_set: str
    k: int
    pairs: tuple[PairAgreement, ...]
    queries: tuple[QueryAgreement, ...]
    failures: tuple[FailedQuery, ...]
