"""Calibrations in the workspace: what was asked, what it was made from, and what came of it."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from engine.errors import NotFound

if TYPE_CHECKING:
    from engine.workspace.database.database import Database

_COLUMNS = (
    "calibration_id, collection_id, query_set, spec, content_hash, judgments_hash, fingerprints, result, created_at"
)


@dataclass(frozen=True, slots=True)
class StoredCalibration:
    """One calibration. `result` is what `engine.evaluation.calibration.told` makes; where a hash or fingerprint differs
    from the present one it is stale."""

    calibration_id: str
    collection_id: str
    query_set: str
    spec: dict[str, Any]
    content_hash: str
    judgments_hash: str
    fingerprints: dict[str, str]
    result: dict[str, Any]
    created_at: datetime


class Calibrations:
    """The calibrations of a workspace; each is written once, when it is finished."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(
        self,
        collection_id: str,
        query_set: str,
        spec: Mapping[str, Any],
        result: Mapping[str, Any],
        *,
        content_hash: str,
        judgments_hash: str,
        fingerprints: Mapping[str, str],
    ) -> StoredCalibration:
        """Store a calibration."""
        new = uuid.uuid4().hex
        as_json = [json.dumps(part, allow_nan=False) for part in (spec, dict(fingerprints), result)]
        self._db.execute(
            "keeping a calibration",
            f"INSERT INTO calibrations ({_COLUMNS}) "
            "VALUES (?, ?, ?, ?::JSON, ?, ?, ?::JSON, ?::JSON, now()::TIMESTAMP)",
            [new, collection_id, query_set, as_json[0], content_hash, judgments_hash, *as_json[1:]],
        )
        return self.get(new)

    def get(self, calibration_id: str) -> StoredCalibration:
        """Raises NotFound."""
        rows = self._db.rows(f"SELECT {_COLUMNS} FROM calibrations WHERE calibration_id = ?", [calibration_id])
        if not rows:
            raise NotFound(f"There is no calibration {calibration_id!r}.")
        return _view(rows[0])

    def list(self, collection_id: str) -> list[StoredCalibration]:
        """Newest first."""
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM calibrations WHERE collection_id = ? ORDER BY created_at DESC, rowid DESC",
            [collection_id],
        )
        return [_view(row) for row in rows]

    def delete_of(self, collection_id: str) -> None:
        """Forget all of a collection's."""
        self._db.execute("deleting calibrations", "DELETE FROM calibrations WHERE collection_id = ?", [collection_id])

    def delete(self, calibration_id: str) -> None:
        """Forget a calibration; pipelines that were saved with its maps keep them. Raises NotFound."""
        self.get(calibration_id)
        self._db.execute(
            "deleting a calibration", "DELETE FROM calibrations WHERE calibration_id = ?", [calibration_id]
        )


def _view(row: tuple[Any, ...]) -> StoredCalibration:
    spec, fingerprints, result = (json.loads(row[place]) for place in (3, 6, 7))
    return StoredCalibration(row[0], row[1], row[2], spec, row[4], row[5], fingerprints, result, row[8])
