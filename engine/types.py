"""The tables and values that every part of the engine passes around; schemas live here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.errors import BadInput

FloatRows: TypeAlias = NDArray[np.float32]  # [n, dim]
Ints: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

QUERIES = pl.Schema({"qid": pl.String, "text": pl.String})
HITS = pl.Schema({"qid": pl.String, "doc_id": pl.String, "rank": pl.Int32, "score": pl.Float64})
RUN_HITS = pl.Schema({"pipeline": pl.String, "qid": pl.String, "doc_id": pl.String, "score": pl.Float64})
RUN_TIMES = pl.Schema(
    {"pipeline": pl.String, "qid": pl.String, "path": pl.String, "label": pl.String, "ms": pl.Float64}
)
RUN_FAILURES = pl.Schema({"pipeline": pl.String, "qid": pl.String, "error": pl.String})
VALUES = pl.Schema({"qid": pl.String, "pipeline": pl.String, "measure": pl.String, "value": pl.Float64})
SUMMARY = pl.Schema(
    {
        "pipeline": pl.String,
        "measure": pl.String,
        "mean": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "queries": pl.Int64,
        "difference": pl.Float64,
        "difference_low": pl.Float64,
        "difference_high": pl.Float64,
        "p": pl.Float64,
        "p_corrected": pl.Float64,
        "cohen_dz": pl.Float64,
        "hedges_g": pl.Float64,
        "wins": pl.Int64,
        "ties": pl.Int64,
        "losses": pl.Int64,
    }
)
"""RUN_HITS: what every pipeline found. RUN_TIMES: milliseconds by stage and query. RUN_FAILURES: why a query has no
hits. VALUES: one long table, value null where the pipeline failed on the query. SUMMARY: pipelines against a
baseline."""
ITEMS = pl.Schema(
    {"position": pl.Int32, "qid": pl.String, "doc_id": pl.String, "found": pl.String, "effect": pl.Float64}
)
"""What is to be judged, in this order."""
AGREEMENTS = pl.Schema(
    {
        "qid": pl.String,
        "left": pl.String,
        "right": pl.String,
        "jaccard": pl.Float64,
        "rbo": pl.Float64,
        "rbo_top": pl.Float64,
        "tau": pl.Float64,
    }
)
"""How far two pipelines agree on a query."""


@dataclass(frozen=True, slots=True)
class Record:
    """One document as a reader yields it, before it is stored. `place` names where it stood ("papers.bib line 120")."""

    doc_id: str
    title: str = ""
    text: str = ""
    authors: tuple[str, ...] = ()
    year: int | None = None
    venue: str = ""
    url: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    place: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One input row that could not become a document, and why; counted and shown, never swallowed."""

    place: str
    reason: str
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """One question that came with a collection (BEIR `queries.jsonl`)."""

    qid: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    place: str = ""


@dataclass(frozen=True, slots=True)
class Judgment:
    """One graded relevance judgment (qrel); rating 0 is "judged, not relevant"."""

    qid: str
    doc_id: str
    rating: int
    place: str = ""


Item: TypeAlias = Record | Rejected | Query | Judgment


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """A collection's live rows at one revision. Arrays are aligned and ascending by number, so `searchsorted` maps
    numbers to positions.

    doc_nos: int64 [n]; doc_ids: n strings; passage_nos: int64 [m]; passage_docs: int32 [m], the position in `doc_nos`
    of each passage's document. A changed document gets a new number, so a number that is not here is deleted or
    replaced.
    """

    collection_id: str
    revision: int
    doc_nos: Ints
    doc_ids: pl.Series
    passage_nos: Ints
    passage_docs: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.doc_nos)


@dataclass(frozen=True, slots=True, eq=False)
class SparseRows:
    """Weighted terms of n texts, row by row (CSR). Row i holds [indptr[i], indptr[i + 1]) of `terms` and `weights`.

    indptr: int64 [n + 1]; terms: int32 [nnz], numbers in the vocabulary of `width` terms, strictly ascending within a
    row; weights: float32 [nnz], finite, above 0.
    """

    indptr: Ints
    terms: NDArray[np.int32]
    weights: NDArray[np.float32]
    width: int

    def __len__(self) -> int:
        return len(self.indptr) - 1


@dataclass(frozen=True, slots=True, eq=False)
class TokenRows:
    """One vector for each token of n texts (late interaction). Text i holds [indptr[i], indptr[i + 1]) of `vectors` and
    `ids`.

    indptr: int64 [n + 1]; vectors: float32 [tokens, dim], finite, of length 1; ids: int32 [tokens], the tokens' numbers
    in the tokenizer's vocabulary.
    """

    indptr: Ints
    vectors: FloatRows
    ids: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.indptr) - 1


