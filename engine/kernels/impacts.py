"""Weighted postings, term at a time: a row scores the sum of what the query's terms weigh in it. BM25 and learned
sparse search share this."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.kernels.topk import empty_hits, put_hits
from engine.types import FloatRows, Ints, Mask, SparseRows, TopK

BLOCK = 1 << 15  # rows inverted at a time


class Impacts(NamedTuple):
    """Postings of every term: term t holds [indptr[t], indptr[t + 1]) of `rows` (int32, ascending) and `weights`
    (float32, 0 or more).

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


def invert_rows(rows: SparseRows, block: int = BLOCK) -> Impacts:
    """The postings of weighted rows; `block` rows are turned at a time, which bounds the memory beside the result."""
    counts = np.bincount(rows.terms, minlength=rows.width)
    indptr = np.zeros(rows.width + 1, np.int64)
    np.cumsum(counts, out=indptr[1:])
    of_postings, weights = np.empty(len(rows.terms), np.int32), np.empty(len(rows.terms), np.float32)
    free = indptr[:-1].copy()  # where the next posting of each term goes
    for start in range(0, len(rows), block):
        bounds = rows.indptr[start : start + block + 1]
        part = slice(bounds[0], bounds[-1])
        terms = rows.terms[part]
        order = np.argsort(terms, kind="stable")  # rows stay ascending within a term
        counts = np.bincount(terms, minlength=rows.width)
        rank = np.arange(len(terms)) - np.repeat(np.cumsum(counts) - counts, counts)
        to = free[terms[order]] + rank
        numbers = np.arange(start, start + len(bounds) - 1, dtype=np.int32)
        of_postings[to] = np.repeat(numbers, np.diff(bounds))[order]
        weights[to] = rows.weights[part][order]
        free += counts
    return Impacts(indptr, of_postings, weights, len(rows))


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
    """The `width` best rows of each query among `allowed` (bool [rows]); rows that share no weighted term are never
    among them."""
    barred = None if allowed is None else ~allowed
    found = TopK(*empty_hits(len(queries), width))
    for i, query in enumerate(queries):
        scores = row_scores(impacts, query)
        if barred is not None:
            scores[barred] = 0
        put_hits(found, i, scores, width, floor=0)
    return found


def given_by(impacts: Impacts, query: WeightedTerms, row: int) -> list[tuple[int, float]]:
    """What each term of the query that the row holds gives to its score, as (term, float32 value), in order of the
    query."""
    given = []
    for term, weight in zip(query.terms.tolist(), query.weights, strict=True):
        start, end = impacts.indptr[term], impacts.indptr[term + 1]
        at = start + np.searchsorted(impacts.rows[start:end], np.int32(row))  # of the same type, or all is converted
        if at < end and impacts.rows[at] == row:
            given.append((term, float(impacts.weights[at] * np.float32(weight))))
    return given
