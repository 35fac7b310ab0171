"""Facets with counts, browsing without a query, and the small look-ups that every search needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from app.results.search import Facet, FacetValue, SearchResult
from app.verbs.base import Verbs, shown_title
from engine.pipeline.stages import PipelineSpec

FACET_VALUES = 8
MOST_WIDE = 100
"""Values of a facet that is shown at its full length."""
MOST_YEARS = 200
MOST_KEYS = 8
"""Metadata keys that become facets."""
MOST_DISTINCT = 200
MOST_CHARS = 80
SUGGESTIONS = 6


class FacetVerbs(Verbs):
    """What stands beside the hits."""

    @cached_property
    def _known_fields(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        return {}

    def _facets(
        self,
        collection_id: str,
        doc_ids: pl.Series | None,
        chosen: Mapping[str, Any],
        without: Callable[[Mapping[str, Any]], pl.Series | None],
        wide: Collection[str],
    ) -> tuple[Facet, ...]:
        """Facets over these documents (all when None), most frequent values first, years in order; chosen values are always listed. Fields
        in `wide` list more of their values.

        A field with chosen values counts the documents that the other filters leave, which `without` finds; otherwise only what is
        already chosen would be on offer, and a second venue or a wider span of years could not be added."""
        documents = self.engine.workspace.documents
        fields = self._facet_fields(collection_id)

        def count(names: Sequence[str], found: pl.Series | None) -> pl.DataFrame:
            numbers = None if found is None else self._numbers(collection_id, found)
            return documents.facets(collection_id, list(names), numbers, limit=MOST_YEARS)

        own = [
            count([field], without({k: v for k, v in chosen.items() if k != field}))
            for field in fields
            if field in chosen
        ]
        counts = pl.concat([count([field for field in fields if field not in chosen], doc_ids), *own])
        facets = []
        for field in fields:
            mine = [
                (str(value), int(count))
                for value, count in counts.filter(field=field).select("value", "count").iter_rows()
            ]
            if field == "year":
                listed, more = sorted(mine, key=lambda pair: int(pair[0]))[-MOST_YEARS:], 0
            else:
                wanted = set(chosen.get(field, ()))
                ordered = sorted(mine, key=lambda pair: (pair[0] not in wanted, -pair[1], pair[0]))
                listed = ordered[: max(MOST_WIDE if field in wide else FACET_VALUES, len(wanted))]
                more = len(ordered) - len(listed)
            if len(mine) > 1 or chosen.get(field):
                values = tuple(FacetValue(value, count, _selected(field, value, chosen)) for value, count in listed)
                title = field.removeprefix("metadata.").replace("_", " ").capitalize()
                facets.append(Facet(field, title, values, more, cut=more > 0 and len(mine) >= MOST_YEARS))
        return tuple(facets)

    def _facet_fields(self, collection_id: str) -> tuple[str, ...]:
        """The columns, and the metadata keys with few and short values (an abstract or a DOI is no facet); found once a revision."""
        documents = self.engine.workspace.documents
        revision = documents.revision(collection_id)
        known = self._known_fields.get(collection_id)
        if known is None or known[0] != revision:
            fields = documents.fields(collection_id, 4 * MOST_KEYS)
            keys = [field for field in fields if field.startswith("metadata.")]
            counts = documents.facets(collection_id, keys, limit=MOST_DISTINCT + 1)
            told = counts.group_by("field").agg(n=pl.len(), longest=pl.col("value").str.len_chars().max())
            few = set(
                told.filter((pl.col("n") > 1) & (pl.col("n") <= MOST_DISTINCT) & (pl.col("longest") <= MOST_CHARS))[
                    "field"
                ]
            )
            known = (revision, tuple(f for f in fields if f not in keys or f in few)[: MOST_KEYS + 4])
            self._known_fields[collection_id] = known
        return known[1]

    def _numbers(self, collection_id: str, doc_ids: pl.Series) -> Any:
        snapshot = self.engine.searcher(collection_id).snapshot
        wanted = (
            snapshot.doc_ids.is_in(doc_ids.implode()).to_numpy()
            if len(doc_ids)
            else np.zeros(len(snapshot), dtype=bool)
        )
        return snapshot.doc_nos[wanted]

    def _browse(
        self,
        name: str,
        collection_id: str,
        spec: PipelineSpec,
        pipeline: str,
        k: int,
        offset: int,
        limit: int,
        chosen: Mapping[str, Any],
        wide: Collection[str],
        started: float,
    ) -> SearchResult:
        """The collection itself, newest year first, where there is no query."""
        from app.verbs.pipelines import _view

        documents = self.engine.workspace.documents
        numbers = documents.filter(collection_id, dict(chosen)) if chosen else None
        page = documents.list(collection_id, offset=offset, limit=limit, sort="-year", doc_nos=numbers)
        total = len(self.engine.searcher(collection_id).snapshot) if numbers is None else len(numbers)
        hits = [(doc_id, offset + i + 1, 0.0) for i, doc_id in enumerate(page["doc_id"])]

        def matching(filters: Mapping[str, Any]) -> pl.Series | None:
            return self._ids(collection_id, documents.filter(collection_id, dict(filters))) if filters else None

        return SearchResult(
            collection=name,
            query="",
            pipeline=_view(pipeline, spec, 0),
            k=k,
            offset=offset,
            total=total,
            cards=self._cards(collection_id, hits),
            facets=self._facets(
                collection_id, None if numbers is None else self._ids(collection_id, numbers), chosen, matching, wide
            ),
            stages=(),
            took_ms=(time.perf_counter() - started) * 1000,
            suggestions=self._suggestions(collection_id),
        )

    def _ids(self, collection_id: str, numbers: Any) -> pl.Series:
        snapshot = self.engine.searcher(collection_id).snapshot
        live = np.isin(snapshot.doc_nos, numbers, assume_unique=True)  # some may be gone since they were filtered
        return snapshot.doc_ids.filter(pl.Series(live))

    def _suggestions(self, collection_id: str) -> tuple[str, ...]:
        """A few of the collection's own questions, the same ones each time."""
        questions = self.engine.workspace.documents.all_queries(collection_id)["text"].to_list()
        step = max(1, len(questions) // SUGGESTIONS)
        return tuple(questions[::step][:SUGGESTIONS])

    def _ratings(self, collection_id: str, query: str) -> dict[str, int]:
        """The judgments for this query where it is one of the collection's questions, word for word."""
        documents = self.engine.workspace.documents
        asked = documents.all_queries(collection_id).filter(
            pl.col("text").str.strip_chars().str.to_lowercase() == query.lower()
        )
        ratings: dict[str, int] = {}
        for query_set, qid, _ in asked.iter_rows():
            judged = documents.settled_judgments(collection_id, query_set).filter(pl.col("qid") == qid)
            ratings |= dict(judged.select("doc_id", "rating").iter_rows())
        return ratings

    def _titles(self, collection_id: str, doc_ids: Sequence[str]) -> dict[str, str]:
        rows = self.engine.workspace.documents.fetch(collection_id, list(doc_ids))
        return {doc_id: shown_title(title) or doc_id for doc_id, title in rows.select("doc_id", "title").iter_rows()}


def _selected(field: str, value: str, chosen: Mapping[str, Any]) -> bool:
    wanted = chosen.get(field, ())
    if field == "year" and len(wanted) == 2:
        low, high = wanted
        return (low is None or int(value) >= float(low)) and (high is None or int(value) <= float(high))
    return value in wanted
