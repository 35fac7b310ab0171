"""Specifications × queries × judgments: run, measure, summarize. Everything is a table; a query that fails has no value, never a zero."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from engine.errors import BadInput, Cancelled, TriptychError
from engine.metrics.base import Floats, Metric, mark
from engine.pipeline.context import Context
from engine.pipeline.stages import PipelineSpec
from engine.pipeline.trace import Span
from engine.statistics.significance import (
    CORRECTIONS,
    SEED,
    TESTS,
    bootstrap_intervals,
    cohen_dz,
    hedges_g,
    win_tie_loss,
)
from engine.types import (
    RUN_FAILURES,
    RUN_HITS,
    RUN_TIMES,
    SUMMARY,
    VALUES,
    Progress,
    ProgressSink,
    Ran,
    Ranking,
    ignore_progress,
)

TOTAL = ""
"""The path of the rows in RUN_TIMES that hold a whole pipeline's time."""
DEPTH = 1000


def run_queries(
    context: Callable[[], Context],
    pipelines: Mapping[str, PipelineSpec],
    queries: Sequence[tuple[str, str]],
    *,
    depth: int = DEPTH,
    batch: int = 1,
    progress: ProgressSink = ignore_progress,
    done: int = 0,
) -> Iterator[Ran]:
    """Run every pipeline on the (qid, text) pairs, a batch at a time and one context a batch, so that shared prefixes run once.

    Times are what a pipeline would take alone, prefixes included; with a batch above 1 they are the batch's share of a query. A batch in
    which a pipeline fails is run again query by query, so that only the queries at fault fail. `done` counts queries finished before.
    Raises what `progress` raises, between two batches; what was yielded before is whole.
    """
    if batch < 1:
        raise BadInput(f"A batch has at least one query; got {batch}.")
    total = done + len(queries)
    if queries:
        _batch(context, pipelines, queries[:1], depth)  # opens indexes and models, so that no query is charged for it
    for start in range(0, len(queries), batch):
        progress(Progress("evaluate", done + start, total, "queries"))
        yield _batch(context, pipelines, queries[start : start + batch], depth)
    progress(Progress("evaluate", total, total, "queries"))


def _batch(
    context: Callable[[], Context],
    pipelines: Mapping[str, PipelineSpec],
    queries: Sequence[tuple[str, str]],
    depth: int,
) -> Ran:
    asked, live = Ranking.of(queries), context()
    parts = [_one(live, name, spec, asked, depth) for name, spec in pipelines.items()]
    if len(queries) > 1 and any(len(part.failures) for part in parts):
        return Ran.together([_batch(context, pipelines, [query], depth) for query in queries])
    ran = Ran.together(parts)
    return Ran(tuple(qid for qid, _ in queries), ran.hits, ran.times, ran.failures)


def _one(context: Context, name: str, spec: PipelineSpec, asked: Ranking, depth: int) -> Ran:
    qids = asked.queries["qid"]
    try:
        ranking, root = context.execute(spec.pipeline, asked)
    except Cancelled:
        raise
    except Exception as error:  # one query must not take the others with it, whatever went wrong
        reason = str(error) if isinstance(error, TriptychError) else f"Unexpected {type(error).__name__}: {error}"
        failures = pl.DataFrame([(name, qid, reason) for qid in qids], schema=RUN_FAILURES, orient="row")
        return Ran((), pl.DataFrame(schema=RUN_HITS), pl.DataFrame(schema=RUN_TIMES), failures)
    hits = ranking.top(depth).hits.select(pl.lit(name).alias("pipeline"), "qid", "doc_id", "score")
    spent = _spent(root)
    total = sum(ms for _, _, ms in spent)
    spent = [(TOTAL, "total", total), *(row for row in spent if row[1])]
    times = [(name, qid, path, label, ms / len(qids)) for qid in qids for path, label, ms in spent]
    return Ran((), hits, pl.DataFrame(times, schema=RUN_TIMES, orient="row"), pl.DataFrame(schema=RUN_FAILURES))


def _spent(span: Span, path: str = "0") -> list[tuple[str, str, float]]:
    """(path, label, milliseconds) of each stage's own work, cached stages at what they cost when they ran. Mere sequences have no label.

    Paths are counted here: the children of a cached stage carry those of the pipeline that ran them.
    """
    inner = [row for i, child in enumerate(span.children) for row in _spent(child, f"{path}/{i}")]
    return [*inner, (path, "" if span.stage.name == "then" else span.stage.label(), span.alone_ms)]


def measure(
    hits: pl.DataFrame,
    judgments: pl.DataFrame,
    qids: Sequence[str],
    pipelines: Sequence[str],
    metrics: Sequence[Metric],
    failures: pl.DataFrame,
) -> pl.DataFrame:
    """VALUES of every pipeline, query and metric. hits: RUN_HITS; judgments: qid, doc_id, rating; failures: RUN_FAILURES.

    `qids` are the queries to judge; one without hits scores 0, one on which the pipeline failed is null.
    """
    order = pl.DataFrame({"qid": list(qids)}, schema={"qid": pl.String})
    tables = [pl.DataFrame(schema=VALUES)]
    for name in pipelines:
        marked = mark(qids, hits.filter(pl.col("pipeline") == name), judgments)
        failed = order["qid"].is_in(failures.filter(pl.col("pipeline") == name)["qid"].implode())
        tables += [
            order.select(
                "qid",
                pl.lit(name).alias("pipeline"),
                pl.lit(metric.label()).alias("measure"),
                pl.Series("value", metric.values(marked), dtype=pl.Float64).set(failed, None),
            )
            for metric in metrics
        ]
    return pl.concat(tables)


