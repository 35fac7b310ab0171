"""Spreadsheets (XLSX, XLS, ODS): every sheet is a table whose first filled row holds the column names."""

from __future__ import annotations

import itertools
import re
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import BadInput
from engine.readers.base import ColumnGuess, Reader, ReaderOptions
from engine.readers.fields import RowMapper, guess_columns
from engine.types import Item, Rejected

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

_SAMPLE = 50
_INSIDE = re.compile(rb"xl/(?:workbook|worksheets|_rels|styles|sharedStrings|theme)|opendocument\.spreadsheet")


class Spreadsheet(Reader, name="xlsx"):
    """Workbooks read with calamine; formulas count by their stored results."""

    title = "Spreadsheet (XLSX)"
    suffixes = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
    risky = True

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if head.startswith(b"PK\x03\x04"):
            inside = _INSIDE.search(head) is not None
            named = path.suffix.lower() in cls.suffixes
            return 1.0 if inside and (named or b"[Content_Types].xml" in head) else 0.9 if named else 0.0
        return 0.9 if head.startswith(b"\xd0\xcf\x11\xe0") and path.suffix.lower() == ".xls" else 0.0

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        workbook = _open(path, options)
        filled = 0
        for sheet_name in workbook.sheet_names:
            place = f"{name} sheet {sheet_name}"
            try:
                names, rows = _table(_sheet(workbook, sheet_name))
                if not names:
                    continue
                filled += 1
                sample = list(itertools.islice(rows, _SAMPLE))
                mapper = RowMapper(names, options.columns, [row for _, row in sample])
            except BadInput as error:
                yield Rejected(place, str(error))
                continue
            for number, row in itertools.chain(sample, rows):
                yield mapper.record(row, f"{place} row {number}")
        if not filled:
            raise BadInput("has no filled sheet.")

    def columns(self, path: Path, options: ReaderOptions) -> tuple[list[ColumnGuess], list[str]]:
        workbook = _open(path, options)
        for sheet_name in workbook.sheet_names:
            names, rows = _table(_sheet(workbook, sheet_name))
            if names:
                return guess_columns(names, [row for _, row in itertools.islice(rows, _SAMPLE)]), names
        return [], []


def _open(path: Path, options: ReaderOptions) -> CalamineWorkbook:
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unfolded = sum(entry.file_size for entry in archive.infolist())
            if unfolded > options.expansion_limit(path.stat().st_size):
                raise BadInput(f"would unfold to {unfolded:,} bytes, which is more than the limit; it was not opened.")
        return CalamineWorkbook.from_path(str(path))
    except PasswordError:
        raise BadInput("is protected by a password; save it without one.") from None
    except (CalamineError, zipfile.BadZipFile, ValueError, struct.error) as error:
        raise BadInput(f"is not a readable spreadsheet: {error}") from None


def _sheet(workbook: CalamineWorkbook, name: str) -> CalamineSheet:
    from python_calamine import CalamineError

    try:
        return workbook.get_sheet_by_name(name)
    except CalamineError as error:
        raise BadInput(f"is a damaged sheet: {error}") from None


def _table(sheet: CalamineSheet) -> tuple[list[str], Iterator[tuple[int, dict[str, Any]]]]:
    """Column names and (row number as the spreadsheet shows it, row); no names for an empty sheet. Unnamed columns are left out."""
    numbered = enumerate(sheet.iter_rows(), start=(sheet.start[0] if sheet.start else 0) + 1)
    for _, cells in numbered:
        if any(cell not in ("", None) for cell in cells):
            names = [" ".join(str(cell).split()) for cell in cells]
            return [one for one in dict.fromkeys(names) if one], _rows(names, numbered)
    return [], iter(())


def _rows(names: list[str], numbered: Iterator[tuple[int, list[Any]]]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, cells in numbered:
        row = {name: _value(cell) for name, cell in zip(names, cells, strict=False) if name}
        if any(value not in ("", None) for value in row.values()):
            yield number, row


def _value(cell: Any) -> Any:
    """Spreadsheets store every number as a float; whole ones are meant as integers."""
    return int(cell) if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e21 else cell
