"""Facets: how often each value of a field occurs among some documents. Values are read once a revision and counted in
memory."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from engine.types import Ints, Snapshot
from engine.workspace.browsing import field_values

if TYPE_CHECKING:
    from engine.workspace.database.database import Database

COUNTS = pl.Schema({"field": pl.String, "value": pl.String, "count": pl.Int64})
_guard = threading.Lock()


class Facets:
    """The part of the document store that counts values."""

    _db: Database
    _values: dict[str, tuple[int, dict[str, pl.Series]]]

    @abstractmethod
    def snapshot(self, collection_id: str) -> Snapshot:
        """The live rows."""

    def facets(
        self, collection_id: str, fields: Sequence[str], doc_nos: Ints | None = None, limit: int = 50
    ) -> pl.DataFrame:
        """field, value, count: the most frequent values of each field among some documents (None: all); count
        descending, then value.

        Numbers that are not live count nothing. Raises BadInput for a field that does not exist.
        """
        snapshot = self.snapshot(collection_id)
        positions = None
        if doc_nos is not None:
            wanted = np.asarray(doc_nos, dtype=np.int64)
            positions = np.searchsorted(snapshot.doc_nos, wanted[np.isin(wanted, snapshot.doc_nos)])
        parts = [_count(field, self._field(snapshot, field), positions, limit) for field in fields]
        return pl.concat(parts) if parts else pl.DataFrame(schema=COUNTS)

    def _field(self, snapshot: Snapshot, field: str) -> pl.Series:
        """The distinct values of every document in the order of the snapshot, as lists of strings."""
        with _guard:
            revision, known = self._values.get(snapshot.collection_id, (-1, {}))
            if revision != snapshot.revision:
                known = {}
                self._values[snapshot.collection_id] = (snapshot.revision, known)
        if field not in known:
            sql, params = field_values(field)
            read = self._db.query(
                f"SELECT doc_no, list_distinct({sql}) AS v FROM documents WHERE collection_id = ?",  # noqa: S608 - from a whitelist
                [*params, snapshot.collection_id],
            )
            # Joined, because a write may have come between the snapshot and this reading.
            live = pl.DataFrame({"doc_no": snapshot.doc_nos})
            known[field] = live.join(read, on="doc_no", how="left", maintain_order="left")["v"]
        return known[field]


def _count(field: str, values: pl.Series, positions: Ints | None, limit: int) -> pl.DataFrame:
    chosen = values if positions is None else values.gather(positions)
    each = chosen.explode().drop_nulls().rename("value")
    counts = each.filter(each != "").value_counts(name="count")
    ordered = counts.sort("count", "value", descending=[True, False]).head(limit)
    return ordered.select(pl.lit(field).alias("field"), "value", pl.col("count").cast(pl.Int64))
