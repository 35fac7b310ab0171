"""Evaluate pipelines and runs on a judged query set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from app.results.evaluation import EvaluationSummary, EvaluationView
from app.verbs.base import checked_k, keeps, writes
from app.verbs.facets import FacetVerbs
from app.verbs.leaderboard import Shown, checked_settings, chosen_metrics, leaderboard, measured_with
from app.verbs.pipelines import PipelineVerbs
from app.verbs.querysets import QuerySetVerbs
from app.verbs.runs import RunVerbs
from engine.errors import BadInput, Cancelled, NotFound, TriptychError
from engine.evaluation.measure import DEPTH, common_queries
from engine.evaluation.run import (
    Asked,
    ImportedRun,
    asked_by,
    evaluate,
    job_params,
    measured_today,
    parsed,
    questions,
    raise_all_failed,
    remeasure,
    stale,
)
from engine.files.runs import read_run
from engine.pipeline.stages import PipelineSpec
from engine.types import Progress, ProgressSink, ignore_progress
from engine.workspace.evaluations import StoredEvaluation
from engine.workspace.query_sets import DEFAULT_SET
from engine.workspace.runs import run_digest

DEFAULT_METRICS = ("nDCG@10", "AP", "RR@10", "R@100")
MOST = 20
MOST_BATCH = 1_000
LEVEL = 0.95
POLL_SECONDS = 0.2

Pipelines = Sequence[str | tuple[str, str]]
"""Names of pipelines, or (name, YAML) pairs."""
RunNames = Sequence[str] | Mapping[str, str | Path]
"""Names of imported runs, or files by the name they are to have."""


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What is evaluated and how it is judged. `baseline` is the pipeline that the others are compared with; by default the first. What was found
    before for the same documents, queries and pipelines is not run again unless `fresh`."""

    pipelines: Pipelines
    query_set: str = DEFAULT_SET
    metrics: Sequence[str] = DEFAULT_METRICS
    baseline: str | None = None
    test: str = "randomization"
    correction: str = "holm"
    level: float = LEVEL
    depth: int = DEPTH
    batch: int = 1
    runs: RunNames = ()
    fresh: bool = False


