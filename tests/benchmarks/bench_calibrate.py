"""What each calibrator is worth on queries held out of its fit, by 5-fold cross-validation over the queries.

    python -m tests.benchmarks.bench_calibrate [--collections cisi,cacm,npl] [--target "recall>=0.9"] [--deals 5]
    python -m tests.benchmarks.bench_calibrate --collections example --target "best>=0.92"

Uses the workspace of bench_pipelines. Calibrates the first 100 hits of BM25, the dense retriever and their weighted sum. Prints the expected
calibration error, Brier score, log loss and AUC with 95 % intervals over queries, and precision and recall at the threshold that was
chosen, for the target, on the queries of the other folds; all are means over several deals of the queries into folds, because a single
deal moves the precision by more than most maps differ. Last comes the Cosine Adapter beside the best map that is one for all queries. For the example collection, some of whose questions have no relevant document, also
what becomes of these: the share of them whose list becomes empty, beside the share of the others that keep their best document.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.verbs.services import Services
from engine.evaluation.calibrate import SEED, Target
from engine.evaluation.calibration import Asked, calibrate_collection, method
from engine.models.paths import bundled_folder
from engine.pipeline.stages import PipelineSpec
from engine.types import Judgment, Query
from tests.benchmarks.bench_pipelines import fill
from tests.benchmarks.corpora import CACHE, load

PIPELINES = {
    "bm25": "- bm25: {k: 100}",
    "dense": "- dense: {k: 100}",
    "wsum": "- fuse: {inputs: [{bm25: {k: 1000}}, {dense: {k: 1000}}], method: {wsum: {}}}\n- cutoff: {k: 100}",
}
METHODS = (
    "min_max", "z_score", "temperature", "platt", "beta", "isotonic", "mixture",
    {"cosine_adapter": {"features": "query"}}, {"cosine_adapter": {"features": "both"}},
)  # fmt: skip
GLOBAL = ("temperature", "platt", "beta", "isotonic")
"""Labels of the maps that are one curve for all queries."""
MEASURES = ("ECE", "Brier", "log loss", "AUC", "precision", "recall")
Interval = list[float | None]

EMPTIED, KEPT = 0.7, 0.9
"""What is hoped for: so many questions without an answer end with an empty list, while so many of the others keep their best document."""


def main() -> None:
    """Print one row per collection, pipeline and calibrator."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--collections", default="cisi,cacm,npl")
    parser.add_argument("--target", default="recall>=0.9")
    parser.add_argument("--deals", type=int, default=5)
    asked = parser.parse_args()
    specs = {name: PipelineSpec.from_yaml(text) for name, text in PIPELINES.items()}
    names = asked.collections.split(",")
    if "example" in names:
        example(specs, Target.parse(asked.target))
        names.remove("example")
    with Services(CACHE / "pipelines") as services:
        for name in names:
            corpus = load(name)
            key = fill(services, corpus)
            documents = services.engine.workspace.documents
            documents.delete_query_set(key, "calibrate")
            documents.add_queries(
                key, [Query(*pair) for pair in zip(corpus.qids, corpus.queries, strict=True)], "calibrate"
            )
            given = [Judgment(q, d, g) for q, grades in corpus.qrels.items() for d, g in grades.items()]
            documents.add_judgments(key, given, query_set="calibrate")
            started = time.perf_counter()
            deals = []
            for deal in range(asked.deals):
                wanted = Asked(
                    specs, tuple(map(method, METHODS)), Target.parse(asked.target), "calibrate", seed=SEED + deal
                )
                stored = calibrate_collection(services.engine, key, wanted)
                services.engine.workspace.calibrations.delete(stored.calibration_id)
                deals.append(stored.result["pipelines"])
            took = time.perf_counter() - started
            print(f"{name}: {took:.0f} s for {len(specs)} pipelines, {asked.deals} deals, target {asked.target}")
            for parts in zip(*deals, strict=True):
                _measured(parts)


def _measured(parts: Sequence[dict[str, Any]]) -> None:
    """One pipeline's rows, from as many deals as were made."""
    pipeline, precision = parts[0]["name"], {}
    for deals in zip(*(part["methods"] for part in parts), strict=True):
        one = deals[0]
        values = {measure: _mean([deal["measures"][measure] for deal in deals]) for measure in MEASURES}
        label = one["label"] + (" of the query" if "features: query" in one["yaml"] else "")
        precision[label] = values["precision"][0]
        print(f"  {pipeline:6} {label:28} {' '.join(_cell(values[measure]) for measure in MEASURES)}", flush=True)
    best = max(GLOBAL, key=precision.__getitem__)
    print(
        f"  {pipeline:6} precision of Cosine Adapter {precision['Cosine Adapter']:.4f}, of {best} {precision[best]:.4f}"
    )


def _mean(intervals: Sequence[Interval]) -> Interval:
    """The mean of values, of lower ends and of upper ends; None where any is undefined."""
    return [None if None in ends else sum(ends) / len(ends) for ends in zip(*intervals, strict=True)]


def example(specs: Mapping[str, PipelineSpec], target: Target) -> None:
    """The example collection with its own questions, in a workspace made for it."""
    with tempfile.TemporaryDirectory() as folder, Services(Path(folder)) as services:
        services.wait(services.add([str(bundled_folder("examples") / "retrieval-papers")], "example"), 600)
        key = services.engine.workspace.collection("example").collection_id
        for name, spec in specs.items():
            stored = calibrate_collection(
                services.engine, key, Asked({name: spec}, tuple(map(method, METHODS)), target)
            )
            _emptied(stored.result["pipelines"][0], target)


def _emptied(part: dict[str, Any], target: Target) -> None:
    unanswered = part["queries"] - part["answerable"]
    print(
        f"example, {part['name']}, {target.label()}: {part['answerable']} questions with an answer, {unanswered} without"
    )
    for one in part["methods"]:
        kept, emptied = one["best_kept"], one["emptied"]
        good = "both" if kept >= KEPT and emptied >= EMPTIED else ""
        features = " of the query" if "features: query" in one["yaml"] else ""
        shares = f"best kept {kept:6.1%}  emptied {emptied:6.1%}  results {one['results']:5.1f}"
        print(f"  {one['label'] + features:28} {_cell(one['measures']['ECE'])}  {shares}  {good}", flush=True)


def _cell(interval: Interval) -> str:
    value, low, high = interval
    return f"{'–':>18}" if value is None else f"{value:.3f} [{low:.3f},{high:.3f}]"


if __name__ == "__main__":
    main()
