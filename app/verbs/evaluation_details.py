"""What lies behind a leaderboard: single queries, verdicts that could flip, what changed since, tables, and running it again."""

from __future__ import annotations

import json
from collections.abc import Sequence

import polars as pl

from app.results.evaluation import (
    ChangedMean,
    ChangedSetting,
    EvaluatedHit,
    EvaluationChanges,
    FlipDocument,
    PairBounds,
    PipelineHits,
    QueryValues,
    ReproducedRow,
    Reproduction,
    VerdictBounds,
)
from app.verbs.base import checked_k
from app.verbs.evaluating import EvaluationVerbs
from app.verbs.leaderboard import leaderboard_table
from app.verbs.tables import table_bytes
from engine.errors import BadInput, NotFound
from engine.evaluation.bounds import DEPTH
from engine.evaluation.measure import common_queries
from engine.evaluation.run import ImportedRun, asked_of, evaluate, stale
from engine.evaluation.verdicts import verdicts
from engine.files.runs import RUN, write_run
from engine.metrics.base import parse_metric
from engine.types import ProgressSink, ignore_progress
from engine.workspace.evaluations import StoredEvaluation

SAME = 1e-9
MOST_DOCUMENTS = 10_000
SETTINGS = {
    "query_set": "query set", "depth": "depth", "batch": "queries at once", "baseline": "baseline", "test": "test",
    "correction": "correction", "level": "level of the intervals", "version": "version of Triptych",
}  # fmt: skip


