"""Search one pipeline, compare several, and ask why."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import polars as pl

from app.presets import built_in
from app.results.search import (
    Agreement,
    Calibrated,
    Card,
    Column,
    ColumnHit,
    CompareResult,
    Explanation,
    FoundBy,
    Ledger,
    LedgerEntry,
    LedgerRow,
    PipelineView,
    SearchResult,
    StageTime,
    WhyNot,
)
from app.verbs.attributions import explained
from app.verbs.base import Deck, checked_filters, checked_k, checked_offset, checked_query
from app.verbs.estimates import estimates
from app.verbs.facets import FacetVerbs
from app.verbs.pipelines import PipelineVerbs, _view
from engine.errors import BadInput, TriptychError
from engine.explain import why
from engine.fusers.base import Fuser
from engine.pipeline.context import Context
from engine.pipeline.stages import PipelineSpec, Stage
from engine.pipeline.trace import Span
from engine.statistics.agreement import jaccard, rbo
from engine.types import Ranking

QID = why.QID
COMPARE_MOST = 4
DROPPED_SHOWN = 20
"""Hits below the threshold of a calibrated pipeline that come along with the last page of its list."""
WARMED = 3
"""Collections that are opened ahead of their first search."""


class SearchVerbs(PipelineVerbs, FacetVerbs):
    """Everything that runs a pipeline."""

    def search(
        self,
        collection: str,
        query: str,
        pipeline: str,
        *,
        k: int = 100,
        offset: int = 0,
        limit: int = 20,
        filters: Mapping[str, Any] | None = None,
        wide: Collection[str] = (),
    ) -> SearchResult:
        """The first k hits of one pipeline, a page of them as cards, with facets over all k. An empty query browses the collection.

        wide: fields whose facets list a hundred values instead of a few.
        """
        started = time.perf_counter()
        stored = self._collection(collection)
        text, notices = checked_query(query)
        k, limit = checked_k(k), checked_k(limit, 100)
        offset = checked_offset(offset)
        chosen = checked_filters(filters)
        spec = self._spec(pipeline)
        if not text:
            return self._browse(
                stored.name, stored.collection_id, spec, pipeline, k, offset, limit, chosen, wide, started
            )
        context = self._context(stored.collection_id, chosen)
        ranking, root = context.execute(spec.pipeline, Ranking.of([(QID, text)]))
        ranking = ranking.top(k)
        page = ranking.hits.slice(offset, limit)
        ratings = self._ratings(stored.collection_id, text)
        hand = _Hand(Deck(self.engine, stored.collection_id, text, ratings), spec, root)
        cards = hand.cards(page.select("doc_id", "rank", "score").rows())
        reaches_end = offset + limit >= len(ranking.hits)
        calibrated = hand.calibrated(ratings, DROPPED_SHOWN if reaches_end else 0)

        def hits_of(filters: Mapping[str, Any]) -> pl.Series:
            wider = self._context(stored.collection_id, filters)
            return wider.execute(spec.pipeline, Ranking.of([(QID, text)]))[0].top(k).hits["doc_id"]

        facets = self._facets(stored.collection_id, ranking.hits["doc_id"], chosen, hits_of, wide)
        return SearchResult(
            collection=stored.name,
            query=text,
            pipeline=_view(pipeline, spec, 0),
            k=k,
            offset=offset,
            total=len(ranking.hits),
            cards=cards,
            facets=facets,
            stages=stage_times(root),
            took_ms=(time.perf_counter() - started) * 1000,
            notices=notices + self._behind(stored.collection_id, [spec]),
            calibrated=calibrated,
        )

    def warm(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Open the indexes and encoders that first searches need, so that they need not wait; what is not ready is left alone."""
        for stored in self.engine.workspace.collections()[:WARMED]:
            for name in built_in():
                if should_stop():
                    return
                try:
                    self._context(stored.collection_id, {}).execute(
                        self._spec(name).pipeline, Ranking.of([(QID, "warm")])
                    )
                except TriptychError:
                    continue

    def compare(
        self,
        collection: str,
        query: str,
        pipelines: Sequence[str],
        *,
        k: int = 10,
        filters: Mapping[str, Any] | None = None,
    ) -> CompareResult:
        """One query through two to four pipelines side by side; what they share runs once, and one that fails says so in its column."""
        started = time.perf_counter()
        stored = self._collection(collection)
        text, notices = checked_query(query)
        k = checked_k(k, 100)
        if not 2 <= len(pipelines) <= COMPARE_MOST:
            raise BadInput(f"Compare takes 2 to {COMPARE_MOST} pipelines; got {len(pipelines)}.")
        specs = [(name, self._spec(name)) for name in pipelines]
        context = self._context(stored.collection_id, checked_filters(filters))
        ratings = self._ratings(stored.collection_id, text)
        asked = Ranking.of([(QID, text)])
        ran = [_timed(context, spec, asked) for _, spec in specs]
        deck = Deck(self.engine, stored.collection_id, text, ratings)
        deck.fetch(doc_id for run in ran if not run.error for doc_id in run.ranking.top(k).hits["doc_id"])
        columns: list[Column] = []
        for slot, ((name, spec), run) in enumerate(zip(specs, ran, strict=True)):
            left = [hit.card.doc_id for hit in columns[-1].hits] if columns else None
            columns.append(_column(_view(name, spec, slot), spec, run, deck, k, left, ratings))
        return CompareResult(
            collection=stored.name,
            query=text,
            k=k,
            columns=tuple(columns),
            agreement=agreements(columns, k),
            took_ms=(time.perf_counter() - started) * 1000,
            judged=bool(ratings),
            notices=notices + self._behind(stored.collection_id, [spec for _, spec in specs]),
            suggestions=self._suggestions(stored.collection_id) if not text else (),
        )

    def ledger(
        self, collection: str, query: str, pipeline: str, *, k: int = 10, filters: Mapping[str, Any] | None = None
    ) -> Ledger | None:
        """What each list gave to each fused hit; None for a pipeline that fuses nothing."""
        stored = self._collection(collection)
        text, _ = checked_query(query)
        k = checked_k(k, 100)
        context = self._context(stored.collection_id, checked_filters(filters))
        spec = self._spec(pipeline)
        ranking, root = context.execute(spec.pipeline, Ranking.of([(QID, text)]))
        found = why.ledger(root)
        if found is None:
            return None
        fuse, contributions = found
        assert isinstance(fuse.method, Fuser)
        hits = list(ranking.top(k).hits.select("doc_id", "rank", "score").iter_rows())
        by_document = contributions.sort("input").partition_by("doc_id", as_dict=True)
        titles = self._titles(stored.collection_id, [hit[0] for hit in hits])
        rows = tuple(
            LedgerRow(
                doc_id,
                titles.get(doc_id, doc_id),
                rank,
                score,
                tuple(
                    LedgerEntry(*entry)
                    for entry in by_document[(doc_id,)].select("rank", "raw", "normalised", "contribution").iter_rows()
                ),
            )
            for doc_id, rank, score in hits
        )
        return Ledger(pipeline, fuse.method.name, fuse.method.formula(), tuple(s.label() for s in fuse.inputs), rows)

    def why_not(
        self,
        collection: str,
        query: str,
        pipelines: Sequence[str],
        doc_id: str,
        *,
        k: int = 10,
        filters: Mapping[str, Any] | None = None,
    ) -> tuple[WhyNot, ...]:
        """For every pipeline: where this document is, or where it was lost."""
        stored = self._collection(collection)
        text, _ = checked_query(query)
        k = checked_k(k, 100)
        answers = []
        for slot, name in enumerate(pipelines):
            spec = self._spec(name)
            try:
                context = self._context(stored.collection_id, checked_filters(filters))
                missing = why.why_not(spec.pipeline, text, str(doc_id), k, context)
            except TriptychError as error:
                missing = why.Missing("error", str(error))
            answers.append(WhyNot(name, slot, missing.verdict, missing.sentence, missing.lists))
        return tuple(answers)

    def explanations(
        self, collection_id: str, query: str, pipeline: str, doc_id: str, filters: Mapping[str, Any]
    ) -> tuple[Explanation, ...]:
        """The explanation of every stage of a pipeline that searches, for one document; it need not pass the filters."""
        context = self._context(collection_id, {})
        narrowed = self._context(collection_id, filters) if filters else context
        spec = self._spec(pipeline)
        ranks = {
            span.stage: dict(span.output.hits.select("doc_id", "rank").iter_rows())
            for span in narrowed.execute(spec.pipeline, Ranking.of([(QID, query)]))[1].walk()
            if span.output is not None and span.stage.explains
        }
        return tuple(
            explained(stage, told, ranks.get(stage, {}).get(doc_id), context)
            for stage, told in why.explain(spec.pipeline, query, doc_id, context)
        )

    def _context(self, collection_id: str, filters: Mapping[str, Any]) -> Context:
        return self.engine.searcher(collection_id).context(filters)

    def _behind(self, collection_id: str, specs: Sequence[PipelineSpec]) -> tuple[str, ...]:
        """Say so when an index that was used does not hold every document yet."""
        searcher = self.engine.searcher(collection_id)
        notices = []
        for index in dict.fromkeys(index for spec in specs for index in spec.index_specs()):
            missing = 0
            with suppress(TriptychError):  # the pipeline that reads it says so itself
                missing = searcher.behind(index)
            if missing:
                notices.append(
                    f"{missing:,} new {index.unit}s are not in the index {index.label()!r} yet; update it in the Library."
                )
        return tuple(notices)


