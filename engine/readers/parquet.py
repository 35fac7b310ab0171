"""Parquet, streamed in small batches and stopped where it would unfold to more than the limit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from engine.errors import BadInput
from engine.readers.base import ColumnGuess, Reader, ReaderOptions
from engine.readers.clean import one_line
from engine.readers.fields import RowMapper, guess_columns
from engine.types import Item, Rejected

_BATCH_ROWS = 1_000
_SAMPLE = 50
_WHOLE_BATCH_BYTES = 32_000_000


class Parquet(Reader, name="parquet"):
    """Apache Parquet tables; columns are matched to fields by name."""

    title = "Parquet"
    suffixes = (".parquet", ".pq")
    risky = True

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if path.is_dir():
            return 0.0
        return 1.0 if head.startswith(b"PAR1") else 0.3 if head and path.suffix.lower() in cls.suffixes else 0.0

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        limit = options.expansion_limit(path.stat().st_size)
        mapper: RowMapper | None = None
        seen = unfolded = 0
        try:
            for frame in pl.scan_parquet(path).collect_batches(chunk_size=_BATCH_ROWS, maintain_order=True):
                if mapper is None:
                    mapper = RowMapper(frame.columns, options.columns, _sample(frame))
                # Views share one long string between thousands of rows: lengths are free, Python objects are not.
                sizes = _row_bytes(frame)
                for position, row in _rows(frame, sizes):
                    place = f"{name} row {seen + position + 1}"
                    unfolded += sizes[position]
                    if unfolded > limit:
                        yield Rejected(
                            place, f"unfolds to more than {limit:,} bytes; this row and those after it were not read"
                        )
                        return
                    if row is None:
                        yield Rejected(
                            place,
                            f"has {sizes[position]:,} bytes of text; the limit is {options.max_text_chars:,} characters",
                        )
                    else:
                        yield mapper.record(row, place)
                seen += len(frame)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise BadInput(f"is not a readable Parquet file: {_reason(error)}") from None

    def columns(self, path: Path, options: ReaderOptions) -> tuple[list[ColumnGuess], list[str]]:
        try:
            frame = pl.scan_parquet(path).head(_SAMPLE).collect()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise BadInput(f"{path.name} is not a readable Parquet file: {_reason(error)}") from None
        return guess_columns(frame.columns, _sample(frame)), frame.columns


def _reason(error: Exception) -> str:
    # polars appends its query plan after a blank line.
    return one_line(str(error).split("\n\n")[0])[:300]


def _sample(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The first rows with their texts cut: the sample only tells which column is longest."""
    return frame.head(_SAMPLE).with_columns(pl.col(pl.String).str.slice(0, 1_000)).select(pl.col(pl.String)).to_dicts()


def _row_bytes(frame: pl.DataFrame) -> list[int]:
    """Bytes of text in every row, also inside lists; other values count eight each."""
    sizes = pl.Series([8 * frame.width]).new_from_index(0, len(frame)).cast(pl.Int64)
    for column in frame.get_columns():
        if column.dtype in (pl.Categorical, pl.Enum):
            column = column.cast(pl.String)
        if column.dtype == pl.String:
            sizes += column.str.len_bytes().fill_null(0).cast(pl.Int64)
        elif column.dtype == pl.Binary:
            sizes += column.bin.size().fill_null(0).cast(pl.Int64)
        elif column.dtype == pl.List(pl.String):
            sizes += column.list.eval(pl.element().str.len_bytes()).list.sum().fill_null(0).cast(pl.Int64)
        elif column.dtype.is_nested():
            sizes += column.estimated_size() // max(1, len(frame))
    return sizes.to_list()


def _rows(frame: pl.DataFrame, sizes: list[int]) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """(position, row); None for a row over the size of any document, which is then never made."""
    if sum(sizes) <= _WHOLE_BATCH_BYTES:
        yield from enumerate(frame.iter_rows(named=True, buffer_size=_BATCH_ROWS))
        return
    for position, size in enumerate(sizes):
        yield position, (frame.row(position, named=True) if size <= _WHOLE_BATCH_BYTES else None)
