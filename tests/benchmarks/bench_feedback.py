"""Feedback, selection and further fusions with their default parameters, each beside the pipeline it starts from.

    python -m tests.benchmarks.bench_feedback [--collections cisi,cacm,npl]

Uses the workspace of bench_pipelines. Prints nDCG@10 and R@100 (by ir_measures), the two-sided p of a paired randomization test on
nDCG@10 against the baseline above (not corrected for the number of comparisons), and the milliseconds a query that the pipeline takes
on top of its baseline's stages. The defaults are the literature's; nothing here was tuned on these collections, except the weights of
the rows named `fitted`, whose score is that of queries held out of the fitting.
"""

from __future__ import annotations

import argparse
import time

import ir_measures
import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.services import Services
from engine.context import Context
from engine.feedback.rm3 import Rm3
from engine.feedback.rocchio import Rocchio
from engine.feedback.vector_average import VectorAverage
from engine.feedback.vector_rocchio import VectorRocchio
from engine.fusers.comb_anz import CombAnz
from engine.fusers.comb_max import CombMax
from engine.fusers.comb_mnz import CombMnz
from engine.fusers.comb_sum import CombSum
from engine.fusers.fit import fit_weights
from engine.fusers.rrf import Rrf
from engine.fusers.wsum import WeightedSum
from engine.pipeline import Fuse, Stage
from engine.retrievers.bm25 import Bm25
from engine.retrievers.dense import Dense
from engine.selectors.interests import Interests
from engine.selectors.mmr import Mmr
from engine.significance import randomization
from engine.types import Ranking
from tests.benchmarks.bench_pipelines import fill
from tests.benchmarks.corpora import CACHE, Corpus, load

NDCG, RECALL = (ir_measures.parse_measure(name) for name in ("nDCG@10", "R@100"))
BM25, DENSE = Bm25(k=1000), Dense(k=1000)
RRF = Fuse(inputs=(BM25, DENSE), method=Rrf())
HALVES = WeightedSum(weights=(0.5, 0.5))
MIXED = Fuse(inputs=(BM25, DENSE), method=HALVES)
MOVE = VectorRocchio(k=1000)
GROUPS: list[tuple[tuple[str, Stage], list[tuple[str, Stage]]]] = [
    (("BM25", BM25), [("BM25 + rocchio", BM25 >> Rocchio(k=1000)), ("BM25 + rm3", BM25 >> Rm3(k=1000))]),
    (
        ("Dense", DENSE),
        [
            ("Dense + vector_average", DENSE >> VectorAverage(k=1000)),
            ("Dense + vector_rocchio", DENSE >> MOVE),
            ("Dense + mmr", DENSE >> Mmr()),
            ("Dense + interests", DENSE >> Interests()),
        ],
    ),
    (
        ("Hybrid rrf", RRF),
        [
            ("Hybrid comb_sum", Fuse(inputs=(BM25, DENSE), method=CombSum())),
            ("Hybrid comb_mnz", Fuse(inputs=(BM25, DENSE), method=CombMnz())),
            ("Hybrid comb_anz", Fuse(inputs=(BM25, DENSE), method=CombAnz())),
            ("Hybrid comb_max", Fuse(inputs=(BM25, DENSE), method=CombMax())),
            ("Hybrid comb_sum z-score", Fuse(inputs=(BM25, DENSE), method=CombSum(norm="z-score"))),
        ],
    ),
    (
        ("Hybrid wsum .5 .5", MIXED),
        [
            ("PRF interpolated before", MIXED >> MOVE),
            ("PRF interpolated after", Fuse(inputs=(BM25, DENSE >> MOVE), method=HALVES)),
            ("PRF interpolated both", Fuse(inputs=(BM25, MIXED >> MOVE), method=HALVES)),
            ("RM3 + dense, wsum .5 .5", Fuse(inputs=(BM25 >> Rm3(k=1000), DENSE), method=HALVES)),
        ],
    ),
]


class Bench:
    """One collection: runs pipelines in one context, so that stages in common run once, and measures them."""

    def __init__(self, services: Services, corpus: Corpus) -> None:
        self.corpus = corpus
        self.context: Context = services.engine.searcher(fill(services, corpus)).context()
        self.asked = Ranking.of(list(zip(corpus.qids, corpus.queries, strict=True)))
        self.qrels = [ir_measures.Qrel(q, d, g) for q, grades in corpus.qrels.items() for d, g in grades.items()]
        self.context.execute(BM25, self.asked.top(0))  # open the indexes and the encoder outside the times
        self.context.execute(DENSE, self.asked.top(0))

    def run(self, stage: Stage) -> tuple[Ranking, float]:
        """The ranking, and the milliseconds a query for what had not run yet."""
        started = time.perf_counter()
        ranking, _ = self.context.execute(stage, self.asked)
        return ranking, (time.perf_counter() - started) * 1000 / len(self.corpus.qids)

    def values(self, ranking: Ranking) -> tuple[NDArray[np.float64], float]:
        """nDCG@10 of every query, and the mean R@100."""
        run = [ir_measures.ScoredDoc(*row) for row in ranking.hits.select("qid", "doc_id", "score").iter_rows()]
        found = list(ir_measures.iter_calc([NDCG, RECALL], self.qrels, run))
        by_query = {metric.query_id: metric.value for metric in found if metric.measure == NDCG}
        recalls = [metric.value for metric in found if metric.measure == RECALL]
        return np.array([by_query.get(qid, 0.0) for qid in self.corpus.qids]), sum(recalls) / len(self.corpus.qids)

    def fitted(self) -> str:
        """A line on the fitted weights of both lists."""
        judgments = pl.DataFrame(
            [(qrel.query_id, qrel.doc_id, qrel.relevance) for qrel in self.qrels],
            schema={"qid": pl.String, "doc_id": pl.String, "rating": pl.Int32},
            orient="row",
        )
        started = time.perf_counter()
        fit = fit_weights([self.run(BM25)[0].hits, self.run(DENSE)[0].hits], judgments)
        took = time.perf_counter() - started
        folds = ", ".join(f"{weights[0]:g}" for weights in fit.fold_weights)
        return (
            f"{'wsum, fitted':26} {fit.held_out:8.3f}  held out; equal weights {fit.equal:.3f}; BM25 weighs {fit.weights[0]:g} "
            f"(folds: {folds}); {took:.1f} s"
        )


def main() -> None:
    """Print one row per collection and pipeline, in groups that begin with their baseline."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--collections", default="cisi,cacm,npl")
    chosen = parser.parse_args().collections.split(",")
    print(f"{'collection':10} {'pipeline':26} {'nDCG@10':>8} {'change':>8} {'p':>7} {'R@100':>8}  ms/query")
    with Services(CACHE / "pipelines") as services:
        for name in chosen:
            bench = Bench(services, load(name))
            for (title, baseline), others in GROUPS:
                ranking, ms = bench.run(baseline)
                base, recall = bench.values(ranking)
                print(f"{name:10} {title:26} {base.mean():8.3f} {'':8} {'':7} {recall:8.3f}  {ms:8.2f}", flush=True)
                for other, stage in others:
                    ranking, ms = bench.run(stage)
                    values, recall = bench.values(ranking)
                    change, p = values.mean() - base.mean(), randomization(values - base)
                    row = f"{values.mean():8.3f} {change:+8.3f} {p:7.4f} {recall:8.3f}  {ms:8.2f}"
                    print(f"{name:10} {'  ' + other:26} {row}", flush=True)
            print(f"{name:10} {bench.fitted()}", flush=True)


if __name__ == "__main__":
    main()
