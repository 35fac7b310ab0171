"""Late interaction over a judged collection: build, size, loss of the stored bytes, and search by centroid lists against comparing with every token.

`OPENBLAS_NUM_THREADS=1 python -m tests.benchmarks.bench_late [collection]` (default acl-litsearch): CPU time of one core, which a busy machine
changes little. Uses the bundled late model where there is one, else the token states
of the bundled dense model, projected at random to 96 dimensions. The index is kept in the cache of the benchmarks, for the next run.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.encoders.late import LateEncoder, TokenReading
from engine.encoders.runner import Runner, TokenIds
from engine.indexes.late import LateIndex, LateOpenIndex, vectors_of
from engine.kernels.maxsim import TokenStore, maxsim, quantised
from engine.models.catalogue import DEFAULT_DENSE, DEFAULT_LATE, bundled_models, model_folder
from engine.testing.contracts import MemorySource
from engine.types import FloatRows, Progress, ProgressSink, TokenRows, ignore_progress
from tests.benchmarks.corpora import CACHE, load

DIM = 96
QUERIES = 100
LOSS_DOCUMENTS = 2_000


class ProjectedEncoder:
    """The token states of the bundled dense model, projected at random: what late interaction is before any training."""

    def __init__(self) -> None:
        self.runner = Runner.load(model_folder(DEFAULT_DENSE))
        fields = self.runner.card.model_dump() | {"family": "late", "dimensions": DIM, "pooling": "none"}
        self.card = type(self.runner.card).model_validate(fields)
        self.fingerprint = f"projected/{DIM}/{self.runner.card.fingerprint}"
        normal = np.random.default_rng(0).standard_normal((self.runner.card.dimensions, DIM))
        self._projection = np.linalg.qr(normal)[0].astype(np.float32)

    def run(self, ids: TokenIds, states: FloatRows) -> FloatRows:
        """As a head does."""
        return states @ self._projection

    def encode_queries(self, texts: Sequence[str]) -> TokenRows:
        return self.runner.read(texts, "query", self._reading(texts))

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> TokenRows:
        return self.runner.read(texts, "document", self._reading(texts), progress)

    def _reading(self, texts: Sequence[str]) -> TokenReading:
        return TokenReading(self.card, texts, self, np.empty(0, np.int64))  # type: ignore[arg-type]


def encoder() -> Any:
    """The bundled late model, or what stands in for it."""
    return LateEncoder.load(model_folder(DEFAULT_LATE)) if DEFAULT_LATE in bundled_models() else ProjectedEncoder()


def indexed(name: str, docs: Sequence[str], digest: str, late: Any) -> LateOpenIndex:
    """The index of the collection, from the cache, or built there."""
    folder = CACHE / f"late-{name}-{digest}-{late.fingerprint.replace('/', '-')[:24]}"
    spec = LateIndex(model=late.card.name, unit="document")
    if not (folder / "info.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        spent: dict[str, float] = {}
        last = [time.perf_counter()]

        def clock(step: Progress) -> None:
            now = time.perf_counter()
            spent[step.phase] = spent.get(step.phase, 0.0) + now - last[0]
            last[0] = now

        info = spec.build(MemorySource(dict(enumerate(docs)), late), None, folder, clock)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print("build, seconds by phase:", {phase: round(seconds, 1) for phase, seconds in spent.items()})
        print(f"peak memory {peak:,.0f} MB; {info.details}")
    megabytes = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
    index = spec.open(folder)
    print(f"{len(docs):,} documents, {index.info.tokens:,} tokens x {index.info.dim}; {megabytes:,.0f} MB on disk")
    return index


def each(queries: TokenRows, count: int) -> list[TokenRows]:
    """The first queries, one by one."""
    found = []
    for i in range(min(count, len(queries))):
        part = slice(int(queries.indptr[i]), int(queries.indptr[i + 1]))
        found.append(TokenRows(queries.indptr[i : i + 2] - queries.indptr[i], queries.vectors[part], queries.ids[part]))
    return found


def timed(run: Callable[[TokenRows], Any], queries: Sequence[TokenRows]) -> tuple[list[Any], float]:
    """The answers, and the median milliseconds of CPU time."""
    answers, spent = [], []
    for query in queries:
        start = time.process_time()
        answers.append(run(query))
        spent.append(1e3 * (time.process_time() - start))
    return answers, float(np.median(spent))


def loss_of_bytes(late: Any, docs: Sequence[str], queries: TokenRows) -> None:
    """Scores and best 10 from the stored bytes against those from float32."""
    rows = late.encode_documents(docs[:LOSS_DOCUMENTS])
    codes, scales = quantised(rows.vectors)
    plain, coded = TokenStore(rows.indptr, rows.vectors), TokenStore(rows.indptr, codes, scales)
    kept, worst, spread = [], 0.0, []
    for i in range(min(QUERIES, len(queries))):
        query = vectors_of(queries, i)
        exact, stored = maxsim(query, plain, wide=True), maxsim(query, coded, wide=True)
        kept.append(len(set(np.argsort(-exact)[:10]) & set(np.argsort(-stored)[:10])) / 10)
        worst = max(worst, float(np.abs(exact - stored).max()))
        spread.append(float(exact.std()))
    print(
        f"a byte a component against float32, {len(plain):,} documents: {np.mean(kept):.4f} of the best 10 kept, "
        f"scores off by {worst:.4f} at most (their spread is {np.mean(spread):.2f})"
    )


def measure(index: LateOpenIndex, queries: Sequence[TokenRows]) -> None:
    """Milliseconds and recall for several numbers of candidates, against comparing with everything."""
    exact, slow = timed(lambda query: index.search_exact(query, 100), queries)
    print(f"{len(queries)} queries of {np.mean([len(q.ids) for q in queries]):.0f} tokens; every token: {slow:.1f} ms")
    if index.structure != "centroids":
        return
    estimated, took = timed(lambda query: index.searcher.centroids.estimates(query.vectors), queries)  # type: ignore[attr-defined]
    print(f"estimates from the lists alone: {took:.2f} ms")
    for candidates in (50, 100, 200, 400, 1_000, 2_000):
        found, fast = timed(lambda query, c=candidates: index.search(query, 10, None, c), queries)  # type: ignore[misc]
        wider = [index.search(query, 100, None, candidates) for query in queries]
        of_ten = np.mean([np.isin(e.rows[0, :10], f.rows[0]).mean() for e, f in zip(exact, found, strict=True)])
        of_hundred = np.mean([np.isin(e.rows[0], f.rows[0]).mean() for e, f in zip(exact, wider, strict=True)])
        print(
            f"{candidates:5,} candidates: {fast:7.2f} ms ({slow / fast:5.1f} times faster), "
            f"{of_ten:.4f} of the exact 10, {of_hundred:.4f} of the exact 100"
        )
    near = [np.sort(np.argsort(-estimates)[:100]) for estimates in estimated]
    places = iter(near)
    _, took = timed(lambda query: index.scores(query.vectors, next(places)), queries)
    print(f"scoring 100 given documents: {took:.2f} ms")


def main(name: str, late: Any) -> None:
    corpus = load(name)
    index = indexed(name, corpus.docs, corpus.digest, late)
    asked = late.encode_queries(corpus.queries)
    loss_of_bytes(late, corpus.docs, asked)
    measure(index, each(asked, QUERIES))


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    main(sys.argv[1] if len(sys.argv) > 1 else "acl-litsearch", encoder())
