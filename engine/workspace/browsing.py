"""Looking through documents without a query: filters and sorted lists. Columns are whitelisted, values are
parameters."""

# ruff: noqa: S608 - only names that are written in this file are spliced into SQL; values are parameters

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from engine.errors import BadInput
from engine.types import Ints

if TYPE_CHECKING:
    from engine.workspace.database.database import Database

VIEW = "doc_id, title, text, authors, year, venue, url, source, metadata, doc_no"
COLUMNS = ("year", "venue", "source", "authors")
SORTS = {"added": "doc_no", "title": "lower(title)", "year": "year", "venue": "lower(venue)", "doc_id": "doc_id"}
_PREFIX = "metadata."


def _pointer(field: str) -> str:
    """The JSON pointer of a metadata key (RFC 6901)."""
    return "/" + field.removeprefix(_PREFIX).replace("~", "~0").replace("/", "~1")


def field_values(field: str) -> tuple[str, list[Any]]:
    """SQL for the list of values (VARCHAR[]) that a document has in a field, with its parameters. Raises BadInput on
    unknown fields."""
    if field == "authors":
        return "authors", []
    if field in COLUMNS:
        return f"[{field}::VARCHAR]", []
    if field.startswith(_PREFIX) and field != _PREFIX:
        pointer = _pointer(field)
        return (
            "CASE WHEN json_type(metadata, ?) = 'ARRAY' THEN from_json(json_extract(metadata, ?), "
            "'[\"VARCHAR\"]') ELSE [json_extract_string(metadata, ?)] END",
            [pointer, pointer, pointer],
        )
    raise BadInput(
        f"There is no field {field!r} to filter or count by. Fields: {', '.join(COLUMNS)}, and {_PREFIX}<key>."
    )


def _bounds(wanted: Any) -> tuple[Any, Any] | None:
    """(low, high) when a filter is a range: a pair, or a mapping with min and max; None marks an open end."""
    if isinstance(wanted, Mapping):
        if not set(wanted) <= {"min", "max"}:
            raise BadInput(f"A range filter has the keys min and max, not {', '.join(map(str, wanted))}.")
        return wanted.get("min"), wanted.get("max")
    if isinstance(wanted, tuple):
        if len(wanted) != 2:
            raise BadInput(f"A range filter is a pair (low, high), not {wanted!r}.")
        return wanted
    return None


def _condition(field: str, wanted: Any) -> tuple[str, list[Any]]:
    bounds = _bounds(wanted)
    values, params = field_values(field)
    if bounds is None:
        chosen = (
            [str(value) for value in wanted]
            if isinstance(wanted, Sequence) and not isinstance(wanted, str)
            else [str(wanted)]
        )
        return f"list_has_any({values}, ?::VARCHAR[])", [*params, chosen]
    number = "year" if field == "year" else f"TRY_CAST(({values})[1] AS DOUBLE)"
    clauses, bound_params = [], []
    for sign, bound in ((">=", bounds[0]), ("<=", bounds[1])):
        if bound is None:
            continue
        try:
            bound_params += ([] if field == "year" else params) + [float(bound)]
        except (TypeError, ValueError, OverflowError):
            raise BadInput(f"A range over {field} needs numbers, not {bound!r}.") from None
        clauses.append(f"{number} {sign} ?")
    return " AND ".join(clauses) or "TRUE", bound_params


class Browsing:
    """The part of the document store that filters and lists."""

    _db: Database

    def fields(self, collection_id: str, limit: int = 30) -> tuple[str, ...]:
        """The fields that documents of this collection have values in: columns first, then the most frequent metadata
        keys."""
        found = self._db.query(
            "SELECT key, count(*) AS n FROM (SELECT unnest(json_keys(metadata)) AS key FROM documents WHERE "
            "collection_id = ?) WHERE key <> '' GROUP BY key ORDER BY n DESC, key LIMIT ?",
            [collection_id, limit],
        )
        return (*COLUMNS, *(_PREFIX + key for key in found["key"]))

    def filter(self, collection_id: str, filters: Mapping[str, Any]) -> Ints:
        """Ascending doc_nos of the documents that pass all filters: field -> list of values (any of them), or (low,
        high), or {"min", "max"}."""
        conditions, params = ["collection_id = ?"], [collection_id]
        for field, wanted in filters.items():
            condition, more = _condition(field, wanted)
            conditions.append(f"({condition})")
            params += more
        found = self._db.query(f"SELECT doc_no FROM documents WHERE {' AND '.join(conditions)} ORDER BY doc_no", params)
        return found["doc_no"].to_numpy().astype(np.int64)

    def find(self, collection_id: str, text: str, limit: int = 20) -> pl.DataFrame:
        """doc_id, title of the documents whose id or title contains a text, whatever its case; exact ids first, then
        shorter titles."""
        return self._db.query(
            "SELECT doc_id, title FROM documents WHERE collection_id = ? AND (contains(lower(title), lower(?)) OR "
            "contains(lower(doc_id), lower(?))) ORDER BY doc_id <> ?, length(title), doc_id LIMIT ?",
            [collection_id, text, text, text, limit],
        )

    def list(
        self, collection_id: str, offset: int = 0, limit: int = 50, sort: str = "added", doc_nos: Ints | None = None
    ) -> pl.DataFrame:
        """A page of documents (the columns of `fetch`) in the order `sort`, one of added, title, year, venue, doc_id;
        `-year` is descending."""
        column = SORTS.get(sort.removeprefix("-"))
        if column is None:
            raise BadInput(
                f"Documents cannot be sorted by {sort!r}. Sorts: {', '.join(SORTS)}, each with - in front for "
                "descending."
            )
        if offset < 0 or limit < 0:
            raise BadInput("The offset and the limit of a page cannot be negative.")
        chosen = "" if doc_nos is None else "AND doc_no IN (SELECT doc_no FROM chosen)"
        frames = {} if doc_nos is None else {"chosen": pl.DataFrame({"doc_no": np.asarray(doc_nos, dtype=np.int64)})}
        direction = "DESC" if sort.startswith("-") else "ASC"
        return self._db.query(
            f"SELECT {VIEW} FROM documents WHERE collection_id = ? {chosen} ORDER BY {column} {direction} NULLS "
            "LAST, doc_no LIMIT ? OFFSET ?",
            [collection_id, limit, offset],
            **frames,
        )
