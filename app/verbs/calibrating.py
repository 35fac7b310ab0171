"""Turn scores into probabilities: fit calibrators to judgments, see what they are worth, save pipelines with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.results.calibration import (
    CalibratedMethod,
    CalibratedPipeline,
    CalibrationSummary,
    CalibrationView,
    Effect,
    Histogram,
    Interval,
    QueryCurve,
    QueryCurves,
    ReliabilityBins,
)
from app.results.search import PipelineView
from app.verbs.base import Deck, checked_k, checked_query, writes
from app.verbs.pipelines import PipelineVerbs
from engine.calibrators.base import Calibrator, Pool, pooled
from engine.component import discover, summary
from engine.errors import BadInput, NotFound
from engine.evaluation.calibrate import FOLDS, WISHES, Target
from engine.evaluation.calibration import DEPTH, Asked, calibrate_collection, method, stale
from engine.pipeline.stages import PipelineSpec, Then
from engine.types import ProgressSink, Ranking, ignore_progress
from engine.workspace.calibrations import StoredCalibration
from engine.workspace.query_sets import DEFAULT_SET

DEFAULT_METHODS = ("min_max", "platt", "beta", "isotonic", "cosine_adapter", "mixture")
DEFAULT_TARGET = "recall>=0.9"
MOST_PIPELINES = 4
MOST_METHODS = 12
CURVE_POINTS = 61


class CalibrationVerbs(PipelineVerbs):
    """Calibrations, and the pipelines that are saved with them."""

    def calibrators(self) -> dict[str, str]:
        """The calibrators by name, each with a line on what it does."""
        known = discover("calibrators")
        return {name: summary(known[name]) for name in known}

    def targets(self) -> dict[str, str]:
        """What a threshold can be chosen for, each with what it means."""
        return dict(WISHES)

    @writes
    def start_calibration(self, collection: str, pipelines: Sequence[str | tuple[str, str]], **options: Any) -> str:
        """Queue the job of `calibrate` (same arguments); returns its id. What can be checked at once is checked at once. Raises BadInput, NotFound, ReadOnly."""
        stored = self._collection(collection)
        asked = self._asked_calibration(pipelines, **options)
        return self.engine.jobs.submit("calibrate", stored.collection_id, asked.spec())

    @writes
    def calibrate(
        self,
        collection: str,
        pipelines: Sequence[str | tuple[str, str]],
        *,
        progress: ProgressSink = ignore_progress,
        **options: Any,
    ) -> CalibrationView:
        """Fit calibrators to the judged queries of a query set and measure them on held-out ones.

        pipelines: names, or (name, YAML) pairs; options: query_set, methods (names or `{name: parameters}`), target ("recall>=0.9",
        "precision>=0.5", "best>=0.9", "results<=10"), folds, depth (hits of each query), rating (from which on a document is relevant).
        Raises BadInput, NotFound, ReadOnly, IndexNotReady, and what `progress` raises.
        """
        stored = self._collection(collection)
        asked = self._asked_calibration(pipelines, **options)
        return self._calibration_view(
            stored.name, calibrate_collection(self.engine, stored.collection_id, asked, progress=progress)
        )

    def calibrations(self, collection: str) -> tuple[CalibrationSummary, ...]:
        """The stored calibrations of a collection, newest first."""
        key = self._collection(collection).collection_id
        return tuple(_summary(stored) for stored in self.engine.workspace.calibrations.list(key))

    def calibration(self, collection: str, calibration_id: str) -> CalibrationView:
        """One stored calibration. Raises NotFound."""
        return self._calibration_view(
            self._collection(collection).name, self._stored_calibration(collection, calibration_id)
        )

    @writes
    def delete_calibration(self, collection: str, calibration_id: str) -> None:
        """Forget a calibration; pipelines that were saved with its maps keep them. Raises NotFound."""
        self.engine.workspace.calibrations.delete(self._stored_calibration(collection, calibration_id).calibration_id)

    @writes
    def save_calibrated(
        self,
        collection: str,
        calibration_id: str,
        pipeline: str,
        method: str,
        *,
        name: str,
        threshold: float | None = None,
    ) -> PipelineView:
        """Save a pipeline with a fitted calibrator as its last stage; `threshold` replaces the one that was chosen. Raises BadInput, NotFound."""
        spec, calibrator = self._fitted(self._stored_calibration(collection, calibration_id), pipeline, method)
        if threshold is not None:
            if not 0 <= threshold <= 1:
                raise BadInput(f"The threshold {threshold!r} is no probability; it lies between 0 and 1.")
            stages = (*spec.pipeline.children()[:-1], calibrator.model_copy(update={"threshold": float(threshold)}))
            spec = spec.model_copy(update={"pipeline": Then(stages=stages)})
        return self.save_pipeline(name, spec.to_yaml())

    def query_curves(
        self, collection: str, calibration_id: str, pipeline: str, query: str, *, k: int = 20
    ) -> QueryCurves:
        """What every fitted map of a calibration says of one query's first k hits, and its curve. Raises BadInput, NotFound, IndexNotReady."""
        stored = self._stored_calibration(collection, calibration_id)
        part = _part(stored, pipeline)
        text, _ = checked_query(query)
        searcher = self.engine.searcher(stored.collection_id)
        ctx = searcher.context()
        spec = PipelineSpec.from_yaml(part["yaml"])
        ranking = ctx.execute(spec.pipeline, Ranking.of([("q", text)]))[0].top(int(stored.spec["depth"]))
        hits, pool = pooled(ranking)
        shown = hits.head(checked_k(k))
        deck = Deck(self.engine, stored.collection_id)
        deck.fetch(shown["doc_id"])
        titles = {card.doc_id: card.title for card in deck.cards((doc_id, 1, 0.0) for doc_id in shown["doc_id"])}
        curves = []
        for told in part["methods"] if len(hits) else []:
            _, calibrator = self._fitted(stored, pipeline, told["name"])
            p = calibrator.probabilities(pool, ctx.query_vectors)
            curves.append(
                QueryCurve(
                    told["name"], told["label"], told["threshold"], _curve(pool, p), tuple(map(float, p[: len(shown)]))
                )
            )
        rows = tuple(
            (doc_id, titles.get(doc_id, doc_id), score) for doc_id, score in shown.select("doc_id", "score").rows()
        )
        return QueryCurves(pipeline, text, rows, tuple(curves))

    def _asked_calibration(
        self,
        pipelines: Sequence[str | tuple[str, str]],
        *,
        query_set: str = DEFAULT_SET,
        methods: Sequence[Any] = DEFAULT_METHODS,
        target: str = DEFAULT_TARGET,
        folds: int = FOLDS,
        depth: int = DEPTH,
        rating: int = 1,
    ) -> Asked:
        specs: dict[str, PipelineSpec] = {}
        for one in pipelines:
            name, spec = (one, self._spec(one)) if isinstance(one, str) else (one[0], PipelineSpec.from_yaml(one[1]))
            if name in specs:
                raise BadInput(f"The pipeline {name!r} is named twice; give each its own name.")
            if any(isinstance(stage, Calibrator) for stage in spec.pipeline.walk()):
                raise BadInput(f"The pipeline {name!r} is calibrated already; choose the one that it was made from.")
            specs[name] = spec
        if not 1 <= len(specs) <= MOST_PIPELINES:
            raise BadInput(f"A calibration takes 1 to {MOST_PIPELINES} pipelines; got {len(specs)}.")
        chosen = tuple(dict.fromkeys(method(data) for data in methods))
        if not 1 <= len(chosen) <= MOST_METHODS or len({one.name for one in chosen}) != len(chosen):
            raise BadInput(f"A calibration takes 1 to {MOST_METHODS} calibrators, each once.")
        if not 2 <= folds <= 20 or not 1 <= rating <= 100:
            raise BadInput(f"Take 2 to 20 folds and a rating of 1 or more; got {folds} and {rating}.")
        return Asked(specs, chosen, Target.parse(target), query_set, folds, checked_k(depth), rating)

    def _stored_calibration(self, collection: str, calibration_id: str) -> StoredCalibration:
        """By its id or the first characters of it. Raises NotFound."""
        key = self._collection(collection).collection_id
        found = [
            stored
            for stored in self.engine.workspace.calibrations.list(key)
            if calibration_id and stored.calibration_id.startswith(calibration_id)
        ]
        if len(found) != 1:
            many = "Several calibrations begin" if found else "No calibration of this collection begins"
            raise NotFound(f"{many} with {calibration_id!r}; see `triptych calibrations list`.")
        return found[0]

    def _fitted(self, stored: StoredCalibration, pipeline: str, method_name: str) -> tuple[PipelineSpec, Calibrator]:
        part = _part(stored, pipeline)
        for told in part["methods"]:
            if told["name"] == method_name:
                spec = PipelineSpec.from_yaml(told["yaml"])
                last = spec.pipeline.children()[-1]
                assert isinstance(last, Calibrator)
                return spec, last
        known = ", ".join(told["name"] for told in part["methods"])
        raise NotFound(f"This calibration has no {method_name!r}. It has: {known}.")

    def _calibration_view(self, collection: str, stored: StoredCalibration) -> CalibrationView:
        spec = stored.spec
        return CalibrationView(
            calibration_id=stored.calibration_id,
            collection=collection,
            query_set=stored.query_set,
            created_at=stored.created_at.isoformat(" ", "seconds"),
            stale=stale(self.engine, stored),
            target=Target(*spec["target"]).label(),
            folds=spec["folds"],
            depth=spec["depth"],
            rating=spec["rating"],
            pipelines=tuple(_pipeline(part) for part in stored.result["pipelines"]),
        )


