"""What the calibration verbs return: plain values that the page, the command line and reports show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """A measure on held-out queries and its 95 % interval; None where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of relevant and other hits in equally wide bins from `low` to `high`."""

    low: float
    high: float
    relevant: tuple[int, ...]
    other: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReliabilityBins:
    """Equally wide bins of probability: how many hits, what was promised, what came true; None in empty bins."""

    count: tuple[int, ...]
    predicted: tuple[float | None, ...]
    observed: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a threshold does to held-out queries; None where there is nothing to take a share of.

    best: answerable queries that keep their best document; emptied: queries without an answer whose list becomes empty;
    results: hits kept for a query, on average.
    """

    threshold: float
    precision: float | None
    recall: float | None
    best: float | None
    emptied: float | None
    results: float


@dataclass(frozen=True, slots=True)
class CalibratedMethod:
    """One calibrator on one pipeline. Everything but `yaml` and `threshold`, which are for use, is measured on queries that its fit did not see."""

    name: str
    label: str
    needs_judgments: bool
    yaml: str
    threshold: float
    measures: dict[str, Interval]
    at_threshold: Effect
    bins: ReliabilityBins
    probabilities: Histogram
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class CalibratedPipeline:
    """One pipeline's scores and what each calibrator makes of them. relevant: relevant among the hits; answerable: queries with a relevant document."""

    name: str
    queries: int
    answerable: int
    hits: int
    relevant: int
    scores: Histogram
    methods: tuple[CalibratedMethod, ...]


@dataclass(frozen=True, slots=True)
class CalibrationView:
    """A stored calibration. `stale` says in words what has changed since."""

    calibration_id: str
    collection: str
    query_set: str
    created_at: str
    stale: tuple[str, ...]
    target: str
    folds: int
    depth: int
    rating: int
    pipelines: tuple[CalibratedPipeline, ...]


@dataclass(frozen=True, slots=True)
class CalibrationSummary:
    """A line of the history."""

    calibration_id: str
    query_set: str
    created_at: str
    target: str
    pipelines: tuple[str, ...]
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueryCurve:
    """One calibrator's probabilities of a query's hits, and its curve over the range of these scores: (score, probability) points, ascending."""

    method: str
    label: str
    threshold: float
    points: tuple[tuple[float, float], ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class QueryCurves:
    """The hits of one query (doc_id, title, score; best first) and what each calibrator says of them."""

    pipeline: str
    query: str
    hits: tuple[tuple[str, str, float], ...]
    curves: tuple[QueryCurve, ...]
