"""The verbs about calibration over synthetic values: two pipelines, three calibrators, one stale and one newer calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from app.results.calibration import (
    CalibratedMethod,
    CalibratedPipeline,
    CalibrationSummary,
    CalibrationView,
    Effect,
    Histogram,
    Interval,
    QueryCurve,
    QueryCurves,
    ReliabilityBins,
)
from app.results.search import JobView, PipelineView
from engine.errors import BadInput, NotFound

WORDS = {"min_max": "Scale scores.", "platt": "A sigmoid.", "isotonic": "A rising step function."}
LEVELS = {"min_max": 0.31, "platt": 0.04, "isotonic": 0.05}
CALIBRATING = JobView(
    job_id="job-cal", kind="calibrate", collection="Retrieval papers", label="Calibrate Hybrid", status="running", phase="calibrate",
    done=7, total=18, unit="fits", rate=2.0, eta_seconds=5.0, counts={}, error="", started_at="2026-05-02T10:11:00", finished_at="", result="",
)  # fmt: skip
CALIBRATED = replace(CALIBRATING, job_id="job-cal-done", status="done", done=18, result="cal-2")


def effects() -> tuple[Effect, ...]:
    """A higher threshold keeps less, and more of it is relevant."""
    return tuple(
        Effect(i / 20, None if i == 20 else 0.1 + 0.04 * i, 1 - i / 20, 1 - i / 25, i / 20, 100 - 5.0 * i)
        for i in range(21)
    )


def method(name: str, threshold: float = 0.2) -> CalibratedMethod:
    """One calibrator; its name decides how good it is."""
    ece = LEVELS[name]
    values = {"ECE": ece, "Brier": ece / 2, "log loss": 3 * ece, "AUC": 0.8, "precision": 0.3, "recall": None}
    measures = {
        key: Interval(value, None if value is None else value - 0.01, None if value is None else value + 0.01)
        for key, value in values.items()
    }
    return CalibratedMethod(
        name=name, label=name, needs_judgments=name != "min_max", yaml="pipeline: []", threshold=threshold, measures=measures,
        at_threshold=effects()[4], bins=ReliabilityBins((50, 0, 10), (0.1, None, 0.8), (0.1 + ece, None, 0.8 - ece)),
        probabilities=Histogram(0, 1, (1, 2), (2, 1)), effects=effects(),
    )  # fmt: skip


def calibration(calibration_id: str = "cal-2") -> CalibrationView:
    """Hybrid and Dense, on questions some of which have no answer."""
    scores = Histogram(0.0, 2.0, (0, 1, 3, 8), (90, 40, 7, 0))
    methods = tuple(method(name) for name in LEVELS)
    parts = tuple(CalibratedPipeline(name, 40, 36, 149, 12, scores, methods) for name in ("Hybrid", "Dense"))
    stale = ("the judgments have changed",) if calibration_id == "cal-1" else ()
    return CalibrationView(calibration_id, "Retrieval papers", "default", "2026-05-02 10:11:00", stale, "recall ≥ 0.9", 5, 100, 1, parts)  # fmt: skip


class FakeCalibrations:
    """Two calibrations, of one collection."""

    saved: dict[str, str]

    def calibrators(self) -> dict[str, str]:
        return WORDS

    def calibrations(self, collection: str) -> tuple[CalibrationSummary, ...]:
        if collection != "Retrieval papers":
            return ()
        told = ("default", "2026-05-02 10:11:00", "recall ≥ 0.9", ("Hybrid", "Dense"), tuple(LEVELS))
        return tuple(CalibrationSummary(name, *told) for name in ("cal-2", "cal-1"))

    def calibration(self, collection: str, calibration_id: str) -> CalibrationView:
        if calibration_id not in ("cal-1", "cal-2"):
            raise NotFound(f"No calibration of this collection begins with {calibration_id!r}.")
        return calibration(calibration_id)

    def delete_calibration(self, collection: str, calibration_id: str) -> None:
        self.calibration(collection, calibration_id)

    def report_calibration(self, collection: str, calibration_id: str) -> bytes:
        return f"<!doctype html><title>{self.calibration(collection, calibration_id).target}</title>".encode()

    def start_calibration(self, collection: str, pipelines: Sequence[str], **options: Any) -> str:
        if options["folds"] > 20:
            raise BadInput("Take 2 to 20 folds.")
        return "job-cal"

    def save_calibrated(
        self, collection: str, calibration_id: str, pipeline: str, method: str, *, name: str, threshold: float | None = None
    ) -> PipelineView:  # fmt: skip
        self.saved[name] = "pipeline:\n- bm25: {}\n"
        return PipelineView(name, 0, self.saved[name], "calibrated")

    def query_curves(self, collection: str, calibration_id: str, pipeline: str, query: str, *, k: int = 20) -> QueryCurves:  # fmt: skip
        if query == "nowhere":
            return QueryCurves(pipeline, query, (), ())
        level = 0.1 if "cake" in query else 0.9
        hits = tuple((f"paper-{i:03d}", f"Title {i}", 2.0 - i / 5) for i in range(5))
        curves = []
        for name in LEVELS:
            p = tuple(level * (1 - i / 5) for i in range(5))
            curves.append(
                QueryCurve(name, name, 0.2, tuple((hit[2], value) for hit, value in zip(hits, p, strict=True))[::-1], p)
            )
        return QueryCurves(pipeline, query, hits, tuple(curves))
