"""BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009): exact lexical search over weighted postings.

The weight of every posting is computed at build time, as in bm25s (Lu, 2024), so that a query only adds. The analyzed corpus stays beside the
postings: weights depend on the whole corpus, so each build computes them anew, but only new units are analyzed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.encoders.base import Encoder
from engine.errors import BadInput, IndexNotReady
from engine.indexes.analyzers import Analyzer, BulkAnalysis, analyzer
from engine.indexes.base import (
    Allowed,
    BuildInfo,
    IndexSpec,
    OpenIndex,
    UnitSource,
    checked_mask,
    checked_numbers,
    checked_width,
)
from engine.indexes.stored.files import (
    NUMBERS,
    damaged,
    load_array,
    load_info,
    load_numbers,
    positions,
    save_array,
    save_info,
)
from engine.indexes.stored.rows import is_partition, is_within, rises_within
from engine.kernels.bm25 import Variant, invert, weigh
from engine.kernels.impacts import Impacts, WeightedTerms, best_rows_of, given_by, row_scores
from engine.types import FloatRows, Ints, Progress, ProgressSink, TopK, ignore_progress

BATCH = 1_000  # texts asked of the source at a time
TERMS = "terms.npy"  # UTF-8 lines as bytes


class QueryTerm(NamedTuple):
    """A term of a query: how often the query holds it, and how many rows do (0: unknown to the index)."""

    term: str
    times: int
    rows: int


class Bm25Info(BaseModel):
    """The description stored with the index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["bm25/1"] = "bm25/1"
    spec: dict[str, str | float]
    fingerprint: str
    rows: int = Field(ge=0)
    terms: int = Field(ge=0)


class Bm25Index(IndexSpec, name="bm25"):
    """An index of words, weighted by BM25. The defaults are those of Lucene."""

    kind: ClassVar[str] = "bm25"
    analyzer: Literal["english", "any"] = Field(
        "english",
        description="english: stop words and stemming; any: words of every language, unspaced scripts by character pairs",
    )
    k1: float = Field(1.2, ge=0, le=10, description="how slowly repeated occurrences of a term saturate")
    b: float = Field(
        0.75, ge=0, le=1, description="how much long texts are discounted, from not at all (0) to fully (1)"
    )
    variant: Variant = Field("lucene", description="which published formula weighs a term")

    def label(self) -> str:
        plain = (self.k1, self.b, self.variant) == (1.2, 0.75, "lucene")
        return f"BM25 · {self.analyzer}" + ("" if plain else f" · {self.variant} k1={self.k1:g} b={self.b:g}")

    def expected_fingerprint(self, encoder: Callable[[str], Encoder[Any]]) -> str:
        return analyzer(self.analyzer).fingerprint

    def build(
        self, source: UnitSource, previous: OpenIndex | None, folder: Path, progress: ProgressSink = ignore_progress
    ) -> BuildInfo:
        """See IndexSpec. The files depend on the units alone, not on the builds before. details: terms, tokens, analyzed, reused, mean_length."""
        how = analyzer(self.analyzer)
        corpus, reused = analyze(source, how, previous, progress)
        rows = len(corpus.numbers)
        progress(Progress("weigh", 0, 1, "steps"))
        postings = invert(corpus.tokens, corpus.offsets, len(corpus.terms))
        lengths = np.diff(corpus.offsets)
        weights = weigh(postings, lengths, self.k1, self.b, self.variant)
        arrays: dict[str, NDArray[Any]] = {
            NUMBERS: corpus.numbers,
            "tokens.npy": corpus.tokens,
            "offsets.npy": corpus.offsets,
        }
        arrays |= {"indptr.npy": postings.indptr, "rows.npy": postings.rows, "weights.npy": weights}
        for name, values in arrays.items():
            save_array(folder, name, values)
        save_array(folder, TERMS, np.frombuffer("\n".join(corpus.terms).encode(), np.uint8))
        save_info(
            folder, Bm25Info(spec=self.model_dump(), fingerprint=how.fingerprint, rows=rows, terms=len(corpus.terms))
        )
        progress(Progress("weigh", 1, 1, "steps"))
        details: dict[str, str | int | float] = {
            "terms": len(corpus.terms),
            "tokens": len(corpus.tokens),
            "analyzed": rows - reused,
            "reused": reused,
        }
        return BuildInfo(
            rows, None, how.fingerprint, details | {"mean_length": round(float(lengths.mean()), 2) if rows else 0.0}
        )

    def open(self, folder: Path) -> Bm25OpenIndex:
        info = load_info(folder, Bm25Info)
        how = analyzer(self.analyzer)
        if info.spec != self.model_dump() or info.fingerprint != how.fingerprint:
            raise IndexNotReady(
                f"The BM25 index was built with {info.spec} and {info.fingerprint}, not {self.model_dump()} and {how.fingerprint}. Build it again."
            )
        return Bm25OpenIndex(folder, info, how)


