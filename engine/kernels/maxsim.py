"""MaxSim, the score of late interaction: every query token's best match among a text's tokens, summed (Khattab and
Zaharia, SIGIR 2020).

A blocked float32 pass screens, float64 decides, as in `engine.kernels.dense`: the answer depends on neither blocks,
filter nor threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.kernels.dense import contenders, rounding
from engine.kernels.topk import best_rows
from engine.types import FloatRows, Ints

TOKENS_AT_ONCE = (
    1 << 14
)  # text tokens compared at a time: 2 MB of similarities for 32 query tokens, which a core's cache holds
LEVELS = 127  # of an int8 code on either side of zero


@dataclass(frozen=True, slots=True, eq=False)
class TokenStore:
    """Token vectors of n texts. Text i holds [indptr[i], indptr[i + 1]) of `vectors`.

    indptr: int64 [n + 1]; vectors: [tokens, dim], float32, or int8 codes that count in steps of `scales` (float32
    [tokens]).
    """

    indptr: Ints
    vectors: NDArray[Any]
    scales: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def floats(self, row: int) -> FloatRows:
        """The token vectors of one text, float32 [tokens, dim]."""
        part = slice(int(self.indptr[row]), int(self.indptr[row + 1]))
        return self.part(part)

    def part(self, tokens: slice) -> FloatRows:
        """The vectors of a run of tokens, float32 [tokens, dim]."""
        plain = self.vectors[tokens].astype(np.float32)
        return plain if self.scales is None else plain * self.scales[tokens, None]


def quantised(vectors: FloatRows) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Each vector as int8 codes [tokens, dim] and the float32 step [tokens] that they count; the largest component gets
    the code ±127.

    A component is off by half a step at most. A zero vector has the step 0.
    """
    scales = np.abs(vectors).max(axis=1, initial=0).astype(np.float32) / np.float32(LEVELS)
    steps = np.where(scales > 0, scales, np.float32(1))
    codes = np.rint(vectors / steps[:, None])
    return np.clip(codes, -LEVELS, LEVELS).astype(np.int8), scales


def maxsim(query: FloatRows, store: TokenStore, rows: Ints | None = None, wide: bool = False) -> FloatRows:
    """The score of each of `rows` (int64; default all texts) for one query, float32 [rows]; -inf for a text without
    tokens.

    query: float32 [query tokens, dim]; a factor above 0 on a query token's vector weighs that token. wide: compute in
    float64.
    """
    lengths = np.diff(store.indptr) if rows is None else store.indptr[rows + 1] - store.indptr[rows]
    scores = np.full(len(lengths), -np.inf, np.float32)
    precision = np.float64 if wide else np.float32
    left: NDArray[Any] = np.ascontiguousarray(query, precision)
    for part in _blocks(lengths):
        live = part[lengths[part] > 0]
        if not len(live):
            continue
        vectors, scales = _gathered(store, live if rows is None else rows[live])
        similarities: NDArray[Any] = np.dot(left, vectors.astype(precision).T)
        if scales is not None:
            np.multiply(similarities, scales, out=similarities)
        starts = np.cumsum(lengths[live]) - lengths[live]
        scores[live] = np.maximum.reduceat(similarities, starts, axis=1).sum(axis=0)
    return scores


def best_texts(query: FloatRows, store: TokenStore, k: int, rows: Ints | None = None) -> tuple[Ints, FloatRows]:
    """The at most k best of `rows` (ascending; default all texts), best first, ties to the lower row: rows and float32
    scores.

    The stored vectors have about unit length: it bounds what the screen can round away. Raises ValueError when a score
    is NaN.
    """
    screened = maxsim(query, store, rows)
    lengths = np.linalg.norm(query.astype(np.float64), axis=1)
    near = contenders(screened, k, rounding(store.vectors.shape[1]) * float(lengths.sum()))
    near = near[screened[near] > -np.inf]
    found = near if rows is None else rows[near]
    scores = maxsim(query, store, found, wide=True)
    best = best_rows(scores, k)
    return found[best], scores[best]


def matches(query: FloatRows, text: FloatRows) -> tuple[Ints, NDArray[np.float64]]:
    """For each query token the place of its best match in the text (the first among equals), and their similarity.

    query: float32 [query tokens, dim]; text: float32 [tokens, dim], at least one token. The similarities sum to the
    text's score.
    """
    similarities = query.astype(np.float64) @ text.astype(np.float64).T
    places = similarities.argmax(axis=1)
    return places, similarities[np.arange(len(query)), places]


def _blocks(lengths: Ints) -> Iterator[Ints]:
    """Runs of positions that hold about TOKENS_AT_ONCE tokens together."""
    ends = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        before = ends[start] - lengths[start]
        stop = max(start + 1, int(np.searchsorted(ends, before + TOKENS_AT_ONCE, side="right")))
        yield np.arange(start, stop)
        start = stop


def _gathered(store: TokenStore, rows: Ints) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """The stored vectors and scales of some texts (none of them empty), one after another."""
    starts, ends = store.indptr[rows].tolist(), store.indptr[rows + 1].tolist()
    if starts[1:] == ends[:-1]:  # neighbors lie together already
        whole = slice(starts[0], ends[-1])
        return store.vectors[whole], None if store.scales is None else store.scales[whole]
    parts = [slice(start, end) for start, end in zip(starts, ends, strict=True)]
    vectors = np.concatenate([store.vectors[part] for part in parts])
    return vectors, None if store.scales is None else np.concatenate([store.scales[part] for part in parts])
