"""Tables between polars and DuckDB through the Arrow C stream, without pyarrow.

This module must not import duckdb at its top: polars remembers the types it has converted, and a type whose module
reaches duckdb would keep the extension alive past the end of the interpreter, which then reports leaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class _Outgoing:
    """A polars frame as DuckDB may scan it, any number of times."""

    __slots__ = ("_frame",)

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


class _Incoming:
    """A result stream as polars reads it, once."""

    __slots__ = ("_capsule",)

    def __init__(self, capsule: object) -> None:
        self._capsule = capsule

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._capsule


def read(cursor: DuckDBPyConnection, sql: str, params: Sequence[Any] = ()) -> pl.DataFrame:
    """Run one query and read its rows as a polars frame; JSON columns come as strings."""
    relation = cursor.sql(sql, params=list(params))
    return pl.DataFrame(_Incoming(relation.__arrow_c_stream__()))


@contextmanager
def lent(cursor: DuckDBPyConnection, **frames: pl.DataFrame) -> Iterator[None]:
    """Make polars frames readable as tables of these names on this cursor, for the length of a `with`."""
    for name, frame in frames.items():
        cursor.register(name, _Outgoing(frame))
    try:
        yield
    except BaseException:
        # In a transaction that an error has ended nothing can be taken back; the error is what counts.
        with suppress(Exception):
            _take_back(cursor, frames)
        raise
    _take_back(cursor, frames)


def _take_back(cursor: DuckDBPyConnection, names: Iterable[str]) -> None:
    for name in names:
        cursor.unregister(name)
