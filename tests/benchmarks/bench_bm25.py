"""BM25 beside bare bm25s in one run: ranking quality, build seconds, queries a second. `python -m tests.benchmarks.bench_bm25`"""

from __future__ import annotations

import math
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import bm25s
import Stemmer

from engine.indexes.bm25 import Bm25Index, Bm25OpenIndex
from engine.testing.contracts import MemorySource
from tests.benchmarks import corpora


def ndcg(ranked: list[str], grades: dict[str, int], k: int = 10) -> float:
    """nDCG@k with linear gains, as trec_eval computes it."""
    gains = sum(grades.get(doc, 0) / math.log2(rank + 2) for rank, doc in enumerate(ranked[:k]))
    best = sum(grade / math.log2(rank + 2) for rank, grade in enumerate(sorted(grades.values(), reverse=True)[:k]))
    return gains / best if best else 0.0


def recall(ranked: list[str], grades: dict[str, int], k: int = 100) -> float:
    """Share of the relevant documents among the first k."""
    relevant = {doc for doc, grade in grades.items() if grade > 0}
    return len(relevant & set(ranked[:k])) / len(relevant)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def build(texts: list[str], spec: Bm25Index) -> tuple[float, Bm25OpenIndex]:
    with tempfile.TemporaryDirectory() as folder:
        source = MemorySource(dict(enumerate(texts)))
        seconds, _ = timed(lambda: spec.build(source, None, Path(folder)))
        return seconds, spec.open(Path(folder))


def bare(texts: list[str], backend: str) -> tuple[float, bm25s.BM25]:
    def work() -> bm25s.BM25:
        tokens = bm25s.tokenize(texts, stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False)
        engine = bm25s.BM25(k1=1.2, b=0.75, method="lucene", backend=backend)
        engine.index(tokens, show_progress=False)
        return engine

    return timed(work)


def bare_search(engine: bm25s.BM25, queries: list[str], k: int) -> None:
    stemmer = Stemmer.Stemmer("english")
    tokens = bm25s.tokenize(queries, stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)
    engine.retrieve(tokens, k=k, show_progress=False)


def quality() -> None:
    print(f"{'collection':14} {'analyzer':9} nDCG@10  R@100")
    for name in ("cisi", "cacm", "npl", "acl-litsearch"):
        corpus = corpora.load(name)
        for analyzer in ("english", "any"):
            index = build(corpus.docs, Bm25Index(analyzer=analyzer))[1]
            rows = index.search(corpus.queries, 100).rows
            ranked = [[corpus.doc_ids[row] for row in line if row >= 0] for line in rows]
            pairs = [(line, corpus.qrels[qid]) for line, qid in zip(ranked, corpus.qids, strict=True)]
            scores = [sum(measure(*pair) for pair in pairs) / len(pairs) for measure in (ndcg, recall)]
            print(f"{name:14} {analyzer:9} {scores[0]:.3f}    {scores[1]:.3f}")


def speed(name: str, texts: list[str], queries: list[str]) -> None:
    print(f"\n{name}: {len(texts)} documents, {len(queries)} queries, k=100, CPU seconds, best of 7 alternating rounds")
    built, index = build(texts, Bm25Index())
    builds, searches = {"triptych": built}, {"triptych": partial(index.search, queries, 100)}
    for backend in ["numpy"] + ["numba"] * (find_spec("numba") is not None):
        builds[f"bm25s {backend}"], engine = bare(texts, backend)
        searches[f"bm25s {backend}"] = partial(bare_search, engine, queries, 100)
        bare_search(engine, queries, 100)  # numba compiles
    rounds = [{who: timed(search)[0] for who, search in searches.items()} for _ in range(7)]
    for who, seconds in builds.items():
        best, ours = (min(times[which] for times in rounds) for which in (who, "triptych"))
        ratios = f"(build {seconds / built:.1f}x, search {best / ours:.1f}x)"
        print(f"  {who:12} build {seconds:6.2f} s   {len(queries) / best:8.0f} queries/s   {ratios}")


if __name__ == "__main__":
    quality()
    corpora.MIN_ABSTRACT = 0
    litsearch = corpora.load("acl-litsearch")
    speed("anthology", litsearch.docs, litsearch.queries)
    speed("anthology x 8", litsearch.docs * 8, litsearch.queries[:100])
    print(f"\npeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")
