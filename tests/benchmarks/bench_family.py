"""Ranking quality of the bundled family, each alone and in fixed fusions, through the whole engine on the judged collections.

    python -m tests.benchmarks.bench_family [--collections cisi,cacm,npl,acl-litsearch] [--workspace FOLDER] [--states FOLDER]

Reads the collections as bench_pipelines does and prints nDCG@10, R@20 and R@100, at last the means over the collections. The workspace is kept in
the benchmark's cache folder, where none is named. With --states, what the body says of each document is kept in FOLDER as float16, as the training
of heads does, and read from there the next time: another head is then measured without another pass of the body.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
from numpy.typing import NDArray

from app.verbs.services import Services
from engine.encoders.runner import Runner, TokenIds
from engine.models.catalogue import DEFAULT_DENSE, model_folder
from engine.pipeline.stages import PipelineSpec
from engine.training.states import token_states
from engine.types import Ranking
from tests.benchmarks.corpora import CACHE, Corpus, load

MEASURES = [ir_measures.parse_measure(name) for name in ("nDCG@10", "R@20", "R@100")]
RRF_OF_TWO = {"acl-litsearch": 0.617, "cisi": 0.440, "cacm": 0.528, "npl": 0.490}
FAMILIES = {
    "bm25": "bm25: {k: 1000}",
    "sparse": "sparse: {idf: collection, k: 1000}",
    "dense": "dense: {k: 1000}",
    "late": "late: {k: 1000}",
}
FUSIONS = (
    ("bm25", "sparse", "dense", "late"),
    ("bm25", "dense", "late"),
    ("sparse", "dense", "late"),
    ("bm25", "late"),
    ("sparse", "late"),
)
METHODS = {"rrf": "rrf: {k: 60}", "sum": "comb_sum: {}"}
WEIGHTED = "wsum: {norm: min-max, weights: [0.5, 0.5, 1, 1]}"
"""BM25 and sparse, which both count words, half each."""


def pipelines() -> dict[str, str]:
    """Name to YAML: each family, then each fusion by each method."""
    found = {name: f"- {stage}" for name, stage in FAMILIES.items()}
    fusions = [(names, *method) for names in FUSIONS for method in METHODS.items()]
    for names, method, stage in [*fusions, (tuple(FAMILIES), "weighted", WEIGHTED)]:
        inputs = "".join(f"\n    - {FAMILIES[name]}" for name in names)
        found[f"{method} {'+'.join(names)}"] = f"- fuse:\n    inputs:{inputs}\n    method: {{{stage}}}"
    return {name: f"name: {name}\npipeline:\n{text}\n" for name, text in found.items()}


def fill(services: Services, corpus: Corpus, specs: list[PipelineSpec]) -> str:
    """The collection with all documents and current indexes; gives its id."""
    path = CACHE / f"{corpus.name}.jsonl"
    lines = (json.dumps({"_id": doc_id, "title": title, "text": text}) for doc_id, title, text in corpus.rows)
    path.write_text("\n".join(lines), "utf-8")
    needed = tuple(dict.fromkeys(index for spec in specs for index in spec.index_specs()))
    for job in (services.add([str(path)], corpus.name, index=False), services.index(corpus.name, needed)):
        done = services.wait(job)
        if done.status != "done" or done.counts.get("rejected"):
            raise SystemExit(f"{corpus.name}: {done}")
    return services.engine.workspace.collection(corpus.name).collection_id


def keep_states(corpus: Corpus, folder: Path) -> None:
    """Let every runner of the bundled body read the corpus' documents from `folder`, where they are written first if need be."""
    body = Runner.load(model_folder(DEFAULT_DENSE))
    states = token_states(body, corpus.docs, folder)
    places = {states.ids[a:b].astype(np.int64).tobytes(): (a, b) for a, b in pairwise(states.indptr.tolist())}
    run = Runner.run

    def kept(self: Runner, ids: list[TokenIds], *rest: Any, **options: Any) -> NDArray[np.float32]:
        known = len(ids) == 1 and self.card.fingerprint == body.card.fingerprint
        place = places.get(ids[0].tobytes()) if known else None
        if place is None:
            return run(self, ids, *rest, **options)
        return states.states[place[0] : place[1]][None].astype(np.float32)

    Runner.run = kept  # type: ignore[method-assign]


def main() -> None:
    """Print one row per collection and pipeline."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--collections", default="cisi,cacm,npl,acl-litsearch")
    parser.add_argument("--workspace", type=Path, default=CACHE / "pipelines")
    parser.add_argument("--states", type=Path)
    options = parser.parse_args()
    chosen = options.collections.split(",")
    specs = {name: PipelineSpec.from_yaml(text) for name, text in pipelines().items()}
    print(f"{'collection':14} {'pipeline':28} " + " ".join(f"{m!s:>8}" for m in MEASURES) + "  RRF of BM25, dense")
    means: dict[str, list[float]] = {}
    with Services(options.workspace) as services:
        for collection in chosen:
            corpus = load(collection)
            if options.states:
                keep_states(corpus, options.states)
            context = services.engine.searcher(fill(services, corpus, list(specs.values()))).context()
            qrels = [ir_measures.Qrel(q, d, g) for q, grades in corpus.qrels.items() for d, g in grades.items()]
            asked = Ranking.of(list(zip(corpus.qids, corpus.queries, strict=True)))
            for name, spec in specs.items():
                hits = context.execute(spec.pipeline, asked)[0].hits.select("qid", "doc_id", "score")
                run = [ir_measures.ScoredDoc(q, d, s) for q, d, s in hits.iter_rows()]
                values = ir_measures.calc_aggregate(MEASURES, qrels, run)
                means.setdefault(name, []).append(float(values[MEASURES[0]]))
                row = " ".join(f"{values[m]:8.3f}" for m in MEASURES)
                print(f"{collection:14} {name:28} {row}  {RRF_OF_TWO[collection]:18.3f}", flush=True)
    for name, found in means.items():
        print(f"{f'mean of {len(found)}':14} {name:28} {sum(found) / len(found):8.4f}", flush=True)


if __name__ == "__main__":
    main()
