"""Evaluations in the workspace: what was asked, the queries that are finished, what each pipeline found, and what it
was worth."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from engine.errors import NotFound
from engine.types import RUN_FAILURES, RUN_HITS, RUN_TIMES, VALUES, Ran
from engine.workspace.database import arrow

if TYPE_CHECKING:
    from engine.workspace.database.database import Database

_COLUMNS = (
    "evaluation_id, collection_id, query_set, key, spec, revision, content_hash, queries_hash, judgments_hash, "
    "fingerprints, created_at, finished_at"
)
_PARTS = ("evaluation_queries", "evaluation_hits", "evaluation_times", "evaluation_failures", "evaluation_values")


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """One evaluation. `key` is the hash of what decides the hits: an equal key means that finished queries need not run
    again.

    The hashes and fingerprints say what it was made from; where they differ from the present ones it is stale.
    """

    evaluation_id: str
    collection_id: str
    query_set: str
    key: str
    spec: dict[str, Any]
    revision: int
    content_hash: str
    queries_hash: str
    judgments_hash: str
    fingerprints: dict[str, str]
    created_at: datetime
    finished_at: datetime | None


class Evaluations:
    """The evaluations of a workspace. Every batch of queries is one transaction, so a stop loses at most the running
    batch."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def begin(
        self,
        collection_id: str,
        query_set: str,
        key: str,
        spec: Mapping[str, Any],
        *,
        revision: int,
        content_hash: str,
        queries_hash: str,
        fingerprints: Mapping[str, str],
        hits: pl.DataFrame | None = None,
    ) -> StoredEvaluation:
        """The newest evaluation of this key, finished or not, or a new one, which then holds `hits` (RUN_HITS): those
        of imported runs."""
        known = self._db.rows(
            "SELECT evaluation_id FROM evaluations WHERE collection_id = ? AND key = ? ORDER BY created_at DESC, "
            "rowid DESC LIMIT 1",
            [collection_id, key],
        )
        if known:
            return self.get(known[0][0])
        new = uuid.uuid4().hex
        copied = pl.DataFrame(schema=RUN_HITS) if hits is None else hits.select(*RUN_HITS)
        with self._db.write("beginning an evaluation") as cursor, arrow.lent(cursor, copied=copied):
            cursor.execute(
                f"INSERT INTO evaluations ({_COLUMNS}) VALUES (?, ?, ?, ?, ?::JSON, ?, ?, ?, '', ?::JSON, "
                "now()::TIMESTAMP, NULL)",
                [
                    new,
                    collection_id,
                    query_set,
                    key,
                    json.dumps(spec),
                    revision,
                    content_hash,
                    queries_hash,
                    json.dumps(dict(fingerprints)),
                ],
            ).fetchall()
            columns = ", ".join(RUN_HITS)
            cursor.execute(
                f"INSERT INTO evaluation_hits (evaluation_id, {columns}) SELECT ?, {columns} FROM copied", [new]
            ).fetchall()
        return self.get(new)

    def get(self, evaluation_id: str) -> StoredEvaluation:
        """Raises NotFound."""
        rows = self._db.rows(f"SELECT {_COLUMNS} FROM evaluations WHERE evaluation_id = ?", [evaluation_id])
        if not rows:
            raise NotFound(f"There is no evaluation {evaluation_id!r}.")
        return _view(rows[0])

    def list(self, collection_id: str) -> list[StoredEvaluation]:
        """Newest first."""
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM evaluations WHERE collection_id = ? ORDER BY created_at DESC, rowid DESC",
            [collection_id],
        )
        return [_view(row) for row in rows]

    def keep(self, evaluation_id: str, ran: Ran) -> None:
        """Store what came of some queries, and that they are finished."""
        queries = pl.DataFrame({"qid": list(ran.qids)}, schema={"qid": pl.String})
        with (
            self._db.write(f"keeping {len(ran.qids)} evaluated queries") as cursor,
            arrow.lent(cursor, queries=queries, hits=ran.hits, times=ran.times, failures=ran.failures),
        ):
            for table, columns, frame in (
                ("evaluation_queries", "qid", "queries"),
                ("evaluation_hits", ", ".join(RUN_HITS), "hits"),
                ("evaluation_times", ", ".join(RUN_TIMES), "times"),
                ("evaluation_failures", ", ".join(RUN_FAILURES), "failures"),
            ):
                cursor.execute(
                    f"INSERT INTO {table} (evaluation_id, {columns}) SELECT ?, {columns} FROM {frame}", [evaluation_id]
                ).fetchall()

    def forget(self, evaluation_id: str, qids: Sequence[str], keep: Sequence[str] = ()) -> None:
        """Take queries back, so that they run again; the hits of the imported runs `keep` stay."""
        with self._db.write(f"forgetting {len(qids)} evaluated queries") as cursor:
            for table in _PARTS:
                where, values = "evaluation_id = ? AND list_contains(?::VARCHAR[], qid)", [evaluation_id, list(qids)]
                if table == "evaluation_hits":
                    where, values = where + " AND NOT list_contains(?::VARCHAR[], pipeline)", [*values, list(keep)]
                cursor.execute(f"DELETE FROM {table} WHERE {where}", values).fetchall()

    def finish(self, evaluation_id: str, spec: Mapping[str, Any], judgments_hash: str, values: pl.DataFrame) -> None:
        """Store the values (VALUES) in place of earlier ones, and that the evaluation is whole."""
        columns = ", ".join(VALUES)
        with self._db.write("finishing an evaluation") as cursor, arrow.lent(cursor, measured=values):
            cursor.execute("DELETE FROM evaluation_values WHERE evaluation_id = ?", [evaluation_id]).fetchall()
            cursor.execute(
                f"INSERT INTO evaluation_values (evaluation_id, {columns}) SELECT ?, {columns} FROM measured",
                [evaluation_id],
            ).fetchall()
            cursor.execute(
                "UPDATE evaluations SET spec = ?::JSON, judgments_hash = ?, finished_at = now()::TIMESTAMP WHERE "
                "evaluation_id = ?",
                [json.dumps(spec), judgments_hash, evaluation_id],
            ).fetchall()

    def ran(self, evaluation_id: str, *, hits: bool = True) -> Ran:
        """Everything found so far; `hits` is the large part, and may be left out."""
        queries = self._db.rows(
            "SELECT qid FROM evaluation_queries WHERE evaluation_id = ? ORDER BY rowid", [evaluation_id]
        )
        return Ran(
            tuple(qid for (qid,) in queries),
            self._part("evaluation_hits", RUN_HITS, evaluation_id) if hits else pl.DataFrame(schema=RUN_HITS),
            self._part("evaluation_times", RUN_TIMES, evaluation_id),
            self._part("evaluation_failures", RUN_FAILURES, evaluation_id),
        )

    def done(self, evaluation_id: str) -> int:
        """How many queries have run."""
        rows = self._db.rows("SELECT count(*) FROM evaluation_queries WHERE evaluation_id = ?", [evaluation_id])
        return int(rows[0][0])

    def hits_of(self, evaluation_id: str, qid: str) -> pl.DataFrame:
        """RUN_HITS of one query."""
        rows = self._db.query(
            f"SELECT {', '.join(RUN_HITS)} FROM evaluation_hits WHERE evaluation_id = ? AND qid = ? ORDER BY rowid",
            [evaluation_id, qid],
        )
        return rows.cast(RUN_HITS)

    def values(self, evaluation_id: str, measure: str = "") -> pl.DataFrame:
        """VALUES, of one measure only where it is named; empty before the evaluation is finished."""
        if not measure:
            return self._part("evaluation_values", VALUES, evaluation_id)
        rows = self._db.query(
            f"SELECT {', '.join(VALUES)} FROM evaluation_values WHERE evaluation_id = ? AND measure = ? ORDER BY rowid",
            [evaluation_id, measure],
        )
        return rows.cast(VALUES)

    def _part(self, table: str, schema: pl.Schema, evaluation_id: str) -> pl.DataFrame:
        rows = self._db.query(
            f"SELECT {', '.join(schema)} FROM {table} WHERE evaluation_id = ? ORDER BY rowid", [evaluation_id]
        )
        return rows.cast(schema)

    def delete(self, evaluation_id: str) -> None:
        """Raises NotFound."""
        self.get(evaluation_id)
        with self._db.write("deleting an evaluation") as cursor:
            for table in (*_PARTS, "evaluations"):
                cursor.execute(f"DELETE FROM {table} WHERE evaluation_id = ?", [evaluation_id]).fetchall()

    def delete_of(self, collection_id: str) -> None:
        """Delete all evaluations of a collection."""
        with self._db.write("deleting the evaluations of a collection"):
            for stored in self.list(collection_id):
                self.delete(stored.evaluation_id)


def _view(row: tuple[Any, ...]) -> StoredEvaluation:
    values = list(row)
    values[4], values[9] = json.loads(row[4]), json.loads(row[9])
    return StoredEvaluation(*values)
