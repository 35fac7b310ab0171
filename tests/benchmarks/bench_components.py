"""Every feedback, fusion, selection and reranking component beside the pipeline it starts from, on the judged collections, in one table.

    python -m tests.benchmarks.bench_components [--collections acl-litsearch,cisi,cacm,npl] [--rerank 100] [--resume]

Uses the workspace of bench_pipelines and builds the indexes that it lacks. Each row has the change of nDCG@10 and R@100 (by ir_measures)
against the baseline above it, the two-sided p of a paired randomization test on each, corrected by Holm's method over all rows of the table
(each measure by itself), and the milliseconds a query of all its stages, run over all queries at once. Stages have the defaults that a user
gets, but first stages and feedback give 200 hits. Rows called `fitted` learn from judgments: their values are those of queries held out of
the fitting. `common` scales are measured on the questions themselves, without judgments. Rows that read texts with a model are run on
--rerank questions of each collection, evenly drawn, and so is their baseline. Language models are not in the table: they need an endpoint.

Values are kept by collection and group in the benchmark's cache folder; --resume runs what is not there.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import ir_measures
import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.verbs.services import Services
from engine.encoders.cross import PairScorer
from engine.encoders.passes import PassScorer
from engine.feedback.colbert import ColbertPrf
from engine.feedback.rm3 import Rm3
from engine.feedback.rocchio import Rocchio
from engine.feedback.vector_average import VectorAverage
from engine.feedback.vector_rocchio import VectorRocchio
from engine.fusers.base import Normalisation
from engine.fusers.comb_anz import CombAnz
from engine.fusers.comb_max import CombMax
from engine.fusers.comb_mnz import CombMnz
from engine.fusers.comb_sum import CombSum
from engine.fusers.fit import fit_statistics, fit_weights
from engine.fusers.fit_lambdamart import fit_lambdamart
from engine.fusers.rrf import Rrf
from engine.fusers.wsum import WeightedSum
from engine.models.catalogue import DEFAULT_CROSS
from engine.pipeline.context import Context
from engine.pipeline.stages import Fuse, PipelineSpec, Stage
from engine.rerankers.cross import Cross
from engine.rerankers.e2rank import E2Rank
from engine.rerankers.maxsim import MaxSim
from engine.rerankers.uni import Uni
from engine.retrievers.bm25 import Bm25
from engine.retrievers.dense import Dense
from engine.retrievers.late import Late
from engine.selectors.interests import Interests
from engine.selectors.mmr import Mmr
from engine.statistics.significance import holm, randomization
from engine.types import Ints, Ranking
from tests.benchmarks.bench_family import fill
from tests.benchmarks.corpora import CACHE, Corpus, load

MEASURES = tuple(ir_measures.parse_measure(name) for name in ("nDCG@10", "R@100"))
ROUNDS = 20_000
"""Of the randomization test: the least p must survive the correction for two hundred rows."""
DEPTH = 200
"""How many hits every first stage and feedback stage gives."""
Floats = NDArray[np.float64]

BM25, DENSE, LATE = Bm25(k=DEPTH), Dense(k=DEPTH), Late(k=DEPTH)
BOTH = (BM25, DENSE)
RRF = Fuse(inputs=BOTH, method=Rrf())
HALVES = WeightedSum(weights=(0.5, 0.5))
MIXED = Fuse(inputs=BOTH, method=HALVES)
AVERAGE, MOVE = VectorAverage(k=DEPTH), VectorRocchio(k=DEPTH)


@dataclass(frozen=True)
class Group:
    """A baseline and what is compared with it. fitted: also fusions of BM25 and Dense that learn; sampled: run on some of the questions."""

    title: str
    baseline: Stage
    others: tuple[tuple[str, Stage], ...]
    fitted: bool = False
    sampled: bool = False


def fused(method: CombSum | CombMnz | CombAnz | CombMax | WeightedSum) -> Fuse:
    return Fuse(inputs=BOTH, method=method)


GROUPS = (
    Group("BM25", BM25, (("rocchio", BM25 >> Rocchio(k=DEPTH)), ("rm3", BM25 >> Rm3(k=DEPTH)))),
    Group(
        "Dense",
        DENSE,
        (
            ("vector_average", DENSE >> AVERAGE),
            ("vector_rocchio", DENSE >> MOVE),
            ("mmr", DENSE >> Mmr()),
            ("interests", DENSE >> Interests()),
        ),
    ),
    Group(
        "BM25 + Dense, rrf",
        RRF,
        (
            ("comb_sum", fused(CombSum())),
            ("comb_sum, z-score", fused(CombSum(norm="z-score"))),
            ("comb_mnz", fused(CombMnz())),
            ("comb_anz", fused(CombAnz())),
            ("comb_max", fused(CombMax())),
            ("wsum .3 .7", fused(WeightedSum(weights=(0.3, 0.7)))),
            ("wsum .7 .3", fused(WeightedSum(weights=(0.7, 0.3)))),
            ("rrf + mmr", RRF >> Mmr()),
            ("rrf + interests", RRF >> Interests()),
        ),
        fitted=True,
    ),
    Group(
        "BM25 + Dense, wsum .5 .5",
        MIXED,
        (
            ("before vector_average", MIXED >> AVERAGE),
            ("before vector_rocchio", MIXED >> MOVE),
            ("after vector_average", Fuse(inputs=(BM25, DENSE >> AVERAGE), method=HALVES)),
            ("after vector_rocchio", Fuse(inputs=(BM25, DENSE >> MOVE), method=HALVES)),
            ("both, vector_average", Fuse(inputs=(BM25, MIXED >> AVERAGE), method=HALVES)),
            ("both, vector_rocchio", Fuse(inputs=(BM25, MIXED >> MOVE), method=HALVES)),
            ("rm3 + Dense", Fuse(inputs=(BM25 >> Rm3(k=DEPTH), DENSE), method=HALVES)),
        ),
    ),
    Group(
        "BM25, reranked",
        BM25,
        (
            ("cross", BM25 >> Cross()),
            ("uni", BM25 >> Uni()),
            ("cross, standing .5", BM25 >> Cross(standing=0.5)),
            ("e2rank", BM25 >> E2Rank()),
        ),
        sampled=True,
    ),
    Group(
        "Dense, reranked",
        DENSE,
        (
            ("cross", DENSE >> Cross()),
            ("cross, standing .5", DENSE >> Cross(standing=0.5)),
            ("e2rank", DENSE >> E2Rank()),
        ),
        sampled=True,
    ),
    Group(
        "rrf, reranked",
        RRF,
        (
            ("cross", RRF >> Cross()),
            ("cross, standing .5", RRF >> Cross(standing=0.5)),
            ("e2rank", RRF >> E2Rank()),
        ),
        sampled=True,
    ),
    Group("Late", LATE, (("colbert_prf", LATE >> ColbertPrf(k=DEPTH)),)),
    Group("BM25, by token vectors", BM25, (("maxsim", BM25 >> MaxSim()),)),
    Group("Dense, by token vectors", DENSE, (("maxsim", DENSE >> MaxSim()),)),
    Group("rrf, by token vectors", RRF, (("maxsim", RRF >> MaxSim()),)),
)


class Remembering:
    """A cross-encoder that reads no pair twice, since stages share most candidates. spared: milliseconds that what it remembered once took."""

    def __init__(self, scorer: PairScorer) -> None:
        self._scorer = scorer
        self._known: dict[tuple[str, str], tuple[float, float]] = {}
        self.spared = 0.0

    @property
    def passes(self) -> PassScorer:
        """The passes of the model itself: they share a reading of the query, so there is nothing to remember."""
        return self._scorer.passes

    def batches(self, query: str, texts: Sequence[str]) -> Iterator[tuple[Ints, NDArray[np.float32]]]:
        """See PairScorer; all pairs at once."""
        new = [text for text in dict.fromkeys(texts) if (query, text) not in self._known]
        self.spared += sum(self._known[query, text][1] for text in texts if (query, text) in self._known)
        started = time.perf_counter()
        scores = self._scorer.score(query, new).tolist()
        each = (time.perf_counter() - started) * 1000 / max(len(new), 1)
        self._known.update({(query, text): (score, each) for text, score in zip(new, scores, strict=True)})
        yield np.arange(len(texts)), np.array([self._known[query, text][0] for text in texts], np.float32)


class Bench:
    """One collection: runs pipelines and measures them by question."""

    def __init__(self, services: Services, corpus: Corpus, sample: int) -> None:
        self.services = services
        scorer = Remembering(services.engine.scorer(DEFAULT_CROSS))
        services.engine.scorer = lambda model: scorer  # type: ignore[method-assign, assignment, return-value]
        self.scorer = scorer
        stored = {one.name: one.documents for one in services.engine.workspace.collections()}
        if stored.get(corpus.name) != len(corpus.rows):
            fill(services, corpus, [PipelineSpec(pipeline=RRF)])
        self.collection_id = services.engine.workspace.collection(corpus.name).collection_id
        self.corpus = corpus
        self.asked = Ranking.of(list(zip(corpus.qids, corpus.queries, strict=True)))
        at = np.unique(np.linspace(0, len(corpus.qids) - 1, min(sample, len(corpus.qids))).astype(int))
        self.sample = Ranking.of([(corpus.qids[i], corpus.queries[i]) for i in at])
        self.judgments = pl.DataFrame(
            [(qid, doc_id, rating) for qid, grades in corpus.qrels.items() for doc_id, rating in grades.items()],
            schema={"qid": pl.String, "doc_id": pl.String, "rating": pl.Int32},
            orient="row",
        )
        self.qrels = [ir_measures.Qrel(*row) for row in self.judgments.iter_rows()]

    def measured(self, group: Group) -> Iterator[pl.DataFrame]:
        """One table a row: collection, group, row ("" for the baseline), ms, qid, and a column a measure. Builds the indexes it needs."""
        stages = (group.baseline, *(stage for _, stage in group.others))
        needed = dict.fromkeys(spec for stage in stages for spec in PipelineSpec(pipeline=stage).index_specs())
        done = self.services.wait(self.services.index(self.corpus.name, tuple(needed)))
        if done.status != "done":
            raise SystemExit(f"{self.corpus.name}: {done}")
        searcher = self.services.engine.searcher(self.collection_id)
        asked = self.sample if group.sampled else self.asked
        first = Ranking.of(list(asked.queries.head(1).iter_rows()))
        warm, context = searcher.context(), searcher.context()
        for stage in stages:
            warm.execute(stage, first)  # opens indexes and models outside the times
        for name, stage in zip(("", *(name for name, _ in group.others)), stages, strict=True):
            ranking, ms = self.run(context, stage, asked)
            yield self.values(group, name, ranking.hits, ms, asked)
        if group.fitted:
            yield from self.fitted(group, context)

    def run(self, context: Context, stage: Stage, asked: Ranking) -> tuple[Ranking, float]:
        """The ranking, and the milliseconds a query of every stage, those that ran before included."""
        self.scorer.spared = 0.0
        ranking, root = context.execute(stage, asked)
        return ranking, (self.scorer.spared + sum(span.alone_ms for span in root.walk())) / len(asked.queries)

    def fitted(self, group: Group, context: Context) -> Iterator[pl.DataFrame]:
        """Fusions of BM25 and Dense that learn from judgments, each query measured under what was fitted to the other folds; and scales
        measured over all questions."""
        lists = [self.run(context, stage, self.asked)[0].hits for stage in BOTH]
        norms: tuple[Normalisation, ...] = ("min-max", "z-score")
        for norm in norms:
            stage = fused(CombSum(norm=norm, statistics=fit_statistics(lists, norm)))
            ranking, ms = self.run(context, stage, self.asked)
            yield self.values(group, f"comb_sum, common {norm}", ranking.hits, ms, self.asked)
        for norm in norms:
            fit = fit_weights(lists, self.judgments, norm=norm)
            _, ms = self.run(context, fused(WeightedSum(norm=norm, weights=fit.weights)), self.asked)
            yield self.values(group, f"wsum, fitted, {norm}", fit.crossed, ms, self.asked)
        trees = fit_lambdamart(lists, self.judgments)
        _, ms = self.run(context, Fuse(inputs=BOTH, method=trees.fuser), self.asked)
        yield self.values(group, "lambdamart, fitted", trees.crossed, ms, self.asked)

    def values(self, group: Group, name: str, hits: pl.DataFrame, ms: float, asked: Ranking) -> pl.DataFrame:
        """Every measure of every question; 0 where nothing was found."""
        first = asked.with_hits(hits).top(100).hits
        run = [ir_measures.ScoredDoc(*row) for row in first.select("qid", "doc_id", "score").iter_rows()]
        found = {(one.query_id, one.measure): one.value for one in ir_measures.iter_calc(MEASURES, self.qrels, run)}
        qids = asked.queries["qid"].to_list()
        columns = {str(measure): [float(found.get((qid, measure), 0.0)) for qid in qids] for measure in MEASURES}
        table = pl.DataFrame({"qid": qids, **columns})
        print(
            f"{self.corpus.name:14} {group.title:24} {name:26}",
            *(f"{table[c].mean():.3f}" for c in columns),
            file=sys.stderr,
        )
        about = {"collection": self.corpus.name, "group": group.title, "row": name, "ms": ms}
        return table.select(*(pl.lit(value).alias(key) for key, value in about.items()), pl.all())


@dataclass(frozen=True)
class Line:
    """One row of the table. change and p: by measure, empty for a baseline."""

    collection: str
    group: str
    row: str
    queries: int
    means: tuple[float, ...]
    change: tuple[float, ...]
    p: tuple[float, ...]
    ms: float


def lines(table: pl.DataFrame) -> list[Line]:
    """The rows, in the order in which they ran, p not yet corrected."""
    found = []
    baseline: Floats = np.empty((0, len(MEASURES)))
    names = [str(measure) for measure in MEASURES]
    for (collection, group, row), part in table.group_by("collection", "group", "row", maintain_order=True):
        values = part.select(names).to_numpy()
        change: tuple[float, ...] = ()
        p: tuple[float, ...] = ()
        if row:
            differences = (values - baseline).T
            change = tuple(float(one.mean()) for one in differences)
            p = tuple(randomization(one, ROUNDS) for one in differences)
        else:
            baseline = values
        means = tuple(float(mean) for mean in values.mean(axis=0))
        found.append(Line(str(collection), str(group), str(row), len(part), means, change, p, float(part["ms"][0])))
    return found


def show(found: list[Line]) -> None:
    """The whole table, then what each component changes on the mean over collections."""
    compared = [line for line in found if line.row]
    corrected = list(zip(*(holm([line.p[i] for line in compared]) for i in range(len(MEASURES))), strict=True))
    p_of = dict(zip(map(id, compared), corrected, strict=True))
    print(
        f"{'collection':14} {'pipeline':28} {'n':>4}"
        + "".join(f" {m!s:>8} {'change':>7} {'p Holm':>7}" for m in MEASURES)
        + f" {'ms/query':>9}"
    )
    for line in found:
        cells = ""
        for i, mean in enumerate(line.means):
            beside = f" {line.change[i]:+7.3f} {p_of[id(line)][i]:7.4f}" if line.row else " " * 16
            cells += f" {mean:8.3f}{beside}"
        name = f"  {line.row}" if line.row else line.group
        print(f"{line.collection:14} {name:28} {line.queries:4}{cells} {line.ms:9.2f}")
    print("\nMean change over the collections, and on how many of them the value is higher:")
    print(f"{'baseline':26} {'component':26}" + "".join(f" {m!s:>8} higher" for m in MEASURES))
    for group, row in dict.fromkeys((line.group, line.row) for line in compared):
        part = [line.change for line in compared if (line.group, line.row) == (group, row)]
        cells = "".join(
            f" {np.mean([c[i] for c in part]):+8.3f} {sum(c[i] > 1e-9 for c in part)} of {len(part)}"
            for i in range(len(MEASURES))
        )
        print(f"{group:26} {row:26}{cells}")


def main() -> None:
    """Print the table, and the means over collections."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--collections", default="acl-litsearch,cisi,cacm,npl")
    parser.add_argument("--rerank", type=int, default=100, help="questions of each collection for rows that read texts")
    parser.add_argument("--resume", action="store_true", help="use the values that an earlier run has kept")
    parser.add_argument(
        "--groups", default="", help="numbers of the groups to run, from 1, e.g. 1,2,8; all, unless told"
    )
    parser.add_argument("--show", action="store_true", help="run nothing, print what an earlier run has kept")
    parser.add_argument("--workspace", type=Path, default=CACHE / "pipelines")
    options = parser.parse_args()
    kept = CACHE / "components"
    kept.mkdir(exist_ok=True)
    tables = []
    for name in options.collections.split(","):
        paths = [kept / f"{name}-{group.title}.parquet" for group in GROUPS]
        wanted = {int(number) for number in options.groups.split(",") if number} or set(range(1, len(GROUPS) + 1))
        missing = [i in wanted and not (options.resume and path.exists()) for i, path in enumerate(paths, 1)]
        if any(missing) and not options.show:
            with Services(options.workspace) as services:
                bench = Bench(services, load(name), options.rerank)
                for group, path in compress(zip(GROUPS, paths, strict=True), missing):
                    pl.concat(bench.measured(group)).write_parquet(path)
        tables += [pl.read_parquet(path) for path in paths if path.exists()]
    show(lines(pl.concat(tables)))


if __name__ == "__main__":
    main()