class EvaluationDetailVerbs(EvaluationVerbs):
    """Everything that reads a stored evaluation closely."""

    def query_values(self, collection: str, evaluation_id: str, measure: str) -> tuple[QueryValues, ...]:
        """One measure of every query by pipeline, those on which the pipelines differ most first. Raises BadInput on a measure it lacks."""
        stored = self._stored(collection, evaluation_id)
        part = self._measured(stored, measure)
        asked = self.engine.workspace.documents.queries(stored.collection_id, stored.query_set)
        about = {qid: (text, _tags(metadata)) for qid, text, metadata in asked.iter_rows()}
        values: dict[str, dict[str, float | None]] = {}
        for qid, pipeline, value in part.select("qid", "pipeline", "value").iter_rows():
            values.setdefault(qid, {})[pipeline] = value
        rows = []
        for qid, by_name in values.items():
            known = [value for value in by_name.values() if value is not None]
            text, tags = about.get(qid, ("", {}))
            rows.append(QueryValues(qid, text, by_name, max(known) - min(known) if known else 0.0, tags))
        return tuple(sorted(rows, key=lambda row: -row.spread))

    def query_hits(self, collection: str, evaluation_id: str, qid: str, *, k: int = 10) -> tuple[PipelineHits, ...]:
        """The first k hits of every pipeline and imported run on one query, with their ratings. Raises NotFound for a query that it did not ask."""
        stored, k = self._stored(collection, evaluation_id), checked_k(k)
        workspace = self.engine.workspace
        texts = self._texts(stored.collection_id, stored.query_set)
        if qid not in texts:
            raise NotFound(f"There is no query {qid!r} in the query set {stored.query_set!r}.")
        hits = workspace.evaluations.hits_of(stored.evaluation_id, qid)
        ordered = hits.with_columns(key=pl.col("score").cast(pl.Float32)).sort("key", "doc_id", descending=True)
        judged = workspace.documents.settled_judgments(stored.collection_id, stored.query_set)
        ratings = dict(judged.filter(pl.col("qid") == qid).select("doc_id", "rating").iter_rows())
        failures = workspace.evaluations.ran(stored.evaluation_id, hits=False).failures.filter(pl.col("qid") == qid)
        errors = dict(failures.select("pipeline", "error").iter_rows())
        titles = self._titles(stored.collection_id, ordered["doc_id"].unique().to_list())
        return tuple(
            PipelineHits(
                name,
                name in stored.spec["runs"],
                tuple(
                    EvaluatedHit(rank, doc_id, titles.get(doc_id, ""), score, ratings.get(doc_id))
                    for rank, (doc_id, score) in enumerate(
                        ordered.filter(pl.col("pipeline") == name).head(k).select("doc_id", "score").iter_rows(), 1
                    )
                ),
                errors.get(name, ""),
            )
            for name in (*stored.spec["pipelines"], *stored.spec["runs"])
        )

    def verdict_bounds(
        self,
        collection: str,
        evaluation_id: str,
        *,
        measure: str = "",
        baseline: str = "",
        rating: int | None = None,
        depth: int = DEPTH,
        limit: int = 200,
    ) -> VerdictBounds:
        """How far unjudged documents could move each comparison with the baseline, and those that could flip one.

        The measure is by default the first of the evaluation. A relevant document is assumed to be worth `rating`, by default the highest
        that the judgments hold. Raises NotFound, and BadInput for a measure without bounds or a baseline that is not there.
        """
        stored = self._stored(collection, evaluation_id)
        chosen = measure or stored.spec["shown"][0]
        part = self._measured(stored, chosen)
        names = [*stored.spec["pipelines"], *stored.spec["runs"]]
        against = baseline or stored.spec["baseline"]
        if against not in names:
            raise BadInput(f"The baseline {against!r} is not among the pipelines: {', '.join(names)}.")
        judgments = self.engine.workspace.documents.settled_judgments(stored.collection_id, stored.query_set)
        worth = rating if rating is not None else _highest(judgments)
        qids, failed = common_queries(part)
        hits = self.engine.workspace.evaluations.ran(stored.evaluation_id).hits
        compared = [name for name in names if name not in failed]
        found = verdicts(
            hits, judgments, qids, compared if against in compared else [], against, parse_metric(chosen), worth, checked_k(depth)
        )  # fmt: skip
        texts = self._texts(stored.collection_id, stored.query_set)
        documents = found.documents.head(checked_k(limit, MOST_DOCUMENTS))
        titles = self._titles(stored.collection_id, documents["doc_id"].unique().to_list())
        return VerdictBounds(
            measure=parse_metric(chosen).label(),
            baseline=against,
            rating=worth,
            queries=len(qids),
            pairs=tuple(
                PairBounds(p.pipeline, p.difference, p.low, p.high, p.stands, p.exact, p.unjudged) for p in found.pairs
            ),
            documents=tuple(
                FlipDocument(qid, texts.get(qid, ""), doc_id, titles.get(doc_id, ""), pipeline, effect)
                for qid, doc_id, pipeline, effect in documents.iter_rows()
            ),
        )

    def evaluation_changes(self, collection: str, before_id: str, after_id: str) -> EvaluationChanges:
        """What two evaluations were asked differently, and how the means moved. Raises NotFound."""
        before, after = self._stored(collection, before_id), self._stored(collection, after_id)
        first, second = self._shown(collection, before), self._shown(collection, after)
        means = [
            {(one.name, cell.measure): cell.mean for one in view.pipelines for cell in one.cells}
            for view in (first, second)
        ]
        return EvaluationChanges(
            before=self._summary(before),
            after=self._summary(after),
            settings=tuple(_changed(before, after)),
            means=tuple(ChangedMean(*key, means[0].get(key), means[1].get(key)) for key in means[0] | means[1]),
        )

    def reproduce(
        self,
        collection: str,
        evaluation_id: str,
        *,
        pipelines: Sequence[str] = (),
        progress: ProgressSink = ignore_progress,
    ) -> Reproduction:
        """Run rows of a stored evaluation (all by default) again from its specification, and compare every value; nothing is stored.

        Raises NotFound for a pipeline that it did not run.
        """
        stored = self._stored(collection, evaluation_id)
        asked = asked_of(stored)
        known = [*asked.pipelines, *asked.runs]
        chosen = list(pipelines) or known
        for name in chosen:
            if name not in known:
                raise NotFound(f"The evaluation did not run {name!r}. It ran: {', '.join(known)}.")
        hits = self.engine.workspace.evaluations.ran(evaluation_id).hits if asked.runs else pl.DataFrame()
        again = evaluate(
            self.engine,
            stored.collection_id,
            type(asked)(
                {name: spec for name, spec in asked.pipelines.items() if name in chosen},
                asked.metrics,
                {
                    name: ImportedRun(hits.filter(pl.col("pipeline") == name).select(*RUN), run.digest)
                    for name, run in asked.runs.items()
                    if name in chosen
                },
                asked.query_set,
                asked.depth,
                asked.batch,
                asked.every_query,
            ),
            keep=False,
            progress=progress,
        )
        old = self.engine.workspace.evaluations.values(evaluation_id)
        both = (
            old.filter(pl.col("pipeline").is_in(chosen) & pl.col("measure").is_in(stored.spec["shown"]))
            .join(again.values, on=["qid", "pipeline", "measure"], how="full", coalesce=True, suffix="_again")
            .filter(pl.col("measure").is_in(stored.spec["shown"]))
        )
        rows = tuple(_reproduced(both, name, label) for name in chosen for label in stored.spec["shown"])
        same = all(row.largest is not None and row.largest <= SAME for row in rows)
        return Reproduction(evaluation_id, rows, same, stale(self.engine, stored))

    def export_evaluation(
        self, collection: str, evaluation_id: str, form: str, *, table: str = "leaderboard", measure: str = ""
    ) -> bytes:
        """A table of an evaluation as a file: `csv`, `parquet`, `markdown` or `latex`.

        `leaderboard` has a row for each pipeline and measure; `queries` one for each query, with the pipelines as columns, of one measure.
        """
        if table == "leaderboard":
            return table_bytes(
                leaderboard_table(self.evaluation(collection, evaluation_id), full=form in ("csv", "parquet")), form
            )
        if table != "queries":
            raise BadInput(f"An evaluation has the tables leaderboard and queries; got {table!r}.")
        stored = self._stored(collection, evaluation_id)
        part = self._measured(stored, measure or stored.spec["shown"][0])
        texts = self._texts(stored.collection_id, stored.query_set)
        names = part["pipeline"].unique(maintain_order=True).to_list()
        wide = part.pivot("pipeline", index="qid", values="value", maintain_order=True)
        text = pl.Series("query", [texts.get(qid, "") for qid in wide["qid"]], dtype=pl.String)
        return table_bytes(wide.select("qid", text, *names), form)

    def export_run(self, collection: str, evaluation_id: str, pipeline: str) -> str:
        """What a pipeline or imported run found in an evaluation, as a TREC run. Raises NotFound, and BadInput on ids that it cannot carry."""
        stored = self._stored(collection, evaluation_id)
        known = [*stored.spec["pipelines"], *stored.spec["runs"]]
        if pipeline not in known:
            raise NotFound(f"The evaluation did not run {pipeline!r}. It ran: {', '.join(known) or 'nothing'}.")
        hits = self.engine.workspace.evaluations.ran(evaluation_id).hits
        return write_run(hits.filter(pl.col("pipeline") == pipeline), pipeline)

    def _measured(self, stored: StoredEvaluation, measure: str) -> pl.DataFrame:
        """VALUES of one measure. Raises BadInput on one that the evaluation lacks."""
        label = parse_metric(measure).label()
        part = self.engine.workspace.evaluations.values(stored.evaluation_id, label)
        if part.is_empty():
            values = self.engine.workspace.evaluations.values(stored.evaluation_id)
            known = ", ".join(values["measure"].unique(maintain_order=True)) or "no values yet"
            raise BadInput(f"The evaluation has no {label}; it has {known}.")
        return part