def one_row(rows: Any, row: int) -> Any:
    """One of several encoded texts, in the form that they have: FloatRows, SparseRows or TokenRows of one text."""
    if isinstance(rows, np.ndarray):
        return rows[row : row + 1]
    part = slice(int(rows.indptr[row]), int(rows.indptr[row + 1]))
    indptr = rows.indptr[row : row + 2] - rows.indptr[row]
    if isinstance(rows, SparseRows):
        return SparseRows(indptr, rows.terms[part], rows.weights[part], rows.width)
    return TokenRows(indptr, rows.vectors[part], rows.ids[part])


def joined_rows(parts: Sequence[Any]) -> Any:
    """Encoded texts of one form, at least one part, one after another."""
    first = parts[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
    if isinstance(first, SparseRows):
        terms, weights = (np.concatenate([getattr(part, name) for part in parts]) for name in ("terms", "weights"))
        return SparseRows(indptr, terms, weights, first.width)
    vectors, ids = (np.concatenate([getattr(part, name) for part in parts]) for name in ("vectors", "ids"))
    return TokenRows(indptr, vectors, ids)


@dataclass(frozen=True, slots=True, eq=False)
class TopK:
    """What an index answers. rows: int64 [queries, k] row positions in the index, -1 where there were fewer hits;
    scores: float32 [queries, k], descending, -inf beside -1."""

    rows: Ints
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Rankings of one or many queries. `queries`: qid, text. `hits`: qid, doc_id, rank (from 1), score; one row per
    pair, score descending then doc_id."""

    queries: pl.DataFrame
    hits: pl.DataFrame
    asked: pl.DataFrame | None = None
    """What first stages search for instead of the queries' texts, where a rewriter stood before them: qid, text;
    several rows for several."""

    @classmethod
    def of(cls, queries: Sequence[tuple[str, str]]) -> Ranking:
        """A ranking without hits for (qid, text) pairs. Raises BadInput on duplicate qids."""
        frame = pl.DataFrame(list(queries), schema=QUERIES, orient="row")
        if frame["qid"].n_unique() != len(frame):
            raise BadInput("Two queries share an id; query ids must be unique.")
        return cls(frame, pl.DataFrame(schema=HITS))

    def asking(self, asked: pl.DataFrame) -> Ranking:
        """The same ranking, whose first stages search for `asked` (qid, text) from here on. Raises ValueError on a
        query that it does not have."""
        if not asked["qid"].is_in(self.queries["qid"].to_list()).all():
            raise ValueError("a rewritten query is none of those that were asked")
        return replace(self, asked=asked)

    def searched(self) -> pl.DataFrame:
        """What first stages search for: qid, text; without blank texts."""
        table = self.queries if self.asked is None else self.asked
        return table.filter(pl.col("text").str.strip_chars() != "")

    def with_hits(self, hits: pl.DataFrame) -> Ranking:
        """Replace the hits by (qid, doc_id, score) rows: pairs kept once (best score), NaN refused, ranks recomputed,
        schema kept when empty."""
        scored = hits.select(
            pl.col("qid").cast(pl.String), pl.col("doc_id").cast(pl.String), pl.col("score").cast(pl.Float64)
        )
        if scored["score"].is_nan().any() or scored["score"].null_count():
            raise ValueError("a score is NaN or missing")
        ranked = (
            scored.group_by("qid", "doc_id")
            .agg(pl.col("score").max())
            .join(self.queries.select("qid").with_row_index("order"), on="qid", how="inner")
            .sort("order", "score", "doc_id", descending=[False, True, False])
            .with_columns(pl.int_range(1, pl.len() + 1).over("order").cast(pl.Int32).alias("rank"))
            .select(*HITS.names())
        )
        return replace(self, hits=ranked)

    def top(self, k: int) -> Ranking:
        """The first k hits of every query."""
        return replace(self, hits=self.hits.filter(pl.col("rank") <= k))


@dataclass(frozen=True, slots=True)
class Progress:
    """A step of long work: `done` of `total` (None when unknown) `unit`s, within `phase`."""

    phase: str
    done: int
    total: int | None = None
    unit: str = "documents"


ProgressSink: TypeAlias = Callable[[Progress], None]
"""Called often; it may raise Cancelled, and blocks while the job is paused."""


def ignore_progress(_: Progress) -> None:
    """The sink for callers who watch nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """What came of one batch of queries, over all pipelines."""

    qids: tuple[str, ...]
    hits: pl.DataFrame
    times: pl.DataFrame
    failures: pl.DataFrame

    @classmethod
    def nothing(cls) -> Ran:
        """No query at all."""
        return cls((), pl.DataFrame(schema=RUN_HITS), pl.DataFrame(schema=RUN_TIMES), pl.DataFrame(schema=RUN_FAILURES))

    @classmethod
    def together(cls, parts: Sequence[Ran]) -> Ran:
        """Several batches as one."""
        parts = [cls.nothing(), *parts]
        return cls(
            tuple(qid for part in parts for qid in part.qids),
            pl.concat([part.hits for part in parts]),
            pl.concat([part.times for part in parts]),
            pl.concat([part.failures for part in parts]),
        )
