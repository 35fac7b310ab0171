"""Runs of other systems: what a TREC run file held, kept under a name beside a collection's own pipelines."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from engine.errors import NotFound
from engine.files.runs import RUN
from engine.workspace.database import arrow

if TYPE_CHECKING:
    from engine.workspace.database.database import Database

_COLUMNS = "run_id, name, tag, source, digest, imported_at"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One run. `digest` is the hash of its hits, `tag` what the file called it, `source` the file's name."""

    run_id: str
    name: str
    tag: str
    source: str
    digest: str
    imported_at: datetime


class Runs:
    """The imported runs of a workspace. Evaluations keep their own copy of what they judged, so a run may be replaced
    or deleted."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, collection_id: str, name: str, hits: pl.DataFrame, *, tag: str = "", source: str = "") -> StoredRun:
        """Keep hits (engine.run_files.RUN) under a name, in place of another run of that name; the same hits again
        change nothing."""
        digest = run_digest(hits)
        known = {run.name: run for run in self.list(collection_id)}.get(name)
        if known is not None and known.digest == digest:
            return known
        new, columns = uuid.uuid4().hex, ", ".join(RUN)
        with self._db.write(f"keeping the run {name!r}") as cursor, arrow.lent(cursor, hits=hits.select(*RUN)):
            if known is not None:
                self._drop(known.run_id)
            cursor.execute(
                f"INSERT INTO runs (collection_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, now()::TIMESTAMP)",
                [collection_id, new, name, tag, source, digest],
            ).fetchall()
            cursor.execute(f"INSERT INTO run_hits (run_id, {columns}) SELECT ?, {columns} FROM hits", [new]).fetchall()
        return self.get(collection_id, name)

    def list(self, collection_id: str) -> tuple[StoredRun, ...]:
        """By name."""
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM runs WHERE collection_id = ? ORDER BY lower(name), name", [collection_id]
        )
        return tuple(StoredRun(*row) for row in rows)

    def get(self, collection_id: str, name: str) -> StoredRun:
        """Raises NotFound that lists the known ones."""
        known = {run.name: run for run in self.list(collection_id)}
        if name not in known:
            raise NotFound(
                f"There is no run {name!r}. Known: {', '.join(known) or 'none yet'}. Import one with "
                "`triptych runs import`."
            )
        return known[name]

    def hits(self, run_id: str) -> pl.DataFrame:
        """engine.files.runs.RUN, in the order of the file. Raises NotFound when the run was replaced or deleted."""
        if not self._db.rows("SELECT 1 FROM runs WHERE run_id = ?", [run_id]):
            raise NotFound("The run was replaced or deleted meanwhile; ask again with the one that is there now.")
        columns = ", ".join(RUN)
        return self._db.query(f"SELECT {columns} FROM run_hits WHERE run_id = ? ORDER BY rowid", [run_id]).cast(RUN)

    def counts(self, run_id: str) -> tuple[int, int]:
        """(queries, hits)."""
        rows = self._db.rows("SELECT count(DISTINCT qid), count(*) FROM run_hits WHERE run_id = ?", [run_id])
        return int(rows[0][0]), int(rows[0][1])

    def delete(self, collection_id: str, name: str) -> None:
        """Raises NotFound."""
        run = self.get(collection_id, name)
        with self._db.write(f"deleting the run {name!r}"):
            self._drop(run.run_id)

    def delete_of(self, collection_id: str) -> None:
        """Delete all runs of a collection."""
        with self._db.write("deleting the runs of a collection"):
            for run in self.list(collection_id):
                self._drop(run.run_id)

    def _drop(self, run_id: str) -> None:
        for table in ("run_hits", "runs"):
            self._db.execute("dropping a run", f"DELETE FROM {table} WHERE run_id = ?", [run_id])


def run_digest(hits: pl.DataFrame) -> str:
    """sha256 (hex) of hits, whatever their order."""
    rows = hits.select(*RUN).sort("qid", "doc_id")
    hashed = hashlib.sha256()
    for column in ("qid", "doc_id"):
        hashed.update("\n".join(rows[column]).encode("utf-8", "surrogatepass") + b"\0")
    hashed.update(rows["score"].to_numpy().astype("<f8").tobytes())
    return hashed.hexdigest()
