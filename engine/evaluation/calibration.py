"""One calibration from end to end: run the pipelines on the judged queries, fit and cross-validate the maps, and keep what there is to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl

from engine.calibrators.base import Calibrator
from engine.component import dump, parse
from engine.errors import BadInput
from engine.evaluation.calibrate import FOLDS, SEED, Calibration, Judged, Target, calibrate, judged_pool
from engine.evaluation.run import Asked as AskedQueries
from engine.evaluation.run import digest, fingerprints, questions
from engine.kernels.calibration import Floats
from engine.pipeline.context import Context
from engine.pipeline.stages import Cutoff, PipelineSpec, Stage, Then
from engine.serving.engine import Engine
from engine.types import Mask, Progress, ProgressSink, Ranking, ignore_progress
from engine.workspace.query_sets import DEFAULT_SET

if TYPE_CHECKING:
    from engine.workspace.calibrations import StoredCalibration

DEPTH = 100
SCORE_BINS = 40
PROBABILITY_BINS = 20
THRESHOLDS = 101
BATCH = 16  # queries that run together


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be calibrated: the first `depth` hits of each pipeline, by each method; `rating` is where relevance begins, `seed` deals the queries into folds."""

    pipelines: Mapping[str, PipelineSpec]
    methods: tuple[Calibrator, ...]
    target: Target
    query_set: str = DEFAULT_SET
    folds: int = FOLDS
    depth: int = DEPTH
    rating: int = 1
    seed: int = SEED

    def spec(self) -> dict[str, Any]:
        """As it is stored, and as a job's parameters."""
        return {
            "pipelines": {name: pipeline.to_yaml() for name, pipeline in self.pipelines.items()},
            "methods": [dump(method) for method in self.methods],
            "target": [self.target.wish, self.target.value],
            "query_set": self.query_set,
            "folds": self.folds,
            "depth": self.depth,
            "rating": self.rating,
            "seed": self.seed,
        }

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Asked:
        """From what `spec` wrote. Raises BadInput."""
        return cls(
            pipelines={name: PipelineSpec.from_yaml(text) for name, text in spec["pipelines"].items()},
            methods=tuple(method(data) for data in spec["methods"]),
            target=Target(*spec["target"]).checked(),
            query_set=spec["query_set"],
            folds=int(spec["folds"]),
            depth=int(spec["depth"]),
            rating=int(spec["rating"]),
            seed=int(spec.get("seed", SEED)),
        )


def method(data: Any) -> Calibrator:
    """A calibrator from its name or `{name: parameters}`. Raises BadInput."""
    return cast(Calibrator, parse("calibrators", data))


def calibrate_collection(
    engine: Engine, collection_id: str, asked: Asked, *, progress: ProgressSink = ignore_progress
) -> StoredCalibration:
    """Calibrate and store. Raises BadInput without queries, judgments or methods, or with too few of them for the folds."""
    if not asked.methods:
        raise BadInput("Nothing to fit: name at least one calibrator.")
    wanted = AskedQueries(asked.pipelines, (), query_set=asked.query_set)
    queries, judgments = questions(engine, collection_id, wanted)
    judged = set(judgments["qid"])
    queries = [query for query in queries if query[0] in judged]
    content_hash = engine.workspace.documents.content_hash(collection_id)
    stamps = fingerprints(engine, collection_id, asked.pipelines.values())
    searcher = engine.searcher(collection_id)
    results = []
    for name, pipeline in asked.pipelines.items():
        hits = _run(Context(searcher), pipeline, queries, asked.depth, name, progress)
        pool = judged_pool(hits, judgments, rating=asked.rating)
        vectors = Context(searcher).query_vectors  # encodes each query once, whatever fits ask for it

        def fits(step: Progress, name: str = name) -> None:
            progress(Progress(f"fit {name}", step.done, step.total, step.unit))

        found = calibrate(pool, asked.methods, vectors, asked.target, folds=asked.folds, seed=asked.seed, progress=fits)
        results.append(told(name, pipeline, pool, found, asked.depth))
    return engine.workspace.calibrations.add(
        collection_id, asked.query_set, asked.spec(), {"pipelines": results}, content_hash=content_hash,
        judgments_hash=digest(judgments.iter_rows()), fingerprints=stamps,
    )  # fmt: skip


def _run(
    ctx: Context,
    pipeline: PipelineSpec,
    queries: Sequence[tuple[str, str]],
    depth: int,
    name: str,
    progress: ProgressSink,
) -> Ranking:
    hits = []
    for start in range(0, len(queries), BATCH):
        progress(Progress(f"search {name}", start, len(queries), "queries"))
        asked = Ranking.of(queries[start : start + BATCH])
        hits.append(ctx.execute(pipeline.pipeline, asked)[0].top(depth).hits)
    progress(Progress(f"search {name}", len(queries), len(queries), "queries"))
    return Ranking.of(queries).with_hits(pl.concat(hits))


