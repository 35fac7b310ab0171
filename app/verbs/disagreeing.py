"""Where pipelines and runs disagree: measures that need no judgments, over a query set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from app.results.evaluation import Disagreement, PairAgreement, QueryAgreement
from app.verbs.base import checked_k, keeps, writes
from app.verbs.evaluating import MOST, EvaluationVerbs, Pipelines
from app.verbs.leaderboard import failed_queries
from engine.errors import BadInput, NotFound
from engine.evaluation.run import Asked, evaluate, job_params, stale
from engine.jobs.disagree import PURPOSE, agreements, asked_for, check_answered
from engine.types import ProgressSink, Ran, ignore_progress
from engine.workspace.evaluations import StoredEvaluation
from engine.workspace.query_sets import DEFAULT_SET

MEANS = ("jaccard", "rbo", "rbo_top", "tau")


@dataclass(frozen=True, slots=True)
class ComparisonRequest:
    """Whose first `k` documents are compared, on every query of a query set."""

    pipelines: Pipelines
    runs: Sequence[str] = ()
    query_set: str = DEFAULT_SET
    k: int = 10


class DisagreementVerbs(EvaluationVerbs):
    """Agreement without judgments: run as a job and kept, or at once."""

    @writes
    def start_disagreement(self, collection: str, pipelines: Pipelines, **settings: Any) -> str:
        """Queue a comparison; gives the job's id. Its `result` is what `stored_disagreement` takes. Settings are the fields of ComparisonRequest.

        No judgments are needed. Stopped, it goes on where it was when asked the same again; asked again when it is done, it is there at once.
        Raises BadInput, NotFound.
        """
        request = ComparisonRequest(pipelines, **settings)
        key, asked = self._compared(collection, request)
        run_ids = {name: self.engine.workspace.runs.get(key, name).run_id for name in request.runs}
        return str(self.engine.jobs.submit("disagree", key, job_params(asked, run_ids)))

    @keeps
    def disagreement(
        self, collection: str, pipelines: Pipelines, *, progress: ProgressSink = ignore_progress, **settings: Any
    ) -> Disagreement:
        """`start_disagreement`, and wait for it; in a read-only workspace it runs here and nothing is kept.

        Raises BadInput for fewer than two lists or an empty set, NotFound, and the error of the pipelines when every one failed.
        """
        if not self.read_only:
            job_id = self.start_disagreement(collection, pipelines, **settings)
            return self.stored_disagreement(collection, self._finished(job_id, progress))
        key, asked = self._compared(collection, ComparisonRequest(pipelines, **settings))
        ran = evaluate(self.engine, key, asked, keep=False, progress=progress).ran
        check_answered(ran, [*asked.pipelines, *asked.runs])
        return self._told(collection, key, ran, (*asked.pipelines, *asked.runs), asked.query_set, asked.depth)

    def stored_disagreement(self, collection: str, disagreement_id: str) -> Disagreement:
        """What a job of `start_disagreement` found, so far as it got. Raises NotFound."""
        stored = self._disagreement(collection, disagreement_id)
        ran = self.engine.workspace.evaluations.ran(stored.evaluation_id)
        names = (*stored.spec["pipelines"], *stored.spec["runs"])
        found = self._told(collection, stored.collection_id, ran, names, stored.query_set, stored.spec["depth"])
        created_at = stored.created_at.isoformat(timespec="seconds")
        return replace(
            found, disagreement_id=stored.evaluation_id, created_at=created_at, stale=stale(self.engine, stored)
        )

    @writes
    def delete_disagreement(self, collection: str, disagreement_id: str) -> None:
        """Forget one. Raises NotFound."""
        self.engine.workspace.evaluations.delete(self._disagreement(collection, disagreement_id).evaluation_id)

    def _disagreement(self, collection: str, disagreement_id: str) -> StoredEvaluation:
        stored = self.engine.workspace.evaluations.get(disagreement_id)
        if stored.collection_id != self._collection(collection).collection_id or stored.spec.get("purpose") != PURPOSE:
            raise NotFound(f"There is no comparison {disagreement_id!r} in {collection!r}.")
        return stored

    def _compared(self, collection: str, request: ComparisonRequest) -> tuple[str, Asked]:
        """The collection's id, and what is compared. Raises BadInput, NotFound."""
        stored = self._collection(collection)
        specs = self._chosen_specs(request.pipelines)
        imported = self._read_runs(stored.collection_id, request.runs)
        given = len(request.pipelines) + len(request.runs)
        if not 2 <= len({*specs, *imported}) == given <= MOST:
            raise BadInput(f"Disagreement is between 2 to {MOST} different pipelines and runs; got {given}.")
        if not self._texts(stored.collection_id, request.query_set):
            self._known_set(collection, request.query_set)
            raise BadInput(f"The query set {request.query_set!r} holds no queries.")
        return stored.collection_id, asked_for(specs, imported, request.query_set, checked_k(request.k))

    def _told(
        self, collection: str, collection_id: str, ran: Ran, names: Sequence[str], query_set: str, k: int
    ) -> Disagreement:
        texts: Mapping[str, str] = self._texts(collection_id, query_set)
        finished = set(ran.qids) if ran.qids else set(texts)  # without pipelines no query runs: the lists are there
        table = agreements(ran, names, [qid for qid in texts if qid in finished], k)
        means = [pl.col(name).mean() for name in MEANS]
        pairs = table.group_by("left", "right", maintain_order=True).agg(pl.len().alias("queries"), *means)
        queries = table.group_by("qid", maintain_order=True).agg(*means).sort("rbo", "jaccard", maintain_order=True)
        return Disagreement(
            self._collection(collection).name, query_set, k, tuple(names),
            tuple(PairAgreement(*row) for row in pairs.iter_rows()),
            tuple(QueryAgreement(qid, texts[qid], *rest) for qid, *rest in queries.iter_rows()),
            failed_queries(ran),
        )  # fmt: skip
