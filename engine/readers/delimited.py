"""CSV and TSV: delimiter and encoding detected, every broken row named by its number."""

from __future__ import annotations

import csv
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.errors import BadInput
from engine.readers.base import ColumnGuess, Reader, ReaderOptions
from engine.readers.clean import excerpt
from engine.readers.fields import RowMapper, guess_columns, squeeze
from engine.readers.textfile import decode_head, is_text, open_text
from engine.types import Item, Rejected

_DELIMITERS = ",;\t|"
_SAMPLE = 50
_TELLING = {
    "id", "title", "text", "abstract", "titel", "titre", "titulo", "titolo", "zusammenfassung", "resume", "resumen", "samenvatting",
}  # fmt: skip
"""Column names that make a text without a telling suffix a table."""
_REPLAY_LIMIT = 200_000_000  # characters read again after broken quotes, before the rest of the file is given up


class Delimited(Reader, name="csv"):
    """Tables as text, separated by comma, semicolon, tab or bar; the first row holds the column names."""

    title = "CSV or TSV"
    suffixes = (".csv", ".tsv", ".tab", ".psv")

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if path.is_dir() or not is_text(head):
            return 0.0
        if path.suffix.lower() in cls.suffixes:
            return 0.75
        return 0.25 if path.suffix.lower() in (".txt", ".dat", "") and _sniff_width(decode_head(head)) >= 3 else 0.0

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        rows = table_rows(path, options)
        names, first = _header(rows)
        body = itertools.chain(first, rows)
        sample = list(itertools.islice(body, _SAMPLE))
        dicts = [dict(zip(names, row, strict=False)) for _, row in sample if isinstance(row, list)]
        mapper = RowMapper(names, options.columns, dicts)
        for number, row in itertools.chain(sample, body):
            place = f"{name} row {number}"
            if isinstance(row, str):
                yield Rejected(place, row)
            elif problem := _width_problem(row, len(names)):
                yield Rejected(place, problem, excerpt(" | ".join(row)))
            elif any(cell.strip() for cell in row):
                yield mapper.record(dict(zip(names, row, strict=False)), place)

    def columns(self, path: Path, options: ReaderOptions) -> tuple[list[ColumnGuess], list[str]]:
        rows = table_rows(path, options)
        names, first = _header(rows)
        sample = list(itertools.islice(itertools.chain(first, rows), _SAMPLE))
        return guess_columns(
            names, [dict(zip(names, row, strict=False)) for _, row in sample if isinstance(row, list)]
        ), names


def _width_problem(row: list[str], width: int) -> str:
    """Empty cells beyond the last column do no harm; anything else that does not fit the header does."""
    if len(row) < width or any(row[width:]):
        return f"has {len(row)} cells where the header has {width}"
    return ""


def _header(rows: Iterator[tuple[int, list[str] | str]]) -> tuple[list[str], list[tuple[int, list[str] | str]]]:
    """Column names, and the rows read too far: the first row itself where it is data (a table without a header)."""
    for number, row in rows:
        if isinstance(row, str):
            raise BadInput(f"has no readable header: {row}")
        if not any(cell.strip() for cell in row):
            continue
        known = guess_columns(row)
        if not known and any(cell.strip().isdigit() or len(cell) > 60 for cell in row):
            return [f"column {i}" for i in range(1, len(row) + 1)], [(number, row)]
        return _unique_names(row), []
    raise BadInput("has no rows.")


def _unique_names(row: list[str]) -> list[str]:
    names: list[str] = []
    for position, cell in enumerate(row, start=1):
        name = " ".join(cell.split()) or f"column {position}"
        names.append(f"{name} ({position})" if name in names else name)
    while len(names) > 1 and not row[len(names) - 1].strip():
        names.pop()  # a delimiter at the end of each line
    return names


def _sniff_width(text: str) -> int:
    """Columns of a text that is certainly a table with named columns; 0 otherwise."""
    lines = text.splitlines()[:_SAMPLE]
    delimiter = sniff_delimiter(text, "")
    widths = {len(row) for row in _lenient(lines[:-1], delimiter)}
    names = {squeeze(name) for name in lines[0].split(delimiter)} if lines else set()
    return max(widths) if len(widths) == 1 and len(lines) > 2 and names & _TELLING else 0


def sniff_delimiter(text: str, suffix: str) -> str:
    """The delimiter that gives the most rows of one equal width (over 1) in the first lines; Excel's "sep=" line is obeyed."""
    if text[:4].lower() == "sep=" and len(text) > 4:
        return text[4]
    preferred = "\t" if suffix == ".tsv" or suffix == ".tab" else ","
    best, best_score = preferred, (0.0, 0)
    for delimiter in sorted(_DELIMITERS, key=lambda one: one != preferred):
        # The last line of the head may be cut in the middle.
        lines = text.splitlines(keepends=True)[: _SAMPLE + 1]
        rows = [row for row in _lenient(lines[:-1] or lines, delimiter) if row]
        width = len(rows[0]) if rows else 0
        score = (sum(len(row) == width for row in rows) / len(rows), width) if width > 1 else (0.0, 0)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _lenient(lines: list[str], delimiter: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(lines, delimiter=delimiter)
    except csv.Error:
        return


class _Replay:
    """Lines that can be put back: after a broken row, parsing goes on at its second line."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self._pending: deque[str] = deque()
        self._taken: list[str] = []
        self.replayed = 0

    def __iter__(self) -> _Replay:
        return self

    def __next__(self) -> str:
        line = self._pending.popleft() if self._pending else next(self._lines)
        self._taken.append(line)
        return line

    def start_row(self) -> None:
        self._taken = []

    def give_back(self) -> None:
        rest = self._taken[1:]
        self.replayed += sum(map(len, rest))
        self._pending.extendleft(reversed(rest))
        self._taken = []


def table_rows(path: Path, options: ReaderOptions) -> Iterator[tuple[int, list[str] | str]]:
    """(row number from 1, cells), or (row number, reason) for a row that cannot be read; the header is row 1."""
    with path.open("rb") as file:
        head = decode_head(file.read(65_536))
    delimiter = sniff_delimiter(head.lstrip("\ufeff"), path.suffix.lower())
    previous = csv.field_size_limit(options.max_text_chars)
    try:
        with open_text(path, options, newline="") as file:
            lines = _Replay(file)
            if head.lstrip("\ufeff")[:4].lower() == "sep=":
                next(lines, None)
            yield from _strict_rows(lines, delimiter, options)
    finally:
        csv.field_size_limit(previous)


def _strict_rows(lines: _Replay, delimiter: str, options: ReaderOptions) -> Iterator[tuple[int, list[str] | str]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    for number in itertools.count(1):
        lines.start_row()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, _explain(error, options)
            lines.give_back()
            if lines.replayed > _REPLAY_LIMIT:
                yield number + 1, "has too many broken quotes before it; the rest of the file was not read"
                return
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        if number == 1 and row:
            row[0] = row[0].removeprefix("\ufeff")
        yield number, row


def _explain(error: csv.Error, options: ReaderOptions) -> str:
    reason = str(error)
    if "unexpected end of data" in reason:
        return "a quotation mark opened in this row is never closed"
    if "field limit" in reason:
        return f"a cell is longer than {options.max_text_chars:,} characters, or a quotation mark is never closed"
    if "expected after" in reason:
        return "a quotation mark closes in the middle of a cell; double it or remove it"
    return reason