@dataclass(frozen=True, slots=True)
class _Run:
    """One pipeline as it went: its ranking and trace, or why it failed."""

    ranking: Ranking
    root: Span | None
    ms: float
    error: str = ""
    error_kind: str = ""


def _timed(context: Context, spec: PipelineSpec, asked: Ranking) -> _Run:
    started = time.perf_counter()
    try:
        ranking, root = context.execute(spec.pipeline, asked)
    except TriptychError as error:
        return _Run(asked, None, (time.perf_counter() - started) * 1000, str(error), type(error).__name__)
    return _Run(ranking, root, (time.perf_counter() - started) * 1000)


class _Hand:
    """The cards of one pipeline's run: with the lists in which each hit stood, and with its probability where there is one."""

    def __init__(self, deck: Deck, spec: PipelineSpec, root: Span) -> None:
        self._deck, self._root, self._analyzer = deck, root, _analyzer(spec.pipeline)
        self._estimates = estimates(root)
        self._probabilities = self._estimates.probabilities() if self._estimates else {}

    def cards(self, hits: list[tuple[str, int, float]]) -> tuple[Card, ...]:
        """Cards for (doc_id, rank, score) hits in their order."""
        doc_ids = [hit[0] for hit in hits]
        self._deck.fetch(doc_ids)
        return self._deck.cards(hits, self._analyzer, _found_by(self._root, doc_ids), self._probabilities)

    def calibrated(self, ratings: Mapping[str, int], most: int) -> Calibrated | None:
        """What the calibrate stage said, with cards of up to `most` hits that it dropped; None without such a stage."""
        return self._estimates.shown(ratings, self.cards, most) if self._estimates else None


