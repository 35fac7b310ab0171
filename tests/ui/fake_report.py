"""Reports over synthetic values: an evaluation, a comparison and a calibration with hostile texts in every place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fake_evaluation import HOSTILE, rows, view

from app.report import report
from app.results.calibration import (
    CalibratedMethod,
    CalibratedPipeline,
    CalibrationView,
    Effect,
    Histogram,
    Interval,
    ReliabilityBins,
)
from app.results.calibration_table import MEASURES
from app.results.evaluation import EvaluatedHit, EvaluationView, PipelineHits, QueryValues
from app.results.report import CalibrationReport, ComparisonReport, EvaluationReport, Origin, ReportedQuery
from app.results.search import (
    Agreement,
    Card,
    Column,
    ColumnHit,
    CompareResult,
    Ledger,
    LedgerEntry,
    LedgerRow,
    PipelineView,
    StageTime,
)

ORIGIN = Origin(
    (("hash of the documents", "c0ffee"), ("query set", HOSTILE)),
    {"BM25 · english": "bm25:abc@7", HOSTILE: ""},
    (("Everything again", f"triptych evaluations reproduce ev-2 --collection '{HOSTILE}'"),),
    "1.2.3",
    "2026-05-02 10:11 UTC",
)


def hits(name: str, shift: int, k: int = 10) -> PipelineHits:
    found = [
        EvaluatedHit(i + 1, f"d{i + shift}", f"A title that is as long as titles are, number {i + shift}", 9.5 - i, (None, 0, 2)[i % 3])
        for i in range(k)
    ]  # fmt: skip
    return PipelineHits(name, False, tuple(found))


def reported(
    shown: EvaluationView | None = None, table: tuple[QueryValues, ...] = (), **changes: Any
) -> EvaluationReport:
    shown = shown or view()
    names = [one.name for one in shown.pipelines]
    table = table or rows(40, "nDCG@10", names)
    columns = tuple(hits(name, i) for i, name in enumerate(names))
    asked = ReportedQuery(
        "q05", HOSTILE, table[-1].values, (*columns[:-1], replace(columns[-1], hits=(), error=HOSTILE))
    )
    made = EvaluationReport(shown, "nDCG@10", table, {"AP": "What AP tells."}, (asked,), False, ORIGIN)
    return replace(made, **changes)


def calibrated() -> CalibrationView:
    interval = Interval(0.123, 0.101, 0.145)
    effects = tuple(Effect(t / 10, 0.1 + t / 20, 1 - t / 10, 0.9, None, 10 - t) for t in range(11))
    method = CalibratedMethod(
        "platt", f"Platt {HOSTILE}", True, "pipeline: []", 0.314,
        dict.fromkeys(MEASURES, interval), effects[3],
        ReliabilityBins((5, 0, 50), (0.1, None, 0.9), (0.2, None, 0.8)), Histogram(0, 1, (1, 2), (3, 4)), effects,
    )  # fmt: skip
    part = CalibratedPipeline(
        f"Dense {HOSTILE}", 20, 18, 400, 37, Histogram(-1.5, 8.25, (0, 3, 9), (80, 20, 1)), (method,)
    )
    return CalibrationView(
        "ca11b", "Retrieval papers", HOSTILE, "2026-05-02 10:11:12", (HOSTILE,), "recall>=0.9", 5, 100, 1, (part,)
    )


def compared() -> ComparisonReport:
    def card(i: int, rank: int) -> ColumnHit:
        made = Card(
            f"d{i}", f"Title {i} {HOSTILE}", (), 2020, "", "javascript:alert(1)", "", (), rank, 1 / rank, rating=i % 3
        )
        return ColumnHit(made, None, False)

    def column(name: str, order: tuple[int, ...], error: str = "") -> Column:
        found = tuple(card(i, rank) for rank, i in enumerate(order, 1))
        stages = (StageTime("0", "BM25", 1.5, 1, 100), StageTime("1", "fuse (rrf)", 0.5, 100, 10, cached=True))
        return Column(PipelineView(name, 0, f"pipeline: []\n# {HOSTILE}", ""), found, stages, 12.5, len(found), error)

    columns = (column("A", (1, 2, 3)), column(HOSTILE, (3, 1, 4)), column("C", (), "The index is not built."))
    result = CompareResult("Papers", f"what? {HOSTILE}", 10, columns, (Agreement(0, 1, 0.5, 0.432, 2),), 20.0, True)
    row = LedgerRow(
        "d3", "Title 3", 1, 0.03252, (LedgerEntry(1, 7.75, 1.0, 0.01639), LedgerEntry(None, None, None, 0.0))
    )
    ledger = Ledger(HOSTILE, "Reciprocal rank fusion", "sum 1/(k + rank)", ("first", "second"), (row,))
    return ComparisonReport(result, (ledger,), ORIGIN, (("year", "1990, 2020"),))


PAGES: dict[str, Callable[[], str]] = {
    "evaluation": lambda: report.evaluation(reported(calibration=calibrated())),
    "comparison": lambda: report.comparison(compared()),
    "calibration": lambda: report.calibration(CalibrationReport(calibrated(), ORIGIN)),
}
