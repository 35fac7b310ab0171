"""BEIR collections: a folder of corpus.jsonl, queries.jsonl and qrels/*.tsv, or one of these files alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import BadInput
from engine.readers.base import Reader, ReaderOptions
from engine.readers.clean import excerpt
from engine.readers.fields import RowMapper, as_text
from engine.readers.jsonl import json_rows, parse_json
from engine.readers.textfile import byte_lines
from engine.types import Item, Judgment, Query, Record, Rejected

_QRELS_HEADER = ("query-id", "corpus-id", "score")


class BeirFolder(Reader, name="beir"):
    """Documents, queries and graded judgments in the layout of the BEIR benchmark (Thakur et al. 2021)."""

    title = "BEIR folder"
    suffixes = (".jsonl", ".tsv")
    folders = True

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if path.is_dir():
            has_qrels = (path / "qrels").is_dir() and (path / "queries.jsonl").is_file()
            return 1.0 if (path / "corpus.jsonl").is_file() or has_qrels else 0.0
        if head[:200].replace(b"\xef\xbb\xbf", b"").split(b"\n")[0].strip().split(b"\t")[:2] == [
            b"query-id",
            b"corpus-id",
        ]:
            return 1.0
        if path.name == "queries.jsonl":
            return 0.95 if _looks_like_query(head) else 0.0
        return 0.0

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        if path.is_file():
            yield from _judgments(path, name) if path.suffix.lower() == ".tsv" else _queries(path, options, name)
            return
        if (path / "corpus.jsonl").is_file():
            yield from _documents(path / "corpus.jsonl", options, f"{name}/corpus.jsonl")
        if (path / "queries.jsonl").is_file():
            yield from _queries(path / "queries.jsonl", options, f"{name}/queries.jsonl")
        for file in sorted((path / "qrels").glob("*.tsv")):
            yield from _judgments(file, f"{name}/qrels/{file.name}")


def _looks_like_query(head: bytes) -> bool:
    try:
        row = parse_json(head.split(b"\n")[0])
    except ValueError:
        return False
    return isinstance(row, dict) and "_id" in row and "text" in row and not row.get("title")


def _documents(path: Path, options: ReaderOptions, name: str) -> Iterator[Record | Rejected]:
    # The layout is fixed, so the columns are too: only `metadata` and further keys are matched by name.
    mapper = RowMapper(["_id", "title", "text"], {"doc_id": "_id", "title": "title", "text": "text"})
    for row in json_rows(path, options, name):
        if isinstance(row, Rejected):
            yield row
        elif not as_text(row[1].get("_id")).strip():
            yield Rejected(row[0], "has no _id", excerpt(row[1]))
        else:
            yield mapper.record(_with_further_keys_as_metadata(row[1]), row[0])


def _with_further_keys_as_metadata(row: dict[str, Any]) -> dict[str, Any]:
    further = {key: value for key, value in row.items() if key not in ("_id", "title", "text", "metadata")}
    nested = row.get("metadata")
    if not further:
        return row
    return {
        "_id": row.get("_id"),
        "title": row.get("title"),
        "text": row.get("text"),
        "metadata": further | (nested if isinstance(nested, dict) else {}),
    }


def _queries(path: Path, options: ReaderOptions, name: str) -> Iterator[Query | Rejected]:
    for row in json_rows(path, options, name):
        if isinstance(row, Rejected):
            yield row
            continue
        place, fields = row
        metadata = fields.get("metadata")
        further = {key: value for key, value in fields.items() if key not in ("_id", "text", "metadata")}
        further |= metadata if isinstance(metadata, dict) else {}
        yield Query(as_text(fields.get("_id")), as_text(fields.get("text")), further, place)


def _judgments(path: Path, name: str) -> Iterator[Judgment | Rejected]:
    for number, line in byte_lines(path, limit=100_000):
        place = f"{name} line {number}"
        if line is None:
            yield Rejected(place, "the line is longer than the limit")
            continue
        cells = line.decode("utf-8", "replace").split("\t")
        if number == 1 and tuple(cells[:3]) == _QRELS_HEADER:
            continue
        if line.strip():
            yield _judgment(cells, place)


def _judgment(cells: list[str], place: str) -> Judgment | Rejected:
    if len(cells) != 3:
        return Rejected(
            place, f"has {len(cells)} cells; query id, document id and score are expected", excerpt("\t".join(cells))
        )
    try:
        rating = float(cells[2])
        if not rating.is_integer():
            raise BadInput("not a whole number")
    except (ValueError, OverflowError, BadInput):
        return Rejected(place, f"the score {excerpt(cells[2])!r} is not a whole number", excerpt("\t".join(cells)))
    return Judgment(cells[0], cells[1], int(rating), place)
