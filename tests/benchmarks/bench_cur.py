"""Retrieval by a cross-encoder without a first stage: what it finds for how many exact calls, beside reranking BM25 with as many.

    python -m tests.benchmarks.bench_cur [--collections example,cisi] [--documents 1500] [--questions 20] [--queries 40]

Reads every document with every question first, which is what the others are compared with: recall@10 is the share of the cross-encoder's own
first ten among the first ten, nDCG@10 is by judgments. These scores are kept in the benchmark's cache folder, row by row, so that a run that
was stopped goes on. --documents takes part of a collection: the judged ones of the questions first. --queries: questions that the index asks. --others: it asks the other judged questions instead of titles and sentences, never the one
that is measured; that takes no further reading.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from unittest.mock import patch

import ir_measures
import numpy as np
from numpy.typing import NDArray

from engine.encoders.cross import PairScorer
from engine.encoders.opening import load_scorer
from engine.models.catalogue import DEFAULT_CROSS
from engine.pipeline.context import Context
from engine.pipeline.stages import Stage
from engine.rerankers.cross import Cross
from engine.retrievers.bm25 import Bm25
from engine.retrievers.cur import Cur
from engine.testing.contracts import MemoryResources
from engine.types import Ints, ProgressSink, Ranking, ignore_progress
from tests.benchmarks.corpora import CACHE, Corpus, load, read_beir

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "retrieval-papers"
CALLS = (20, 50, 100, 200)
MEASURE = ir_measures.nDCG @ 10
TOP = 10
Scores = NDArray[np.float32]


class Table:
    """A cross-encoder over the documents of one collection that reads all of them with a query, once and for all."""

    def __init__(self, scorer: PairScorer, texts: Sequence[str], path: Path) -> None:
        self.card, self.fingerprint = scorer.card, scorer.fingerprint
        self._scorer, self._texts, self._path = scorer, list(texts), path
        self._at = {text: place for place, text in enumerate(texts)}
        self._rows: dict[str, Scores] = dict(np.load(path)) if path.exists() else {}

    def row(self, query: str) -> Scores:
        """float32 [documents]."""
        key = hashlib.sha256(query.encode()).hexdigest()[:24]
        if key not in self._rows:
            self._rows[key] = self._scorer.score(query, self._texts)
            np.savez(self._path, **self._rows)  # type: ignore[arg-type]
            print(f"{len(self._rows)} rows of {len(self._texts)} pairs", end="\r", file=sys.stderr)
        return self._rows[key]

    def score(self, query: str, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> Scores:
        """See PairScorer."""
        return self.row(query)[[self._at[text] for text in texts]]

    def batches(self, query: str, texts: Sequence[str]) -> Iterator[tuple[Ints, Scores]]:
        """See PairScorer."""
        yield np.arange(len(texts)), self.score(query, texts)


def example() -> Corpus:
    """The example collection, with the questions that have a relevant document."""
    return read_beir(EXAMPLE, "example")


def part(corpus: Corpus, qids: Sequence[str], documents: int) -> dict[str, str]:
    """Texts by id: documents judged relevant to these questions first, then others, evenly drawn."""
    texts = dict(zip(corpus.doc_ids, corpus.docs, strict=True))
    if len(texts) > documents:
        judged = [doc_id for qid in qids for doc_id, grade in corpus.qrels[qid].items() if grade > 0]
        others = [corpus.doc_ids[i] for i in np.linspace(0, len(texts) - 1, documents).astype(int)]
        kept = set(list(dict.fromkeys([*judged, *others]))[:documents])
        texts = {doc_id: text for doc_id, text in texts.items() if doc_id in kept}
    return texts


def measure(corpus: Corpus, scorer: PairScorer, options: argparse.Namespace) -> None:
    """One row for each way and number of exact calls."""
    asked = [qid for qid in corpus.qids if any(grade > 0 for grade in corpus.qrels[qid].values())]
    places = np.unique(np.linspace(0, len(asked) - 1, min(options.questions, len(asked))).astype(int))
    texts_of = dict(zip(corpus.qids, corpus.queries, strict=True))
    questions = [(asked[place], texts_of[asked[place]]) for place in places]
    texts = part(corpus, [qid for qid, _ in questions], options.documents)
    table = Table(scorer, list(texts.values()), CACHE / f"cur-{corpus.name}-{len(texts)}.npz")
    names = np.array(list(texts))
    exact = {qid: [names[i] for i in np.argsort(-table.row(text), kind="stable")[:TOP]] for qid, text in questions}
    qrels = [ir_measures.Qrel(qid, doc, grade) for qid, _ in questions for doc, grade in corpus.qrels[qid].items()]

    def tell(name: str, calls: int, found: dict[str, list[str]]) -> None:
        recall = np.mean([len(set(found[qid]) & set(exact[qid])) / TOP for qid in exact])
        run = [ir_measures.ScoredDoc(qid, doc, -rank) for qid, docs in found.items() for rank, doc in enumerate(docs)]
        value = ir_measures.calc_aggregate([MEASURE], qrels, run)[MEASURE]
        print(
            f"{corpus.name:8} {len(texts):6} {len(questions):4} {name:34} {calls:6} {recall:9.3f} {value:8.3f}",
            flush=True,
        )

    with tempfile.TemporaryDirectory() as folder:
        resources = MemoryResources(texts, Path(folder), scorer=table)

        def found(stage: Stage) -> dict[str, list[str]]:
            hits = Context(resources).execute(stage, Ranking.of(questions))[0].top(TOP).hits
            return {qid: hits.filter(qid=qid)["doc_id"].to_list() for qid, _ in questions}

        def found_by_others(stage: Cur) -> dict[str, list[str]]:
            first: dict[str, list[str]] = {}
            for qid, text in questions:
                others = cycle(other for other_qid, other in questions if other_qid != qid)
                with patch("engine.indexes.cur.question", lambda *_, others=others: next(others)):
                    own = MemoryResources(texts, Path(folder) / f"{qid}-{stage.anchors}-{stage.rescored}", scorer=table)
                    hits = Context(own).execute(stage, Ranking.of([(qid, text)]))[0].top(TOP).hits
                first[qid] = hits["doc_id"].to_list()
            return first

        tell("cross-encoder, every document", len(texts), exact)
        tell("BM25", 0, found(Bm25(k=TOP)))
        for calls in (calls for calls in CALLS if calls < len(texts)):
            tell("BM25, then cross", calls, found(Bm25(k=calls) >> Cross(candidates=calls)))
            for anchors in (calls, calls // 2):
                width = len(questions) - 1 if options.others else options.queries
                cur = Cur(queries=width, anchors=anchors, rescored=calls - anchors, ridge=options.ridge)
                tell(
                    f"cur, {anchors} anchors, {calls - anchors} rescored",
                    calls,
                    found_by_others(cur) if options.others else found(cur),
                )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--collections", default="example,cisi")
    parser.add_argument("--documents", type=int, default=1_500)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--queries", type=int, default=Cur().queries)
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--ridge", type=float, default=Cur().ridge)
    options = parser.parse_args()
    scorer = load_scorer(DEFAULT_CROSS)
    print(f"{'':8} {'docs':>6} {'n':>4} {'':34} {'calls':>6} {'recall@10':>9} {'nDCG@10':>8}")
    for name in options.collections.split(","):
        measure(example() if name == "example" else load(name), scorer, options)


if __name__ == "__main__":
    main()