class Corpus(NamedTuple):
    """An analyzed collection. Row r holds the term numbers tokens[offsets[r]:offsets[r + 1]] into the sorted `terms`."""

    numbers: Ints
    tokens: NDArray[np.int32]
    offsets: Ints
    terms: list[str]


class Bm25OpenIndex:
    """A BM25 index in memory; read-only after opening, so any thread may search it."""

    def __init__(self, folder: Path, info: Bm25Info, how: Analyzer) -> None:
        self.analyzer = how
        self.fingerprint = info.fingerprint
        self.numbers = load_numbers(folder, info.rows)
        indptr: Ints = load_array(folder, "indptr.npy", np.int64, (info.terms + 1,))
        rows: NDArray[np.int32] = load_array(folder, "rows.npy", np.int32, (None,))
        weights: NDArray[np.float32] = load_array(folder, "weights.npy", np.float32, (len(rows),))
        self._impacts = Impacts(indptr, rows, weights, info.rows)
        self._offsets: Ints = load_array(folder, "offsets.npy", np.int64, (info.rows + 1,))
        self._tokens: NDArray[np.int32] = load_array(folder, "tokens.npy", np.int32, (None,), mapped=True)
        self.vocabulary = _load_terms(folder, info.terms)
        self._number_of = {term: number for number, term in enumerate(self.vocabulary)}
        self._check(folder)

    def _check(self, folder: Path) -> None:
        """Damaged arrays are refused here, so that searching can trust them."""
        postings, terms = self._impacts, len(self.vocabulary)
        if not is_partition(postings.indptr, len(postings.rows)) or not is_partition(self._offsets, len(self._tokens)):
            raise damaged(folder, "offsets do not rise from 0 to the end of what they divide")
        if not is_within(postings.rows, postings.total) or not is_within(self._tokens, terms):
            raise damaged(folder, "a row or term number is out of range")
        if not rises_within(postings.rows, postings.indptr):
            raise damaged(folder, "the rows of a term are not ascending")
        if len(postings.weights) and not (np.isfinite(postings.weights).all() and postings.weights.min() >= 0):
            raise damaged(folder, "a weight is negative or not a number")

    def search(self, queries: Sequence[str], k: int, allowed: Allowed | None = None) -> TopK:
        """See OpenIndex. Rows that share no weighted term with the query are never returned."""
        return self._search([self._query(text) for text in _checked_queries(queries)], k, allowed)

    def search_weighted(self, queries: Sequence[Mapping[str, float]], k: int, allowed: Allowed | None = None) -> TopK:
        """As `search`, for queries that are weights of index terms: a row scores the weighted sum. Unknown terms match nothing.

        Raises BadInput on a weight that is negative or not finite.
        """
        return self._search([self._weighted(terms) for terms in queries], k, allowed)

    def _search(self, queries: list[WeightedTerms], k: int, allowed: Allowed | None) -> TopK:
        rows = len(self.numbers)
        return best_rows_of(self._impacts, queries, checked_width(k, rows), checked_mask(allowed, self.numbers))

    def scores(self, query: str) -> FloatRows:
        """The score of every row, float32 [rows]; 0 where no term is shared. A term that the query repeats counts as often."""
        return row_scores(self._impacts, self._query(query))

    def scores_weighted(self, terms: Mapping[str, float]) -> FloatRows:
        """The score of every row for weighted index terms, float32 [rows]; 0 where none is shared. Raises BadInput as `search_weighted`."""
        return row_scores(self._impacts, self._weighted(terms))

    def terms(self, query: str) -> list[QueryTerm]:
        """The distinct terms of the query as the index understands it, in order of first appearance."""
        counts = Counter(self.analyzer.query_terms(_checked_queries([query])[0]))
        return [QueryTerm(term, count, self.rows_with(term)) for term, count in counts.items()]

    def rows_with(self, term: str) -> int:
        """How many rows hold the term."""
        number = self._number_of.get(term)
        return 0 if number is None else int(self._impacts.indptr[number + 1] - self._impacts.indptr[number])

    def contributions(self, query: str, row: int) -> list[tuple[str, float]]:
        """What each shared term gives to the score of `row`, largest first; exact: they sum to the score. Raises BadInput."""
        return self._contributions(self._query(query), row)

    def contributions_weighted(self, terms: Mapping[str, float], row: int) -> list[tuple[str, float]]:
        """As `contributions`, for weighted index terms. Raises BadInput as `search_weighted`, too."""
        return self._contributions(self._weighted(terms), row)

    def _contributions(self, query: WeightedTerms, row: int) -> list[tuple[str, float]]:
        self._checked_row(row)
        held = [(self.vocabulary[term], weight) for term, weight in given_by(self._impacts, query, row)]
        return sorted(held, key=lambda pair: (-pair[1], pair[0]))

    def row_weights(self, row: int) -> dict[str, float]:
        """The BM25 weight of each term of `row`, largest first: what the term would add to the score. Raises BadInput."""
        return dict(self.contributions_weighted(dict.fromkeys(self.row_terms(row), 1.0), row))

    def row_terms(self, row: int) -> dict[str, int]:
        """How often each term occurs in `row`. Raises BadInput."""
        self._checked_row(row)
        numbers, counts = np.unique(self._tokens[self._offsets[row] : self._offsets[row + 1]], return_counts=True)
        return {self.vocabulary[number]: int(count) for number, count in zip(numbers, counts, strict=True)}

    def corpus(self) -> Corpus:
        """The analyzed collection, for the next build."""
        return Corpus(self.numbers, self._tokens, self._offsets, self.vocabulary)

    def _query(self, query: str) -> WeightedTerms:
        """Known terms of a query and how often it holds them."""
        return self._numbered(Counter(self.analyzer.query_terms(query)))

    def _weighted(self, terms: Mapping[str, float]) -> WeightedTerms:
        """Known terms by number, without those that weigh nothing."""
        weights = np.fromiter(terms.values(), np.float64, len(terms))
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise BadInput("A query term's weight is negative or not a number; weights must be 0 or more.")
        return self._numbered({term: weight for term, weight in terms.items() if weight})

    def _numbered(self, terms: Mapping[str, float]) -> WeightedTerms:
        known = [(self._number_of[term], weight) for term, weight in terms.items() if term in self._number_of]
        numbers, weights = zip(*known, strict=True) if known else ((), ())
        return WeightedTerms(np.array(numbers, np.int64), np.array(weights, np.float32))

    def _checked_row(self, row: int) -> None:
        if not 0 <= row < len(self.numbers):
            raise BadInput(f"Row {row} is not in this index of {len(self.numbers)} rows.")


