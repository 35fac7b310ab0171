"""Documents and their passages: stored in bulk, numbered for the indexes, fetched in the order asked."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.errors import BadInput, NotFound
from engine.types import Ints, Record, Rejected, Snapshot
from engine.workspace import records
from engine.workspace.browsing import VIEW, Browsing
from engine.workspace.database import arrow
from engine.workspace.facets import Facets
from engine.workspace.query_sets import QuerySets

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from engine.workspace.database.database import Database

Duplicates = Literal["replace", "keep", "error"]
Unit = Literal["document", "passage"]


class Chunker(Protocol):
    """What splits documents into passages: character ranges into each text, in order."""

    def split_many(self, titles: Sequence[str], texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """One list of (start, end) per document."""


OUTCOMES = ("added", "changed", "unchanged", "duplicate", "rejected")


@dataclass(frozen=True, slots=True)
class UpsertCounts:
    """What became of a batch. `outcomes` has one word for each record; the numbers count them."""

    added: int
    changed: int
    unchanged: int
    duplicate: int
    rejected: list[Rejected]
    outcomes: NDArray[np.str_]


@dataclass(frozen=True, slots=True, eq=False)
class _Cached:
    """A snapshot with a way from ids to positions: `hashes` ascending, `order` the position of each."""

    snapshot: Snapshot
    hashes: NDArray[np.uint64]
    order: Ints


def passage_ranges(chunker: Chunker | None, rows: pl.DataFrame) -> list[list[tuple[int, int]]]:
    """The character ranges of each document's passages, of `rows` with title and text; without a chunker a document is
    one passage."""
    if chunker is None:
        return [[(0, length)] for length in rows["text"].str.len_chars()]
    return [found or [(0, 0)] for found in chunker.split_many(rows["title"].to_list(), rows["text"].to_list())]


def passage_rows(ranges: Sequence[Sequence[tuple[int, int]]], doc_nos: Ints, first: int) -> pl.DataFrame:
    """passage_no (counted from `first`), doc_no, ordinal, start_char, end_char."""
    counts = np.fromiter(map(len, ranges), np.int64, len(ranges))
    total = int(counts.sum())
    bounds = np.array([bound for found in ranges for bound in found], dtype=np.int32).reshape(-1, 2)
    return pl.DataFrame(
        {
            "passage_no": np.arange(first, first + total, dtype=np.int64),
            "doc_no": np.repeat(doc_nos, counts),
            "ordinal": (np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)).astype(np.int32),
            "start_char": bounds[:, 0],
            "end_char": bounds[:, 1],
        }
    )


class DocumentStore(Browsing, Facets, QuerySets):
    """All documents of a workspace. The database is the truth; snapshots are views of it at one revision."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self._lock = threading.Lock()
        self._cache: dict[str, _Cached] = {}
        self._revisions: dict[str, int] = {}
        self._values = {}

    # writing

    def upsert(
        self,
        collection_id: str,
        records_: Sequence[Record],
        source: str | Sequence[str],
        *,
        duplicates: Duplicates = "replace",
        chunker: Chunker | None = None,
        job_id: str | None = None,
    ) -> UpsertCounts:
        """Store a batch in one transaction. A changed document gets a new number; an unchanged one keeps its own, and
        its passages.

        `source` names the file the records came from, or one file for each. `duplicates` rules over ids that occur
        again in the batch, or in the job: "replace" keeps the last, "keep" the first, "error" rejects all but the
        first. Without a chunker a document is one passage. Raises ReadOnly, StorageFull, NotFound.
        """
        if duplicates not in ("replace", "keep", "error"):
            raise BadInput(f"The policy for duplicates is replace, keep or error, not {duplicates!r}.")
        rows, rejected = records.tabulate(records_)
        names = [source] * len(records_) if isinstance(source, str) else list(source)
        rows = rows.with_columns(pl.Series("source", names, dtype=pl.String).gather(rows["at"]))
        outcomes = np.full(len(records_), "rejected", dtype="<U9")
        with self._db.write(_summary(rows)) as cursor:
            self.revision(collection_id)
            kept = self._without_duplicates(cursor, rows, duplicates, job_id)
            dropped = rows.join(kept, on="at", how="anti")
            if duplicates == "error":
                rejected += [_repeated(*one) for one in dropped.select("place", "doc_id").iter_rows()]
            else:
                outcomes[dropped["at"].to_numpy()] = "duplicate"
            known = self._known(cursor, collection_id, kept["doc_id"])
            kept = kept.join(known, on="doc_id", how="left", maintain_order="left").with_columns(
                _OUTCOME.alias("outcome")
            )
            outcomes[kept["at"].to_numpy()] = kept["outcome"].to_numpy()
            fresh = kept.filter(pl.col("old_hash").is_null() | (pl.col("old_hash") != pl.col("content_hash")))
            if len(fresh):
                self._drop_rows(cursor, fresh["old_no"].drop_nulls())
                self._insert(cursor, collection_id, fresh, chunker)
                self._bump(cursor, collection_id)
        added, changed, unchanged, duplicate, _ = (int((outcomes == name).sum()) for name in OUTCOMES)
        return UpsertCounts(added, changed, unchanged, duplicate, rejected, outcomes)

    def _without_duplicates(
        self, cursor: DuckDBPyConnection, rows: pl.DataFrame, policy: Duplicates, job_id: str | None
    ) -> pl.DataFrame:
        """One row for each id, `again` set where the running job has stored the id before."""
        seen = pl.Series("doc_id", [], dtype=pl.String)
        if job_id is not None and len(rows):
            with arrow.lent(cursor, batch=rows.select("doc_id").unique()):
                seen = arrow.read(
                    cursor, "SELECT s.doc_id FROM job_seen s JOIN batch USING (doc_id) WHERE s.job_id = ?", [job_id]
                )["doc_id"]
        rows = rows.with_columns(pl.col("doc_id").is_in(seen.implode()).alias("again"))
        kept = rows.unique("doc_id", keep="last" if policy == "replace" else "first", maintain_order=True)
        if policy != "replace":
            kept = kept.filter(~pl.col("again"))
        if job_id is not None and len(kept):
            with arrow.lent(cursor, batch=kept.filter(~pl.col("again")).select("doc_id")):
                cursor.execute("INSERT INTO job_seen SELECT ?, doc_id FROM batch", [job_id]).fetchall()
        return kept

    @staticmethod
    def _known(cursor: DuckDBPyConnection, collection_id: str, ids: pl.Series) -> pl.DataFrame:
        with arrow.lent(cursor, batch=ids.to_frame()):
            return arrow.read(
                cursor,
                "SELECT d.doc_id, d.doc_no AS old_no, d.content_hash AS old_hash FROM documents d JOIN batch "
                "USING (doc_id) WHERE d.collection_id = ?",
                [collection_id],
            )

    @staticmethod
    def _drop_rows(cursor: DuckDBPyConnection, doc_nos: pl.Series) -> None:
        with arrow.lent(cursor, gone=pl.DataFrame({"doc_no": doc_nos})):
            cursor.execute("DELETE FROM passages WHERE doc_no IN (SELECT doc_no FROM gone)").fetchall()
            cursor.execute("DELETE FROM documents WHERE doc_no IN (SELECT doc_no FROM gone)").fetchall()

    def _insert(
        self, cursor: DuckDBPyConnection, collection_id: str, rows: pl.DataFrame, chunker: Chunker | None
    ) -> None:
        ranges = passage_ranges(chunker, rows)
        total = sum(map(len, ranges))
        taken = cursor.execute(
            "UPDATE counters SET next_doc_no = next_doc_no + ?, next_passage_no = next_passage_no + ? RETURNING "
            "next_doc_no, next_passage_no",
            [len(rows), total],
        ).fetchall()[0]
        rows = rows.with_row_index("doc_no", offset=0).with_columns(
            pl.col("doc_no").cast(pl.Int64) + (taken[0] - len(rows))
        )
        passages = passage_rows(ranges, rows["doc_no"].to_numpy(), taken[1] - total)
        with arrow.lent(cursor, batch=rows, pieces=passages):
            cursor.execute(
                "INSERT INTO documents SELECT doc_no, ?, doc_id, title, text, authors, year, venue, url, source, "
                "metadata::JSON, content_hash, now()::TIMESTAMP FROM batch",
                [collection_id],
            ).fetchall()
            cursor.execute(
                "INSERT INTO passages SELECT passage_no, doc_no, ?, ordinal, start_char, end_char FROM pieces",
                [collection_id],
            ).fetchall()

    def delete(self, collection_id: str, doc_ids: Sequence[str]) -> int:
        """Remove documents and their passages; returns how many there were. They are gone from every route at once."""
        with self._db.write(f"deleting {len(doc_ids)} documents") as cursor:
            known = self._known(cursor, collection_id, pl.Series("doc_id", list(doc_ids), dtype=pl.String).unique())
            if len(known):
                self._drop_rows(cursor, known["old_no"])
                self._bump(cursor, collection_id)
        return len(known)

    def _bump(self, cursor: DuckDBPyConnection, collection_id: str) -> None:
        revision = cursor.execute(
            "UPDATE collections SET revision = revision + 1 WHERE collection_id = ? RETURNING revision", [collection_id]
        ).fetchall()
        self._db.after_commit(lambda: self._revisions.__setitem__(collection_id, int(revision[0][0])))

    def forget(self, collection_id: str) -> None:
        """Drop what is remembered of a collection that was deleted."""
        with self._lock:
            self._cache.pop(collection_id, None)
            self._revisions.pop(collection_id, None)
            self._values.pop(collection_id, None)

    # reading

    def revision(self, collection_id: str) -> int:
        """Grows with every change of the documents; from memory after the first time. Raises NotFound."""
        known = self._revisions.get(collection_id)
        if known is None:
            found = self._db.rows("SELECT revision FROM collections WHERE collection_id = ?", [collection_id])
            if not found:
                raise NotFound(f"There is no collection with the id {collection_id!r}.")
            # A commit may have come between the reading and here; what it noted is newer.
            known = self._revisions.setdefault(collection_id, int(found[0][0]))
        return known

    def snapshot(self, collection_id: str) -> Snapshot:
        """The live rows. The same object until something is added, changed or deleted."""
        return self._cached(collection_id).snapshot

    def _cached(self, collection_id: str) -> _Cached:
        cached = self._cache.get(collection_id)
        if cached is not None and cached.snapshot.revision == self.revision(collection_id):
            return cached
        with self._lock:
            cached = self._cache.get(collection_id)
            if cached is None or cached.snapshot.revision != self.revision(collection_id):
                cached = self._cache[collection_id] = self._read_snapshot(collection_id)
        return cached

    def _read_snapshot(self, collection_id: str) -> _Cached:
        with self._db.reading():
            found = self._db.rows("SELECT revision FROM collections WHERE collection_id = ?", [collection_id])
            if not found:
                raise NotFound(f"There is no collection with the id {collection_id!r}.")
            documents = self._db.query(
                "SELECT doc_no, doc_id FROM documents WHERE collection_id = ? ORDER BY doc_no", [collection_id]
            )
            passages = self._db.query(
                "SELECT passage_no, doc_no FROM passages WHERE collection_id = ? ORDER BY passage_no", [collection_id]
            )
        doc_nos = documents["doc_no"].to_numpy()
        snapshot = Snapshot(
            collection_id=collection_id,
            revision=int(found[0][0]),
            doc_nos=doc_nos,
            doc_ids=documents["doc_id"].rechunk(),
            passage_nos=passages["passage_no"].to_numpy(),
            passage_docs=np.searchsorted(doc_nos, passages["doc_no"].to_numpy()).astype(np.int32),
        )
        hashes = snapshot.doc_ids.hash(seed=0).to_numpy()
        order = np.argsort(hashes, kind="stable").astype(np.int64)
        return _Cached(snapshot, hashes[order], order)

    def positions(self, collection_id: str, doc_ids: Sequence[str]) -> Ints:
        """int64 [n]: where each id stands in the current snapshot, -1 where it is not live."""
        return _positions(self._cached(collection_id), doc_ids)

    def fetch(self, collection_id: str, doc_ids: Sequence[str]) -> pl.DataFrame:
        """doc_id, title, text, authors, year, venue, url, source, metadata (JSON text), doc_no; in the order asked,
        absent ones left out."""
        cached = self._cached(collection_id)  # once: positions mean nothing in the next snapshot
        with self._db.translated("looking up documents"):
            positions = _positions(cached, doc_ids)
        numbers = cached.snapshot.doc_nos[positions[positions >= 0]]
        found = self._db.query(f"SELECT {VIEW} FROM documents WHERE doc_no = ANY(?::BIGINT[])", [numbers.tolist()])
        wanted = pl.DataFrame({"doc_no": numbers})
        return wanted.join(found, on="doc_no", how="inner", maintain_order="left").select(found.columns)

    def passages(self, collection_id: str, doc_nos: Ints) -> pl.DataFrame:
        """passage_no, doc_no, ordinal, start_char, end_char of some documents, in order of passage_no."""
        return self._db.query(
            "SELECT passage_no, doc_no, ordinal, start_char, end_char FROM passages JOIN wanted USING (doc_no) "
            "WHERE collection_id = ? AND doc_no BETWEEN ? AND ? ORDER BY passage_no",
            [collection_id, *_span(doc_nos)],
            wanted=pl.DataFrame({"doc_no": np.unique(np.asarray(doc_nos, dtype=np.int64))}),
        )

    def unit_texts(self, collection_id: str, unit: Unit, numbers: Ints, *, absent: str | None = None) -> list[str]:
        """What is indexed of documents or passages (title + ". " + text), in the order asked; `absent` stands for those
        that are not live.

        Raises NotFound when a number is not live and there is no `absent`.
        """
        numbers = np.asarray(numbers, dtype=np.int64)
        joined = "CASE WHEN d.title = '' THEN {0} WHEN {0} = '' THEN d.title ELSE d.title || '. ' || {0} END"
        if unit == "document":
            expression, tables, key = joined.format("d.text"), "documents d", "d.doc_no"
        else:
            expression = joined.format("substring(d.text, p.start_char + 1, p.end_char - p.start_char)")
            tables, key = "passages p JOIN documents d ON d.doc_no = p.doc_no", "p.passage_no"
        found = self._db.query(
            f"SELECT w.place, {expression} AS unit_text FROM wanted w JOIN {tables} ON w.number = {key} "
            f"WHERE {key} BETWEEN ? AND ? AND d.collection_id = ? ORDER BY w.place",
            [*_span(numbers), collection_id],
            wanted=pl.DataFrame({"number": numbers, "place": np.arange(len(numbers))}),
        )
        texts: list[str] = found["unit_text"].to_list()
        missing = len(numbers) - len(texts)
        if not missing:
            return texts
        if absent is None:
            raise NotFound(f"{missing} of {len(numbers)} {unit}s asked for are no longer stored; take a new snapshot.")
        filled = [absent] * len(numbers)
        for place, text in zip(found["place"], texts, strict=True):
            filled[place] = text
        return filled

    def content_hash(self, collection_id: str) -> str:
        """sha256 (hex) over the sorted (doc_id, content_hash) pairs: equal hashes mean equal collections, however they
        were added."""
        pairs = self._db.query(
            "SELECT doc_id, content_hash FROM documents WHERE collection_id = ?", [collection_id]
        ).sort("doc_id", "content_hash")
        digest = hashlib.sha256()
        for doc_id, text_hash in pairs.iter_rows():
            digest.update(f"{doc_id}\x00{text_hash}\n".encode())
        return digest.hexdigest()


