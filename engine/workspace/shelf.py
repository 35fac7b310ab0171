"""The small things that a workspace keeps: saved pipelines, the shortlist and settings."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from engine.errors import BadInput, NotFound

if TYPE_CHECKING:
    from engine.workspace.database.database import Database


@dataclass(frozen=True, slots=True)
class SavedPipeline:
    """A pipeline under a name, as its YAML text."""

    name: str
    yaml: str
    created_at: datetime
    updated_at: datetime


class Shelf:
    """The part of a workspace that holds small named things."""

    _db: Database

    # pipelines

    def pipelines(self) -> list[SavedPipeline]:
        """All saved pipelines by name."""
        return [
            SavedPipeline(*row)
            for row in self._db.rows(
                "SELECT name, yaml, created_at, updated_at FROM pipelines ORDER BY lower(name), name"
            )
        ]

    def pipeline(self, name: str) -> SavedPipeline:
        """Raises NotFound that lists the saved ones."""
        saved = {pipeline.name: pipeline for pipeline in self.pipelines()}
        if name not in saved:
            raise NotFound(f"There is no saved pipeline {name!r}. Saved: {', '.join(saved) or 'none yet'}.")
        return saved[name]

    def save_pipeline(self, name: str, yaml: str, *, replace: bool = True) -> SavedPipeline:
        """Save or replace a pipeline. Raises BadInput on an unusable name, or a taken one without `replace`."""
        from engine.workspace.workspace import checked_name

        name = checked_name(name, "pipeline")
        with self._db.write(f"saving the pipeline {name!r}") as cursor:
            updated = cursor.execute(
                "UPDATE pipelines SET yaml = ?, updated_at = now()::TIMESTAMP WHERE name = ?", [yaml, name]
            ).fetchall()[0][0]
            if updated and not replace:
                raise BadInput(f"There is already a pipeline {name!r}. Choose another name, or replace it.")
            if not updated:
                cursor.execute(
                    "INSERT INTO pipelines VALUES (?, ?, now()::TIMESTAMP, now()::TIMESTAMP)", [name, yaml]
                ).fetchall()
        return self.pipeline(name)

    def delete_pipeline(self, name: str) -> None:
        """Raises NotFound."""
        self.pipeline(name)
        self._db.execute(f"deleting the pipeline {name!r}", "DELETE FROM pipelines WHERE name = ?", [name])

    # shortlist

    def shortlist(self, collection_id: str) -> pl.DataFrame:
        """doc_id, added_at, note, in the order added; documents deleted since are included."""
        return self._db.query(
            "SELECT doc_id, added_at, note FROM shortlist WHERE collection_id = ? ORDER BY added_at, rowid",
            [collection_id],
        )

    def add_to_shortlist(self, collection_id: str, doc_id: str, note: str = "") -> None:
        """Add a document, or replace its note."""
        with self._db.write("adding to the shortlist") as cursor:
            updated = cursor.execute(
                "UPDATE shortlist SET note = ? WHERE collection_id = ? AND doc_id = ?", [note, collection_id, doc_id]
            ).fetchall()[0][0]
            if not updated:
                cursor.execute(
                    "INSERT INTO shortlist VALUES (?, ?, now()::TIMESTAMP, ?)", [collection_id, doc_id, note]
                ).fetchall()

    def remove_from_shortlist(self, collection_id: str, doc_ids: Sequence[str]) -> int:
        """How many were on it."""
        where = "collection_id = ? AND list_contains(?::VARCHAR[], doc_id)"
        return self._db.execute(
            "removing from the shortlist", f"DELETE FROM shortlist WHERE {where}", [collection_id, list(doc_ids)]
        )

    # settings

    def setting(self, key: str, default: Any = None) -> Any:
        """A workspace-wide setting."""
        found = self._db.rows("SELECT value FROM settings WHERE key = ?", [key])
        return json.loads(found[0][0]) if found else default

    def set_setting(self, key: str, value: Any) -> None:
        """Store a JSON value; None removes it."""
        with self._db.write(f"the setting {key!r}") as cursor:
            cursor.execute("DELETE FROM settings WHERE key = ?", [key]).fetchall()
            if value is not None:
                cursor.execute("INSERT INTO settings VALUES (?, ?::JSON)", [key, json.dumps(value)]).fetchall()
