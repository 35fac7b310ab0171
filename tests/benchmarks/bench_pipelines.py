"""Ranking quality of the default pipelines through the whole engine, on judged collections, beside the published baselines.

    python -m tests.benchmarks.bench_pipelines [--collections cisi,cacm,npl,acl-litsearch]

Reads the collections as a user would (documents stored, passages cut, indexes built), runs BM25, Dense and their reciprocal rank
fusion over all judged queries, and prints nDCG@10, AP and R@100 (R@20 where one paper answers a question).
Workspaces are kept in the benchmark's cache folder and brought up to date on each run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import ir_measures

from app.presets import built_in
from app.verbs.services import Services
from engine.types import Ranking
from tests.benchmarks.corpora import CACHE, Corpus, load

MEASURES = [ir_measures.parse_measure(name) for name in ("nDCG@10", "AP", "R@5", "R@20", "R@100")]
BASELINES = {  # bm25s, sentence-transformers fp32 and RRF k=60 of both, nDCG@10
    "acl-litsearch": (0.510, 0.599, 0.617),
    "cisi": (0.396, 0.425, 0.440),
    "cacm": (0.486, 0.390, 0.528),
    "npl": (0.436, 0.434, 0.490),
}
PIPELINES = ("BM25", "Dense", "Hybrid")


def fill(services: Services, corpus: Corpus) -> str:
    """The collection with all documents and current indexes; gives its id."""
    path = CACHE / f"{corpus.name}.jsonl"
    lines = (json.dumps({"_id": doc_id, "title": title, "text": text}) for doc_id, title, text in corpus.rows)
    path.write_text("\n".join(lines), "utf-8")
    for job in (
        services.add([str(path)], corpus.name, index=False),
        services.index(corpus.name, services.needed_indexes(PIPELINES)),
    ):
        done = services.wait(job)
        if done.status != "done" or done.counts.get("rejected"):
            raise SystemExit(f"{corpus.name}: {done}")
    stored = services.engine.workspace.collection(corpus.name)
    print(f"{corpus.name}: {stored.documents:,} documents, {stored.passages:,} passages", file=sys.stderr)
    return stored.collection_id


def measure(services: Services, collection_id: str, corpus: Corpus, name: str) -> tuple[dict[str, float], float]:
    """The mean of every measure, and milliseconds a query."""
    spec = built_in()[name]
    context = services.engine.searcher(collection_id).context()
    started = time.perf_counter()
    ranking, _ = context.execute(spec.pipeline, Ranking.of(list(zip(corpus.qids, corpus.queries, strict=True))))
    ms = (time.perf_counter() - started) * 1000 / len(corpus.qids)
    run = [ir_measures.ScoredDoc(q, d, s) for q, d, s in ranking.hits.select("qid", "doc_id", "score").iter_rows()]
    qrels = [ir_measures.Qrel(q, d, g) for q, grades in corpus.qrels.items() for d, g in grades.items()]
    return {str(m): v for m, v in ir_measures.calc_aggregate(MEASURES, qrels, run).items()}, ms


def main() -> None:
    """Print one row per collection and pipeline."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--collections", default="cisi,cacm,npl,acl-litsearch")
    chosen = parser.parse_args().collections.split(",")
    print(
        f"{'collection':14} {'pipeline':8} " + " ".join(f"{m!s:>8}" for m in MEASURES) + "  baseline nDCG@10  ms/query"
    )
    with Services(CACHE / "pipelines") as services:
        for name in chosen:
            corpus = load(name)
            collection_id = fill(services, corpus)
            for pipeline, baseline in zip(PIPELINES, BASELINES[name], strict=True):
                values, ms = measure(services, collection_id, corpus, pipeline)
                row = " ".join(f"{values[str(m)]:8.3f}" for m in MEASURES)
                print(f"{name:14} {pipeline:8} {row}  {baseline:16.3f}  {ms:8.2f}", flush=True)


if __name__ == "__main__":
    main()
