"""JSON lines: one object per line; also a JSON file that holds one array of objects."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from engine.errors import BadInput
from engine.readers.base import ColumnGuess, Reader, ReaderOptions
from engine.readers.clean import excerpt
from engine.readers.fields import RowMapper, guess_columns
from engine.readers.textfile import byte_lines, encoding_from_head, read_text
from engine.types import Item, Rejected

_SAMPLE = 50
_MAX_ARRAY_BYTES = 500_000_000
_EXACT = 2.0**63


def parse_json(line: bytes | str) -> Any:
    """One JSON value. NaN, infinity and lone surrogates, which strict JSON lacks but Python writes, are accepted. Raises ValueError."""
    try:
        value = orjson.loads(line)
        if isinstance(value, dict) and any(type(one) is float and abs(one) >= _EXACT for one in value.values()):
            return json.loads(line)  # whole numbers beyond 64 bits came as the nearest float: two ids might become one
        return value
    except orjson.JSONDecodeError as strict:
        try:
            return json.loads(line, parse_constant=lambda _: None)
        except (ValueError, RecursionError) as error:
            reason = "nested too deeply" if isinstance(error, RecursionError) else str(strict)
            raise ValueError(reason) from None


def json_rows(path: Path, options: ReaderOptions, name: str) -> Iterator[tuple[str, dict[str, Any]] | Rejected]:
    """(place, object) for every line of a JSON lines file, or for every element of a JSON array; a Rejected for each broken line."""
    with path.open("rb") as file:
        head = file.read(4096)
    if encoding_from_head(head) not in (None, "utf-8-sig"):
        text = read_text(path, options)
        lines: Iterator[tuple[int, bytes | str | None]] = iter(enumerate(text.split("\n"), start=1))
    elif head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        yield from _array_rows(path, name)
        return
    else:
        # Every character may be a six-byte escape.
        lines = iter(byte_lines(path, limit=8 * options.max_text_chars))
    for number, line in lines:
        place = f"{name} line {number}"
        if line is None:
            yield Rejected(place, "the line is longer than the limit")
        elif line.strip():
            try:
                row = parse_json(line)
            except ValueError as error:
                yield Rejected(place, f"not valid JSON: {error}", excerpt(_shown(line)))
                continue
            if isinstance(row, dict):
                yield place, row
            else:
                yield Rejected(place, "is not a JSON object", excerpt(_shown(line)))


def _shown(line: bytes | str) -> str:
    return line if isinstance(line, str) else line[:800].decode("utf-8", "replace")


def _array_rows(path: Path, name: str) -> Iterator[tuple[str, dict[str, Any]] | Rejected]:
    if path.stat().st_size > _MAX_ARRAY_BYTES:
        raise BadInput("is one JSON array of more than 500 MB; save it as JSON lines (one object per line).")
    try:
        rows = parse_json(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise BadInput(f"is not valid JSON: {error}") from None
    for number, row in enumerate(rows, start=1):
        place = f"{name} item {number}"
        yield (place, row) if isinstance(row, dict) else Rejected(place, "is not a JSON object", excerpt(row))


class JsonLines(Reader, name="jsonl"):
    """One JSON object per line (or one array of objects); keys are columns."""

    title = "JSON lines"
    suffixes = (".jsonl", ".ndjson", ".json", ".jsonlines")

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if path.is_dir():
            return 0.0
        start = head.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")
        if start[:1] == b"{":
            return 0.8 if path.suffix.lower() in cls.suffixes or start[1:].lstrip(b"\0 ")[:1] == b'"' else 0.0
        if start[:1] == b"[" and start[1:].lstrip()[:1] == b"{":
            return 0.7
        return 0.3 if path.suffix.lower() in (".jsonl", ".ndjson") and start else 0.0

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        rows = json_rows(path, options, name)
        sample = list(itertools.islice(rows, _SAMPLE))
        objects = [row[1] for row in sample if not isinstance(row, Rejected)]
        mapper = RowMapper(_keys(objects), options.columns, objects) if objects else None
        for row in itertools.chain(sample, rows):
            if isinstance(row, Rejected):
                yield row
                continue
            if mapper is None:  # nothing but broken lines so far
                mapper = RowMapper(list(row[1]), options.columns, [row[1]])
            try:
                yield mapper.record(row[1], row[0])
            except RecursionError:  # this row's, and no reason to lose the others
                yield Rejected(row[0], "is nested too deeply")

    def columns(self, path: Path, options: ReaderOptions) -> tuple[list[ColumnGuess], list[str]]:
        sample = itertools.islice(json_rows(path, options, path.name), _SAMPLE)
        objects = [row[1] for row in sample if not isinstance(row, Rejected)]
        return guess_columns(_keys(objects), objects), _keys(objects)


def _keys(objects: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in objects for key in row))
