"""Unroll one pipeline: what every stage received, made of it and passed on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from app.results.stages import StageColumn, StageHit, StagesResult
from app.verbs.base import checked_filters, checked_k, checked_query
from app.verbs.pipelines import _view
from app.verbs.searching import QID, SearchVerbs
from engine.calibrators.base import CALIBRATION_NOTE
from engine.pipeline.stages import Cutoff, Then
from engine.pipeline.trace import Span
from engine.types import Ranking


class UnrollVerbs(SearchVerbs):
    """One pipeline from the inside."""

    def stages(
        self,
        collection: str,
        query: str,
        pipeline: str,
        *,
        k: int = 10,
        filters: Mapping[str, Any] | None = None,
    ) -> StagesResult:
        """One query through one pipeline, with the first k hits of every stage and where each of them went. Raises BadInput, IndexNotReady."""
        started = time.perf_counter()
        stored = self._collection(collection)
        text, notices = checked_query(query)
        k = checked_k(k, 100)
        spec = self._spec(pipeline)
        context = self._context(stored.collection_id, checked_filters(filters))
        _, root = context.execute(spec.pipeline, Ranking.of([(QID, text)]))
        columns = unrolled(root, k)
        shown = [hit.doc_id for column in columns for hit in (*column.hits, *column.dropped)]
        titles = self._titles(stored.collection_id, list(dict.fromkeys(shown)))
        ratings = self._ratings(stored.collection_id, text)

        def told(hits: tuple[StageHit, ...]) -> tuple[StageHit, ...]:
            return tuple(
                replace(hit, title=titles.get(hit.doc_id, hit.doc_id), rating=ratings.get(hit.doc_id)) for hit in hits
            )

        return StagesResult(
            collection=stored.name,
            query=text,
            pipeline=_view(pipeline, spec, 0),
            k=k,
            columns=tuple(replace(c, hits=told(c.hits), dropped=told(c.dropped)) for c in columns),
            took_ms=(time.perf_counter() - started) * 1000,
            judged=bool(ratings),
            notices=notices + self._behind(stored.collection_id, [spec]),
        )


@dataclass(slots=True, eq=False)
class _Step:
    """A span that becomes a column."""

    span: Span
    inputs: tuple[int, ...]
    feeds: int | None = None
    cut: int | None = None
    ranks: dict[str, int] = field(default_factory=dict)


def unrolled(root: Span, k: int) -> tuple[StageColumn, ...]:
    """The stages of a run (of the query QID) as columns with their first k hits; titles are the documents' ids, ratings are left open."""
    steps: list[_Step] = []
    _collect(root, (), steps)
    for step in steps:
        assert step.span.output is not None
        step.ranks = dict(step.span.output.hits.select("doc_id", "rank").iter_rows())
    return tuple(_column(step, steps, k) for step in steps)


def _collect(span: Span, inputs: tuple[int, ...], steps: list[_Step]) -> tuple[int, ...]:
    """Put the stages of a span behind `steps`; gives the places of those whose lists come out of it."""
    if isinstance(span.stage, Then):
        for child in span.children:
            inputs = _collect(child, inputs, steps)
        return inputs
    if isinstance(span.stage, Cutoff) and inputs:
        for place in inputs:
            steps[place].cut = min(span.stage.k, steps[place].cut or span.stage.k)
        return inputs
    if span.children:
        inputs = tuple(place for child in span.children for place in _collect(child, inputs, steps))
    elif not span.stage.reads_hits:
        inputs = ()
    place = len(steps)
    for source in inputs:
        if steps[source].feeds is None:
            steps[source].feeds = place
    steps.append(_Step(span, inputs))
    return (place,)


def _column(step: _Step, steps: Sequence[_Step], k: int) -> StageColumn:
    span = step.span
    assert span.output is not None
    sources = [steps[place].ranks for place in step.inputs]
    after = None if step.feeds is None else steps[step.feeds]
    chances = _chances(span)

    def hit(doc_id: str, rank: int, score: float) -> StageHit:
        before = sources[0].get(doc_id) if len(sources) == 1 else None
        next_rank = None if after is None else after.ranks.get(doc_id)
        return StageHit(
            doc_id,
            doc_id,
            rank,
            score,
            probability=chances.get(doc_id),
            movement=None if before is None else before - rank,
            new=len(sources) == 1 and before is None,
            sources=tuple(ranks.get(doc_id) for ranks in sources) if len(sources) > 1 else (),
            next_rank=next_rank,
            lost=_lost(rank, next_rank, step, after),
        )

    top = span.output.top(k).hits.select("doc_id", "rank", "score")
    dropped = _dropped(span)
    return StageColumn(
        span.stage.head,
        span.stage.label(),
        span.alone_ms,
        sum(min(len(steps[place].ranks), steps[place].cut or len(steps[place].ranks)) for place in step.inputs),
        span.returned,
        tuple(hit(*row) for row in top.iter_rows()),
        step.inputs,
        step.feeds,
        step.cut if step.cut is not None and step.cut < span.returned else None,
        tuple(StageHit(doc_id, doc_id, rank, score, p) for doc_id, rank, score, p in dropped.head(k).iter_rows()),
        len(dropped),
        span.cached,
        tuple(span.stage.facts(span, QID)),
    )


def _lost(rank: int, next_rank: int | None, step: _Step, after: _Step | None) -> str:
    if step.cut is not None and rank > step.cut:
        return "cut"
    if after is None or next_rank is not None:
        return ""
    return after.span.stage.loses


def _chances(span: Span) -> dict[str, float]:
    table = span.details.get(CALIBRATION_NOTE)
    return {} if table is None else dict(table.select("doc_id", "probability").iter_rows())


def _dropped(span: Span) -> pl.DataFrame:
    """doc_id, rank, score, probability of what a threshold dropped, best first."""
    table = span.details.get(CALIBRATION_NOTE)
    schema = {"doc_id": pl.String, "rank": pl.Int32, "score": pl.Float64, "probability": pl.Float64}
    return pl.DataFrame(schema=schema) if table is None else table.filter(~pl.col("kept")).select(*schema).sort("rank")