def _tags(metadata: str) -> dict[str, str]:
    """The values of a query's metadata that are words, numbers or yes and no."""
    return {str(key): str(value) for key, value in json.loads(metadata).items() if isinstance(value, str | int | float)}


def _highest(judgments: pl.DataFrame) -> int:
    highest = judgments["rating"].max()
    return max(1, int(highest)) if isinstance(highest, int) else 1


def _changed(before: StoredEvaluation, after: StoredEvaluation) -> list[ChangedSetting]:
    """The differences of two specifications and of what they were made from, in words."""
    changes = []
    for name in dict.fromkeys([*before.spec["pipelines"], *after.spec["pipelines"]]):
        old, new = before.spec["pipelines"].get(name, ""), after.spec["pipelines"].get(name, "")
        if old != new:
            changes.append(ChangedSetting(f"pipeline {name}", old, new))
    runs = [set(one.spec["runs"]) for one in (before, after)]
    changes += [ChangedSetting("run", name, "") for name in sorted(runs[0] - runs[1])]
    changes += [ChangedSetting("run", "", name) for name in sorted(runs[1] - runs[0])]
    for key, words in SETTINGS.items():
        old, new = before.spec.get(key), after.spec.get(key)
        if old != new:
            changes.append(ChangedSetting(words, str(old), str(new)))
    for part, words in (("content_hash", "documents"), ("queries_hash", "queries"), ("judgments_hash", "judgments")):
        if getattr(before, part) != getattr(after, part):
            changes.append(ChangedSetting(words, getattr(before, part)[:12], getattr(after, part)[:12]))
    for label in dict.fromkeys([*before.fingerprints, *after.fingerprints]):
        old, new = before.fingerprints.get(label, ""), after.fingerprints.get(label, "")
        if old != new:
            changes.append(ChangedSetting(f"index {label}", old[:20], new[:20]))
    return changes


def _reproduced(both: pl.DataFrame, pipeline: str, measure: str) -> ReproducedRow:
    part = both.filter((pl.col("pipeline") == pipeline) & (pl.col("measure") == measure))
    apart = (part["value"] - part["value_again"]).abs()
    gaps = part.filter(pl.col("value").is_null() != pl.col("value_again").is_null())
    largest = None if len(gaps) else float(apart.max() or 0.0)  # type: ignore[arg-type]
    return ReproducedRow(pipeline, measure, part["value"].mean(), part["value_again"].mean(), largest)  # type: ignore[arg-type]
