"""How much two rankings agree, without judgments: Jaccard@k, rank-biased overlap, Kendall's tau.

AGREEMENTS has a row for each query and pair of pipelines; `rbo` is at DEEP, `rbo_top` at TOP.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import polars as pl

from engine.types import AGREEMENTS

DEEP, TOP = 0.9, 0.5
"""How likely a reader goes on to the next document: at .9 the first ten carry 86% of the weight, at .5 the first two 89% (Webber et al., equation 21)."""


def jaccard(left: Sequence[str], right: Sequence[str], k: int) -> float:
    """Shared share of the two first-k sets; 1.0 when both are empty."""
    a, b = set(left[:k]), set(right[:k])
    return len(a & b) / len(a | b) if a | b else 1.0


def rbo(left: Sequence[str], right: Sequence[str], p: float = DEEP) -> float:
    """Extrapolated rank-biased overlap of two duplicate-free lists, 0..1 (Webber, Moffat and Zobel, TOIS 2010, equation 32).

    Handles lists of different length; two empty lists agree fully, an empty and a non-empty one not at all.
    """
    if not 0 < p < 1:
        raise ValueError("p lies between 0 and 1")
    short, long = sorted((list(left), list(right)), key=len)
    s, n = len(short), len(long)
    if n == 0:
        return 1.0
    if s == 0:
        return 0.0
    seen_short: set[str] = set()
    seen_long: set[str] = set()
    overlap, overlap_at_s = 0, 0
    total = 0.0
    for depth in range(1, n + 1):
        new_long = long[depth - 1]
        seen_long.add(new_long)
        if depth <= s:
            new_short = short[depth - 1]
            seen_short.add(new_short)
            overlap += int(new_short in seen_long) + int(new_long in seen_short) - int(new_short == new_long)
            overlap_at_s = overlap
        else:
            overlap += int(new_long in seen_short)
            total += p**depth * overlap_at_s * (depth - s) / (s * depth)
        total += p**depth * overlap / depth
    tail = ((overlap - overlap_at_s) / n + overlap_at_s / s) * p**n
    return (1 - p) / p * total + tail


def kendall(left: Sequence[str], right: Sequence[str]) -> float | None:
    """Kendall's tau over the documents that both lists hold: 1 for the same order, -1 for the reverse; None for fewer than two shared."""
    place = {doc_id: i for i, doc_id in enumerate(right)}
    order = np.array([place[doc_id] for doc_id in left if doc_id in place])
    n = len(order)
    if n < 2:
        return None
    signs = np.sign(order[None, :] - order[:, None])
    return float(np.triu(signs).sum()) / (n * (n - 1) / 2)


def pairwise(hits: pl.DataFrame, answered: Mapping[str, Collection[str]], k: int) -> pl.DataFrame:
    """AGREEMENTS of every pair of pipelines on every query that both answered, over their first k documents.

    hits: pipeline, qid, doc_id, score. answered: the queries that each pipeline answered, with hits or without; a failed query is in no pair.
    """
    ordered = hits.sort("score", "doc_id", descending=[True, False])
    lists = {
        (str(name), str(qid)): part["doc_id"].head(k).to_list()
        for (name, qid), part in ordered.partition_by("pipeline", "qid", as_dict=True, maintain_order=True).items()
    }
    rows = []
    for left, right in itertools.combinations(answered, 2):
        for qid in answered[left]:
            if qid in answered[right]:
                a, b = lists.get((left, qid), []), lists.get((right, qid), [])
                rows.append((qid, left, right, jaccard(a, b, k), rbo(a, b), rbo(a, b, TOP), kendall(a, b)))
    return pl.DataFrame(rows, schema=AGREEMENTS, orient="row")