def common_queries(values: pl.DataFrame) -> tuple[list[str], list[str]]:
    """(queries that every pipeline answered, pipelines that answered none). Means and tests are over the former, so that they compare the same."""
    answered = values.group_by("pipeline", maintain_order=True).agg(pl.col("value").is_not_null().any().alias("any"))
    out = answered.filter(~pl.col("any"))["pipeline"].to_list()
    judged = values.filter(~pl.col("pipeline").is_in(out))
    whole = judged.group_by("qid", maintain_order=True).agg(pl.col("value").is_not_null().all().alias("all"))
    return whole.filter("all")["qid"].to_list(), out


def summarize(
    values: pl.DataFrame,
    *,
    baseline: str | None = None,
    test: str = "randomization",
    correction: str = "holm",
    level: float = 0.95,
    seed: int = SEED,
) -> pl.DataFrame:
    """SUMMARY: mean and bootstrap interval of each pipeline and measure, and its paired comparison with the baseline (null without one).

    Over `common_queries` only. The correction is over the pipelines compared within one measure. Raises BadInput on unknown names.
    """
    names = values["pipeline"].unique(maintain_order=True).to_list()
    for given, known, what in ((test, TESTS, "test"), (correction, CORRECTIONS, "correction")):
        if given not in known:
            raise BadInput(f"There is no {what} called {given!r}. Known: {', '.join(known)}.")
    if baseline is not None and baseline not in names:
        raise BadInput(f"The baseline {baseline!r} is not among the pipelines: {', '.join(names)}.")
    qids, out = common_queries(values)
    kept = values.filter(pl.col("qid").is_in(qids) & ~pl.col("pipeline").is_in(out))
    wide = {key[0]: part for key, part in kept.partition_by("measure", as_dict=True, maintain_order=True).items()}
    rows = []
    for name in values["measure"].unique(maintain_order=True):
        rows += _compared(str(name), wide.get(name), names, baseline, test, correction, level, seed)
    return pl.DataFrame(rows, schema=SUMMARY, orient="row")


def _compared(
    measure_name: str,
    part: pl.DataFrame | None,
    names: Sequence[str],
    baseline: str | None,
    test: str,
    correction: str,
    level: float,
    seed: int,
) -> list[dict[str, object]]:
    """The rows of one measure, in the order of `names`."""
    columns = _by_pipeline(part)
    against = columns.get(baseline) if baseline is not None else None
    differences = {} if against is None else {n: v - against for n, v in columns.items() if n != baseline}
    drawn = [*columns.values(), *differences.values()]
    intervals = bootstrap_intervals(np.column_stack(drawn), level, seed=seed) if drawn else []
    bounds = dict(zip(columns, intervals, strict=False))
    bounds_of_differences = dict(zip(differences, intervals[len(columns) :], strict=True))
    p = {name: TESTS[test](d) for name, d in differences.items()}
    p_corrected = dict(zip(p, CORRECTIONS[correction](list(p.values())), strict=True))
    rows: list[dict[str, object]] = []
    for name in names:
        row: dict[str, object] = dict.fromkeys(SUMMARY.names()) | {
            "pipeline": name,
            "measure": measure_name,
            "queries": 0,
        }
        rows.append(row)
        if name in columns:
            low, high = bounds[name]
            row |= {"mean": float(columns[name].mean()), "low": low, "high": high, "queries": len(columns[name])}
        if name in differences:
            d, (low, high) = differences[name], bounds_of_differences[name]
            record = win_tie_loss(d)
            row |= {
                "difference": float(d.mean()), "difference_low": low, "difference_high": high,
                "p": p[name], "p_corrected": p_corrected[name], "cohen_dz": cohen_dz(d), "hedges_g": hedges_g(d),
                "wins": record.wins, "ties": record.ties, "losses": record.losses,
            }  # fmt: skip
    return rows


def _by_pipeline(part: pl.DataFrame | None) -> dict[str, Floats]:
    """float64 [queries] of each pipeline, the queries in the same order."""
    if part is None:
        return {}
    return {
        str(key[0]): rows.sort("qid")["value"].to_numpy()
        for key, rows in part.partition_by("pipeline", as_dict=True, maintain_order=True).items()
    }


def latencies(times: pl.DataFrame) -> pl.DataFrame:
    """pipeline, path, label, p50, p95 in milliseconds over the queries; path "" is the whole pipeline. `times` is RUN_TIMES."""
    return times.group_by("pipeline", "path", "label", maintain_order=True).agg(
        pl.col("ms").quantile(0.5, "linear").alias("p50"), pl.col("ms").quantile(0.95, "linear").alias("p95")
    )
