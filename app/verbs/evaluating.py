"""Evaluate pipelines on a judged query set, and see where they disagree without judgments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from app.evaluation_results import (
    Disagreement,
    EvaluationSummary,
    EvaluationView,
    PairAgreement,
    QueryAgreement,
    QueryValues,
)
from app.verbs.base import checked_k, checked_query
from app.verbs.leaderboard import (
    JUDGED,
    checked_settings,
    chosen_metrics,
    failed_queries,
    leaderboard,
    raise_if_all_failed,
)
from app.verbs.pipelines import PipelineVerbs
from app.verbs.querysets import QuerySetVerbs
from engine.agreement import pairwise
from engine.context import Context
from engine.errors import BadInput, NotFound, TriptychError
from engine.evaluate import DEPTH, Ran, common_queries, run_queries
from engine.evaluation_job import Asked, evaluate, stale
from engine.evaluations import StoredEvaluation
from engine.judged import DEFAULT_SET
from engine.metrics.base import parse_metric
from engine.pipeline import PipelineSpec
from engine.run_files import read_run, write_run
from engine.types import ProgressSink, ignore_progress

DEFAULT_METRICS = ("nDCG@10", "AP", "RR@10", "R@100")
MOST = 20
LEVEL = 0.95


class EvaluationVerbs(PipelineVerbs, QuerySetVerbs):
    """Leaderboards, what they are made of, and disagreement."""

    def evaluate(
        self,
        collection: str,
        pipelines: Sequence[str | tuple[str, str]],
        *,
        query_set: str = DEFAULT_SET,
        metrics: Sequence[str] = DEFAULT_METRICS,
        baseline: str | None = None,
        test: str = "randomization",
        correction: str = "holm",
        level: float = LEVEL,
        depth: int = DEPTH,
        batch: int = 1,
        runs: Mapping[str, str | Path] | None = None,
        fresh: bool = False,
        progress: ProgressSink = ignore_progress,
    ) -> EvaluationView:
        """Run pipelines (names, or (name, YAML) pairs) and imported run files over a judged query set.

        `baseline` is the pipeline that the others are compared with; by default the first. Stopped by `progress` raising Cancelled, or with
        the process, it goes on where it was when asked the same again. Raises BadInput, NotFound, and the error of the pipelines when every
        one failed on every query.
        """
        stored = self._collection(collection)
        specs = self._asked(pipelines)
        imported = {name: read_run(Path(path))[0] for name, path in (runs or {}).items()}
        names = [*specs, *imported]
        if len(set(names)) != len(names) or len(names) != len(pipelines) + len(imported):
            raise BadInput("Two of the pipelines and runs have the same name; give each its own.")
        if not 1 <= len(names) <= MOST:
            raise BadInput(f"An evaluation takes 1 to {MOST} pipelines and runs; got {len(names)}.")
        chosen = chosen_metrics(metrics)
        settings = checked_settings(names, baseline, test, correction, level)
        shown = [metric.label() for metric in chosen]
        every = tuple(dict.fromkeys((*chosen, parse_metric(JUDGED))))
        asked = Asked(specs, every, imported, query_set, checked_k(depth, 10_000), batch, {**settings, "shown": shown})
        found = evaluate(self.engine, stored.collection_id, asked, fresh=fresh, progress=progress)
        raise_if_all_failed(found.ran, found.values)
        if found.stored is not None:
            return self._shown(stored.name, found.stored, found.ran)
        return leaderboard(
            "",
            stored.name,
            query_set,
            "",
            True,
            (),
            settings,
            specs,
            list(imported),
            shown,
            found.values,
            found.ran,
            found.unjudged,
        )

    def evaluations(self, collection: str) -> tuple[EvaluationSummary, ...]:
        """The stored evaluations of a collection, newest first; each says what has changed since."""
        key = self._collection(collection).collection_id
        return tuple(self._summary(stored) for stored in self.engine.workspace.evaluations.list(key))

    def evaluation(self, collection: str, evaluation_id: str) -> EvaluationView:
        """One stored evaluation. Raises NotFound."""
        return self._shown(self._collection(collection).name, self._stored(collection, evaluation_id))

    def delete_evaluation(self, collection: str, evaluation_id: str) -> None:
        """Forget an evaluation with everything that it found. Raises NotFound."""
        self.engine.workspace.evaluations.delete(self._stored(collection, evaluation_id).evaluation_id)

    def query_values(self, collection: str, evaluation_id: str, measure: str) -> tuple[QueryValues, ...]:
        """One measure of every query by pipeline, those on which the pipelines differ most first. Raises BadInput on a measure it lacks."""
        stored = self._stored(collection, evaluation_id)
        values = self.engine.workspace.evaluations.values(evaluation_id)
        label = parse_metric(measure).label()
        part = values.filter(pl.col("measure") == label)
        if part.is_empty():
            raise BadInput(
                f"The evaluation has no {label}; it has {', '.join(values['measure'].unique(maintain_order=True))}."
            )
        texts = self._texts(stored.collection_id, stored.query_set)
        rows = []
        for (qid,), one in part.partition_by("qid", as_dict=True, maintain_order=True).items():
            by_name = dict(one.select("pipeline", "value").iter_rows())
            known = [value for value in by_name.values() if value is not None]
            rows.append(
                QueryValues(str(qid), texts.get(str(qid), ""), by_name, max(known) - min(known) if known else 0.0)
            )
        return tuple(sorted(rows, key=lambda row: -row.spread))

    def export_run(self, collection: str, evaluation_id: str, pipeline: str) -> str:
        """What a pipeline found in an evaluation, as a TREC run. Raises NotFound, and BadInput on ids that it cannot carry."""
        stored = self._stored(collection, evaluation_id)
        known = list(stored.spec["pipelines"])
        if pipeline not in known:
            raise NotFound(f"The evaluation did not run {pipeline!r}. It ran: {', '.join(known) or 'nothing'}.")
        hits = self.engine.workspace.evaluations.ran(evaluation_id).hits
        return write_run(hits.filter(pl.col("pipeline") == pipeline), pipeline)

    def disagreement(
        self,
        collection: str,
        pipelines: Sequence[str | tuple[str, str]],
        *,
        query_set: str = DEFAULT_SET,
        k: int = 10,
        progress: ProgressSink = ignore_progress,
    ) -> Disagreement:
        """How far pipelines agree on the first k documents of every query of a set; no judgments are needed, nothing is stored.

        Raises BadInput for fewer than two pipelines or an empty set, and the error of the pipelines when every one failed.
        """
        stored = self._collection(collection)
        specs = self._asked(pipelines)
        if not 2 <= len(specs) == len(pipelines) <= MOST:
            raise BadInput(f"Disagreement is between 2 to {MOST} different pipelines; got {len(pipelines)}.")
        k = checked_k(k)
        texts = self._texts(stored.collection_id, query_set)
        if not texts:
            self._known_set(stored.name, query_set)
            raise BadInput(f"The query set {query_set!r} holds no queries.")
        searcher = self.engine.searcher(stored.collection_id)
        asked = [(qid, checked_query(text)[0]) for qid, text in texts.items()]
        ran = Ran.together(list(run_queries(lambda: Context(searcher), specs, asked, depth=k, progress=progress)))
        failed = set(ran.failures.select("pipeline", "qid").iter_rows())
        answered = {name: [qid for qid in texts if (name, qid) not in failed] for name in specs}
        if not any(answered.values()):
            raise TriptychError(f"Every pipeline failed on every query: {ran.failures['error'][0]}")
        table = pairwise(ran.hits, answered, k)
        mean = [pl.col(name).mean() for name in ("jaccard", "rbo", "tau")]
        pairs = table.group_by("left", "right", maintain_order=True).agg(pl.len().alias("queries"), *mean)
        queries = table.group_by("qid", maintain_order=True).agg(*mean).sort("rbo", "jaccard", maintain_order=True)
        return Disagreement(
            stored.name,
            query_set,
            k,
            tuple(PairAgreement(*row) for row in pairs.iter_rows()),
            tuple(QueryAgreement(qid, texts[qid], *rest) for qid, *rest in queries.iter_rows()),
            failed_queries(ran),
        )

    def _asked(self, pipelines: Sequence[str | tuple[str, str]]) -> dict[str, PipelineSpec]:
        return {
            (one if isinstance(one, str) else one[0]): self._spec(one)
            if isinstance(one, str)
            else PipelineSpec.from_yaml(one[1])
            for one in pipelines
        }

    def _texts(self, collection_id: str, query_set: str) -> dict[str, str]:
        return dict(self.engine.workspace.documents.queries(collection_id, query_set).select("qid", "text").iter_rows())

    def _stored(self, collection: str, evaluation_id: str) -> StoredEvaluation:
        stored = self.engine.workspace.evaluations.get(evaluation_id)
        if stored.collection_id != self._collection(collection).collection_id:
            raise NotFound(f"There is no evaluation {evaluation_id!r} in {collection!r}.")
        return stored

    def _summary(self, stored: StoredEvaluation) -> EvaluationSummary:
        shown = stored.spec["shown"]
        values = self.engine.workspace.evaluations.values(stored.evaluation_id)
        first = values.filter(pl.col("measure") == shown[0])
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
            stale=stale(self.engine, stored),
            pipelines=(*stored.spec["pipelines"], *stored.spec["runs"]),
            metrics=tuple(shown),
            queries=len(qids),
            best=best[0][0] if best else "",
            measure=shown[0],
            mean=best[0][1] if best else None,
        )

    def _shown(self, collection: str, stored: StoredEvaluation, ran: Ran | None = None) -> EvaluationView:
        evaluations, spec = self.engine.workspace.evaluations, stored.spec
        values = evaluations.values(stored.evaluation_id)
        asked = len(self._texts(stored.collection_id, stored.query_set))
        return leaderboard(
            stored.evaluation_id,
            collection,
            stored.query_set,
            stored.created_at.isoformat(timespec="seconds"),
            stored.finished_at is not None,
            stale(self.engine, stored),
            spec,
            {name: PipelineSpec.from_yaml(text) for name, text in spec["pipelines"].items()},
            spec["runs"],
            spec["shown"],
            values,
            ran if ran is not None else evaluations.ran(stored.evaluation_id, hits=False),
            max(0, asked - values["qid"].n_unique()),
        )
