"""Learned sparse search: weighted terms of a vocabulary in an inverted index, searched exactly; a row scores the inner product with the query."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.encoders.base import Encoder
from engine.errors import BadInput
from engine.indexes.base import Allowed, BuildInfo, OpenIndex, UnitSource, checked_mask, checked_width
from engine.indexes.encoded import EncodedIndex, EncodedInfo, EncodedOpenIndex, Prepared
from engine.indexes.stored.files import NUMBERS, damaged, load_array, positions, save_array
from engine.indexes.stored.rows import Segments, SparseKind, is_partition, is_within, rises_within, row_kind
from engine.kernels.bm25 import inverse_document_frequency
from engine.kernels.impacts import Impacts, WeightedTerms, best_rows_of, given_by, invert_rows, row_scores
from engine.types import FloatRows, Ints, Progress, ProgressSink, SparseRows, TopK, ignore_progress

BATCH = 2_000  # texts tokenized at a time


@runtime_checkable
class TermEncoder(Encoder[SparseRows], Protocol):
    """What sparse search asks of an encoder: weighted terms, and the terms that stand in a text itself.

    query_weights: float32 [dimensions], what a term counts that stands once in a query, for inference-free models; None for others.
    """

    query_weights: NDArray[np.float32] | None

    def literal_ids(self, texts: list[str]) -> list[NDArray[np.int64]]:
        """int64 [tokens] of each text."""
        ...

    def literal_places(self, text: str) -> list[tuple[int, int, int]]:
        """(term, start, end) of each token of a text."""
        ...

    def terms(self, ids: list[int]) -> list[str]:
        """The strings of these terms."""
        ...


class SparseInfo(EncodedInfo):
    """The description stored with the index."""

    format: Literal["sparse/1"] = "sparse/1"
    width: int = Field(ge=1)


class SparseIndex(EncodedIndex, name="sparse"):
    """An index of terms that a model weighs, among them terms that the text does not hold."""

    kind: ClassVar[str] = "sparse"
    model: str = Field("triptych-sparse", min_length=1, description="the encoder of units and queries")

    def label(self) -> str:
        return f"Sparse · {self.model}"

    def build(
        self, source: UnitSource, previous: OpenIndex | None, folder: Path, progress: ProgressSink = ignore_progress
    ) -> BuildInfo:
        """See IndexSpec. The files depend on the units alone, not on the builds before. details: encoded, reused, postings, median_terms."""
        encoder = term_encoder(source.encoder(self.model))
        prepared = self._prepare(source, encoder, previous, SparseOpenIndex, folder, progress)
        wanted = prepared.wanted
        rows: SparseRows = prepared.shards.rows(wanted)
        literal = _literal(prepared, source, encoder)
        progress(Progress("write", 0, len(wanted), "texts"))
        _write(folder, wanted, rows, literal)
        info = SparseInfo(spec=self.model_dump(), fingerprint=encoder.fingerprint, rows=len(wanted), width=rows.width)
        self._finish(folder, info)
        progress(Progress("write", len(wanted), len(wanted), "texts"))
        details = prepared.counts() | {
            "postings": len(rows.terms),
            "median_terms": float(np.median(np.diff(rows.indptr))) if len(wanted) else 0.0,
        }
        return BuildInfo(len(wanted), None, info.fingerprint, details)

    def open(self, folder: Path) -> SparseOpenIndex:
        return SparseOpenIndex(folder, self._stored(folder, SparseInfo))


class TextTerms(NamedTuple):
    """The distinct terms that stand in each text itself: row i holds ids[indptr[i]:indptr[i + 1]] (int32, ascending)."""

    indptr: Ints
    ids: NDArray[np.int32]


class SparseOpenIndex(EncodedOpenIndex[SparseInfo]):
    """Postings in memory, rows memory-mapped."""

    def __init__(self, folder: Path, info: SparseInfo) -> None:
        super().__init__(folder, info, info.width)
        self._impacts = _load_postings(folder, info)
        self.rows: SparseRows = SparseKind(info.width).load(folder, "", info.rows)
        """The weighted terms of each row, for explanations and for the next build."""
        indptr: Ints = load_array(folder, "literal_indptr.npy", np.int64, (info.rows + 1,))
        ids: NDArray[np.int32] = load_array(folder, "literal_ids.npy", np.int32, (None,), mapped=True)
        self.literal = TextTerms(indptr, ids)
        sound = is_partition(indptr, len(ids)) and is_within(ids, info.width)
        if not sound or SparseKind(info.width).complaint(self.rows, info.rows):
            raise damaged(folder, "its rows are not weighted terms")

    def search(self, queries: SparseRows, k: int, allowed: Allowed | None = None) -> TopK:
        """See OpenIndex; scores are inner products. Rows that share no term with the query are never returned."""
        rows = len(self.numbers)
        return best_rows_of(
            self._impacts, self._queries(queries), checked_width(k, rows), checked_mask(allowed, self.numbers)
        )

    def scores(self, query: SparseRows) -> FloatRows:
        """The score of every row for one query, float32 [rows]; 0 where no term is shared."""
        return row_scores(self._impacts, self._queries(query, 1)[0])

    def contributions(self, query: SparseRows, row: int) -> list[tuple[int, float]]:
        """What each shared term gives to the score of `row`, largest first; exact: they sum to the score. Raises BadInput."""
        if not 0 <= row < len(self.numbers):
            raise BadInput(f"Row {row} is not in this index of {len(self.numbers)} rows.")
        given = given_by(self._impacts, self._queries(query, 1)[0], row)
        return sorted(given, key=lambda pair: (-pair[1], pair[0]))

    @cached_property
    def literal_frequency(self) -> Ints:
        """int64 [width]: in how many rows each term stands itself, not through expansion."""
        return np.bincount(self.literal.ids, minlength=self.info.width)

    @cached_property
    def idf(self) -> NDArray[np.float32]:
        """float32 [width]: the rarity of each term in this collection, as BM25 counts it: ln(1 + (N - n + 0.5) / (n + 0.5))."""
        return inverse_document_frequency(self.literal_frequency, len(self.numbers), "lucene")

    def _queries(self, queries: SparseRows, count: int | None = None) -> list[WeightedTerms]:
        """The queries one by one. Raises BadInput on anything that is not weighted terms of this vocabulary."""
        if not isinstance(queries, SparseRows):
            raise BadInput("A sparse index is searched with weighted terms of its vocabulary.")
        wrong = SparseKind(self.info.width).complaint(queries, len(queries) if count is None else count)
        if wrong:
            raise BadInput(f"A query for this index holds {wrong}.")
        parts = [slice(start, end) for start, end in zip(queries.indptr[:-1], queries.indptr[1:], strict=True)]
        return [WeightedTerms(queries.terms[part].astype(np.int64), queries.weights[part]) for part in parts]


FILES = (
    NUMBERS,
    *(f"{part}.npy" for part in SparseKind.parts),
    "postings_indptr.npy",
    "postings_rows.npy",
    "postings_weights.npy",
    "literal_indptr.npy",
    "literal_ids.npy",
)


def term_encoder(encoder: Encoder[Any]) -> TermEncoder:
    """The encoder, when it gives weighted terms. Raises BadInput."""
    if not isinstance(encoder, TermEncoder) or not isinstance(row_kind(encoder.card), SparseKind):
        raise BadInput(
            f"Model {encoder.card.name!r} is of the family {encoder.card.family!r}; a sparse index needs a sparse model."
        )
    return encoder


def _literal(rows: Prepared[SparseOpenIndex], source: UnitSource, encoder: TermEncoder) -> TextTerms:
    """The terms in the texts themselves: those of new units by the tokenizer, the others from the previous index."""
    wanted, new, old = rows.wanted, rows.new, rows.old
    distinct = [np.empty(0, np.int32)]
    indptr = np.zeros(len(new) + 1, np.int64)
    for start in range(0, len(new), BATCH):
        texts = source.texts(new[start : start + BATCH])
        distinct += [np.unique(ids).astype(np.int32) for ids in encoder.literal_ids(texts)]
    np.cumsum([len(ids) for ids in distinct[1:]], out=indptr[1:])
    fresh = TextTerms(indptr, np.concatenate(distinct))
    if old is None:
        return fresh
    at = positions(old.numbers, wanted)
    which = (at < 0).astype(np.int64)
    segments = Segments([old.literal.indptr, fresh.indptr], which, np.where(at < 0, positions(new, wanted), at))
    ids = segments.copy([old.literal.ids, fresh.ids], np.empty(segments.total, np.int32))
    return TextTerms(segments.indptr, ids)


def _write(folder: Path, numbers: Ints, rows: SparseRows, literal: TextTerms) -> None:
    postings = invert_rows(rows)
    arrays: tuple[NDArray[Any], ...] = (
        numbers,
        *SparseKind(rows.width).arrays(rows),
        postings.indptr,
        postings.rows,
        postings.weights,
        literal.indptr,
        literal.ids,
    )
    for name, values in zip(FILES, arrays, strict=True):
        save_array(folder, name, values)


def _load_postings(folder: Path, info: SparseInfo) -> Impacts:
    indptr: Ints = load_array(folder, "postings_indptr.npy", np.int64, (info.width + 1,))
    rows: NDArray[np.int32] = load_array(folder, "postings_rows.npy", np.int32, (None,))
    weights: NDArray[np.float32] = load_array(folder, "postings_weights.npy", np.float32, (len(rows),))
    if not is_partition(indptr, len(rows)) or not is_within(rows, info.rows) or not rises_within(rows, indptr):
        raise damaged(folder, "its postings do not fit its rows")
    if not (np.isfinite(weights).all() and (weights > 0).all()):
        raise damaged(folder, "a weight is not a number above 0")
    return Impacts(indptr, rows, weights, info.rows)
