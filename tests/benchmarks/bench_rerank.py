"""Reranking by the bundled cross-encoder: latency beside sentence-transformers in float32 with the same weights, and quality on judged collections.

    python -m tests.benchmarks.bench_rerank                    # nDCG@10 over the first 50 of BM25, p-values, milliseconds
    python -m tests.benchmarks.bench_rerank --original FOLDER  # latency; needs torch, sentence-transformers and the float32 model

FOLDER is what `triptych train cross --cache CACHE` leaves in CACHE; examples/training says how it was made. Both sides of the latency read the
same pairs by turns in one process with the same number of threads. Quality: every judged query (or --queries of each collection), the same 50
candidates for each row; p by a paired randomization test against BM25. --ways: `cross` reads pairs, `uni` reads the query with all candidates in
passes; milliseconds by turns as well, beside them those that the processor spent, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import ir_measures
import numpy as np
from numpy.typing import NDArray

from engine.encoders.cross import PairScorer
from engine.encoders.opening import load_scorer
from engine.indexes.bm25 import Bm25Index
from engine.models.catalogue import DEFAULT_CROSS
from engine.rerankers.cross import with_standing
from engine.statistics.significance import randomization
from engine.testing.contracts import MemorySource
from tests.benchmarks.corpora import Corpus, load

GOAL = 0.6
CANDIDATES = 50
MEASURE = ir_measures.nDCG @ 10


def main() -> None:
    """Print one row for each collection and way of ordering; or both latencies and their ratio, exit 1 where it misses the goal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--collections", default="acl-litsearch,cisi,cacm,npl")
    parser.add_argument("--queries", type=int, default=1_000, help="of each collection, evenly drawn")
    parser.add_argument("--model", type=Path, help="a model folder to measure instead of the bundled one")
    parser.add_argument("--original", type=Path, help="the float32 model's folder: measure latency")
    parser.add_argument("--ways", default="cross,uni")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    threads = options.threads
    scorer = (
        PairScorer.load(options.model, "cpu", threads) if options.model else load_scorer(DEFAULT_CROSS, "cpu", threads)
    )
    names = options.collections.split(",")
    if options.original:
        latency(scorer, options.original, load(names[0]), min(options.queries, 20), threads)
        return
    print(
        f"{'collection':14} {'n':>4} {'first 50 ordered by':24} {'nDCG@10':>8} {'change':>8} {'p':>7} {'ms/query':>9} {'cpu ms':>9}"
    )
    for name in names:
        quality(scorer, load(name), options.queries, options.ways.split(","))


def candidates(corpus: Corpus, places: Sequence[int]) -> list[tuple[list[int], NDArray[np.float64]]]:
    """Rows and scores of the first candidates of these queries by BM25."""
    with tempfile.TemporaryDirectory() as folder:
        spec = Bm25Index()
        spec.build(MemorySource(dict(enumerate(corpus.docs))), None, Path(folder))
        top = spec.open(Path(folder)).search([corpus.queries[place] for place in places], CANDIDATES)
    kept = [rows >= 0 for rows in top.rows]
    return [
        (rows[k].tolist(), scores[k].astype(np.float64))
        for rows, scores, k in zip(top.rows, top.scores, kept, strict=True)
    ]


def quality(scorer: PairScorer, corpus: Corpus, most: int, ways: Sequence[str]) -> None:
    """One row for BM25, for each way of reading, and for each with half the standing before."""
    places = sorted({int(place) for place in np.linspace(0, len(corpus.qids) - 1, min(most, len(corpus.qids)))})
    readers = {way: scorer if way == "cross" else scorer.passes for way in ways}
    rankings: dict[str, dict[str, dict[str, float]]] = defaultdict(dict)
    spent: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for place, (rows, before) in zip(places, candidates(corpus, places), strict=True):
        found = {"BM25": before}
        texts = [corpus.docs[row] for row in rows]
        for way, reader in readers.items():
            wall, cpu = time.perf_counter(), time.process_time()
            scores = reader.score(corpus.queries[place], texts).astype(np.float64)
            spent[way].append(((time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000))
            found |= {way: scores, f"{way}, standing 0.5": with_standing(scores, before, 0.5)}
        for name, values in found.items():
            rankings[name][corpus.qids[place]] = {
                corpus.doc_ids[r]: float(v) for r, v in zip(rows, values, strict=True)
            }
    qrels = {corpus.qids[place]: corpus.qrels[corpus.qids[place]] for place in places}
    values = {name: per_query(qrels, ranking) for name, ranking in rankings.items()}
    for name, own in values.items():
        change, p, ms = "", "", ""
        if name != "BM25":
            change = f"{own.mean() / values['BM25'].mean() - 1:+.1%}"
            p = f"{randomization(own - values['BM25']):.4f}"
        if name in spent:
            ms = " ".join(f"{value:9.0f}" for value in np.mean(spent[name], axis=0))
        print(f"{corpus.name:14} {len(own):4} {name:24} {own.mean():8.4f} {change:>8} {p:>7} {ms}", flush=True)


def per_query(qrels: dict[str, dict[str, int]], ranking: dict[str, dict[str, float]]) -> NDArray[np.float64]:
    """nDCG@10 of each judged query, 0 where nothing was found; in the order of `qrels`."""
    found = {metric.query_id: metric.value for metric in ir_measures.iter_calc([MEASURE], qrels, ranking)}
    return np.array([found.get(qid, 0.0) for qid in qrels])


def latency(scorer: PairScorer, original: Path, corpus: Corpus, queries: int, threads: int) -> None:
    """Median milliseconds for 50 candidates, the bundled model and its float32 original by turns."""
    import torch

    from engine.export.pair.model import open_pair_model

    torch.set_num_threads(threads)
    model = open_pair_model(original)
    model.max_seq_length = scorer.card.max_tokens
    places = np.linspace(0, len(corpus.queries) - 1, queries).astype(int).tolist()
    own, other, agreement = [], [], []
    for place, (rows, _) in zip(places, candidates(corpus, places), strict=True):
        query, texts = corpus.queries[place], [corpus.docs[row] for row in rows]
        ms, scores = timed(lambda: scorer.score(query, texts))  # noqa: B023
        own.append(ms)
        ms, expected = timed(lambda: model.predict([(query, text) for text in texts]))  # noqa: B023
        other.append(ms)
        agreement.append(np.corrcoef(*(np.argsort(np.argsort(one)) for one in (scores, expected)))[0, 1])
    ratio = median(own) / median(other)
    print(
        f"{corpus.name}, {queries} queries of {CANDIDATES} candidates, {threads} threads: bundled p50 {median(own):.0f} ms, "
        f"sentence-transformers float32 p50 {median(other):.0f} ms, ratio {ratio:.2f} (goal {GOAL}); rank correlation {np.mean(agreement):.4f}"
    )
    raise SystemExit(ratio > GOAL)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and what the work gave."""
    started = time.perf_counter()
    result = work()
    return (time.perf_counter() - started) * 1000, result


if __name__ == "__main__":
    main()
