"""Fit LambdaMART to relevance judgments with LightGBM, and measure by cross-validation over queries what that is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from engine.errors import BadInput, MissingDependency
from engine.fusers.folds import SEED, Folds
from engine.fusers.lambdamart import Floats, LambdaMart, Trees, features
from engine.types import Ints

ROUNDS = 50
LEAVES = 7
SETTINGS: Mapping[str, Any] = {
    "objective": "lambdarank",
    "num_leaves": LEAVES,
    "learning_rate": 0.1,
    "min_data_in_leaf": 20,
    "lambdarank_truncation_level": 20,
    "label_gain": [2**grade - 1 for grade in range(31)],
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "seed": SEED,
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True)
class FittedTrees:
    """LambdaMART fitted to all queries. held_out: the mean over queries, each measured under trees fitted to the other folds; crossed: qid,
    doc_id, score of those measurements."""

    fuser: LambdaMart
    held_out: float
    queries: int
    crossed: pl.DataFrame = field(compare=False, repr=False)


def require_lightgbm() -> None:
    """Raise MissingDependency, with the command that installs it, where lightgbm is not there."""
    try:
        import lightgbm  # noqa: F401
    except ImportError:
        raise MissingDependency(
            "Fitting LambdaMART needs lightgbm. Install with: pip install 'triptych-search[ltr]'"
        ) from None


def fit_lambdamart(
    lists: Sequence[pl.DataFrame], judgments: pl.DataFrame, measure: str = "nDCG@10", folds: int = 5
) -> FittedTrees:
    """Fit trees to the ranks and scores of 2 to 5 lists.

    lists: hits (engine.types.HITS) of each input over the same queries; judgments: qid, doc_id, rating. Queries count that have a hit and a
    rating above 0. The same for equal arguments. Raises MissingDependency without lightgbm, BadInput on fewer queries than folds.
    """
    require_lightgbm()
    dealt = Folds.deal(lists, judgments, measure, folds)
    pairs, rows = features([hits.filter(pl.col("qid").is_in(dealt.qids)) for hits in lists])
    grades = _grades(pairs, judgments)
    place = dealt.places(pairs["qid"])  # ascending, as the pairs come sorted by query
    scores = np.zeros(len(rows))
    for number in range(folds):
        held = dealt.held(number)[place]
        trees = _fit(rows[~held], grades[~held], place[~held])
        parts, _ = trees.attribute(rows[held])
        scores[held] = parts.sum(axis=1)
    crossed = pairs.with_columns(score=pl.Series(scores))
    final = LambdaMart(inputs=len(lists), trees=_fit(rows, grades, place).encode())
    return FittedTrees(final, float(dealt.values(crossed).mean()), len(dealt.qids), crossed)


def _grades(pairs: pl.DataFrame, judgments: pl.DataFrame) -> Ints:
    rated = pairs.join(
        judgments.select("qid", "doc_id", "rating"), on=["qid", "doc_id"], how="left", maintain_order="left"
    )
    return rated["rating"].fill_null(0).clip(0, 30).cast(pl.Int64).to_numpy()


def _fit(rows: Floats, grades: Ints, query: Ints) -> Trees:
    import lightgbm

    sizes = np.unique(query, return_counts=True)[1]
    data = lightgbm.Dataset(rows, label=grades, group=sizes)
    booster = lightgbm.train(dict(SETTINGS), data, num_boost_round=ROUNDS)
    nodes: list[list[float]] = []
    for tree in booster.dump_model()["tree_info"]:
        _add(tree["tree_structure"], nodes)
    if not nodes:
        raise BadInput("LambdaMART found nothing to split on; judge more results.")
    table = np.array(nodes, np.float64)
    feature, left, right = (table[:, column].astype(np.int64) for column in (0, 2, 3))
    roots = np.setdiff1d(np.arange(len(table)), np.concatenate([left[feature >= 0], right[feature >= 0]]))
    return Trees(feature, table[:, 1], left, right, table[:, 4], roots)


def _add(node: Mapping[str, Any], nodes: list[list[float]]) -> int:
    """Append a node of LightGBM's dump and all below it; returns its place."""
    place = len(nodes)
    if "split_feature" not in node:
        nodes.append([-1, 0.0, 0, 0, float(node["leaf_value"])])
        return place
    nodes.append([float(node["split_feature"]), float(node["threshold"]), 0, 0, 0.0])
    left, right = _add(node["left_child"], nodes), _add(node["right_child"], nodes)
    nodes[place][2:4] = [left, right]
    sizes = [
        child.get("internal_count", child.get("leaf_count", 1)) for child in (node["left_child"], node["right_child"])
    ]
    # The mean of what is below, so that contributions are told against what a row could expect.
    nodes[place][4] = (sizes[0] * nodes[left][4] + sizes[1] * nodes[right][4]) / max(sum(sizes), 1)
    return place
