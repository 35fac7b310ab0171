"""What a report is made from: plain values gathered once, which the views turn into one HTML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.results.calibration import CalibrationView
from app.results.evaluation import EvaluationView, PipelineHits, QueryValues
from app.results.search import CompareResult, Ledger


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the numbers come from, so that they can be checked.

    `facts` are (what, value) pairs, as the hash of the documents; `fingerprints` what each index was built with, by its label; `commands`
    make the same again, in the order in which they are given; `version` and `made_at` are of the report itself.
    """

    facts: tuple[tuple[str, str], ...]
    fingerprints: Mapping[str, str]
    commands: tuple[tuple[str, str], ...]
    version: str
    made_at: str


@dataclass(frozen=True, slots=True)
class ReportedQuery:
    """One question side by side: the first hits of every pipeline, and what each is worth by the shown measure."""

    qid: str
    text: str
    values: Mapping[str, float | None]
    columns: tuple[PipelineHits, ...]


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """An evaluation to be reported. `measure` is what the drawings show; `rows` are its values; `words` tell what the metrics mean."""

    view: EvaluationView
    measure: str
    rows: tuple[QueryValues, ...]
    words: Mapping[str, str]
    queries: tuple[ReportedQuery, ...]
    chosen: bool
    """The questions were named; else they are those on which the pipelines differ most."""
    origin: Origin
    calibration: CalibrationView | None = None


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """One query through two to four pipelines. `ledgers` are of those that fuse lists."""

    result: CompareResult
    ledgers: tuple[Ledger, ...]
    origin: Origin
    filters: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """A stored calibration by itself."""

    view: CalibrationView
    origin: Origin
