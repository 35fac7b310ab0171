"""Which unjudged documents could flip a verdict: bounds on the mean difference of pipelines from a baseline, and the documents behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from engine.evaluation.bounds import DEPTH, check_bounded, difference_bounds, is_exact
from engine.metrics.base import Metric

EFFECTS = pl.Schema({"qid": pl.String, "doc_id": pl.String, "pipeline": pl.String, "effect": pl.Float64})
_NOTHING = 1e-12


@dataclass(frozen=True, slots=True)
class PairVerdict:
    """The mean difference of a pipeline from the baseline as judged, and between which values unjudged documents could move it.

    `unjudged` counts (query, document) pairs within reach of the measure.
    """

    pipeline: str
    difference: float
    low: float
    high: float
    exact: bool
    unjudged: int

    @property
    def stands(self) -> bool:
        """Whether the better one stays the better whatever the unjudged documents are."""
        return self.low > _NOTHING or self.high < -_NOTHING or self.high - self.low < _NOTHING


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """`documents` is EFFECTS: those that could flip a verdict that does not stand, each once, the greatest effect on the mean first."""

    pairs: tuple[PairVerdict, ...]
    documents: pl.DataFrame


def verdicts(
    hits: pl.DataFrame,
    judgments: pl.DataFrame,
    qids: Sequence[str],
    pipelines: Sequence[str],
    baseline: str,
    metric: Metric,
    rating: int,
    depth: int = DEPTH,
) -> Verdicts:
    """Compare every pipeline with the baseline over `qids`. hits: pipeline, qid, doc_id, score; judgments: qid, doc_id, rating.

    Documents are within reach above the cut-off of the measure and above `depth`. Raises BadInput for a measure without bounds.
    """
    check_bounded(metric, rating)
    lists, ratings = _lists(hits.filter(pl.col("qid").is_in(list(qids)))), _ratings(judgments)
    pairs: list[PairVerdict] = []
    tables = [pl.DataFrame(schema=EFFECTS)]
    for name in pipelines:
        if name == baseline or not qids:
            continue
        found = [
            (qid, difference_bounds(
                lists.get((baseline, qid), []), lists.get((name, qid), []), ratings.get(qid, {}), metric, rating, depth
            ))
            for qid in qids
        ]  # fmt: skip
        difference, low, high = (
            sum(getattr(one, part) for _, one in found) / len(qids) for part in ("difference", "low", "high")
        )
        pair = PairVerdict(name, difference, low, high, is_exact(metric), sum(len(one.effects) for _, one in found))
        pairs.append(pair)
        if not pair.stands:
            rows = [
                (qid, doc_id, name, effect / len(qids))
                for qid, one in found
                for doc_id, effect in one.effects.items()
                if abs(effect) > _NOTHING and effect * difference <= 0
            ]
            tables.append(pl.DataFrame(rows, schema=EFFECTS, orient="row"))
    documents = (
        pl.concat(tables)
        .with_columns(size=pl.col("effect").abs().round(12))
        .sort("size", "qid", "doc_id", "pipeline", descending=[True, False, False, False])
        .unique(["qid", "doc_id"], keep="first", maintain_order=True)
        .drop("size")
    )
    return Verdicts(tuple(pairs), documents)


def _lists(hits: pl.DataFrame) -> dict[tuple[str, str], list[str]]:
    """Document ids by (pipeline, qid), best first, ties as trec_eval orders them."""
    ordered = hits.with_columns(pl.col("score").cast(pl.Float32)).sort("score", "doc_id", descending=[True, True])
    grouped = ordered.group_by("pipeline", "qid", maintain_order=True).agg("doc_id")
    return {(name, qid): docs for name, qid, docs in grouped.iter_rows()}


def _ratings(judgments: pl.DataFrame) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for qid, doc_id, rating in judgments.select("qid", "doc_id", "rating").iter_rows():
        found.setdefault(qid, {})[doc_id] = rating
    return found
