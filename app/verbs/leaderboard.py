"""From values to a leaderboard: rows, marks and latencies, and its CSV form."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from app.evaluation_results import EvaluatedPipeline, EvaluationView, FailedQuery, MeasureCell, StageLatency
from app.verbs.exporting import FORMULA_STARTS
from engine.errors import BadInput, TriptychError
from engine.evaluate import TOTAL, Ran, common_queries, latencies, summarize
from engine.metrics.base import Metric, parse_metric
from engine.pipeline import PipelineSpec
from engine.significance import CORRECTIONS, TESTS

JUDGED = "Judged@10"
MOST_METRICS = 12


def chosen_metrics(written: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics, each once. Raises BadInput."""
    metrics = tuple(dict.fromkeys(parse_metric(text) for text in written))
    if not 1 <= len(metrics) <= MOST_METRICS:
        raise BadInput(f"An evaluation takes 1 to {MOST_METRICS} metrics; got {len(metrics)}.")
    return metrics


def checked_settings(
    names: Sequence[str], baseline: str | None, test: str, correction: str, level: float
) -> dict[str, Any]:
    """How pipelines are compared; the first is the baseline unless another is named. Raises BadInput."""
    if baseline is not None and baseline not in names:
        raise BadInput(f"The baseline {baseline!r} is not among the pipelines: {', '.join(names)}.")
    for given, known, what in ((test, TESTS, "test"), (correction, CORRECTIONS, "correction")):
        if given not in known:
            raise BadInput(f"There is no {what} called {given!r}. Known: {', '.join(known)}.")
    if not 0.5 <= level < 1:
        raise BadInput(f"The level of an interval is from 0.5 to below 1; got {level}.")
    return {"baseline": baseline or names[0], "test": test, "correction": correction, "level": level}


def raise_if_all_failed(ran: Ran, values: pl.DataFrame) -> None:
    """A leaderboard without a value is no leaderboard: tell why instead. Raises TriptychError."""
    if values["value"].null_count() == len(values) and len(ran.failures):
        raise TriptychError(
            f"Every pipeline failed on every query. {ran.failures['pipeline'][0]}: {ran.failures['error'][0]}"
        )


def leaderboard(
    evaluation_id: str,
    collection: str,
    query_set: str,
    created_at: str,
    finished: bool,
    stale: tuple[str, ...],
    settings: Mapping[str, Any],
    specs: Mapping[str, PipelineSpec],
    runs: Sequence[str],
    shown: Sequence[str],
    values: pl.DataFrame,
    ran: Ran,
    unjudged: int,
) -> EvaluationView:
    """The view of one evaluation; `shown` are the labels of the metrics asked for."""
    names = [*specs, *runs]
    told = values.filter(pl.col("measure").is_in(list(shown)))
    compared = {name: settings[name] for name in ("baseline", "test", "correction", "level")} if len(names) > 1 else {}
    summary = summarize(told, **compared) if len(told) else pl.DataFrame()
    by_name = {name: [row for row in summary.iter_rows(named=True) if row["pipeline"] == name] for name in names}
    judged = _judged(values)
    speed = latencies(ran.times)
    qids, _ = common_queries(told)
    return EvaluationView(
        evaluation_id=evaluation_id,
        collection=collection,
        query_set=query_set,
        created_at=created_at,
        finished=finished,
        stale=stale,
        metrics=tuple(shown),
        baseline=settings["baseline"],
        test=settings["test"],
        correction=settings["correction"],
        level=settings["level"],
        queries=len(qids),
        unjudged=unjudged,
        pipelines=tuple(
            _row(
                name,
                specs.get(name),
                by_name[name],
                judged.get(name),
                speed.filter(pl.col("pipeline") == name),
                ran,
                settings["level"],
            )
            for name in names
        ),
        failures=failed_queries(ran),
    )


def _judged(values: pl.DataFrame) -> dict[str, float | None]:
    part = values.filter(pl.col("measure") == JUDGED)
    return dict(part.group_by("pipeline").agg(pl.col("value").mean()).iter_rows())


def _row(
    name: str,
    spec: PipelineSpec | None,
    cells: Sequence[Mapping[str, Any]],
    judged: float | None,
    speed: pl.DataFrame,
    ran: Ran,
    level: float,
) -> EvaluatedPipeline:
    total = speed.filter(pl.col("path") == TOTAL).select("p50", "p95").rows()
    stages = speed.filter(pl.col("path") != TOTAL).select("path", "label", "p50", "p95").iter_rows()
    failed = ran.failures.filter(pl.col("pipeline") == name)
    return EvaluatedPipeline(
        name=name,
        yaml=spec.to_yaml() if spec else "",
        cells=tuple(_cell(row, level) for row in cells),
        judged=judged,
        p50=total[0][0] if total else None,
        p95=total[0][1] if total else None,
        stages=tuple(StageLatency(*stage) for stage in stages),
        failed=len(failed),
        error=failed["error"][0] if len(failed) else "",
    )


def _cell(row: Mapping[str, Any], level: float) -> MeasureCell:
    p = row["p_corrected"]
    significant = (
        0 if p is None or p >= 1 - level or not row["difference"] else int(math.copysign(1, row["difference"]))
    )
    finite = {
        key: value if not isinstance(value, float) or math.isfinite(value) else None for key, value in row.items()
    }
    return MeasureCell(
        **{name: finite[name] for name in MeasureCell.__slots__ if name != "significant"}, significant=significant
    )


def failed_queries(ran: Ran) -> tuple[FailedQuery, ...]:
    """Every failure, by pipeline and query."""
    return tuple(FailedQuery(*row) for row in ran.failures.iter_rows())


def leaderboard_csv(view: EvaluationView) -> str:
    """One line for each pipeline and measure, with everything that is known of it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    fields = [name for name in MeasureCell.__slots__ if name != "measure"]
    writer.writerow(("pipeline", "measure", *fields, "queries", "failed", JUDGED, "p50_ms", "p95_ms"))
    for one in view.pipelines:
        name = (
            "'" + one.name if one.name.startswith(FORMULA_STARTS) else one.name
        )  # a spreadsheet would run it as a formula
        for cell in one.cells:
            numbers = [getattr(cell, field) for field in fields]
            writer.writerow((name, cell.measure, *numbers, view.queries, one.failed, one.judged, one.p50, one.p95))
    return out.getvalue()
