"""BM25 over flat term numbers: postings, inverse document frequencies and term weights, vectorized.

Formulas as compared by Kamphuis et al., "Which BM25 do you mean?" (ECIR 2020). `bm25l` and `bm25+` follow Lv and Zhai
(CIKM 2011, SIGIR 2011): their lower bound is for terms that occur, an absent term gives nothing.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.types import Ints

Variant = Literal["lucene", "robertson", "atire", "bm25l", "bm25+"]
DELTA = {"bm25l": 0.5, "bm25+": 1.0}  # the values of the two papers
CHUNK = 1 << 22  # postings weighed at a time, which bounds the memory for float64 intermediates


class Postings(NamedTuple):
    """Which rows hold each term, and how often. Term t owns [indptr[t], indptr[t + 1]) of `rows` (int32, ascending) and
    `counts` (int32)."""

    indptr: Ints
    rows: NDArray[np.int32]
    counts: NDArray[np.int32]


def invert(tokens: NDArray[np.int32], offsets: Ints, vocabulary: int) -> Postings:
    """Postings of a corpus of flat term numbers; row r holds tokens[offsets[r]:offsets[r + 1]]."""
    rows = len(offsets) - 1
    keys = tokens.astype(np.int64)
    keys *= max(rows, 1)
    keys += np.repeat(np.arange(rows), np.diff(offsets))
    keys.sort()
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    counts = np.diff(first, append=len(keys)).astype(np.int32)
    terms, of_rows = np.divmod(keys[first], max(rows, 1))
    indptr = np.zeros(vocabulary + 1, np.int64)
    np.cumsum(np.bincount(terms, minlength=vocabulary), out=indptr[1:])
    return Postings(indptr, of_rows.astype(np.int32), counts)


def inverse_document_frequency(frequency: Ints, rows: int, variant: Variant) -> NDArray[np.float32]:
    """float32 weight of each term from the number of rows that hold it (1 or more)."""
    if variant == "lucene":
        value = np.log(1 + (rows - frequency + 0.5) / (frequency + 0.5))
    elif variant == "robertson":  # a term in more than half of the rows would count against them; it counts nothing
        value = np.log(np.maximum((rows - frequency + 0.5) / (frequency + 0.5), 1))
    elif variant == "atire":
        value = np.log(rows / frequency)
    elif variant == "bm25l":
        value = np.log((rows + 1) / (frequency + 0.5))
    else:
        value = np.log((rows + 1) / frequency)
    return np.asarray(value, np.float32)


def saturation(
    counts: NDArray[np.float64], lengths: NDArray[np.float64], k1: float, b: float, variant: Variant
) -> NDArray[np.float64]:
    """The term-frequency part; `lengths` are row lengths divided by their mean."""
    norm = 1 - b + b * lengths
    if variant == "bm25l":
        scaled = counts / norm + DELTA[variant]
        return (k1 + 1) * scaled / (k1 + scaled)
    if variant in ("lucene", "robertson"):
        return counts / (k1 * norm + counts)
    return (k1 + 1) * counts / (k1 * norm + counts) + DELTA.get(variant, 0.0)


def weigh(postings: Postings, lengths: Ints, k1: float, b: float, variant: Variant) -> NDArray[np.float32]:
    """The float32 weight of each posting: a row's score is the sum over the query's terms."""
    frequency = np.diff(postings.indptr)
    idf = inverse_document_frequency(frequency, len(lengths), variant)
    relative = lengths / max(float(lengths.mean()), 1e-9) if len(lengths) else np.empty(0)
    weights = np.empty(len(postings.rows), np.float32)
    terms = np.repeat(np.arange(len(frequency), dtype=np.int32), frequency)
    for start in range(0, len(weights), CHUNK):
        part = slice(start, start + CHUNK)
        tf = saturation(postings.counts[part].astype(np.float64), relative[postings.rows[part]], k1, b, variant)
        weights[part] = idf[terms[part]] * tf
    return weights
