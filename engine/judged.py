"""Query sets and relevance judgments of a collection."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from engine import arrow
from engine.types import Judgment, Query

if TYPE_CHECKING:
    from engine.database import Database

IMPORTED = "imported"


class QuerySets:
    """The part of the document store that keeps queries and judgments. A query id, or (query, document, assessor), is kept once: the last one."""

    _db: Database

    def add_queries(self, collection_id: str, queries: Sequence[Query]) -> int:
        """Add or replace queries; returns how many."""
        rows = pl.DataFrame(
            [(query.qid, query.text, json.dumps(query.metadata, sort_keys=True)) for query in queries],
            schema={"qid": pl.String, "text": pl.String, "metadata": pl.String},
            orient="row",
        ).unique("qid", keep="last", maintain_order=True)
        if len(rows):
            with self._db.write(f"adding {len(rows)} queries") as cursor, arrow.lent(cursor, batch=rows):
                cursor.execute(
                    "DELETE FROM queries WHERE collection_id = ? AND qid IN (SELECT qid FROM batch)", [collection_id]
                ).fetchall()
                cursor.execute(
                    "INSERT INTO queries SELECT ?, qid, text, metadata::JSON FROM batch", [collection_id]
                ).fetchall()
        return len(rows)

    def queries(self, collection_id: str) -> pl.DataFrame:
        """qid, text, metadata (JSON text), in the order added."""
        return self._db.query(
            "SELECT qid, text, metadata FROM queries WHERE collection_id = ? ORDER BY rowid", [collection_id]
        )

    def add_judgments(self, collection_id: str, judgments: Sequence[Judgment], assessor: str = IMPORTED) -> int:
        """Add or replace this assessor's judgments; returns how many."""
        rows = pl.DataFrame(
            [(judgment.qid, judgment.doc_id, judgment.rating) for judgment in judgments],
            schema={"qid": pl.String, "doc_id": pl.String, "rating": pl.Int32},
            orient="row",
        ).unique(["qid", "doc_id"], keep="last", maintain_order=True)
        if len(rows):
            with self._db.write(f"adding {len(rows)} judgments") as cursor, arrow.lent(cursor, batch=rows):
                cursor.execute(
                    "DELETE FROM judgments j USING batch b WHERE j.collection_id = ? AND j.assessor = ? AND j.qid = b.qid AND j.doc_id = b.doc_id",
                    [collection_id, assessor],
                ).fetchall()
                cursor.execute(
                    "INSERT INTO judgments SELECT ?, qid, doc_id, rating, ?, now()::TIMESTAMP FROM batch",
                    [collection_id, assessor],
                ).fetchall()
        return len(rows)

    def remove_judgment(self, collection_id: str, qid: str, doc_id: str, assessor: str) -> bool:
        """Take one judgment back; false when there was none."""
        where = "collection_id = ? AND qid = ? AND doc_id = ? AND assessor = ?"
        return bool(
            self._db.execute(
                "removing a judgment", f"DELETE FROM judgments WHERE {where}", [collection_id, qid, doc_id, assessor]
            )
        )

    def judgments(self, collection_id: str) -> pl.DataFrame:
        """qid, doc_id, rating, assessor, judged_at, in the order judged."""
        return self._db.query(
            "SELECT qid, doc_id, rating, assessor, judged_at FROM judgments WHERE collection_id = ? ORDER BY judged_at, rowid",
            [collection_id],
        )