def _part(stored: StoredCalibration, pipeline: str) -> dict[str, Any]:
    for part in stored.result["pipelines"]:
        if part["name"] == pipeline:
            found: dict[str, Any] = part
            return found
    known = ", ".join(part["name"] for part in stored.result["pipelines"])
    raise NotFound(f"This calibration has no pipeline called {pipeline!r}. It has: {known}.")


def _curve(pool: Pool, p: Any) -> tuple[tuple[float, float], ...]:
    """Points of a query's own hits, thinned: maps that look at the whole list are defined nowhere else."""
    at = np.unique(np.linspace(0, len(p) - 1, min(CURVE_POINTS, len(p))).astype(int))[::-1]
    return tuple((float(pool.scores[place]), float(p[place])) for place in at)


def _summary(stored: StoredCalibration) -> CalibrationSummary:
    parts = stored.result["pipelines"]
    return CalibrationSummary(
        stored.calibration_id,
        stored.query_set,
        stored.created_at.isoformat(" ", "seconds"),
        Target(*stored.spec["target"]).label(),
        tuple(part["name"] for part in parts),
        tuple(told["label"] for told in parts[0]["methods"]),
    )


def _pipeline(part: Mapping[str, Any]) -> CalibratedPipeline:
    scores = part["scores"]
    return CalibratedPipeline(
        name=part["name"],
        queries=part["queries"],
        answerable=part["answerable"],
        hits=part["hits"],
        relevant=part["relevant"],
        scores=Histogram(scores["low"], scores["high"], tuple(scores["relevant"]), tuple(scores["other"])),
        methods=tuple(_method(told) for told in part["methods"]),
    )


def _method(told: Mapping[str, Any]) -> CalibratedMethod:
    measures = {name: Interval(*values) for name, values in told["measures"].items()}
    bins, counts = told["bins"], told["probabilities"]
    return CalibratedMethod(
        name=told["name"],
        label=told["label"],
        needs_judgments=told["needs_judgments"],
        yaml=told["yaml"],
        threshold=told["threshold"],
        measures=measures,
        at_threshold=Effect(
            told["threshold"],
            measures["precision"].value,
            measures["recall"].value,
            told["best_kept"],
            told["emptied"],
            told["results"],
        ),
        bins=ReliabilityBins(tuple(bins["count"]), tuple(bins["predicted"]), tuple(bins["observed"])),
        probabilities=Histogram(0.0, 1.0, tuple(counts["relevant"]), tuple(counts["other"])),
        effects=tuple(Effect(*row) for row in told["effects"]),
    )
