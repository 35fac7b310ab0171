"""From values to a leaderboard: rows, marks and latencies, and its CSV form."""

from __future__ import annotations

import hashlib
import math
import shlex
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from app.results.evaluation import EvaluatedPipeline, EvaluationView, FailedQuery, MeasureCell, StageLatency
from app.verbs.tables import table_bytes
from engine.errors import BadInput
from engine.evaluation.measure import TOTAL, common_queries, latencies, summarize
from engine.metrics.base import Metric, parse_metric
from engine.pipeline.stages import PipelineSpec
from engine.statistics.significance import CORRECTIONS, TESTS
from engine.types import Ran

JUDGED = "Judged@10"
BPREF = "Bpref"
MOST_METRICS = 12
KEPT = 32
"""How many summaries are kept."""


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


def measured_with(chosen: Sequence[Metric]) -> tuple[Metric, ...]:
    """The chosen metrics, and those that tell how far to trust them: how much is judged, condensed forms, bpref."""
    condensed = [form for metric in chosen if (form := metric.condensed_form()) is not None]
    return tuple(dict.fromkeys((*chosen, parse_metric(JUDGED), parse_metric(BPREF), *condensed)))


@dataclass(frozen=True, slots=True)
class Shown:
    """What an evaluation was asked: the facts on a leaderboard that are not numbers. `settings` has baseline, test, correction, level and shown."""

    evaluation_id: str
    collection: str
    query_set: str
    created_at: str
    finished: bool
    stale: tuple[str, ...]
    settings: Mapping[str, Any]
    specs: Mapping[str, PipelineSpec]
    runs: tuple[str, ...]
    rejected: bool = True
    """Some judged document is not relevant. Without one, lists of judged documents only are perfect, and measures of them tell nothing."""

    def command(self, pipeline: str = "") -> str:
        """What runs it, or one of its rows, again; "" where nothing is stored."""
        if not self.evaluation_id:
            return ""
        words = ["triptych", "evaluations", "reproduce", self.evaluation_id[:12], "--collection", self.collection]
        return shlex.join([*words, *(["--pipeline", pipeline] if pipeline else [])])


def leaderboard(about: Shown, values: pl.DataFrame, ran: Ran, unjudged: int) -> EvaluationView:
    """The view of one evaluation; the measures shown are those asked for."""
    settings, shown = about.settings, list(about.settings["shown"])
    names = [*about.specs, *about.runs]
    told = values.filter(pl.col("measure").is_in(shown))
    compared = {name: settings[name] for name in ("baseline", "test", "correction", "level")} if len(names) > 1 else {}
    summary = _summarized(told, compared) if len(told) else pl.DataFrame()
    qids, _ = common_queries(told)
    extra = _means(values.filter(pl.col("qid").is_in(qids))) if about.rejected else {}
    judged = dict(
        values.filter(pl.col("measure") == JUDGED).group_by("pipeline").agg(pl.col("value").mean()).iter_rows()
    )
    speed = latencies(ran.times)
    rows = []
    for name in names:
        cells = [row for row in summary.iter_rows(named=True) if row["pipeline"] == name]
        failed = ran.failures.filter(pl.col("pipeline") == name)
        spec, times = about.specs.get(name), speed.filter(pl.col("pipeline") == name)
        total = times.filter(pl.col("path") == TOTAL).select("p50", "p95").rows()
        stages = times.filter(pl.col("path") != TOTAL).select("path", "label", "p50", "p95").iter_rows()
        rows.append(
            EvaluatedPipeline(
                name=name,
                yaml=spec.to_yaml() if spec else "",
                cells=tuple(_cell(row, settings["level"], extra) for row in cells),
                judged=judged.get(name),
                p50=total[0][0] if total else None,
                p95=total[0][1] if total else None,
                stages=tuple(StageLatency(*stage) for stage in stages),
                failed=len(failed),
                error=failed["error"][0] if len(failed) else "",
                imported=spec is None,
                bpref=extra.get((name, BPREF)),
                command=about.command(name),
            )
        )
    return EvaluationView(
        evaluation_id=about.evaluation_id,
        collection=about.collection,
        query_set=about.query_set,
        created_at=about.created_at,
        finished=about.finished,
        stale=about.stale,
        metrics=tuple(shown),
        baseline=settings["baseline"],
        test=settings["test"],
        correction=settings["correction"],
        level=settings["level"],
        queries=len(qids),
        unjudged=unjudged,
        pipelines=tuple(rows),
        failures=failed_queries(ran),
        command=about.command(),
    )


_summaries: OrderedDict[tuple[Any, ...], pl.DataFrame] = OrderedDict()
_summaries_lock = threading.Lock()


def _summarized(values: pl.DataFrame, compared: Mapping[str, Any]) -> pl.DataFrame:
    """`summarize`, kept for the last few tables of values, because a page that is only looked at otherwise draws the same again."""
    rows = hashlib.sha256(values.hash_rows(seed=1).to_numpy().tobytes()).digest()
    key = (rows, *sorted(compared.items()))
    with _summaries_lock:
        if key in _summaries:
            _summaries.move_to_end(key)
            return _summaries[key]
    found = summarize(values, **compared)
    with _summaries_lock:
        _summaries[key] = found
        while len(_summaries) > KEPT:
            _summaries.popitem(last=False)
    return found


def _means(values: pl.DataFrame) -> dict[tuple[str, str], float | None]:
    """The mean of each (pipeline, measure)."""
    means = values.group_by("pipeline", "measure").agg(pl.col("value").mean())
    return {(name, measure): mean for name, measure, mean in means.iter_rows()}


def _cell(row: Mapping[str, Any], level: float, means: Mapping[tuple[str, str], float | None]) -> MeasureCell:
    p = row["p_corrected"]
    significant = (
        0 if p is None or p >= 1 - level or not row["difference"] else int(math.copysign(1, row["difference"]))
    )
    finite: dict[str, Any] = {
        key: value if not isinstance(value, float) or math.isfinite(value) else None for key, value in row.items()
    }
    form = parse_metric(row["measure"]).condensed_form()
    condensed = means.get((row["pipeline"], form.label())) if form is not None else None
    own = {name: finite[name] for name in MeasureCell.__slots__ if name not in ("significant", "condensed")}
    return MeasureCell(**own, significant=significant, condensed=condensed)


def failed_queries(ran: Ran) -> tuple[FailedQuery, ...]:
    """Every failure, by pipeline and query."""
    return tuple(FailedQuery(*row) for row in ran.failures.iter_rows())


def leaderboard_table(view: EvaluationView, *, full: bool = True) -> pl.DataFrame:
    """A row for each pipeline and measure with everything that is known of it; or, not `full`, for each pipeline, a column for each mean."""
    fields = [name for name in MeasureCell.__slots__ if name != "measure"]
    rows: list[dict[str, Any]] = []
    for one in view.pipelines:
        after = {"failed": one.failed, JUDGED: one.judged, "p50_ms": one.p50, "p95_ms": one.p95}
        if full:
            rows += [
                {"pipeline": one.name, "measure": cell.measure}
                | {field: getattr(cell, field) for field in fields}
                | {"queries": view.queries, **after, BPREF: one.bpref}
                for cell in one.cells
            ]
        else:
            rows.append({"pipeline": one.name} | {cell.measure: cell.mean for cell in one.cells} | after)
    return pl.DataFrame(rows, infer_schema_length=None)


def leaderboard_csv(view: EvaluationView) -> str:
    """`leaderboard_table` as CSV."""
    return table_bytes(leaderboard_table(view), "csv").decode()
