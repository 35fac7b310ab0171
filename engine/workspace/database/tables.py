"""The tables of a workspace as its database tells them: what a copy of everything has to copy, without a second list of
names."""

# ruff: noqa: S608 - only quoted names of tables and columns are spliced into SQL

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from engine.workspace.database import arrow

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

OF_INDEXES = ("generations", "builds")
"""Tables that speak of index folders. Indexes are built again from the documents, so a copy leaves these out."""
OF_THE_SCHEMA = ("schema_version",)
"""Written by the migrations of the new database itself."""

Ask = Callable[[str, Sequence[Any]], "Sequence[Sequence[Any]]"]
"""Answers a query with a few rows."""


def quoted(name: str) -> str:
    """A name as it may stand in SQL."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its columns, as (name, SQL type), and the column of its primary key, if it has one."""

    name: str
    columns: tuple[tuple[str, str], ...]
    key: str = ""

    @property
    def copied(self) -> bool:
        """Whether a copy of the workspace holds its rows."""
        return self.name not in OF_INDEXES and self.name not in OF_THE_SCHEMA

    def has(self, column: str) -> bool:
        """Whether there is a column of this name."""
        return any(column == name for name, _ in self.columns)

    def range_sql(self, first: int, end: int, columns: Sequence[str] = ()) -> str:
        """A query of the rows whose place in the table is in [first, end)."""
        names = ", ".join(map(quoted, columns)) if columns else "*"
        return f"SELECT {names} FROM {quoted(self.name)} WHERE rowid >= {int(first)} AND rowid < {int(end)}"

    def end_sql(self) -> str:
        """A query of the place behind the last row."""
        return f"SELECT coalesce(max(rowid) + 1, 0) FROM {quoted(self.name)}"

    def digest_sql(self, where: str = "TRUE") -> str:
        """A query that reads every value and answers with the number of rows and a hash of all of them, whatever their
        order."""
        return f"SELECT count(*), coalesce(bit_xor(hash(t)), 0)::VARCHAR FROM {quoted(self.name)} t WHERE {where}"

    def insert(self, cursor: DuckDBPyConnection, frame: pl.DataFrame) -> None:
        """Add rows; columns that this table has not are left out, and those that the frame has not take their default.
        Raises duckdb.Error."""
        shared = [(name, kind) for name, kind in self.columns if name in frame.columns]
        names = ", ".join(quoted(name) for name, _ in shared)
        values = ", ".join(f"CAST({quoted(name)} AS {kind})" for name, kind in shared)
        with arrow.lent(cursor, incoming=frame):
            cursor.execute(f"INSERT INTO {quoted(self.name)} ({names}) SELECT {values} FROM incoming").fetchall()


def tables(ask: Ask) -> list[Table]:
    """All tables by name."""
    columns: dict[str, list[tuple[str, str]]] = {}
    for name, column, kind in ask(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal AND schema_name = 'main' "
        "ORDER BY table_name, column_index", ()
    ):  # fmt: skip
        columns.setdefault(str(name), []).append((str(column), str(kind)))
    keys = {
        str(name): str(key)
        for name, key in ask(
            "SELECT table_name, constraint_column_names[1] FROM duckdb_constraints() WHERE constraint_type = "
                "'PRIMARY KEY'", ()
        )
    }  # fmt: skip
    return [Table(name, tuple(found), keys.get(name, "")) for name, found in columns.items()]