def _column(
    view: PipelineView,
    spec: PipelineSpec,
    run: _Run,
    deck: Deck,
    k: int,
    left: list[str] | None,
    ratings: Mapping[str, int],
) -> Column:
    if run.root is None:
        return Column(view, (), (), run.ms, 0, run.error, run.error_kind)
    hand = _Hand(deck, spec, run.root)
    cards = hand.cards(run.ranking.top(k).hits.select("doc_id", "rank", "score").rows())
    stages = stage_times(run.root)
    total = len(run.ranking.hits)
    return Column(
        view,
        tuple(_moved(card, left) for card in cards),
        stages,
        sum(stage.ms for stage in stages),
        total,
        calibrated=hand.calibrated(ratings, k - total),
    )


def _moved(card: Card, left: list[str] | None) -> ColumnHit:
    if left is None:
        return ColumnHit(card, None, False)
    if card.doc_id not in left:
        return ColumnHit(card, None, True)
    return ColumnHit(card, left.index(card.doc_id) + 1 - card.rank, False)


def agreements(columns: Sequence[Column], k: int) -> tuple[Agreement, ...]:
    """Every pair of columns that ran."""
    lists = [[hit.card.doc_id for hit in column.hits] for column in columns]
    return tuple(
        Agreement(i, j, jaccard(lists[i], lists[j], k), rbo(lists[i], lists[j]), len(set(lists[i]) & set(lists[j])))
        for i in range(len(columns))
        for j in range(i + 1, len(columns))
        if not columns[i].error and not columns[j].error
    )


def stage_times(root: Span) -> tuple[StageTime, ...]:
    """The leaves and joints of the trace in the order in which they ran, each with its own time; a shared stage shows what it cost when it ran."""
    return tuple(
        StageTime(s.path, s.stage.label(), s.alone_ms, s.received, s.returned, s.cached)
        for s in root.walk()
        if s.stage.name != "then"
    )


def _found_by(root: Span, doc_ids: Sequence[str]) -> dict[str, tuple[FoundBy, ...]]:
    """In which lists of stages that search the documents stood."""
    found: dict[str, list[FoundBy]] = {}
    for span in root.walk():
        if span.stage.explains == "rows" and span.output is not None:
            hits = span.output.hits.filter(pl.col("doc_id").is_in(list(doc_ids)))
            for doc_id, rank, score in hits.select("doc_id", "rank", "score").iter_rows():
                entry = FoundBy(span.stage.label(), rank, score)
                if entry not in found.setdefault(doc_id, []):
                    found[doc_id].append(entry)
    return {doc_id: tuple(entries) for doc_id, entries in found.items()}


def _analyzer(stage: Stage) -> str:
    """The analyzer whose terms are marked in snippets: that of the pipeline's first stage that has one, else English."""
    return next((name for s in stage.walk() if (name := s.term_analyzer())), "english")
