"""One collection, open for searching: the live rows, the open indexes and the encoders that requests share."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import IndexNotReady, NotFound
from engine.pipeline.context import Context
from engine.types import Mask, Snapshot

if TYPE_CHECKING:
    from engine.encoders.base import Encoder
    from engine.encoders.cross import PairScorer
    from engine.indexes.base import IndexSpec, OpenIndex
    from engine.models.chat import ChatModel
    from engine.serving.engine import Engine


class Searcher:
    """An immutable view of one collection at one revision and one set of index generations. Safe to share between
    threads."""

    def __init__(self, engine: Engine, collection_id: str) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._row_docs: dict[IndexSpec, NDArray[np.int32]] = {}
        self._indexes: dict[IndexSpec, OpenIndex] = {}
        self._models_epoch = engine.workspace.models.epoch
        self.collection_id = collection_id
        self.snapshot: Snapshot = engine.workspace.documents.snapshot(collection_id)

    def index(self, spec: IndexSpec, *, rebuild: bool = True) -> OpenIndex:
        """The open index of this specification, the same one for as long as this view lives: the rows of another
        generation are others.

        Raises IndexNotReady that names the remedy; with `rebuild` the remedy of a damaged one begins by itself.
        """
        with self._lock:
            known = self._indexes.get(spec)
        if known is not None:
            return known
        opened = self._engine.open_index(self.collection_id, spec, rebuild=rebuild)
        with self._lock:
            return self._indexes.setdefault(spec, opened)

    def row_docs(self, spec: IndexSpec) -> NDArray[np.int32]:
        """int32 [rows of the index]: position in the snapshot of each row's document, -1 where deleted or replaced."""
        with self._lock:
            known = self._row_docs.get(spec)
        if known is not None:
            return known
        numbers = self.index(spec).numbers
        if spec.unit == "document":
            live, docs = self.snapshot.doc_nos, np.arange(len(self.snapshot), dtype=np.int32)
        else:
            live, docs = self.snapshot.passage_nos, self.snapshot.passage_docs
        at = np.searchsorted(live, numbers)
        at[at == len(live)] = 0
        found = live[at] == numbers if len(live) else np.zeros(len(numbers), dtype=bool)
        mapped = np.where(found, docs[at], -1).astype(np.int32) if len(live) else np.full(len(numbers), -1, np.int32)
        with self._lock:
            self._row_docs[spec] = mapped
        return mapped

    def behind(self, spec: IndexSpec) -> int:
        """How many live units the index does not hold yet; 0 where there is no such index.

        Starts nothing. Raises what `index` raises where documents were changed since and the index cannot be opened to
        count them.
        """
        generation = self._engine.generation(self.collection_id, spec)
        if generation is None or generation.revision == self.snapshot.revision:
            return 0
        self.index(spec, rebuild=False)
        live = len(self.snapshot) if spec.unit == "document" else len(self.snapshot.passage_nos)
        return live - int((self.row_docs(spec) >= 0).sum())

    def encoder(self, model: str) -> Encoder[Any]:
        """The encoder of a bundled or cached model. Raises IndexNotReady where models were replaced since this view was
        made."""
        encoder = self._engine.encoder(model)
        if (
            self._engine.workspace.models.epoch != self._models_epoch
        ):  # the indexes of this view may be the former one's
            raise IndexNotReady("Models were added, replaced or deleted a moment ago; search again.")
        return encoder

    def scorer(self, model: str) -> PairScorer:
        """The cross-encoder called `model`, bundled or of the workspace."""
        return self._engine.scorer(model)

    def language_model(self) -> ChatModel:
        """The language model whose endpoint the user has named."""
        return self._engine.language_model()

    def unit_text(self, spec: IndexSpec, row: int) -> str:
        """The indexed text behind one row of an index."""
        number = self.index(spec).numbers[row : row + 1]
        text = self._engine.workspace.documents.unit_texts(self.collection_id, spec.unit, number, absent="")[0]
        if not text:
            raise NotFound("The document was changed or deleted a moment ago; ask again.")
        return text

    def texts(self, doc_ids: Sequence[str]) -> list[str]:
        """The text ("title. text") of each document, in this order; empty where it was deleted meanwhile."""
        found = self._engine.workspace.documents.fetch(self.collection_id, doc_ids)
        told = {row["doc_id"]: unit_text(row["title"], row["text"]) for row in found.iter_rows(named=True)}
        return [told.get(doc_id, "") for doc_id in doc_ids]

    def passages(self, doc_ids: Sequence[str]) -> list[list[str]]:
        """The passages ("title. passage") of each document, in this order; none where it was deleted meanwhile."""
        documents = self._engine.workspace.documents
        found = documents.fetch(self.collection_id, doc_ids).unique("doc_no")
        ranges = documents.passages(self.collection_id, found["doc_no"].to_numpy())
        told: dict[str, list[str]] = {}
        joined = ranges.join(found, on="doc_no", how="inner", maintain_order="left")
        for row in joined.select("doc_id", "title", "text", "start_char", "end_char").iter_rows(named=True):
            passage = row["text"][row["start_char"] : row["end_char"]]
            told.setdefault(row["doc_id"], []).append(unit_text(row["title"], passage))
        return [told.get(doc_id, []) for doc_id in doc_ids]

    def allowed(self, filters: Mapping[str, Any] | None) -> Mask | None:
        """bool [documents]: what the filters let through; None when there are none."""
        if not filters:
            return None
        numbers = self._engine.workspace.documents.filter(self.collection_id, dict(filters))
        return np.isin(self.snapshot.doc_nos, numbers, assume_unique=True)

    def context(self, filters: Mapping[str, Any] | None = None) -> Context:
        """A context for one request."""
        return Context(self, self.allowed(filters))


def unit_text(title: str, text: str) -> str:
    """What a model reads of a document or passage: "title. text", or the one of them that there is."""
    return f"{title}. {text}" if title and text else title or text
