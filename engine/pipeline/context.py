"""What a stage may reach while it runs: the collection's live rows, its open indexes, encoders, the filter, the cache
and the trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.pipeline.trace import Span
from engine.types import HITS, FloatRows, Ints, Mask, Ranking, Snapshot, SparseRows, TokenRows, joined_rows, one_row

if TYPE_CHECKING:
    from engine.encoders.base import Encoder
    from engine.encoders.cross import PairScorer
    from engine.indexes.base import Allowed, IndexSpec, OpenIndex
    from engine.models.chat import ChatModel
    from engine.pipeline.stages import Stage


T = TypeVar("T")


class Resources(Protocol):
    """What outlives a request: a searcher over one collection hands these out."""

    snapshot: Snapshot

    def index(self, spec: IndexSpec) -> OpenIndex:
        """The open index of this specification. Raises IndexNotReady."""

    def row_docs(self, spec: IndexSpec) -> NDArray[np.int32]:
        """int32 [rows of the index]: the position in the snapshot of each row's document, -1 where it is no longer
        live."""

    def encoder(self, model: str) -> Encoder[Any]:
        """The encoder of a bundled or cached model. Raises NotFound."""

    def scorer(self, model: str) -> PairScorer:
        """The cross-encoder called `model`. Raises BadInput."""

    def language_model(self) -> ChatModel:
        """The language model whose endpoint the user has named. Raises BadInput where none is named."""

    def unit_text(self, spec: IndexSpec, row: int) -> str:
        """The indexed text ("title. text") behind one row of an index."""

    def texts(self, doc_ids: Sequence[str]) -> list[str]:
        """The text ("title. text") of each of these documents, in this order; empty where a document is no longer
        stored."""

    def passages(self, doc_ids: Sequence[str]) -> list[list[str]]:
        """The passages ("title. passage") of each of these documents, in this order; none where a document is no longer
        stored."""


@dataclass(eq=False)
class Context:
    """One request: runs stages, remembers what has run, and writes the trace. Not shared between threads."""

    resources: Resources
    allowed_docs: Mask | None = None
    """bool [documents in the snapshot]: what the filter lets through; None lets everything through."""
    root: Span | None = None
    _stack: list[Span] = field(default_factory=list)
    _done: dict[Any, tuple[Ranking, Span]] = field(default_factory=dict)
    _keys: dict[int, Any] = field(default_factory=dict)
    _inputs: list[Ranking] = field(default_factory=list)
    """Keeps the rankings that came from outside alive: their identity is part of the cache keys."""
    _encoded: dict[tuple[str, str], Any] = field(default_factory=dict)
    _made: dict[Any, Any] = field(default_factory=dict)

    @property
    def snapshot(self) -> Snapshot:
        return self.resources.snapshot

    def execute(self, stage: Stage, ranking: Ranking) -> tuple[Ranking, Span]:
        """Run a whole pipeline and give its trace. Stages that already ran in this context on the same input are not
        run again."""
        self._stack = []
        result = self.run(stage, ranking)
        assert self.root is not None
        return result, self.root

    def run(self, stage: Stage, ranking: Ranking) -> Ranking:
        """Run one stage inside the current span, or take its result from this context."""
        if id(ranking) not in self._keys:
            self._keys[id(ranking)] = id(ranking)
            self._inputs.append(ranking)
        key = (stage, self._keys[id(ranking)])
        path = f"{self._stack[-1].path}/{len(self._stack[-1].children)}" if self._stack else "0"
        span = Span(stage, path, received=len(ranking.hits))
        known = self._done.get(key)
        if known is None:
            self._stack.append(span)
            started = time.perf_counter()
            try:
                result = stage.run(ranking, self)
            finally:
                self._stack.pop()
            span.ms = (time.perf_counter() - started) * 1000
            self._done[key] = (result, span)
            if result is not ranking:  # a stage may pass on what it was given, and a sequence what its last stage made
                self._keys.setdefault(id(result), key)
        else:
            result, first = known
            span.cached, span.spared_ms, span.children, span.details = True, first.ms, first.children, first.details
        span.output, span.returned = result, len(result.hits)
        if self._stack:
            self._stack[-1].children.append(span)
        else:
            self.root = span
        return result

    def note(self, key: str, value: Any) -> None:
        """Leave something in the span of the stage that is running."""
        if self._stack:
            self._stack[-1].details[key] = value

    def noted(self, key: str) -> Any:
        """What the stage that is running has left under this key so far; None where there is nothing."""
        return self._stack[-1].details.get(key) if self._stack else None

    def query_vectors(self, model: str, texts: Sequence[str]) -> FloatRows:
        """float32 [queries, dim]; a text is encoded once a request however many stages ask, and in whatever company."""
        found: FloatRows = self._encoded_rows(model, texts)
        return found

    def query_tokens(self, model: str, texts: Sequence[str]) -> TokenRows:
        """The token vectors of queries, of a model for late interaction; encoded once, as for `query_vectors`."""
        found: TokenRows = self._encoded_rows(model, texts)
        return found

    def query_terms(self, model: str, texts: Sequence[str]) -> SparseRows:
        """The weighted terms of queries, of a sparse model; encoded once, as for `query_vectors`."""
        found: SparseRows = self._encoded_rows(model, texts)
        return found

    def _encoded_rows(self, model: str, texts: Sequence[str]) -> Any:
        new = [text for text in dict.fromkeys(texts) if (model, text) not in self._encoded]
        if new or not texts:
            rows = self.resources.encoder(model).encode_queries(new)
            self._encoded.update({(model, text): one_row(rows, i) for i, text in enumerate(new)})
        return joined_rows([self._encoded[model, text] for text in texts]) if texts else rows

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` gives; it is called once a request for equal keys."""
        if key not in self._made:
            self._made[key] = make()
        found: T = self._made[key]
        return found

    def allowed(self, spec: IndexSpec) -> Allowed | None:
        """The filter in the form that the index takes: `allowed_rows`, or the numbers of the units that pass."""
        rows = self.allowed_rows(spec)
        return self.resources.index(spec).numbers[rows] if spec.by_number and rows is not None else rows

    def allowed_rows(self, spec: IndexSpec) -> Mask | None:
        """bool [rows of the index]: rows whose document is live and passes the filter; None when that is all of
        them."""
        docs = self.resources.row_docs(spec)
        live = docs >= 0
        if self.allowed_docs is not None:
            live[live] = self.allowed_docs[docs[live]]
        return None if bool(live.all()) else live

    def documents(
        self, spec: IndexSpec, rows: NDArray[np.int64], scores: NDArray[np.float32], qid: str
    ) -> pl.DataFrame:
        """The hits of one query as (qid, doc_id, score): a document scores its best row (passage)."""
        kept = rows >= 0
        positions = self.resources.row_docs(spec)[rows[kept]]
        best, first = np.unique(positions, return_index=True)
        # An index answers best first, so the first row of a document is its best.
        hits = pl.DataFrame(
            {"doc_id": self.snapshot.doc_ids.gather(best), "score": scores[kept][first].astype(np.float64)},
            schema={"doc_id": pl.String, "score": pl.Float64},
        )
        return hits.select(pl.lit(qid).alias("qid"), "doc_id", "score")

    def rows(self, spec: IndexSpec, doc_ids: pl.Series) -> dict[str, Ints]:
        """int64 rows (passages) of each of these documents in the index, ascending; documents that it does not hold are
        left out."""
        at = self.snapshot.doc_ids.is_in(doc_ids.unique().to_list()).arg_true().to_numpy()
        wanted = np.zeros(
            len(self.snapshot) + 1, dtype=bool
        )  # one place more for rows of no live document, which hold -1
        wanted[at] = True
        docs = self.resources.row_docs(spec)
        rows = np.flatnonzero(wanted[docs])
        rows = rows[np.argsort(docs[rows], kind="stable")]
        owners, first = np.unique(docs[rows], return_index=True)
        return dict(zip(self.snapshot.doc_ids.gather(owners), np.split(rows, first[1:]), strict=False))


def no_hits() -> pl.DataFrame:
    """An empty (qid, doc_id, score) table."""
    return pl.DataFrame(schema=HITS).drop("rank")
