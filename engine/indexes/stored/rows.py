"""Three kinds of encoded rows (vectors, weighted terms, token vectors): how each is checked, stored and put together again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput
from engine.indexes.stored.files import load_array
from engine.kernels.maxsim import TokenStore, quantised
from engine.models.card import ModelCard
from engine.models.family import family_of
from engine.types import FloatRows, Ints, SparseRows, TokenRows

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RowKind(ABC, Generic[R]):
    """One kind of rows. width: dimensions of a vector, or terms in the vocabulary."""

    width: int
    parts: ClassVar[tuple[str, ...]]
    """Names of the arrays that hold rows of this kind, in the order in which they are written."""

    @abstractmethod
    def arrays(self, rows: R) -> tuple[NDArray[Any], ...]:
        """The arrays of `parts`, converted to the types in which they are stored."""

    @abstractmethod
    def load(self, folder: Path, prefix: str, count: int) -> R:
        """Memory-map what was written as `prefix`part.npy; types and shapes are checked, values are not. Raises WorkspaceDamaged."""

    @abstractmethod
    def complaint(self, rows: R, count: int) -> str:
        """What is wrong with the rows; empty when they are `count` rows that can stand in an index."""

    @abstractmethod
    def gather(self, sources: Sequence[R], which: Ints, at: Ints) -> R:
        """New rows: row i is row at[i] of sources[which[i]]."""

    def checked(self, rows: R, count: int, model: str) -> R:
        """The rows of an encoder, when they can stand in an index. Raises BadInput."""
        wrong = self.complaint(rows, count)
        if wrong:
            raise BadInput(f"The encoder {model} returned {wrong}; choose another.")
        return rows


class VectorKind(RowKind[FloatRows]):
    """One vector a text."""

    parts = ("vectors",)

    def arrays(self, rows: FloatRows) -> tuple[NDArray[Any], ...]:
        return (np.ascontiguousarray(rows, np.float32),)

    def load(self, folder: Path, prefix: str, count: int) -> FloatRows:
        rows: FloatRows = load_array(folder, f"{prefix}vectors.npy", np.float32, (count, self.width), mapped=True)
        return rows

    def complaint(self, rows: FloatRows, count: int) -> str:
        if rows.shape != (count, self.width):
            return f"{rows.shape} instead of {(count, self.width)}"
        return "" if np.isfinite(rows).all() else "values that are not numbers"

    def gather(self, sources: Sequence[FloatRows], which: Ints, at: Ints) -> FloatRows:
        found = np.empty((len(at), self.width), np.float32)
        for number, rows in enumerate(sources):
            here = which == number
            found[here] = rows[at[here]]
        return found


class SparseKind(RowKind[SparseRows]):
    """Weighted terms."""

    parts = ("indptr", "terms", "weights")

    def arrays(self, rows: SparseRows) -> tuple[NDArray[Any], ...]:
        return (
            np.ascontiguousarray(rows.indptr, np.int64),
            np.ascontiguousarray(rows.terms, np.int32),
            np.ascontiguousarray(rows.weights, np.float32),
        )

    def load(self, folder: Path, prefix: str, count: int) -> SparseRows:
        indptr: Ints = load_array(folder, f"{prefix}indptr.npy", np.int64, (count + 1,))
        terms: NDArray[np.int32] = load_array(folder, f"{prefix}terms.npy", np.int32, (None,), mapped=True)
        weights: NDArray[np.float32] = load_array(
            folder, f"{prefix}weights.npy", np.float32, (len(terms),), mapped=True
        )
        return SparseRows(indptr, terms, weights, self.width)

    def complaint(self, rows: SparseRows, count: int) -> str:
        if rows.width != self.width or len(rows) != count or len(rows.terms) != len(rows.weights):
            return f"{len(rows)} rows of {rows.width} terms instead of {count} of {self.width}"
        if not is_partition(rows.indptr, len(rows.terms)):
            return "rows whose bounds do not rise from 0 to the end"
        if not is_within(rows.terms, self.width):
            return "terms outside of the vocabulary"
        if not rises_within(rows.terms, rows.indptr):
            return "rows whose terms are not ascending"
        if not (np.isfinite(rows.weights).all() and (rows.weights > 0).all()):
            return "weights that are not numbers above 0"
        return ""

    def gather(self, sources: Sequence[SparseRows], which: Ints, at: Ints) -> SparseRows:
        segments = Segments([rows.indptr for rows in sources], which, at)
        terms = segments.copy([rows.terms for rows in sources], np.empty(segments.total, np.int32))
        weights = segments.copy([rows.weights for rows in sources], np.empty(segments.total, np.float32))
        return SparseRows(segments.indptr, terms, weights, self.width)


@dataclass(frozen=True, slots=True, eq=False)
class CodedTokens:
    """TokenRows with a byte a component. codes: int8 [tokens, dim], counted in steps of `scales` (float32 [tokens]); the rest as in TokenRows."""

    indptr: Ints
    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    ids: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def store(self) -> TokenStore:
        """The vectors, for comparing."""
        return TokenStore(self.indptr, self.codes, self.scales)


class TokenKind(RowKind[TokenRows | CodedTokens]):
    """One vector a token. Encoders give TokenRows; what is stored, and so what is given back, are CodedTokens."""

    parts = ("indptr", "ids", "scales", "codes")

    def arrays(self, rows: TokenRows | CodedTokens) -> tuple[NDArray[Any], ...]:
        known = _coded(rows)
        return (known.indptr, known.ids, known.scales, known.codes)

    def load(self, folder: Path, prefix: str, count: int) -> CodedTokens:
        indptr: Ints = load_array(folder, f"{prefix}indptr.npy", np.int64, (count + 1,))
        ids: NDArray[np.int32] = load_array(folder, f"{prefix}ids.npy", np.int32, (None,), mapped=True)
        scales: NDArray[np.float32] = load_array(folder, f"{prefix}scales.npy", np.float32, (len(ids),), mapped=True)
        shape = (len(ids), self.width)
        codes: NDArray[np.int8] = load_array(folder, f"{prefix}codes.npy", np.int8, shape, mapped=True)
        return CodedTokens(indptr, codes.view(np.ndarray), scales.view(np.ndarray), ids.view(np.ndarray))

    def complaint(self, rows: TokenRows | CodedTokens, count: int) -> str:
        vectors = rows.codes if isinstance(rows, CodedTokens) else rows.vectors
        if len(rows) != count or vectors.shape != (len(rows.ids), self.width):
            return f"{len(rows)} rows of {vectors.shape} instead of {count} of {(len(rows.ids), self.width)}"
        if not is_partition(rows.indptr, len(rows.ids)):
            return "rows whose bounds do not rise from 0 to the end"
        if len(rows.ids) and rows.ids.min() < 0:
            return "tokens with numbers below 0"
        values = rows.scales if isinstance(rows, CodedTokens) else rows.vectors
        return "" if np.isfinite(values).all() else "values that are not numbers"

    def gather(self, sources: Sequence[TokenRows | CodedTokens], which: Ints, at: Ints) -> CodedTokens:
        known = [_coded(rows) for rows in sources]
        segments = Segments([rows.indptr for rows in known], which, at)
        codes = segments.copy([rows.codes for rows in known], np.empty((segments.total, self.width), np.int8))
        scales = segments.copy([rows.scales for rows in known], np.empty(segments.total, np.float32))
        ids = segments.copy([rows.ids for rows in known], np.empty(segments.total, np.int32))
        return CodedTokens(segments.indptr, codes, scales, ids)


class Segments:
    """Segments of several arrays, to be laid end to end: number i is [indptrs[w][a], indptrs[w][a + 1]) of array w = which[i], a = at[i]."""

    def __init__(self, indptrs: Sequence[Ints], which: Ints, at: Ints) -> None:
        lengths = np.zeros(len(at), np.int64)
        self._moves: list[tuple[Ints, Ints]] = []
        chosen = [np.flatnonzero(which == number) for number in range(len(indptrs))]
        for indptr, here in zip(indptrs, chosen, strict=True):
            lengths[here] = indptr[at[here] + 1] - indptr[at[here]]
        self.indptr: Ints = np.zeros(len(at) + 1, np.int64)
        np.cumsum(lengths, out=self.indptr[1:])
        self.total = int(self.indptr[-1])
        for indptr, here in zip(indptrs, chosen, strict=True):
            self._moves.append((_ranges(indptr[at[here]], lengths[here]), _ranges(self.indptr[here], lengths[here])))

    def copy(self, sources: Sequence[NDArray[Any]], into: NDArray[Any]) -> NDArray[Any]:
        """Fill `into`, which is `total` long."""
        for values, (come, go) in zip(sources, self._moves, strict=True):
            into[go] = values[come]
        return into


def row_kind(card: ModelCard) -> RowKind[Any]:
    """The kind of rows that models of this card give. Raises BadInput for cross-encoders, which give none."""
    family = family_of(card.family)
    if family.scores_pairs:
        raise BadInput(f"Model {card.name!r} scores pairs of texts; an index needs one that encodes texts.")
    kind: RowKind[Any] = family.row_kind(card.dimensions)
    return kind


def _coded(rows: TokenRows | CodedTokens) -> CodedTokens:
    if isinstance(rows, CodedTokens):
        return rows
    codes, scales = quantised(rows.vectors)
    return CodedTokens(
        np.ascontiguousarray(rows.indptr, np.int64), codes, scales, np.ascontiguousarray(rows.ids, np.int32)
    )


def is_partition(indptr: Ints, length: int) -> bool:
    """Whether the bounds divide an array of this length into segments, in order and without a rest."""
    return bool(len(indptr) and indptr[0] == 0 and indptr[-1] == length and (indptr[1:] >= indptr[:-1]).all())


def is_within(values: NDArray[Any], limit: int) -> bool:
    """Whether all values are 0 or more and below the limit."""
    return not len(values) or bool(values.min() >= 0 and values.max() < limit)


def rises_within(values: NDArray[Any], indptr: Ints) -> bool:
    """Whether the values rise strictly within each segment."""
    rises = values[1:] > values[:-1]
    inner = indptr[(indptr > 0) & (indptr < len(values))]
    rises[inner - 1] = True
    return bool(rises.all())


def _ranges(starts: Ints, lengths: Ints) -> Ints:
    """start, start + 1, … of each segment, end to end."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
