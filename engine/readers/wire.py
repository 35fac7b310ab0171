"""How items and events travel from the reading child to its parent: one JSON array per line, no pickle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from engine.types import Item, Judgment, Query, Record, Rejected


@dataclass(frozen=True, slots=True)
class FileStarted:
    """The child has begun to read a file (or a folder that is one source). bytes: its size on disk."""

    path: str
    format: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Some hundred items of the file that was started last, in file order. bytes_read: how far the file was read; 0 where that is not known."""

    path: str
    items: tuple[Item, ...]
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class FileFinished:
    """A file is done, also when it failed. cleaned: how many characters of each kind were removed."""

    path: str
    records: int
    rejected: int
    queries: int = 0
    judgments: int = 0
    cleaned: dict[str, int] | None = None


Event: TypeAlias = FileStarted | Batch | FileFinished


def encode_items(items: list[Item], bytes_read: int = 0) -> bytes:
    """A batch as one line."""
    return orjson.dumps(["items", [_pack(item) for item in items], bytes_read]) + b"\n"


def _pack(item: Item) -> list[Any]:
    if isinstance(item, Record):
        return [
            "d", item.doc_id, item.title, item.text, item.authors, item.year, item.venue, item.url, item.metadata, item.place,
        ]  # fmt: skip
    if isinstance(item, Rejected):
        return ["x", item.place, item.reason, item.excerpt]
    if isinstance(item, Query):
        return ["q", item.qid, item.text, item.metadata, item.place]
    return ["j", item.qid, item.doc_id, item.rating, item.place]


def decode_items(packed: list[list[Any]]) -> tuple[Item, ...]:
    """The items of a decoded batch. Raises ValueError for anything that `encode_items` does not write."""
    return tuple(_unpack(row) for row in packed)


def _unpack(row: list[Any]) -> Item:
    kind, fields = row[0], row[1:]
    if kind == "d":
        fields[3] = tuple(fields[3])
        return Record(*fields)
    if kind == "x":
        return Rejected(*fields)
    if kind == "q":
        return Query(*fields)
    if kind == "j":
        return Judgment(*fields)
    raise ValueError(f"unknown kind of item {kind!r}")
