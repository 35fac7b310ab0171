"""Fit fusions of pipelines to judgments, and keep the result as a pipeline."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from app.results.evaluation import FittedPipeline
from app.verbs.base import checked_k
from app.verbs.evaluating import EvaluationVerbs, Pipelines
from engine.component import Component
from engine.errors import BadInput, TriptychError
from engine.evaluation.measure import DEPTH, measure, run_queries
from engine.evaluation.run import Asked, questions
from engine.fusers.base import Normalisation
from engine.fusers.fit import FittedWeights, fit_weights
from engine.fusers.fit_lambdamart import fit_lambdamart, require_lightgbm
from engine.fusers.folds import MOST_LISTS
from engine.fusers.wsum import WeightedSum
from engine.metrics.base import Metric, parse_metric
from engine.pipeline.context import Context
from engine.pipeline.stages import Cutoff, Fuse, PipelineSpec
from engine.types import HITS, ProgressSink, Ran, ignore_progress
from engine.workspace.query_sets import DEFAULT_SET

NORMS = ("min-max", "z-score")


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What the pipelines found on the judged queries. lists: the hits of each; singles: the mean of each by the measure."""

    query_set: str
    specs: dict[str, PipelineSpec]
    metric: Metric
    depth: int
    lists: list[pl.DataFrame]
    judgments: pl.DataFrame
    singles: tuple[float, ...]


class FittingVerbs(EvaluationVerbs):
    """Fusions that learn from judgments."""

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
        """Run 2 to 5 pipelines on the judged queries of a query set, and find the weights under which their sum is best by a measure.

        What to expect of the weights is measured by cross-validation: `held_out`. Queries on which a pipeline fails are left out. With
        `save_as`, the weighted sum is saved as a pipeline. Raises BadInput, NotFound, and the error of a pipeline that failed everywhere.
        """
        if norm not in NORMS:
            raise BadInput(f"Scores are normalised by {' or '.join(NORMS)}; got {norm!r}.")
        found = self._lists_to_fuse(collection, pipelines, query_set, measure_name, depth, progress)
        fit = fit_weights(found.lists, found.judgments, found.metric.label(), folds, norm=norm)
        method = WeightedSum(norm=norm, weights=fit.weights)
        return self._keep_fusion(found, method, "Weights", fit.held_out, fit, save_as)

    def fit_lambdamart(
        self,
        collection: str,
        pipelines: Pipelines,
        *,
        query_set: str = DEFAULT_SET,
        measure_name: str = "nDCG@10",
        folds: int = 5,
        depth: int = DEPTH,
        save_as: str = "",
        progress: ProgressSink = ignore_progress,
    ) -> FittedPipeline:
        """As `fit_weights`, but fit LambdaMART's trees to the lists' ranks and scores; the weights that a sum would have are told beside.

        The trees are stored in the pipeline as numbers. Raises MissingDependency without lightgbm, and what `fit_weights` raises.
        """
        require_lightgbm()
        found = self._lists_to_fuse(collection, pipelines, query_set, measure_name, depth, progress)
        trees = fit_lambdamart(found.lists, found.judgments, found.metric.label(), folds)
        fit = fit_weights(found.lists, found.judgments, found.metric.label(), folds)
        return self._keep_fusion(found, trees.fuser, "Trees", trees.held_out, fit, save_as)

    def _lists_to_fuse(
        self,
        collection: str,
        pipelines: Pipelines,
        query_set: str,
        measure_name: str,
        depth: int,
        progress: ProgressSink,
    ) -> _Found:
        """Run the pipelines on the queries of a query set that have a relevant document."""
        stored = self._collection(collection)
        specs = self._chosen_specs(pipelines)
        if not 2 <= len(specs) == len(pipelines) <= MOST_LISTS:
            raise BadInput(f"A fusion is fitted to 2 to {MOST_LISTS} different pipelines; got {len(pipelines)}.")
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
            raise TriptychError(f"There is nothing to fit a fusion to: {reason}")
        hits = ran.hits.filter(pl.col("qid").is_in(whole)).sort("score", "doc_id", descending=[True, False])
        ranked = hits.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("pipeline", "qid"))
        alone = measure(hits, judgments, whole, list(specs), [metric], ran.failures)
        means = dict(alone.group_by("pipeline").agg(pl.col("value").mean()).iter_rows())
        return _Found(
            query_set=query_set,
            specs=specs,
            metric=metric,
            depth=depth,
            lists=[ranked.filter(pl.col("pipeline") == name).select(*HITS) for name in specs],
            judgments=judgments.filter(pl.col("qid").is_in(whole)),
            singles=tuple(means[name] for name in specs),
        )

    def _keep_fusion(
        self, found: _Found, method: Component, what: str, held_out: float, fit: FittedWeights, save_as: str
    ) -> FittedPipeline:
        """The pipeline that fuses by `method`, saved where it is given a name. fit: of a weighted sum of the same lists."""
        label = found.metric.label()
        fused = PipelineSpec(
            name_=save_as,
            description=f"{what} fitted to the query set {found.query_set} by {label}; held out {held_out:.3f}.",
            pipeline=Fuse(inputs=tuple(spec.pipeline for spec in found.specs.values()), method=method)
            >> Cutoff(k=min(found.depth, 1_000)),
        )
        saved = self.save_pipeline(save_as, fused.to_yaml()).name if save_as else ""
        return FittedPipeline(
            yaml=fused.to_yaml(),
            inputs=tuple(found.specs),
            method=method.name,
            weights=fit.weights,
            measure=label,
            held_out=held_out,
            weighted=fit.held_out,
            equal=fit.equal,
            singles=found.singles,
            fold_weights=fit.fold_weights,
            queries=fit.queries,
            saved=saved,
        )
