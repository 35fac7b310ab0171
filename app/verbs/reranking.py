"""One rerank stage of a pipeline: before and after, with other numbers of candidates, in less time, and why documents moved."""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import polars as pl

from app.results.stages import CandidatePoint, MoveExplanation, RerankedHit, RerankingResult
from app.verbs.attributions import explained
from app.verbs.base import checked_filters, checked_k, checked_query, shown_title
from app.verbs.pipelines import _view
from app.verbs.searching import QID
from app.verbs.unrolling import UnrollVerbs
from engine.errors import BadInput, NotFound
from engine.explain import why
from engine.explain.candidates import Scoring, rerank_stages, scored
from engine.metrics.base import mark, parse_metric
from engine.pipeline.stages import PipelineSpec, Stage, Then
from engine.rerankers.base import Reranker
from engine.serving.searcher import Searcher
from engine.types import Ranking

USUAL_MOST = 200
"""Candidates that are scored to tell what fewer would give; more where the stage itself asks for more."""
MOST_MS = 10_000
"""After this long a scoring is given up, and what has scores by then is shown."""
KEPT = 8
"""Scorings that are remembered, so that another number of candidates costs no second reading."""
POINTS = 24


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """A scoring, the time of the stages before it, and the view of the collection that it belongs to."""

    searcher: weakref.ref[Searcher]
    scoring: Scoring
    before_ms: float


class RerankVerbs(UnrollVerbs):
    """What a reranker does to a list."""

    @cached_property
    def _scorings(self) -> OrderedDict[Any, _Kept]:
        return OrderedDict()

    @cached_property
    def _scorings_lock(self) -> threading.Lock:
        return threading.Lock()

    def reranking(
        self,
        collection: str,
        query: str,
        pipeline: str,
        *,
        at: int = 0,
        k: int = 10,
        candidates: int | None = None,
        budget_ms: int | Literal["own"] | None = "own",
        measure: str = "nDCG@10",
        filters: Mapping[str, Any] | None = None,
    ) -> RerankingResult:
        """A pipeline's rerank stage (the one at place `at`) with a number of candidates and a budget; by default its own.

        Scores of pairs are read once, for up to USUAL_MOST candidates; other numbers and budgets are told from them and from the times at
        which they came. A reranker that must see its candidates together is run with the chosen number alone. Raises BadInput where the
        pipeline reranks nothing, IndexNotReady.
        """
        stored = self._collection(collection)
        text, notices = checked_query(query)
        k = checked_k(k, 100)
        spec = self._spec(pipeline)
        points = _rerankers(spec, pipeline, at)
        before, reranker = points[at]
        wanted = reranker.candidates if candidates is None else checked_k(candidates)
        budget_ms = _checked_budget(reranker.budget_ms if budget_ms == "own" else budget_ms)
        kept = self._scored(stored.collection_id, text, before, reranker, wanted, checked_filters(filters))
        scoring = kept.scoring
        wanted = min(wanted, len(scoring.hits))
        reached = scoring.reached(wanted, budget_ms)
        ratings = self._ratings(stored.collection_id, text)
        order = scoring.order(reached)
        chosen, measured, untouched = _curve(scoring, reached, ratings, k, measure)
        hits = order.filter((pl.col("received") <= max(k, wanted)) | (pl.col("rank") <= k)).sort("received")
        titles = self._titles(stored.collection_id, hits["doc_id"].to_list())
        gave_up = scoring.separate and scoring.most < min(wanted, len(scoring.hits))
        return RerankingResult(
            collection=stored.name,
            query=text,
            pipeline=_view(pipeline, spec, 0),
            stages=tuple(stage.label() for _, stage in points),
            at=at,
            k=k,
            received=len(scoring.hits),
            candidates=wanted,
            most=min(scoring.most if scoring.separate else USUAL_MOST, len(scoring.hits)),
            reached=reached,
            budget_ms=budget_ms,
            own_candidates=reranker.candidates,
            own_budget_ms=reranker.budget_ms,
            separate=scoring.separate,
            gave_up_ms=MOST_MS if gave_up else None,
            before_ms=kept.before_ms,
            ms=scoring.ms(reached),
            hits=_hits(hits, titles, ratings),
            judged=len(ratings),
            measure=measure,
            before=untouched,
            after=measured,
            curve=chosen,
            notices=notices + self._behind(stored.collection_id, [spec]),
        )

    def why_moved(self, collection: str, query: str, pipeline: str, doc_id: str, *, at: int = 0) -> MoveExplanation:
        """What each stage before a reranker saw in a document, and what the reranker saw. Raises NotFound, BadInput."""
        stored = self._collection(collection)
        text, _ = checked_query(query)
        spec = self._spec(pipeline)
        before, reranker = _rerankers(spec, pipeline, at)[at]
        rows = self.engine.workspace.documents.fetch(stored.collection_id, [doc_id])
        if rows.is_empty():
            raise NotFound(f"There is no document {doc_id!r} in {collection!r}; it may have been deleted.")
        title, body = rows.select("title", "text").row(0)
        context = self._context(stored.collection_id, {})
        _, root = context.execute(_joined(before), Ranking.of([(QID, text)]))
        ranks = {
            span.stage: dict(span.output.hits.select("doc_id", "rank").iter_rows())
            for span in root.walk()
            if span.output is not None
        }
        told = why.explain(_joined(before), text, doc_id, context)
        seen = reranker.explain_document(text, doc_id, context) if text else None
        return MoveExplanation(
            doc_id,
            shown_title(title) or doc_id,
            f"{title}. {body}" if title else body,
            tuple(
                explained(stage, one, ranks.get(stage, {}).get(doc_id), context)
                for stage, one in told
                if stage.explains == "rows"
            ),
            None if seen is None else explained(reranker, seen, None, context),
            "" if seen is not None else f"{reranker.label()} cannot tell why it gives a document its score.",
        )

    def _scored(
        self,
        collection_id: str,
        query: str,
        before: tuple[Stage, ...],
        reranker: Reranker,
        wanted: int,
        filters: Mapping[str, Any],
    ) -> _Kept:
        """The list before the reranker with its scores, remembered for as long as the collection and its indexes stay as they are."""
        searcher = self.engine.searcher(collection_id)
        same = reranker.model_copy(update={"candidates": 1, "budget_ms": None})
        asked = max(wanted, reranker.candidates, USUAL_MOST)
        chosen = tuple(sorted((name, tuple(values)) for name, values in filters.items()))
        keys = [(collection_id, query, before, same, chosen, number) for number in (asked, wanted)]
        with self._scorings_lock:
            for key in keys:
                known = self._scorings.get(key)
                if known is not None and known.searcher() is searcher:
                    self._scorings.move_to_end(key)
                    return known
        context = searcher.context(filters)
        started = time.perf_counter()
        ranking, _ = context.execute(_joined(before), Ranking.of([(QID, query)]))
        before_ms = (time.perf_counter() - started) * 1000
        hits = ranking.hits.sort("rank")
        together = hits.is_empty() or reranker.pair_scores(query, hits.head(1), context) is None
        number = wanted if together else asked
        scoring = scored(reranker, query, hits, number, MOST_MS, context)
        kept = _Kept(weakref.ref(searcher), scoring, before_ms)
        with self._scorings_lock:
            self._scorings[(*keys[0][:-1], number)] = kept
            while len(self._scorings) > KEPT:
                self._scorings.popitem(last=False)
        return kept


