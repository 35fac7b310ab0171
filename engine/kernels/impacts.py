"""Weighted postings, term at a time: a row scores the sum of what the query's terms weigh in it. BM25 and learned sparse search share this."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.topk import empty_hits, put_hits
from engine.types import FloatRows, Ints, Mask, SparseRows, TopK


class Impacts(NamedTuple):
    """Postings of every term: term t holds [indptr[t], indptr[t + 1]) of `rows` (int32, ascending) and `weights` (float32, 0 or more).

    total: how many rows there are.
    """

    indptr: Ints
    rows: NDArray[np.int32]
    weights: NDArray[np.float32]
    total: int


class WeightedTerms(NamedTuple):
    """A query: distinct term numbers and what each counts, 0 or more."""

    terms: Ints
    weights: NDArray[np.float32]


def invert_rows(rows: SparseRows) -> Impacts:
    """The postings of weighted rows."""
    order = np.argsort(rows.terms, kind="stable")  # rows stay ascending within a term
    of_posting = np.repeat(np.arange(len(rows), dtype=np.int32), np.diff(rows.indptr))
    indptr = np.zeros(rows.width + 1, np.int64)
    np.cumsum(np.bincount(rows.terms, minlength=rows.width), out=indptr[1:])
    return Impacts(indptr, of_posting[order], np.asarray(rows.weights[order]), len(rows))


def row_scores(impacts: Impacts, query: WeightedTerms) -> FloatRows:
    """The score of every row, float32 [rows]; 0 where no term is shared."""
    scores = np.zeros(impacts.total, np.float32)
    for term, weight in zip(query.terms.tolist(), query.weights, strict=True):
        start, end = impacts.indptr[term], impacts.indptr[term + 1]
        weights = impacts.weights[start:end]
        # numpy adds in place fast only under its own index type
        np.add.at(scores, impacts.rows[start:end].astype(np.intp), weights if weight == 1 else weights * weight)
    return scores


def best_rows_of(impacts: Impacts, queries: list[WeightedTerms], width: int, allowed: Mask | None) -> TopK:
    """The `width` best rows of each query among `allowed` (bool [rows]); rows that share no weighted term are never among them."""
    barred = None if allowed is None else ~allowed
    found = TopK(*empty_hits(len(queries), width))
    for i, query in enumerate(queries):
        scores = row_scores(impacts, query)
        if barred is not None:
            scores[barred] = 0
        put_hits(found, i, scores, width, floor=0)
    return found


def given_by(impacts: Impacts, query: WeightedTerms, row: int) -> list[tuple[int, float]]:
    """What each term of the query that the row holds gives to its score, as (term, float32 value), in order of the query."""
    given = []
    for term, weight in zip(query.terms.tolist(), query.weights, strict=True):
        start, end = impacts.indptr[term], impacts.indptr[term + 1]
        at = start + np.searchsorted(impacts.rows[start:end], np.int32(row))  # of the same type, or all is converted
        if at < end and impacts.rows[at] == row:
            given.append((term, float(impacts.weights[at] * np.float32(weight))))
    return given
