"""Fit the weights of a weighted sum of pipelines to judgments, and keep the result as a pipeline."""

from __future__ import annotations

import polars as pl

from app.evaluation_results import FittedPipeline
from app.verbs.base import checked_k
from app.verbs.evaluating import EvaluationVerbs, Pipelines
from engine.context import Context
from engine.errors import BadInput, TriptychError
from engine.evaluate import DEPTH, Ran, measure, run_queries
from engine.evaluation_job import Asked, questions
from engine.fusers.base import Normalisation
from engine.fusers.fit import MOST_LISTS, fit_weights
from engine.fusers.wsum import WeightedSum
from engine.judged import DEFAULT_SET
from engine.metrics.base import parse_metric
from engine.pipeline import Cutoff, Fuse, PipelineSpec
from engine.types import HITS, ProgressSink, ignore_progress

NORMS = ("min-max", "z-score")


class FittingVerbs(EvaluationVerbs):
    """Weights learned from judgments."""

    def fit_weights(
        self,
        collection: str,
        pipelines: Pipelines,
        *,
        query_set: str = DEFAULT_SET,
        measure_name: str = "nDCG@10",
        folds: int = 5,
        norm: Normalisation = "min-max",
        depth: int = DEPTH,
        save_as: str = "",
        progress: ProgressSink = ignore_progress,
    ) -> FittedPipeline:
        """Run 2 to 5 pipelines on the judged queries of a set, and find the weights under which their sum is best by a measure.

        What to expect of the weights is measured by cross-validation: `held_out`. Queries on which a pipeline fails are left out. With
        `save_as`, the weighted sum is saved as a pipeline. Raises BadInput, NotFound, and the error of a pipeline that failed everywhere.
        """
        stored = self._collection(collection)
        specs = self._chosen_specs(pipelines)
        if not 2 <= len(specs) == len(pipelines) <= MOST_LISTS:
            raise BadInput(f"Weights are fitted for 2 to {MOST_LISTS} different pipelines; got {len(pipelines)}.")
        if norm not in NORMS:
            raise BadInput(f"Scores are normalised by {' or '.join(NORMS)}; got {norm!r}.")
        metric = parse_metric(measure_name)
        depth = checked_k(depth, 10_000)
        asked, judgments = questions(self.engine, stored.collection_id, Asked(specs, (metric,), query_set=query_set))
        relevant = set(judgments.filter(pl.col("rating") > 0)["qid"])
        queries = [query for query in asked if query[0] in relevant]
        searcher = self.engine.searcher(stored.collection_id)
        ran = Ran.together(list(run_queries(lambda: Context(searcher), specs, queries, depth=depth, progress=progress)))
        failed = set(ran.failures["qid"])
        whole = [qid for qid, _ in queries if qid not in failed]
        if not whole:
            reason = ran.failures["error"][0] if len(ran.failures) else "no query has a relevant document"
            raise TriptychError(f"There is nothing to fit weights to: {reason}")
        hits = ran.hits.filter(pl.col("qid").is_in(whole)).sort("score", "doc_id", descending=[True, False])
        ranked = hits.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("pipeline", "qid"))
        lists = [ranked.filter(pl.col("pipeline") == name).select(*HITS) for name in specs]
        found = fit_weights(lists, judgments.filter(pl.col("qid").is_in(whole)), metric.label(), folds, norm=norm)
        alone = measure(hits, judgments, whole, list(specs), [metric], ran.failures)
        means = dict(alone.group_by("pipeline").agg(pl.col("value").mean()).iter_rows())
        fused = PipelineSpec(
            name=save_as,
            description=f"Weights fitted to the query set {query_set} by {metric.label()}; held out {found.held_out:.3f}.",
            pipeline=Fuse(
                inputs=tuple(spec.pipeline for spec in specs.values()),
                method=WeightedSum(norm=norm, weights=found.weights),
            )
            >> Cutoff(k=min(depth, 1_000)),
        )
        saved = self.save_pipeline(save_as, fused.to_yaml()).name if save_as else ""
        return FittedPipeline(
            yaml=fused.to_yaml(),
            inputs=tuple(specs),
            weights=found.weights,
            measure=metric.label(),
            held_out=found.held_out,
            equal=found.equal,
            singles=tuple(means[name] for name in specs),
            fold_weights=found.fold_weights,
            queries=found.queries,
            saved=saved,
        )