def stale(engine: Engine, stored: StoredCalibration) -> tuple[str, ...]:
    """In words, what has changed since; nothing when the calibration still stands."""
    key, asked = stored.collection_id, Asked.of(stored.spec)
    reasons = []
    if engine.workspace.documents.content_hash(key) != stored.content_hash:
        reasons.append("the documents have changed")
    try:
        _, judgments = questions(engine, key, AskedQueries(asked.pipelines, (), query_set=stored.query_set))
    except BadInput:
        return (*reasons, "the query set is gone")
    if digest(judgments.iter_rows()) != stored.judgments_hash:
        reasons.append("the judgments have changed")
    now = fingerprints(engine, key, asked.pipelines.values())
    reasons += [
        f"the index {label!r} has changed" for label, stamp in stored.fingerprints.items() if now.get(label) != stamp
    ]
    return tuple(reasons)


def told(name: str, pipeline: PipelineSpec, judged: Judged, found: Sequence[Calibration], depth: int) -> dict[str, Any]:
    """What pages and reports show of one pipeline, as plain JSON values."""
    scores = judged.pool.scores
    low, high = (float(scores.min()), float(scores.max())) if len(scores) else (0.0, 1.0)
    return {
        "name": name,
        "yaml": pipeline.to_yaml(),
        "queries": len(judged.qids),
        "answerable": int(judged.answerable.sum()),
        "hits": len(scores),
        "relevant": int(judged.relevant.sum()),
        "scores": {"low": low, "high": high, **_histogram(scores, judged.relevant, SCORE_BINS, low, high)},
        "methods": [_method(pipeline, judged, one, depth) for one in found],
    }


def _method(pipeline: PipelineSpec, judged: Judged, found: Calibration, depth: int) -> dict[str, Any]:
    # Maps that look at the whole list (its lowest score, its spread) must see as much of it as they were fitted to.
    calibrated = pipeline.model_copy(update={"pipeline": _first(pipeline.pipeline, depth) >> found.calibrator})
    bins = found.reliability
    return {
        "name": found.calibrator.name,
        "label": found.calibrator.label(),
        "needs_judgments": found.calibrator.needs_judgments,
        "yaml": calibrated.to_yaml(),
        "threshold": found.calibrator.threshold,
        "fold_thresholds": list(found.fold_thresholds),
        "measures": {key: [value.value, value.low, value.high] for key, value in found.measures.items()},
        "best_kept": found.best_kept,
        "emptied": found.emptied,
        "results": found.results,
        "bins": {
            "count": bins.count.tolist(),
            "predicted": [_number(value) for value in bins.predicted],
            "observed": [_number(value) for value in bins.observed],
        },
        "probabilities": _histogram(found.probabilities, judged.relevant, PROBABILITY_BINS, 0.0, 1.0),
        "effects": effects(found.probabilities, judged, found.calibrator.threshold),
    }


def effects(p: Floats, judged: Judged, chosen: float) -> list[list[float | None]]:
    """What each threshold would do to queries that no fit has seen: [threshold, precision, recall, best kept, emptied, results] rows, ascending.

    p: float64 [hits], held-out probabilities. Thresholds lie at quantiles of these, so that curves are smooth where hits are; closer among
    the likeliest hits, of which thresholds keep few; and at the chosen one.
    """
    queries = len(judged.qids)
    shares = np.concatenate([np.linspace(start, 1, THRESHOLDS) for start in (0.0, 0.95)])
    inner = np.quantile(p, shares, method="nearest") if len(p) else np.empty(0)
    rows: list[list[float | None]] = []
    for threshold in np.unique(np.concatenate([[0.0, chosen], inner])):
        keep = p >= threshold
        found = int((keep & judged.relevant).sum())
        best, some = np.zeros(queries, bool), np.zeros(queries, bool)
        best[judged.pool.query[keep & judged.best]] = True
        some[judged.pool.query[keep]] = True
        rows.append(
            [
                float(threshold),
                found / int(keep.sum()) if keep.any() else None,
                found / int(judged.relevant.sum()) if judged.relevant.any() else None,
                float(best[judged.answerable].mean()) if judged.answerable.any() else None,
                float((~some[~judged.answerable]).mean()) if not judged.answerable.all() else None,
                float(keep.sum() / queries),
            ]
        )
    return rows


def _first(stage: Stage, depth: int) -> Stage:
    """The pipeline, ending at so many hits."""
    last = stage.children()[-1] if isinstance(stage, Then) else stage
    return stage if isinstance(last, Cutoff) and last.k <= depth else stage % depth


def _histogram(values: Floats, relevant: Mask, bins: int, low: float, high: float) -> dict[str, list[int]]:
    """Counts of relevant and other hits in equally wide bins."""
    bounds = (low, high if high > low else low + 1)
    return {
        "relevant": np.histogram(values[relevant], bins, bounds)[0].tolist(),
        "other": np.histogram(values[~relevant], bins, bounds)[0].tolist(),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
