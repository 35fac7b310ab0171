"""Named query sets and relevance judgments of a collection."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from engine.statistics.assessors import DEFAULT_RULE, settle
from engine.types import Judgment, Query
from engine.workspace.database import arrow

if TYPE_CHECKING:
    from engine.workspace.database.database import Database

IMPORTED = "imported"
DEFAULT_SET = "default"
_IN_SET = "collection_id = ? AND query_set = ?"


class QuerySets:
    """The part of the document store that keeps queries and judgments by set. In a set, a query id is kept once, and a
    (query, document, assessor) too: the last one. Queries that came with documents are in the set `default`."""

    _db: Database

    def query_sets(self, collection_id: str) -> pl.DataFrame:
        """query_set, queries, judged_queries, judgments; by name, the default set first. Sets that hold nothing are not
        known."""
        return self._db.query(
            "WITH q AS (SELECT query_set, count(*) AS queries FROM queries WHERE collection_id = ? GROUP BY ALL), j "
            "AS (SELECT query_set, count(DISTINCT qid) AS judged_queries, count(*) AS judgments FROM judgments WHERE "
            "collection_id = ? GROUP BY ALL) SELECT query_set, coalesce(queries, 0) AS queries, "
            "coalesce(judged_queries, 0) AS judged_queries, coalesce(judgments, 0) AS judgments FROM q FULL JOIN j "
            "USING (query_set) ORDER BY query_set <> ?, query_set",
            [collection_id, collection_id, DEFAULT_SET],
        )

    def add_queries(self, collection_id: str, queries: Sequence[Query], query_set: str = DEFAULT_SET) -> int:
        """Add or replace queries of a set; returns how many."""
        rows = pl.DataFrame(
            [(query.qid, query.text, json.dumps(query.metadata, sort_keys=True)) for query in queries],
            schema={"qid": pl.String, "text": pl.String, "metadata": pl.String},
            orient="row",
        ).unique("qid", keep="last", maintain_order=True)
        if len(rows):
            key = [collection_id, query_set]
            with self._db.write(f"adding {len(rows)} queries") as cursor, arrow.lent(cursor, batch=rows):
                cursor.execute(
                    f"DELETE FROM queries WHERE {_IN_SET} AND qid IN (SELECT qid FROM batch)", key
                ).fetchall()
                cursor.execute(
                    "INSERT INTO queries (collection_id, query_set, qid, text, metadata) SELECT ?, ?, qid, text, "
                    "metadata::JSON FROM batch",
                    key,
                ).fetchall()
        return len(rows)

    def queries(self, collection_id: str, query_set: str = DEFAULT_SET) -> pl.DataFrame:
        """qid, text, metadata (JSON text) of a set, in the order added."""
        return self._db.query(
            f"SELECT qid, text, metadata FROM queries WHERE {_IN_SET} ORDER BY rowid", [collection_id, query_set]
        )

    def all_queries(self, collection_id: str) -> pl.DataFrame:
        """query_set, qid, text of every set, in the order added."""
        return self._db.query(
            "SELECT query_set, qid, text FROM queries WHERE collection_id = ? ORDER BY rowid", [collection_id]
        )

    def delete_query_set(self, collection_id: str, query_set: str) -> int:
        """Delete a set with its judgments; returns how many queries it had."""
        with self._db.write(f"deleting the query set {query_set!r}") as cursor:
            key = [collection_id, query_set]
            cursor.execute(
                f"DELETE FROM judging_items WHERE queue_id IN (SELECT queue_id FROM judging_queues WHERE {_IN_SET})",
                key,
            ).fetchall()
            for table in ("judgments", "judging_events", "judging_queues", "judgment_rules"):
                cursor.execute(f"DELETE FROM {table} WHERE {_IN_SET}", key).fetchall()
            return int(cursor.execute(f"DELETE FROM queries WHERE {_IN_SET}", key).fetchall()[0][0])

    def add_judgments(
        self, collection_id: str, judgments: Sequence[Judgment], assessor: str = IMPORTED, query_set: str = DEFAULT_SET
    ) -> int:
        """Add or replace this assessor's judgments in a set; returns how many."""
        rows = pl.DataFrame(
            [(j.qid, j.doc_id, j.rating, json.dumps({"from": j.place} if j.place else {})) for j in judgments],
            schema={"qid": pl.String, "doc_id": pl.String, "rating": pl.Int32, "shown": pl.String},
            orient="row",
        ).unique(["qid", "doc_id"], keep="last", maintain_order=True)
        if len(rows):
            key = [collection_id, query_set, assessor]
            with self._db.write(f"adding {len(rows)} judgments") as cursor, arrow.lent(cursor, batch=rows):
                cursor.execute(
                    f"DELETE FROM judgments j USING batch b WHERE {_IN_SET} AND j.assessor = ? AND j.qid = b.qid "
                    "AND j.doc_id = b.doc_id",
                    key,
                ).fetchall()
                cursor.execute(
                    "INSERT INTO judgments (collection_id, query_set, assessor, qid, doc_id, rating, judged_at, "
                    "note, shown) SELECT ?, ?, ?, qid, doc_id, rating, now()::TIMESTAMP, '', shown::JSON FROM batch",
                    key,
                ).fetchall()
        return len(rows)

    def remove_judgment(
        self, collection_id: str, qid: str, doc_id: str, assessor: str, query_set: str = DEFAULT_SET
    ) -> bool:
        """Take one judgment back; false when there was none."""
        return bool(
            self._db.execute(
                "removing a judgment",
                f"DELETE FROM judgments WHERE {_IN_SET} AND qid = ? AND doc_id = ? AND assessor = ?",
                [collection_id, query_set, qid, doc_id, assessor],
            )
        )

    def judgments(self, collection_id: str, query_set: str = DEFAULT_SET) -> pl.DataFrame:
        """qid, doc_id, rating, assessor, judged_at, note, shown (JSON text) of a set, in the order judged."""
        return self._db.query(
            f"SELECT qid, doc_id, rating, assessor, judged_at, note, shown FROM judgments WHERE {_IN_SET} ORDER "
            "BY judged_at, rowid",
            [collection_id, query_set],
        )

    def judgment_rule(self, collection_id: str, query_set: str = DEFAULT_SET) -> str:
        """Which judgment of a pair counts in a set (engine.assessors.RULES): the latest, unless another rule was
        chosen."""
        rows = self._db.rows(f"SELECT rule FROM judgment_rules WHERE {_IN_SET}", [collection_id, query_set])
        return str(rows[0][0]) if rows else DEFAULT_RULE

    def settled_judgments(self, collection_id: str, query_set: str = DEFAULT_SET) -> pl.DataFrame:
        """qid, doc_id, rating: of each pair the judgment that counts by the rule of the set; by query and document."""
        rows = self._db.query(
            f"SELECT qid, doc_id, rating FROM judgments WHERE {_IN_SET} ORDER BY judged_at, rowid",
            [collection_id, query_set],
        )
        return settle(rows, self.judgment_rule(collection_id, query_set))
