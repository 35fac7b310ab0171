"""Dense search: one vector a unit, compared by inner product (cosine, for the unit vectors that most encoders give)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from engine.errors import BadInput
from engine.indexes.base import Allowed, BuildInfo, OpenIndex, UnitSource, checked_mask, checked_width
from engine.indexes.shards import Shards
from engine.indexes.stored.files import NUMBERS, damaged, load_array, save_array, save_blocks
from engine.indexes.structured import StructuredIndex, StructuredInfo, StructuredOpenIndex
from engine.indexes.structures.base import IN_DATA, Named, Structure
from engine.kernels.dense import exact_top_k
from engine.types import FloatRows, Ints, Progress, ProgressSink, TopK, ignore_progress

VECTORS = "vectors.npy"
AUTO_EXACT_ROWS = 200_000  # exact search of 384 dimensions takes about 20 ms of one core there, and is never wrong
BLOCK = 1 << 14  # rows copied at a time
SAMPLE = 100  # queries of each kind in the recall measurement
QUERY_WORDS = 12


class DenseInfo(StructuredInfo):
    """The description stored with the index. `longest` is the largest norm of a row."""

    format: Literal["dense/1"] = "dense/1"
    dim: int = Field(ge=1)
    longest: float = Field(ge=0, allow_inf_nan=False)


class DenseIndex(StructuredIndex, name="dense"):
    """An index of one vector per unit, searched exactly or through an HNSW graph."""

    kind: ClassVar[str] = "dense"
    large: ClassVar[str] = "hnsw"
    model: str = Field("all-MiniLM-L6-v2", min_length=1, description="the encoder of units and queries")
    structure: Annotated[str | Structure, Named("dense"), IN_DATA] = Field(
        "auto",
        description=f"exact: compare with every row; hnsw: a graph, faster and approximate; auto: hnsw above {AUTO_EXACT_ROWS:,} rows",
    )
    M: int = Field(16, ge=4, le=64, description="hnsw: links of a row; more cost memory and raise recall")
    ef_construction: int = Field(200, ge=8, le=2_000, description="hnsw: effort of placing a row; more raises recall")

    def label(self) -> str:
        return f"Dense · {self.model}{self.structure_label()}"

    def build(
        self, source: UnitSource, previous: OpenIndex | None, folder: Path, progress: ProgressSink = ignore_progress
    ) -> BuildInfo:
        """See IndexSpec. details: structure, encoded, reused, skipped, and for hnsw recall_documents and recall_queries at 10.

        Units whose vector is zero (texts that the encoder knows nothing of) are skipped; they get no row.
        """
        self.require()
        encoder = source.encoder(self.model)
        rows = self._prepare(source, encoder, previous, DenseOpenIndex, folder, progress)
        numbers, longest = _write_vectors(folder, rows.wanted, rows.shards, progress)
        base = DenseInfo(
            spec=self.model_dump(),
            fingerprint=encoder.fingerprint,
            rows=len(numbers),
            dim=encoder.card.dimensions,
            longest=longest,
        )
        info, details = self._structured(base, base.rows > AUTO_EXACT_ROWS, source, rows.old, folder, progress)
        self._finish(folder, info)
        details |= rows.counts() | {"skipped": len(rows.wanted) - len(numbers)}
        return BuildInfo(len(numbers), info.dim, info.fingerprint, details)

    def open(self, folder: Path) -> DenseOpenIndex:
        index = self._reopened(folder, self._stored(folder, DenseInfo))
        assert isinstance(index, DenseOpenIndex)
        return index

    def opened(self, folder: Path, info: DenseInfo, how: Structure) -> DenseOpenIndex:
        return DenseOpenIndex(folder, info, how)

    def measured(self, index: DenseOpenIndex, source: UnitSource, progress: ProgressSink) -> dict[str, float]:
        """See StructuredIndex; with rows as queries, and with the openings of their texts."""
        progress(Progress("measure", 0, 2, "samples"))
        rows = np.sort(np.random.default_rng(0).choice(index.info.rows, min(SAMPLE, index.info.rows), replace=False))
        of_documents = measured_recall(index, index.vectors(rows))
        progress(Progress("measure", 1, 2, "samples"))
        openings = [" ".join(text.split()[:QUERY_WORDS]) for text in source.texts(index.numbers[rows])]
        of_queries = measured_recall(index, source.encoder(self.model).encode_queries(openings))
        progress(Progress("measure", 2, 2, "samples"))
        return {"recall_documents": of_documents, "recall_queries": of_queries}


class DenseOpenIndex(StructuredOpenIndex[DenseInfo]):
    """Vectors, memory-mapped, and perhaps a graph over them."""

    def __init__(self, folder: Path, info: DenseInfo, how: Structure) -> None:
        super().__init__(folder, info, info.dim, how)
        self.rows: FloatRows = load_array(folder, VECTORS, np.float32, (info.rows, info.dim), mapped=True).view(
            np.ndarray
        )
        _ = self.searcher

    def search(self, queries: FloatRows, k: int, allowed: Allowed | None = None, effort: int | None = None) -> TopK:
        """See OpenIndex; `queries` is float32 [queries, dim], scores are inner products. A zero query has no hits.

        effort: as the structure counts it; for a graph, the candidates that are examined at least.
        """
        queries = self._checked_queries(queries)
        return self.searcher.search(
            queries, checked_width(k, len(self.numbers)), checked_mask(allowed, self.numbers), effort
        )

    def search_exact(self, queries: FloatRows, k: int, allowed: Allowed | None = None) -> TopK:
        """As `search`, comparing with every allowed row."""
        queries = self._checked_queries(queries)
        mask = checked_mask(allowed, self.numbers)
        try:
            found = exact_top_k(self.rows, queries, checked_width(k, len(self.numbers)), mask, self.info.longest)
        except ValueError as error:
            raise damaged(self.folder, f"{VECTORS} holds values that are not numbers") from error
        void = ~queries.any(axis=1)
        found.rows[void], found.scores[void] = -1, -np.inf
        return found

    def vectors(self, rows: Ints) -> FloatRows:
        return np.array(self.rows[rows])

    def scores(self, vector: FloatRows, rows: Ints | None = None) -> FloatRows:
        """See VectorIndex; the inner products, up to rounding the scores of `search`."""
        query = self._checked_queries(np.atleast_2d(vector))
        return np.asarray((self.rows if rows is None else self.rows[rows]) @ query[0])

    def neighbours(self, row: int, k: int) -> TopK:
        """The k rows most like `row`, itself left out; one line. Raises BadInput."""
        if not 0 <= row < len(self.numbers):
            raise BadInput(f"Row {row} is not in this index of {len(self.numbers)} rows.")
        width = checked_width(k, len(self.numbers) - 1)
        found = self.search(self.rows[row : row + 1], width + 1)
        others = found.rows[0] != row
        return TopK(found.rows[:, others][:, :width], found.scores[:, others][:, :width])

    def _checked_queries(self, queries: FloatRows) -> FloatRows:
        """Whatever is not finite rows of the right width is refused before it reaches native code."""
        rows = np.asarray(queries)
        if rows.ndim != 2 or rows.shape[1] != self.info.dim or rows.dtype.kind != "f":
            raise BadInput(
                f"Query vectors are {rows.dtype} {rows.shape}; this index takes float32 [queries, {self.info.dim}]."
            )
        rows = np.ascontiguousarray(rows, np.float32)
        if not np.isfinite(rows).all():
            raise BadInput("A query vector holds values that are not numbers; the encoder that made it is broken.")
        return rows


def measured_recall(index: DenseOpenIndex, queries: FloatRows, k: int = 10) -> float:
    """The share of the exact k best that `search` finds, mean over queries; a row as good as the k-th counts as found."""
    exact, found = index.search_exact(queries, k), index.search(queries, k)
    asked = exact.rows >= 0
    if not asked.any():
        return 1.0
    worst = np.where(asked, exact.scores, np.inf).min(axis=1, keepdims=True)
    return round(float(((found.scores >= worst) & asked).sum() / asked.sum()), 4)


def _write_vectors(folder: Path, wanted: Ints, shards: Shards, progress: ProgressSink) -> tuple[Ints, float]:
    """Write the rows in order of their numbers, without those that are zero; also the largest norm."""
    usable = np.zeros(len(wanted), np.bool_)
    longest = 0.0
    for start, rows in _rows(wanted, shards):
        norms = np.linalg.norm(rows.astype(np.float64), axis=1)
        usable[start : start + len(rows)] = norms > 0
        longest = max(longest, float(norms.max(initial=0)))
    numbers = wanted[usable]
    progress(Progress("write", 0, len(numbers), "vectors"))
    save_array(folder, NUMBERS, numbers)
    blocks = (rows for _, rows in _rows(numbers, shards))
    save_blocks(folder, VECTORS, np.dtype(np.float32), (len(numbers), shards.dim), blocks)
    progress(Progress("write", len(numbers), len(numbers), "vectors"))
    return numbers, longest


def _rows(numbers: Ints, shards: Shards) -> Iterator[tuple[int, FloatRows]]:
    """Blocks of vectors, and where each begins."""
    for start in range(0, len(numbers), BLOCK):
        yield start, shards.rows(numbers[start : start + BLOCK])