def analyze(
    source: UnitSource, how: Analyzer, previous: OpenIndex | None, progress: ProgressSink
) -> tuple[Corpus, int]:
    """Analyze the units that `previous` does not hold, and join them with those that it does; also how many were reused."""
    numbers = checked_numbers(source)
    old = Corpus(np.empty(0, np.int64), np.empty(0, np.int32), np.zeros(1, np.int64), [])
    if isinstance(previous, Bm25OpenIndex) and previous.fingerprint == how.fingerprint:
        old = previous.corpus()
    at = positions(old.numbers, numbers)
    vocabulary = {term: number for number, term in enumerate(old.terms)}
    bulk = BulkAnalysis(how, vocabulary)
    for batch in _batches(numbers[at < 0], progress):
        bulk.add(source.texts(batch))
    tokens, offsets = bulk.arrays()
    fresh = len(old.numbers) + np.cumsum(at < 0) - 1
    joined = np.concatenate([old.offsets, old.offsets[-1] + offsets[1:]])
    tokens, offsets = take_segments(np.concatenate([old.tokens, tokens]), joined, np.where(at < 0, fresh, at))
    tokens, terms = _sorted_terms(tokens, list(vocabulary))
    return Corpus(numbers, tokens, offsets, terms), int((at >= 0).sum())


def take_segments(values: NDArray[np.int32], offsets: Ints, rows: Ints) -> tuple[NDArray[np.int32], Ints]:
    """The segments values[offsets[r]:offsets[r + 1]] of `rows`, on end, and their own offsets."""
    lengths = offsets[rows + 1] - offsets[rows]
    taken = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(lengths, out=taken[1:])
    return values[np.repeat(offsets[rows] - taken[:-1], lengths) + np.arange(taken[-1])], taken


def _sorted_terms(tokens: NDArray[np.int32], terms: list[str]) -> tuple[NDArray[np.int32], list[str]]:
    """Drop terms that occur no more and number the rest in sorted order, so that equal collections give equal files."""
    used = np.flatnonzero(np.bincount(tokens, minlength=len(terms))).tolist()
    used.sort(key=terms.__getitem__)
    renumbered = np.zeros(len(terms), np.int32)
    renumbered[used] = np.arange(len(used), dtype=np.int32)
    return renumbered[tokens], [terms[number] for number in used]


def _batches(numbers: Ints, progress: ProgressSink) -> Iterator[Ints]:
    for start in range(0, len(numbers), BATCH):
        progress(Progress("analyze", start, len(numbers), "texts"))
        yield numbers[start : start + BATCH]
    progress(Progress("analyze", len(numbers), len(numbers), "texts"))


def _load_terms(folder: Path, count: int) -> list[str]:
    raw: NDArray[np.uint8] = load_array(folder, TERMS, np.uint8, (None,))
    try:
        terms = raw.tobytes().decode().split("\n") if len(raw) else []
    except UnicodeDecodeError as error:
        raise damaged(folder, f"{TERMS} is not UTF-8") from error
    if len(terms) != count or len(set(terms)) != count:
        raise damaged(folder, f"{TERMS} holds {len(set(terms))} different terms instead of {count}")
    return terms


def _checked_queries(queries: Sequence[str]) -> Sequence[str]:
    if isinstance(queries, str) or not all(isinstance(query, str) for query in queries):
        raise BadInput("BM25 takes a list of query texts.")
    return queries