class EvaluationVerbs(PipelineVerbs, FacetVerbs, QuerySetVerbs, RunVerbs):
    """Leaderboards."""

    @writes
    def start_evaluation(self, collection: str, pipelines: Pipelines, **settings: Any) -> str:
        """Queue an evaluation of pipelines and runs over a judged query set; gives the job's id. The job's `result` is the evaluation's id.

        Settings are the fields of EvaluationRequest. Everything is checked here: raises BadInput, NotFound.
        """
        stored, request = self._collection(collection), EvaluationRequest(pipelines, **settings)
        asked = self._asked(request, {})
        for name, path in request.runs.items() if isinstance(request.runs, Mapping) else ():
            self.import_run(collection, path, name=name)
        run_ids = {name: self.engine.workspace.runs.get(stored.collection_id, name).run_id for name in request.runs}
        params = job_params(asked, run_ids, fresh=request.fresh)
        questions(self.engine, stored.collection_id, asked_by(self.engine.workspace, params))
        return str(self.engine.jobs.submit("evaluate", stored.collection_id, params))

    @keeps
    def evaluate(
        self, collection: str, pipelines: Pipelines, *, progress: ProgressSink = ignore_progress, **settings: Any
    ) -> EvaluationView:
        """`start_evaluation`, and wait for it; in a read-only workspace it runs here and nothing is stored.

        Stopped by `progress` raising Cancelled, or with the process, it goes on where it was when asked the same again. Raises BadInput,
        NotFound, and the error of the pipelines when every one failed on every query.
        """
        if not self.read_only:
            job_id = self.start_evaluation(collection, pipelines, **settings)
            return self.evaluation(collection, self._finished(job_id, progress))
        stored, request = self._collection(collection), EvaluationRequest(pipelines, **settings)
        asked = self._asked(request, self._read_runs(stored.collection_id, request.runs))
        found = evaluate(self.engine, stored.collection_id, asked, keep=False, progress=progress)
        if len(found.ran.failures) and found.values["value"].null_count() == len(found.values):
            raise_all_failed(found.ran)
        return leaderboard(
            Shown(
                "",
                stored.name,
                asked.query_set,
                "",
                True,
                (),
                asked.settings,
                asked.pipelines,
                tuple(asked.runs),
                self._rejected(stored.collection_id, asked.query_set),
            ),
            found.values,
            found.ran,
            found.unjudged,
        )

    def evaluations(self, collection: str) -> tuple[EvaluationSummary, ...]:
        """The stored evaluations of a collection, newest first; each says what has changed since. Pools for judging are not among them."""
        key = self._collection(collection).collection_id
        every = self.engine.workspace.evaluations.list(key)
        seen: dict[str, str] = {}
        return tuple(self._summary(stored, seen) for stored in every if not stored.spec.get("every_query"))

    def evaluation(
        self,
        collection: str,
        evaluation_id: str,
        *,
        baseline: str | None = None,
        test: str | None = None,
        correction: str | None = None,
    ) -> EvaluationView:
        """One stored evaluation, compared as it was asked or as is said here, which is not kept. Raises NotFound, BadInput."""
        stored = self._stored(collection, evaluation_id)
        spec = stored.spec
        settings = checked_settings(
            [*spec["pipelines"], *spec["runs"]], baseline or spec["baseline"], test or spec["test"], correction or spec["correction"],
            spec["level"],
        )  # fmt: skip
        return self._shown(self._collection(collection).name, replace(stored, spec={**spec, **settings}))

    @keeps
    def remeasure(self, collection: str, evaluation_id: str) -> EvaluationView:
        """Measure what an evaluation found against the judgments of today; no pipeline runs. Raises NotFound, and BadInput without judgments."""
        stored, name = self._stored(collection, evaluation_id), self._collection(collection).name
        if self.read_only:
            return self._shown(name, stored, measured_today(self.engine, stored)[0])
        return self._shown(name, remeasure(self.engine, stored))

    @writes
    def delete_evaluation(self, collection: str, evaluation_id: str) -> None:
        """Forget an evaluation with everything that it found. Raises NotFound."""
        self.engine.workspace.evaluations.delete(self._stored(collection, evaluation_id).evaluation_id)

    def _asked(self, request: EvaluationRequest, runs: Mapping[str, ImportedRun]) -> Asked:
        """What is evaluated, with the measures that are shown beside those asked for. Raises BadInput."""
        specs = self._chosen_specs(request.pipelines)
        names = self._checked_names(request.pipelines, specs, list(request.runs))
        settings = checked_settings(names, request.baseline, request.test, request.correction, request.level)
        chosen = chosen_metrics(request.metrics)
        if not 1 <= request.batch <= MOST_BATCH:
            raise BadInput(f"A batch has 1 to {MOST_BATCH:,} queries; got {request.batch}.")
        told = {**settings, "shown": [metric.label() for metric in chosen]}
        depth = checked_k(request.depth, 10_000)
        return Asked(specs, measured_with(chosen), runs, request.query_set, depth, request.batch, settings=told)

    def _checked_names(self, pipelines: Pipelines, specs: Mapping[str, PipelineSpec], runs: Sequence[str]) -> list[str]:
        """The names of the rows. Raises BadInput where two are the same, or there are too many or none."""
        names = [*specs, *runs]
        if len(set(names)) != len(names) or len(names) != len(pipelines) + len(runs):
            raise BadInput("Two of the pipelines and runs have the same name; give each its own.")
        if not 1 <= len(names) <= MOST:
            raise BadInput(f"An evaluation takes 1 to {MOST} pipelines and runs; got {len(names)}.")
        return names

    def _read_runs(self, collection_id: str, runs: RunNames) -> dict[str, ImportedRun]:
        """Runs as they are in files or in the workspace, without keeping anything."""
        kept = self.engine.workspace.runs
        if isinstance(runs, Mapping):
            tables = {name: read_run(Path(path))[0] for name, path in runs.items()}
        else:
            tables = {name: kept.hits(kept.get(collection_id, name).run_id) for name in runs}
        return {name: ImportedRun(hits, run_digest(hits)) for name, hits in tables.items()}

    def _finished(self, job_id: str, progress: ProgressSink) -> str:
        """Wait for a job, telling how far it is; gives its evaluation. A sink that raises cancels it. Raises TriptychError when it failed."""
        jobs = self.engine.jobs
        try:
            while (job := jobs.wait(job_id, POLL_SECONDS)).status in ("queued", "running"):
                progress(Progress(job.phase, job.done, job.total, job.unit))
            progress(Progress(job.phase, job.done, job.total, job.unit))
        except BaseException:
            if jobs.get(job_id).status in ("queued", "running"):
                jobs.cancel(job_id)
                jobs.wait(job_id, 60)
            raise
        if job.status == "failed":
            raise TriptychError(job.error)
        if job.status != "done":
            raise Cancelled(f"The job was {job.status}; the queries that are finished are kept.")
        return str(job.counts["evaluation"])

    def _chosen_specs(self, pipelines: Pipelines) -> dict[str, PipelineSpec]:
        return {
            (one if isinstance(one, str) else one[0]): self._spec(one)
            if isinstance(one, str)
            else PipelineSpec.from_yaml(one[1])
            for one in pipelines
        }

    def _rejected(self, collection_id: str, query_set: str) -> bool:
        """Whether a query set holds judgments of documents that are not relevant."""
        lowest = self.engine.workspace.documents.settled_judgments(collection_id, query_set)["rating"].min()
        return isinstance(lowest, int) and lowest <= 0

    def _texts(self, collection_id: str, query_set: str) -> dict[str, str]:
        return dict(self.engine.workspace.documents.queries(collection_id, query_set).select("qid", "text").iter_rows())

    def _stored(self, collection: str, evaluation_id: str) -> StoredEvaluation:
        stored = self.engine.workspace.evaluations.get(evaluation_id)
        if stored.collection_id != self._collection(collection).collection_id or stored.spec.get("purpose"):
            raise NotFound(f"There is no evaluation {evaluation_id!r} in {collection!r}.")
        return stored

    def _summary(self, stored: StoredEvaluation, seen: dict[str, str] | None = None) -> EvaluationSummary:
        shown = stored.spec["shown"]
        first = self.engine.workspace.evaluations.values(stored.evaluation_id, shown[0])
        qids, _ = common_queries(first)
        means = (
            first.filter(pl.col("qid").is_in(qids))
            .group_by("pipeline", maintain_order=True)
            .agg(pl.col("value").mean())
        )
        best = means.drop_nulls().sort("value", descending=True, maintain_order=True).rows()
        return EvaluationSummary(
            evaluation_id=stored.evaluation_id,
            query_set=stored.query_set,
            created_at=stored.created_at.isoformat(timespec="seconds"),
            finished=stored.finished_at is not None,
            stale=stale(self.engine, stored, seen),
            pipelines=(*stored.spec["pipelines"], *stored.spec["runs"]),
            metrics=tuple(shown),
            queries=len(qids),
            best=best[0][0] if best else "",
            measure=shown[0],
            mean=best[0][1] if best else None,
            done=self.engine.workspace.evaluations.done(stored.evaluation_id),
        )

    def _shown(self, collection: str, stored: StoredEvaluation, measured: pl.DataFrame | None = None) -> EvaluationView:
        """An evaluation by the values that are kept with it, or by others."""
        evaluations, spec = self.engine.workspace.evaluations, stored.spec
        values = evaluations.values(stored.evaluation_id) if measured is None else measured
        asked = len(self._texts(stored.collection_id, stored.query_set))
        return leaderboard(
            Shown(
                stored.evaluation_id,
                collection,
                stored.query_set,
                stored.created_at.isoformat(timespec="seconds"),
                stored.finished_at is not None,
                stale(self.engine, stored),
                spec,
                {name: parsed(text) for name, text in spec["pipelines"].items()},
                tuple(spec["runs"]),
                self._rejected(stored.collection_id, stored.query_set),
            ),
            values,
            evaluations.ran(stored.evaluation_id, hits=False),
            max(0, asked - values["qid"].n_unique()),
        )
