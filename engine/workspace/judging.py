"""Judging by hand: every act of an assessor is kept with what was on the screen, and can be taken back; queues of
documents to be judged."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from engine.errors import BadInput, NotFound
from engine.statistics.assessors import RULES
from engine.types import ITEMS
from engine.workspace.database import arrow

if TYPE_CHECKING:
    from engine.workspace.database.database import Database

_IN_SET = "collection_id = ? AND query_set = ?"
_PAIR = f"{_IN_SET} AND qid = ? AND doc_id = ? AND assessor = ?"
_QUEUE = "queue_id, collection_id, query_set, evaluation_id, job_id, spec, created_at, ready_at"
_DONE = """EXISTS (SELECT 1 FROM judgments j WHERE j.collection_id = q.collection_id AND j.query_set = q.query_set
    AND j.qid = i.qid AND j.doc_id = i.doc_id AND j.assessor = ?)"""
_SKIPPED = """EXISTS (SELECT 1 FROM judging_events e WHERE e.collection_id = q.collection_id AND e.query_set = q.query_set
    AND e.qid = i.qid AND e.doc_id = i.doc_id AND e.assessor = ? AND e.action = 'skip' AND e.undone_at IS NULL)"""
_ITEMS = "judging_items i JOIN judging_queues q USING (queue_id)"


@dataclass(frozen=True, slots=True)
class Pair:
    """A document for a query of a set, before one assessor."""

    collection_id: str
    query_set: str
    qid: str
    doc_id: str
    assessor: str

    @property
    def key(self) -> list[str]:
        """As the parameters of _PAIR."""
        return [self.collection_id, self.query_set, self.qid, self.doc_id, self.assessor]


@dataclass(frozen=True, slots=True)
class Undone:
    """An act that was taken back, and the judgment that stands now; None where there is none."""

    action: str
    qid: str
    doc_id: str
    rating: int | None
    shown: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Queue:
    """Documents to be judged. `spec` says how it was made; `ready_at` is None while the pool is still being run."""

    queue_id: str
    collection_id: str
    query_set: str
    evaluation_id: str
    job_id: str
    spec: dict[str, Any]
    created_at: datetime
    ready_at: datetime | None


@dataclass(frozen=True, slots=True)
class QueueItem:
    """One document of a queue. `found`: the rank at which each pipeline found it; `effect`: what it could do to the
    verdict."""

    position: int
    qid: str
    doc_id: str
    found: dict[str, int]
    effect: float | None


class Judging:
    """The judgments that are made here, act by act, and the queues that they come from."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # acts

    def judge(
        self, pair: Pair, rating: int, *, note: str | None = None, shown: Mapping[str, Any] | None = None
    ) -> None:
        """Give a rating, in place of this assessor's earlier one. Without a `note`, the one that was given before
        stays."""
        with self._db.write("a judgment"):
            before = self._standing(pair)
            kept = note if note is not None else before["note"] if before else self._noted(pair)
            self._tell(pair, "judge", rating, kept, shown or {}, before)
            self._put(pair, {"rating": rating, "note": kept, "shown": dict(shown or {}), "judged_at": None})

    def remove(self, pair: Pair, *, shown: Mapping[str, Any] | None = None) -> bool:
        """Take this assessor's judgment back; false when there was none."""
        with self._db.write("removing a judgment"):
            before = self._standing(pair)
            if before is None:
                return False
            self._tell(pair, "remove", None, "", shown or {}, before)
            self._put(pair, None)
        return True

    def skip(self, pair: Pair, *, shown: Mapping[str, Any] | None = None) -> None:
        """Leave a document unjudged; queues do not offer it to this assessor again."""
        self._tell(pair, "skip", None, "", shown or {}, None)

    def note(self, pair: Pair, note: str, *, shown: Mapping[str, Any] | None = None) -> None:
        """Write something about a document; kept with the judgment that is there, or comes."""
        with self._db.write("a note"):
            before = self._standing(pair)
            self._tell(pair, "note", None, note, shown or {}, before)
            if before is not None:
                self._put(pair, before | {"note": note})

    def undo(self, collection_id: str, query_set: str, assessor: str) -> Undone | None:
        """Take this assessor's last act in a set back, and restore what it replaced; None when there is none left."""
        with self._db.write("undoing a judgment") as cursor:
            found = self._db.rows(
                f"SELECT event_no, action, qid, doc_id, shown, before FROM judging_events WHERE {_IN_SET} AND "
                "assessor = ? AND undone_at IS NULL ORDER BY event_no DESC LIMIT 1",
                [collection_id, query_set, assessor],
            )
            if not found:
                return None
            number, action, qid, doc_id, shown, before = found[0]
            cursor.execute(
                "UPDATE judging_events SET undone_at = now()::TIMESTAMP WHERE event_no = ?", [number]
            ).fetchall()
            pair = Pair(collection_id, query_set, qid, doc_id, assessor)
            if action != "skip":
                self._put(pair, json.loads(before) if before else None)
            standing = self._standing(pair)
        return Undone(action, qid, doc_id, standing["rating"] if standing else None, json.loads(shown))

    def events(self, collection_id: str, query_set: str) -> pl.DataFrame:
        """event_no, qid, doc_id, assessor, action, rating, note, shown (JSON text), acted_at, undone_at, in order."""
        return self._db.query(
            "SELECT event_no, qid, doc_id, assessor, action, rating, note, shown, acted_at, undone_at FROM "
            f"judging_events WHERE {_IN_SET} ORDER BY event_no",
            [collection_id, query_set],
        )

    def _standing(self, pair: Pair) -> dict[str, Any] | None:
        """The judgment as it is: rating, note, shown, judged_at."""
        rows = self._db.rows(f"SELECT rating, note, shown, judged_at::VARCHAR FROM judgments WHERE {_PAIR}", pair.key)
        if not rows:
            return None
        rating, note, shown, judged_at = rows[0]
        return {"rating": rating, "note": note, "shown": json.loads(shown), "judged_at": judged_at}

    def _noted(self, pair: Pair) -> str:
        """What this assessor wrote about the document before judging it."""
        rows = self._db.rows(
            f"SELECT note FROM judging_events WHERE {_PAIR} AND action = 'note' AND undone_at IS NULL ORDER BY "
            "event_no DESC LIMIT 1",
            pair.key,
        )
        return str(rows[0][0]) if rows else ""

    def _put(self, pair: Pair, judgment: Mapping[str, Any] | None) -> None:
        self._db.execute("a judgment", f"DELETE FROM judgments WHERE {_PAIR}", pair.key)
        if judgment is not None:
            self._db.execute(
                "a judgment",
                "INSERT INTO judgments (collection_id, query_set, qid, doc_id, assessor, rating, note, shown, "
                "judged_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?::JSON, coalesce(?::TIMESTAMP, now()::TIMESTAMP))",
                [*pair.key, judgment["rating"], judgment["note"], json.dumps(judgment["shown"]), judgment["judged_at"]],
            )

    def _tell(
        self,
        pair: Pair,
        action: str,
        rating: int | None,
        note: str,
        shown: Mapping[str, Any],
        before: Mapping[str, Any] | None,
    ) -> None:
        self._db.execute(
            "a judgment",
            "INSERT INTO judging_events SELECT coalesce(max(event_no), 0) + 1, ?, ?, ?, ?, ?, ?, ?, ?, ?::JSON, "
            "?::JSON, now()::TIMESTAMP, NULL FROM judging_events",
            [*pair.key, action, rating, note, json.dumps(dict(shown)), json.dumps(dict(before)) if before else None],
        )

    # which judgment counts

    def rule(self, collection_id: str, query_set: str, rule: str) -> None:
        """Choose which judgment of a pair counts in a set. Raises BadInput on an unknown rule."""
        if rule not in RULES:
            raise BadInput(f"There is no rule {rule!r} for judgments that differ. Known: {', '.join(RULES)}.")
        with self._db.write("the rule of a query set") as cursor:
            cursor.execute(f"DELETE FROM judgment_rules WHERE {_IN_SET}", [collection_id, query_set]).fetchall()
            cursor.execute("INSERT INTO judgment_rules VALUES (?, ?, ?)", [collection_id, query_set, rule]).fetchall()

    # queues

    def begin(self, queue_id: str, collection_id: str, query_set: str, spec: Mapping[str, Any]) -> None:
        """A queue whose pool is yet to be run."""
        self._db.execute(
            "a judging queue",
            f"INSERT INTO judging_queues ({_QUEUE}) VALUES (?, ?, ?, '', '', ?::JSON, now()::TIMESTAMP, NULL)",
            [queue_id, collection_id, query_set, json.dumps(dict(spec))],
        )

    def started(self, queue_id: str, job_id: str) -> None:
        """Remember which job runs the pool of a queue."""
        self._db.execute(
            "a judging queue", "UPDATE judging_queues SET job_id = ? WHERE queue_id = ?", [job_id, queue_id]
        )

    def fill(self, queue_id: str, evaluation_id: str, items: pl.DataFrame) -> None:
        """Put the documents (engine.queues.ITEMS) into a queue, in place of what it holds; it is ready then."""
        columns = ", ".join(ITEMS)
        with self._db.write(f"a judging queue of {len(items)} documents") as cursor, arrow.lent(cursor, batch=items):
            cursor.execute("DELETE FROM judging_items WHERE queue_id = ?", [queue_id]).fetchall()
            cursor.execute(
                f"INSERT INTO judging_items (queue_id, {columns}) SELECT ?, {columns} FROM batch", [queue_id]
            ).fetchall()
            cursor.execute(
                "UPDATE judging_queues SET ready_at = now()::TIMESTAMP, evaluation_id = ? WHERE queue_id = ?",
                [evaluation_id, queue_id],
            ).fetchall()

    def queue(self, queue_id: str) -> Queue:
        """Raises NotFound."""
        rows = self._db.rows(f"SELECT {_QUEUE} FROM judging_queues WHERE queue_id = ?", [queue_id])
        if not rows:
            raise NotFound(f"There is no judging queue {queue_id!r}.")
        return _queue(rows[0])

    def queues(self, collection_id: str) -> tuple[Queue, ...]:
        """Newest first."""
        rows = self._db.rows(
            f"SELECT {_QUEUE} FROM judging_queues WHERE collection_id = ? ORDER BY created_at DESC, rowid DESC",
            [collection_id],
        )
        return tuple(_queue(row) for row in rows)

    def counts(self, queue_id: str, assessor: str) -> tuple[int, int, int]:
        """(documents, judged by this assessor, skipped by them and not judged)."""
        rows = self._db.rows(
            f"SELECT count(*), count(*) FILTER ({_DONE}), count(*) FILTER ({_SKIPPED} AND NOT {_DONE}) FROM "
            f"{_ITEMS} WHERE i.queue_id = ?",
            [assessor, assessor, assessor, queue_id],
        )
        return int(rows[0][0]), int(rows[0][1]), int(rows[0][2])

    def next(self, queue_id: str, assessor: str, *, after: int = -1, skipped: bool = False) -> QueueItem | None:
        """The first document beyond a position that this assessor neither judged nor skipped; with `skipped`, the first
        skipped one."""
        wanted = _SKIPPED if skipped else f"NOT {_SKIPPED}"
        rows = self._db.rows(
            f"SELECT i.position, i.qid, i.doc_id, i.found, i.effect FROM {_ITEMS} WHERE i.queue_id = ? AND "
            f"i.position > ? AND NOT {_DONE} AND {wanted} ORDER BY i.position LIMIT 1",
            [queue_id, after, assessor, assessor],
        )
        return _item(rows[0]) if rows else None

    def item(self, queue_id: str, position: int) -> QueueItem:
        """Raises NotFound."""
        rows = self._db.rows(
            "SELECT position, qid, doc_id, found, effect FROM judging_items WHERE queue_id = ? AND position = ?",
            [queue_id, position],
        )
        if not rows:
            raise NotFound(f"The judging queue has no document {position}.")
        return _item(rows[0])

    def delete_queue(self, queue_id: str) -> None:
        """Forget a queue; the judgments stay."""
        with self._db.write("deleting a judging queue") as cursor:
            for table in ("judging_items", "judging_queues"):
                cursor.execute(f"DELETE FROM {table} WHERE queue_id = ?", [queue_id]).fetchall()

    def delete_of(self, collection_id: str) -> None:
        """Forget every queue, act and rule of a collection."""
        with self._db.write("deleting the judging of a collection") as cursor:
            for queue in self.queues(collection_id):
                self.delete_queue(queue.queue_id)
            for table in ("judging_events", "judgment_rules"):
                cursor.execute(f"DELETE FROM {table} WHERE collection_id = ?", [collection_id]).fetchall()


def new_queue_id() -> str:
    """An id that no queue has."""
    return uuid.uuid4().hex


def _queue(row: tuple[Any, ...]) -> Queue:
    values = list(row)
    values[5] = json.loads(row[5])
    return Queue(*values)


def _item(row: tuple[Any, ...]) -> QueueItem:
    position, qid, doc_id, found, effect = row
    return QueueItem(position, qid, doc_id, json.loads(found), effect)
