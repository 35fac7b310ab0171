"""Late-interaction search: a vector for every token, texts compared by MaxSim (ColBERT; Khattab and Zaharia, SIGIR 2020).

Vectors are stored with a byte a component and a step for each token, memory-mapped: 104 bytes for a token of 96 dimensions. A large index finds
candidates through inverted lists of centroids (PLAID; Santhanam et al., CIKM 2022) and scores only those, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.errors import BadInput
from engine.indexes.base import Allowed, BuildInfo, OpenIndex, UnitSource, checked_mask, checked_width
from engine.indexes.shards import Shards
from engine.indexes.stored.files import NUMBERS, damaged, load_array, save_array, save_blocks
from engine.indexes.stored.rows import CodedTokens, TokenKind, row_kind
from engine.indexes.structured import StructuredIndex, StructuredInfo, StructuredOpenIndex
from engine.indexes.structures.base import IN_DATA, Named, Structure
from engine.kernels.maxsim import best_texts, maxsim
from engine.kernels.topk import empty_hits
from engine.types import FloatRows, Ints, Progress, ProgressSink, TokenRows, TopK, ignore_progress, one_row

FREQUENCIES = "frequencies.npy"
AUTO_EXACT_TOKENS = 200_000  # comparing with every token takes about 15 ms of one core there, and is never wrong
BLOCK = 2_000  # units copied at a time
SAMPLE = 50  # queries in the recall measurement
QUERY_WORDS = 12


class LateInfo(StructuredInfo):
    """The description stored with the index."""

    format: Literal["late/1"] = "late/1"
    tokens: int = Field(ge=0)
    vocabulary: int = Field(ge=0)
    dim: int = Field(ge=1)


class LateIndex(StructuredIndex, name="late"):
    """An index of one vector per token, compared with every unit or through centroid lists."""

    kind: ClassVar[str] = "late"
    large: ClassVar[str] = "centroids"
    model: str = Field("triptych-late", min_length=1, description="the encoder of units and queries")
    structure: Annotated[str | Structure, Named("late"), IN_DATA] = Field(
        "auto",
        description="exact: compare with every unit; centroids: with candidates from inverted lists, faster and approximate; "
        f"auto: centroids above {AUTO_EXACT_TOKENS:,} tokens",
    )

    def label(self) -> str:
        return f"Late interaction · {self.model}{self.structure_label()}"

    def build(
        self, source: UnitSource, previous: OpenIndex | None, folder: Path, progress: ProgressSink = ignore_progress
    ) -> BuildInfo:
        """See IndexSpec. details: structure, tokens, encoded, reused, skipped, and for centroids their number and recall_queries at 10.

        Units without tokens are skipped; they get no row. Raises BadInput for a model of another family.
        """
        self.require()
        encoder = source.encoder(self.model)
        if not isinstance(row_kind(encoder.card), TokenKind):
            raise BadInput(
                f"Model {self.model!r} gives one row a text; late interaction needs a vector for each token."
            )
        rows = self._prepare(source, encoder, previous, LateOpenIndex, folder, progress)
        numbers, tokens, vocabulary = _write_tokens(folder, rows.wanted, rows.shards, progress)
        base = LateInfo(
            spec=self.model_dump(),
            fingerprint=encoder.fingerprint,
            rows=len(numbers),
            tokens=tokens,
            vocabulary=vocabulary,
            dim=encoder.card.dimensions,
        )
        info, details = self._structured(base, tokens > AUTO_EXACT_TOKENS, source, rows.old, folder, progress)
        self._finish(folder, info)
        details |= {"tokens": tokens} | rows.counts() | {"skipped": len(rows.wanted) - len(numbers)}
        return BuildInfo(len(numbers), info.dim, info.fingerprint, details)

    def open(self, folder: Path) -> LateOpenIndex:
        index = self._reopened(folder, self._stored(folder, LateInfo))
        assert isinstance(index, LateOpenIndex)
        return index

    def opened(self, folder: Path, info: LateInfo, how: Structure) -> LateOpenIndex:
        return LateOpenIndex(folder, info, how)

    def measured(self, index: LateOpenIndex, source: UnitSource, progress: ProgressSink) -> dict[str, float]:
        """See StructuredIndex; with the openings of some texts."""
        rows = np.sort(np.random.default_rng(0).choice(index.info.rows, min(SAMPLE, index.info.rows), replace=False))
        openings = [" ".join(text.split()[:QUERY_WORDS]) for text in source.texts(index.numbers[rows])]
        queries = source.encoder(self.model).encode_queries(openings)
        return {"recall_queries": measured_recall(index, queries, progress)}


class LateOpenIndex(StructuredOpenIndex[LateInfo]):
    """Token vectors, memory-mapped, and perhaps centroid lists."""

    def __init__(self, folder: Path, info: LateInfo, how: Structure) -> None:
        super().__init__(folder, info, info.dim, how)
        kind = TokenKind(info.dim)
        self.rows: CodedTokens = kind.load(folder, "", info.rows)
        wrong = kind.complaint(self.rows, info.rows)
        if wrong or len(self.rows.ids) != info.tokens:
            raise damaged(folder, f"its token vectors are {wrong or 'fewer or more than it says'}")
        self.store = self.rows.store
        self.frequencies: NDArray[np.int32] = load_array(folder, FREQUENCIES, np.int32, (info.vocabulary,))
        """int32 [vocabulary]: how many rows hold each token."""
        if info.tokens and int(self.rows.ids.max()) >= info.vocabulary:
            raise damaged(folder, f"ids.npy names tokens beyond {FREQUENCIES}")
        _ = self.searcher

    def search(self, queries: TokenRows, k: int, allowed: Allowed | None = None, candidates: int | None = None) -> TopK:
        """See OpenIndex; scores are MaxSim. A query without tokens has no hits.

        candidates: the effort, as the structure counts it; for centroids, the rows that are compared exactly.
        """
        self._check(queries)
        return self.searcher.search(
            queries, checked_width(k, len(self.numbers)), checked_mask(allowed, self.numbers), candidates
        )

    def search_exact(self, queries: TokenRows, k: int, allowed: Allowed | None = None) -> TopK:
        """As `search`, comparing with every allowed row."""
        self._check(queries)
        width = checked_width(k, len(self.numbers))
        mask = checked_mask(allowed, self.numbers)
        passing = None if mask is None else np.flatnonzero(mask)
        found = TopK(*empty_hits(len(queries), width))
        for i in range(len(queries) if width else 0):
            query = vectors_of(queries, i)
            if len(query):
                self.put_best(found, i, query, passing)
        return found

    def put_best(self, found: TopK, place: int, query: FloatRows, rows: Ints | None) -> None:
        """Compare one query (float32 [tokens, dim]) with some rows (int64, ascending) or all, and put the best into its line of `found`."""
        try:
            best, scores = best_texts(query, self.store, found.rows.shape[1], rows)
        except ValueError as error:
            raise damaged(self.folder, "it holds values that are not numbers") from error
        found.rows[place, : len(best)] = best
        found.scores[place, : len(best)] = scores

    def scores(self, query: FloatRows, rows: Ints | None = None) -> FloatRows:
        """The MaxSim of one query (float32 [query tokens, dim]) with every row, or with some, float32 [rows]; -inf for an empty query.

        Of some rows they are those of `search`; of all, up to rounding.
        """
        self._check(TokenRows(np.array([0, len(query)]), query, np.zeros(len(query), np.int32)))
        if not len(query):
            return np.full(len(self.numbers) if rows is None else len(rows), -np.inf, np.float32)
        return maxsim(query, self.store, rows, wide=rows is not None)

    def vectors(self, row: int) -> FloatRows:
        """The token vectors of one row, float32 [tokens, dim]."""
        return self.store.floats(row)

    def token_ids(self, row: int) -> NDArray[np.int32]:
        """The numbers of one row's tokens in the tokenizer's vocabulary, int32 [tokens]."""
        return self.rows.ids[self.rows.indptr[row] : self.rows.indptr[row + 1]]

    def _check(self, queries: TokenRows) -> None:
        """Whatever is not finite vectors of the right width is refused."""
        vectors = np.asarray(queries.vectors)
        if vectors.ndim != 2 or vectors.shape[1] != self.info.dim or vectors.dtype != np.float32:
            raise BadInput(
                f"Query token vectors are {vectors.dtype} {vectors.shape}; this index takes float32 [tokens, {self.info.dim}]."
            )
        if not np.isfinite(vectors).all():
            raise BadInput("A query vector holds values that are not numbers; the encoder that made it is broken.")


def vectors_of(rows: TokenRows, row: int) -> FloatRows:
    """The token vectors of one of several texts, float32 [tokens, dim]."""
    return rows.vectors[rows.indptr[row] : rows.indptr[row + 1]]


def measured_recall(
    index: LateOpenIndex, queries: TokenRows, progress: ProgressSink = ignore_progress, k: int = 10
) -> float:
    """The share of the exact k best that `search` finds, mean over queries; a row as good as the k-th counts as found."""
    shares = []
    for i in range(len(queries)):
        progress(Progress("measure", i, len(queries), "queries"))
        one = one_row(queries, i)
        exact, found = index.search_exact(one, k), index.search(one, k)
        asked = exact.rows >= 0
        if asked.any():
            shares.append(float((found.scores[asked] >= exact.scores[asked].min()).mean()))
    progress(Progress("measure", len(queries), len(queries), "queries"))
    return round(float(np.mean(shares)), 4) if shares else 1.0


def _write_tokens(folder: Path, wanted: Ints, shards: Shards, progress: ProgressSink) -> tuple[Ints, int, int]:
    """Write the rows in order of their numbers, without those that have no tokens; gives the numbers, how many tokens, how many different ones at most."""
    lengths, frequencies = _counted(wanted, shards)
    numbers, indptr = wanted[lengths > 0], np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[lengths > 0])])
    tokens = int(indptr[-1])
    progress(Progress("write", 0, tokens, "tokens"))
    save_array(folder, NUMBERS, numbers)
    save_array(folder, "indptr.npy", indptr)
    save_array(folder, FREQUENCIES, frequencies)
    shapes: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
        "ids": (np.int32, (tokens,)),
        "scales": (np.float32, (tokens,)),
        "codes": (np.int8, (tokens, shards.dim)),
    }
    for part, (dtype, shape) in shapes.items():
        blocks = (getattr(rows, part) for rows in _blocks(numbers, shards))
        save_blocks(folder, f"{part}.npy", np.dtype(dtype), shape, blocks)
    progress(Progress("write", tokens, tokens, "tokens"))
    return numbers, tokens, len(frequencies)


def _counted(wanted: Ints, shards: Shards) -> tuple[Ints, NDArray[np.int32]]:
    """How many tokens each unit has, and how many units hold each token."""
    lengths = [np.empty(0, np.int64)]
    frequencies = np.zeros(0, np.int64)
    for rows in _blocks(wanted, shards):
        lengths.append(np.diff(rows.indptr))
        owners = np.repeat(np.arange(len(rows), dtype=np.int64), lengths[-1])
        held = np.unique((owners << 32) | rows.ids) & 0xFFFFFFFF
        found = np.bincount(held, minlength=len(frequencies))
        found[: len(frequencies)] += frequencies
        frequencies = found
    return np.concatenate(lengths), frequencies.astype(np.int32)


def _blocks(numbers: Ints, shards: Shards) -> Iterator[CodedTokens]:
    for start in range(0, len(numbers), BLOCK):
        yield shards.rows(numbers[start : start + BLOCK])