def _positions(cached: _Cached, doc_ids: Sequence[str]) -> Ints:
    asked = pl.Series("doc_id", list(doc_ids), dtype=pl.String)
    result = np.full(len(asked), -1, dtype=np.int64)
    if not len(cached.order) or not len(asked):
        return result
    wanted = asked.hash(seed=0).to_numpy()
    at = np.searchsorted(cached.hashes, wanted)
    for i, start in enumerate(at):
        while start < len(cached.hashes) and cached.hashes[start] == wanted[i]:
            position = int(cached.order[start])
            if cached.snapshot.doc_ids[position] == asked[i]:
                result[i] = position
                break
            start += 1
    return result


_OUTCOME = (
    pl.when("again").then(pl.lit("duplicate")).when(pl.col("old_no").is_null()).then(pl.lit("added"))
    .when(pl.col("old_hash") == pl.col("content_hash")).then(pl.lit("unchanged")).otherwise(pl.lit("changed"))
)  # fmt: skip


def _summary(rows: pl.DataFrame) -> str:
    sources = rows["source"].unique(maintain_order=True)
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    return f"adding {len(rows)} documents" + (f" from {sources[0]}{more}" if len(sources) else "")


def _repeated(place: str, doc_id: str) -> Rejected:
    return Rejected(place or doc_id, f"the id {doc_id!r} occurs more than once")


def _span(numbers: Ints) -> list[int]:
    """Smallest and largest number, so that the scan skips the blocks outside."""
    return [int(numbers.min()), int(numbers.max())] if len(numbers) else [0, -1]
