"""Search over weighted terms: our index beside a plain term-at-a-time loop and SciPy's sparse product, with equal results.

`python -m tests.benchmarks.bench_sparse [ROWS] [QUERY_TERMS]`

Rows and queries are drawn by Zipf's law over a vocabulary of 30,522 terms, about 100 terms a row. Times are CPU time of one thread, the best of
five rounds, so that they can be compared on a busy machine.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse

from engine.kernels.impacts import WeightedTerms, best_rows_of, invert_rows
from engine.kernels.topk import best_rows
from engine.types import SparseRows

WIDTH, DRAWS, QUERIES, K, ROUNDS = 30_522, 120, 100, 100, 5


def zipf_rows(count: int, draws: int, random: np.random.Generator) -> SparseRows:
    """Rows of at most `draws` distinct terms."""
    chance = np.cumsum(1 / np.arange(1, WIDTH + 1) ** 0.9)
    terms = np.searchsorted(chance / chance[-1], random.random(count * draws)).clip(0, WIDTH - 1)
    keys = np.unique(np.repeat(np.arange(count), draws) * WIDTH + terms)
    rows, terms = np.divmod(keys, WIDTH)
    indptr = np.searchsorted(rows, np.arange(count + 1))
    weights = random.gamma(2, 0.3, len(keys)).astype(np.float32) + np.float32(0.01)
    return SparseRows(indptr.astype(np.int64), terms.astype(np.int32), weights, WIDTH)


def timed(search: Callable[[WeightedTerms], Any], queries: list[WeightedTerms]) -> tuple[float, list[Any]]:
    """Milliseconds of CPU time a query, and what was found."""
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        found = [search(query) for query in queries]
        best = min(best, time.process_time() - started)
    return 1000 * best / len(queries), found


def main(rows: int = 23_000, query_terms: int = 12) -> None:
    random = np.random.default_rng(0)
    documents = zipf_rows(rows, DRAWS, random)
    asked = zipf_rows(QUERIES, query_terms, random)
    started = time.perf_counter()
    impacts = invert_rows(documents)
    inverted = time.perf_counter() - started
    queries = [
        WeightedTerms(asked.terms[start:end].astype(np.int64), asked.weights[start:end])
        for start, end in zip(asked.indptr[:-1], asked.indptr[1:], strict=True)
    ]
    matrix = scipy.sparse.csr_array((documents.weights, documents.terms, documents.indptr), shape=(rows, WIDTH))

    def ours(query: WeightedTerms) -> Any:
        return best_rows_of(impacts, [query], K, None).rows[0]

    def plain(query: WeightedTerms) -> Any:
        scores = np.zeros(rows, np.float32)
        for term, weight in zip(query.terms, query.weights, strict=True):
            part = slice(impacts.indptr[term], impacts.indptr[term + 1])
            scores[impacts.rows[part]] += impacts.weights[part] * weight
        return best_rows(scores, K, floor=0)

    def product(query: WeightedTerms) -> Any:
        dense = np.zeros(WIDTH, np.float32)
        dense[query.terms] = query.weights
        return best_rows(matrix @ dense, K, floor=0)

    postings = np.mean([np.diff(impacts.indptr)[query.terms].sum() for query in queries])
    print(f"{rows:,} rows, {len(documents.terms) / rows:.0f} terms a row, inverted in {inverted:.2f} s")
    print(f"{query_terms} terms a query, {postings:,.0f} postings a query, {K} best")
    base, expected = timed(ours, queries)
    print(f"  triptych                {base:8.3f} ms")
    for name, search in (("plain term at a time", plain), ("scipy product", product)):
        taken, found = timed(search, queries)
        same = np.mean(
            [len(np.intersect1d(a[a >= 0], b)) / max(len(b), 1) for a, b in zip(expected, found, strict=True)]
        )
        print(f"  {name:<23} {taken:8.3f} ms  {taken / base:5.2f} × ours  {same:.4f} of its hits are ours")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:3]))
