"""Making rows that were read from a damaged database consistent again: what is altered goes, what is derived is made
anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl

from engine.errors import TriptychError
from engine.jobs import add as ingest
from engine.workspace import documents
from engine.workspace.database import arrow
from engine.workspace.records import row_hash

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Lose = Callable[[str, int, tuple[int, int], tuple[str, ...], str], None]
Say = Callable[[str], None]
HASHED = "doc_no, doc_id, title, text, authors, year, venue, url, metadata, content_hash"
_BATCH = 2_000


def mend(cursor: DuckDBPyConnection, lose: Lose, say: Say, *, passages_lost: bool) -> None:
    """Leave only documents that equal their hashes, with passages of their own and in collections that exist; and
    counters beyond them."""
    _drop_altered(cursor, lose)
    _drop_repeated(cursor, lose)
    _name_collections(cursor, say)
    _drop_unsound_passages(cursor, say, passages_lost)
    _cut_again(cursor, say)
    _count(cursor, say)


def _drop_altered(cursor: DuckDBPyConnection, lose: Lose) -> None:
    last = -1
    while True:
        sql = f"SELECT {HASHED} FROM documents WHERE doc_no > ? ORDER BY doc_no LIMIT {_BATCH}"  # noqa: S608
        rows = arrow.read(cursor, sql, [last])
        if rows.is_empty():
            return
        last = rows["doc_no"][-1]
        altered = [row for row in rows.iter_rows(named=True) if row_hash(row) != row["content_hash"]]
        if altered:
            with arrow.lent(cursor, gone=pl.DataFrame({"doc_no": [row["doc_no"] for row in altered]})):
                cursor.execute("DELETE FROM documents WHERE doc_no IN (SELECT doc_no FROM gone)").fetchall()
            named = tuple(str(row["doc_id"]) for row in altered)
            lose("documents", len(altered), (0, 0), named, "they differ from what was stored")


def _drop_repeated(cursor: DuckDBPyConnection, lose: Lose) -> None:
    gone = cursor.execute(
        "DELETE FROM documents WHERE doc_no NOT IN (SELECT max(doc_no) FROM documents GROUP BY collection_id, "
        "doc_id) RETURNING doc_id"
    ).fetchall()
    if gone:
        lose("documents", len(gone), (0, 0), tuple(str(row[0]) for row in gone), "stored twice under one id")


def _name_collections(cursor: DuckDBPyConnection, say: Say) -> None:
    """Documents whose collection is lost get a collection again, with a name that says so."""
    orphans = cursor.execute(
        "SELECT collection_id FROM documents ANTI JOIN collections USING (collection_id) GROUP BY collection_id "
        "ORDER BY collection_id"
    ).fetchall()
    taken = {row[0] for row in cursor.execute("SELECT name FROM collections").fetchall()}
    number = 0
    for (collection_id,) in orphans:
        while (name := f"recovered {(number := number + 1)}") in taken:
            pass
        cursor.execute(
            "INSERT INTO collections (collection_id, name, description, created_at, revision, settings) VALUES "
            "(?, ?, '', now()::TIMESTAMP, 1, '{}')",
            [collection_id, name],
        ).fetchall()
        say(f"the name of a collection was lost; its documents are in {name!r}")


def _drop_unsound_passages(cursor: DuckDBPyConnection, say: Say, lost: bool) -> None:
    """Those of no document or beyond its text, and all those of a document that lacks some. Ordinals count from 0
    without a gap; `lost` is whether the last ones may be missing too, which shows in text behind the last passage."""
    gone = cursor.execute(
        "DELETE FROM passages WHERE passage_no NOT IN (SELECT passage_no FROM passages p JOIN documents d USING "
        "(doc_no, collection_id) WHERE 0 <= start_char AND start_char <= end_char AND end_char <= length(text))"
    ).fetchall()[0][0]
    if gone:
        say(f"{gone:,} passage(s) of documents that are not there, or beyond their text, were left out")
    cursor.execute(
        "DELETE FROM passages WHERE doc_no IN (SELECT doc_no FROM passages GROUP BY doc_no "
        "HAVING min(ordinal) <> 0 OR max(ordinal) + 1 <> count(*) OR count(DISTINCT ordinal) <> count(*))"
    ).fetchall()
    if lost:
        cursor.execute(
            "DELETE FROM passages WHERE doc_no IN (SELECT doc_no FROM passages JOIN documents USING (doc_no) GROUP "
            "BY doc_no, text HAVING max(end_char) < length(regexp_replace(text, '\\s+$', '')))"
        ).fetchall()


def _cut_again(cursor: DuckDBPyConnection, say: Say) -> None:
    """Passages follow from documents: those that have none are cut again."""
    cut = 0
    while True:
        rows = arrow.read(
            cursor,
            "SELECT d.doc_no, d.collection_id, d.title, d.text FROM documents d ANTI JOIN passages USING (doc_no) "
            "ORDER BY doc_no LIMIT ?",
            [_BATCH],
        )
        if rows.is_empty():
            break
        cut += len(rows)
        for (collection_id,), part in rows.group_by("collection_id", maintain_order=True):
            _cut(cursor, str(collection_id), part)
    if cut:
        say(f"the passages of {cut:,} document(s) were lost and have been made anew")


def _cut(cursor: DuckDBPyConnection, collection_id: str, rows: pl.DataFrame) -> None:
    found = cursor.execute("SELECT settings FROM collections WHERE collection_id = ?", [collection_id]).fetchall()
    try:
        chunker = ingest.parse_chunker(json.loads(found[0][0]).get("chunker") or ingest.DEFAULT_CHUNKER)
    except (TriptychError, ValueError, AttributeError, IndexError):
        chunker = ingest.parse_chunker(ingest.DEFAULT_CHUNKER)
    first = cursor.execute("SELECT coalesce(max(passage_no), 0) + 1 FROM passages").fetchall()[0][0]
    ranges = documents.passage_ranges(chunker, rows)
    pieces = documents.passage_rows(ranges, rows["doc_no"].to_numpy(), int(first))
    with arrow.lent(cursor, pieces=pieces):
        cursor.execute(
            "INSERT INTO passages SELECT passage_no, doc_no, ?, ordinal, start_char, end_char FROM pieces",
            [collection_id],
        ).fetchall()


def _count(cursor: DuckDBPyConnection, say: Say) -> None:
    """One row of counters, none of them behind what they count."""
    rows = cursor.execute(
        "SELECT max(write_seq), max(next_doc_no), max(next_passage_no), count(*) FROM counters"
    ).fetchall()[0]
    docs, passages = (
        int(cursor.execute(f"SELECT coalesce(max({key}), 0) + 1 FROM {table}").fetchall()[0][0])  # noqa: S608
        for table, key in (("documents", "doc_no"), ("passages", "passage_no"))
    )
    if rows[3] != 1 or rows[1] < docs or rows[2] < passages:
        cursor.execute("DELETE FROM counters").fetchall()
        counted = [max(int(rows[0] or 0), 0), max(int(rows[1] or 1), docs), max(int(rows[2] or 1), passages)]
        cursor.execute("INSERT INTO counters VALUES (?, ?, ?)", counted).fetchall()
        say("the counters of documents and passages were set anew")