def _checked_budget(budget_ms: int | None) -> int | None:
    if budget_ms is not None and budget_ms < 0:
        raise BadInput(f"The budget is {budget_ms} ms; it must not be negative.")
    return budget_ms


def _hits(hits: pl.DataFrame, titles: Mapping[str, str], ratings: Mapping[str, int]) -> tuple[RerankedHit, ...]:
    return tuple(
        RerankedHit(d, titles.get(d, d), ratings.get(d), received, rank, score_before, score)
        for d, received, rank, score_before, score in hits.iter_rows()
    )


def _rerankers(spec: PipelineSpec, name: str, at: int) -> list[tuple[tuple[Stage, ...], Reranker]]:
    found = list(rerank_stages(spec.pipeline))
    if not found:
        raise BadInput(
            f"{name!r} has no rerank stage. Add one under Pipelines, for example `- cross: {{candidates: 50}}` as its last line."
        )
    if not 0 <= at < len(found):
        raise BadInput(
            f"{name!r} has {len(found)} rerank stage{'s' if len(found) > 1 else ''}; there is none at place {at}."
        )
    if not found[at][0]:
        raise BadInput(f"{found[at][1].label()!r} is the first stage of {name!r}, so it receives nothing to rerank.")
    return found


def _joined(stages: Sequence[Stage]) -> Stage:
    return stages[0] if len(stages) == 1 else Then(stages=tuple(stages))


def _curve(
    scoring: Scoring, reached: int, ratings: Mapping[str, int], k: int, measure: str
) -> tuple[tuple[CandidatePoint, ...], float | None, float | None]:
    """Points from few candidates to all, the measure at `reached`, and the measure of the list as it came. Measures are None without ratings."""
    numbers = _grid(scoring.most) if scoring.separate else [scoring.most]
    orders = {number: scoring.order(number)["doc_id"].to_list() for number in {0, reached, *numbers}}
    values = _measured(orders, ratings, measure)
    best = set(orders[numbers[-1]][:k]) if numbers else set()
    points = tuple(
        CandidatePoint(
            number,
            scoring.ms(number),
            values.get(number),
            len(best & set(orders[number][:k])) / len(best) if best else 1.0,
        )
        for number in numbers
        if number
    )
    return points, values.get(reached), values.get(0)


def _grid(most: int) -> list[int]:
    """About POINTS numbers of candidates from the first to all, in equal steps."""
    step = max(1, -(-most // POINTS))
    return sorted({*range(step, most + 1, step), most} - {0})


def _measured(orders: Mapping[int, Sequence[str]], ratings: Mapping[str, int], measure: str) -> dict[int, float]:
    if not ratings:
        return {}
    metric = parse_metric(measure)
    qids = [str(number) for number in orders]
    deep = metric.cutoff or max((len(docs) for docs in orders.values()), default=0)
    rows = [(str(n), doc, float(-i)) for n, docs in orders.items() for i, doc in enumerate(docs[:deep])]
    judged = [(qid, doc, rating) for qid in qids for doc, rating in ratings.items()]
    schema = {"qid": pl.String, "doc_id": pl.String}
    marked = mark(
        qids,
        pl.DataFrame(rows, {**schema, "score": pl.Float64}, orient="row"),
        pl.DataFrame(judged, {**schema, "rating": pl.Int32}, orient="row"),
    )
    return {number: float(value) for number, value in zip(orders, metric.values(marked), strict=True)}
