"""Exact and graph search on clustered synthetic vectors: build seconds, latency, recall. `python -m tests.benchmarks.bench_dense [rows ...]`"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from engine.indexes.dense import DenseIndex, DenseOpenIndex, measured_recall
from engine.testing.contracts import HashEncoder, MemorySource
from engine.types import FloatRows

DIM = 384
QUERIES = 200


class GivenEncoder(HashEncoder):
    """Looks rows up: the text "17" is the row 17."""

    def __init__(self, rows: FloatRows) -> None:
        super().__init__(rows.shape[1], "given")
        self.rows = rows

    def encode_queries(self, texts: Sequence[str]) -> FloatRows:
        return self.rows[[int(text) for text in texts]]


def clustered(rows: int, seed: int) -> FloatRows:
    """Unit vectors of about 40 intrinsic dimensions around 500 centers, which every seed shares: some structure, as text has."""
    shape, random = np.random.default_rng(7), np.random.default_rng(seed)
    basis = shape.standard_normal((40, DIM)).astype(np.float32)
    centers = shape.standard_normal((500, DIM)).astype(np.float32)
    vectors = centers[random.integers(0, len(centers), rows)]
    vectors += 0.25 * random.standard_normal((rows, len(basis)), np.float32) @ basis
    vectors += 0.3 * random.standard_normal((rows, DIM), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def milliseconds(search: Callable[[FloatRows], object], queries: FloatRows) -> str:
    """Median and 95th percentile of one query at a time."""
    spent = []
    for i in range(len(queries)):
        start = time.perf_counter()
        search(queries[i : i + 1])
        spent.append(1e3 * (time.perf_counter() - start))
    return f"p50 {np.median(spent):7.2f} ms  p95 {np.percentile(spent, 95):7.2f} ms"


def measure(rows: int, folder: Path) -> None:
    vectors, queries = clustered(rows, 0), clustered(QUERIES, 1)
    print(f"\n{rows} x {DIM}")
    source = MemorySource({number: str(number) for number in range(rows)}, GivenEncoder(vectors))
    indexes: dict[str, DenseOpenIndex] = {}
    for structure in ("exact", "hnsw"):
        spec = DenseIndex(structure=structure)
        (folder / structure).mkdir()
        start = time.perf_counter()
        info = spec.build(source, None, folder / structure)
        built = time.perf_counter()
        indexes[structure] = spec.open(folder / structure)
        size = sum(path.stat().st_size for path in (folder / structure).iterdir()) / 2**20
        opened = time.perf_counter() - built
        print(f"  {structure:5}  build {built - start:6.1f} s  open {opened:.2f} s  {size:.0f} MB  {info.details}")
    exact, graph = indexes["exact"], indexes["hnsw"]
    print(f"  exact                 {milliseconds(partial(exact.search, k=10), queries)}")
    for effort in (32, 64, 128, 256):
        start = time.perf_counter()
        found = graph.search(queries, 10, effort=effort)
        batch = 1e3 * (time.perf_counter() - start) / QUERIES
        best = exact.search(queries, 10).rows
        recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.rows.tolist(), best.tolist(), strict=True)])
        one = milliseconds(partial(graph.search, k=10, effort=effort), queries)
        print(f"  hnsw effort {effort:4}      {one}  recall@10 {recall:.3f}  (batch {batch:.2f} ms a query)")
    print(f"  recall@10 as the build measures it, on these queries: {measured_recall(graph, queries):.3f}")
    for share in (0.01, 0.1, 0.5):
        allowed = np.random.default_rng(2).random(rows) < share
        for name, index in indexes.items():
            search = partial(index.search, k=10, allowed=allowed)
            print(f"  {name:5} filter {share:4.0%}      {milliseconds(search, queries)}")


if __name__ == "__main__":
    for count in [int(argument) for argument in sys.argv[1:]] or [60_000, 200_000]:
        with tempfile.TemporaryDirectory() as folder:
            measure(count, Path(folder))
