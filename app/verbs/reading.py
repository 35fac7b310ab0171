"""Read a document, follow its neighbors, keep a shortlist."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from app.results.search import Card, DocumentView
from app.verbs.base import checked_filters, checked_k, checked_query, shown_title, writes
from app.verbs.exporting import bibliography
from app.verbs.reranking import RerankVerbs
from engine.errors import BadInput, IndexNotReady, NotExact, NotFound
from engine.retrievers.dense import Dense


class ReadingVerbs(RerankVerbs):
    """The reader pane and the shortlist."""

    def document(
        self,
        collection: str,
        doc_id: str,
        *,
        query: str = "",
        pipeline: str = "",
        neighbours: int = 6,
        filters: Mapping[str, Any] | None = None,
    ) -> DocumentView:
        """One document with its neighbors and, where a query and a pipeline are given, why it scores; its ranks are those among what the
        filters leave. Raises NotFound."""
        stored = self._collection(collection)
        documents = self.engine.workspace.documents
        rows = documents.fetch(stored.collection_id, [str(doc_id)])
        if rows.is_empty():
            raise NotFound(f"There is no document {doc_id!r} in {collection!r}; it may have been deleted.")
        row = rows.row(0, named=True)
        text, _ = checked_query(query)
        passages = documents.passages(stored.collection_id, np.array([row["doc_no"]], dtype=np.int64))
        chosen = checked_filters(filters)
        explained = (
            self.explanations(stored.collection_id, text, pipeline, row["doc_id"], chosen) if text and pipeline else ()
        )
        return DocumentView(
            doc_id=row["doc_id"],
            title=row["title"],
            text=row["text"],
            authors=tuple(row["authors"] or ()),
            year=row["year"],
            venue=row["venue"],
            url=row["url"],
            source=row["source"],
            metadata=tuple((str(key), _shown(value)) for key, value in json.loads(row["metadata"]).items()),
            passages=tuple(passages.select("start_char", "end_char").iter_rows()),
            shortlisted=row["doc_id"] in self._kept(stored.collection_id),
            neighbours=self._neighbours(stored.collection_id, row["doc_id"], neighbours) if neighbours else (),
            explanations=explained,
        )

    def more_like_this(self, collection: str, doc_id: str, *, k: int = 10) -> tuple[Card, ...]:
        """The documents nearest to one, by the dense index, itself left out. Raises IndexNotReady where there is none."""
        stored = self._collection(collection)
        return self._nearest(stored.collection_id, str(doc_id), checked_k(k, 100))

    def find_documents(self, collection: str, text: str, limit: int = 20) -> tuple[tuple[str, str], ...]:
        """(doc_id, title) pairs whose id or title contains the text."""
        stored = self._collection(collection)
        wanted, _ = checked_query(text)
        if not wanted:
            return ()
        found = self.engine.workspace.documents.find(stored.collection_id, wanted, checked_k(limit, 100))
        return tuple((doc_id, shown_title(title)) for doc_id, title in found.select("doc_id", "title").iter_rows())

    def questions(self, collection: str) -> tuple[tuple[str, str], ...]:
        """The questions that came with a collection, as (qid, text)."""
        stored = self._collection(collection)
        return tuple(self.engine.workspace.documents.queries(stored.collection_id).select("qid", "text").iter_rows())

    @writes
    def delete_documents(self, collection: str, doc_ids: list[str]) -> int:
        """Delete documents; they are gone from every list at once. Gives how many there were."""
        return int(self.engine.workspace.documents.delete(self._collection(collection).collection_id, list(doc_ids)))

    def shortlist(self, collection: str) -> tuple[Card, ...]:
        """The kept documents, in the order in which they were kept."""
        stored = self._collection(collection)
        kept = self._kept(stored.collection_id)
        return self._cards(stored.collection_id, [(doc_id, i + 1, 0.0) for i, doc_id in enumerate(kept)])

    @writes
    def shortlist_add(self, collection: str, doc_id: str) -> None:
        """Keep a document. Raises NotFound."""
        stored = self._collection(collection)
        if self.engine.workspace.documents.fetch(stored.collection_id, [doc_id]).is_empty():
            raise NotFound(f"There is no document {doc_id!r} in {collection!r}.")
        self.engine.workspace.add_to_shortlist(stored.collection_id, doc_id)

    @writes
    def shortlist_remove(self, collection: str, doc_id: str) -> None:
        """Let go of a kept document; nothing happens where it was not kept."""
        self.engine.workspace.remove_from_shortlist(self._collection(collection).collection_id, [doc_id])

    def export_shortlist(self, collection: str, form: str) -> str:
        """The shortlist as "bibtex", "ris" or "csv" text."""
        stored = self._collection(collection)
        kept = self._kept(stored.collection_id)
        rows = self.engine.workspace.documents.fetch(stored.collection_id, kept)
        writer = bibliography().get(form)
        if writer is None:
            raise BadInput(f"A shortlist is exported as {', '.join(bibliography())}; got {form!r}.")
        return writer(list(rows.iter_rows(named=True)))

    def _kept(self, collection_id: str) -> list[str]:
        return self.engine.workspace.shortlist(collection_id)["doc_id"].to_list()

    def _neighbours(self, collection_id: str, doc_id: str, k: int) -> tuple[Card, ...]:
        try:
            return self._nearest(collection_id, doc_id, k)
        except (IndexNotReady, NotExact):
            return ()

    def _nearest(self, collection_id: str, doc_id: str, k: int) -> tuple[Card, ...]:
        retriever = Dense()
        context = self._context(collection_id, {})
        docs = context.resources.row_docs(retriever.index_spec())
        position = context.snapshot.doc_ids.index_of(doc_id)
        if position is None:
            raise NotFound(f"There is no document {doc_id!r} in this collection.")
        own = np.flatnonzero(docs == position)
        if not len(own):
            raise IndexNotReady("The dense index does not hold this document yet; update it in the Library.")
        index = retriever.open_index(context)
        vector = index.vectors(own).mean(axis=0, keepdims=True)
        others = (docs >= 0) & (docs != position)
        top = index.search(vector, min(len(docs), 3 * k), others)
        hits = (
            context.documents(retriever.index_spec(), top.rows[0], top.scores[0], "q")
            .sort("score", descending=True)
            .head(k)
        )
        ranked = [(d, i + 1, s) for i, (d, s) in enumerate(hits.select("doc_id", "score").iter_rows())]
        return self._cards(collection_id, ranked)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(str(item) for item in value)
    return json.dumps(value, ensure_ascii=False)
