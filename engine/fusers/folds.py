"""Judged queries dealt into folds, for fusions that learn: each query is measured under what was fitted to the other folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.errors import BadInput
from engine.metrics.base import Metric, mark, parse_metric
from engine.types import Ints, Mask

MOST_LISTS = 5
SEED = 13


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """qids: the queries with a hit and a rating above 0, in the order of their ids; fold: int64 [queries], the fold of each, from 0."""

    metric: Metric
    judgments: pl.DataFrame
    qids: tuple[str, ...]
    fold: Ints
    count: int

    @classmethod
    def deal(cls, lists: Sequence[pl.DataFrame], judgments: pl.DataFrame, measure: str, count: int) -> Folds:
        """Deal the queries of 2 to 5 lists into `count` folds, the same for equal arguments.

        lists: hits (engine.types.HITS) over the same queries; judgments: qid, doc_id, rating. Raises BadInput on fewer queries than folds,
        and on a measure that nobody knows.
        """
        metric = parse_metric(measure)
        if not 2 <= len(lists) <= MOST_LISTS:
            raise BadInput(f"A fusion is fitted to 2 to {MOST_LISTS} lists; got {len(lists)}.")
        if count < 2:
            raise BadInput(f"Fitting needs 2 folds or more; got {count}.")
        relevant = set(judgments.filter(pl.col("rating") > 0)["qid"])
        found = {qid for hits in lists for qid in hits["qid"].unique()}
        qids = tuple(sorted(relevant & found))
        if len(qids) < count:
            raise BadInput(
                f"{len(qids)} of the queries have hits and relevant documents; {count} folds need at least {count}."
            )
        return cls(metric, judgments, qids, np.random.default_rng(SEED).permutation(len(qids)) % count, count)

    def places(self, qids: pl.Series) -> Ints:
        """int64 [rows]: the position in `qids` of each row's query, all of which are among them."""
        return qids.replace_strict(self.qids, range(len(self.qids)), return_dtype=pl.Int64).to_numpy()

    def held(self, number: int) -> Mask:
        """bool [queries]: those of one fold."""
        return np.asarray(self.fold == number)

    def values(self, scored: pl.DataFrame) -> NDArray[np.float64]:
        """The measure of every query, float64 [queries]; scored: qid, doc_id, score."""
        return self.metric.values(mark(self.qids, scored, self.judgments))
