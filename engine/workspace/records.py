"""Records made ready for storage: checked, hashed, and laid out as a table."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from engine.types import Record, Rejected

_TEXT = pl.String()
ROWS = pl.Schema(
    {
        "doc_id": _TEXT, "title": _TEXT, "text": _TEXT, "authors": pl.List(_TEXT), "year": pl.Int32(), "venue": _TEXT,
        "url": _TEXT, "metadata": _TEXT, "content_hash": _TEXT, "place": _TEXT, "at": pl.Int64(),
    }
)  # fmt: skip
MAX_ID = 1_000
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


def content_hash(record: Record) -> str:
    """sha256 (hex) over the canonical JSON of everything a reader can see. Raises ValueError on text or numbers that
    JSON or UTF-8 cannot hold."""
    return _hash(record, _canonical(record.metadata))


def row_hash(row: Mapping[str, Any]) -> str:
    """`content_hash` of a stored row; empty where its values cannot be those of a document."""
    try:
        values = {name: row[name] for name in ("doc_id", "title", "text", "year", "venue", "url")}
        return content_hash(Record(**values, authors=tuple(row["authors"]), metadata=json.loads(str(row["metadata"]))))
    except (ValueError, TypeError):
        return ""


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _hash(record: Record, metadata: str) -> str:
    visible = _canonical([record.title, record.text, record.authors, record.year, record.venue, record.url])
    return hashlib.sha256(f"{visible}{metadata}".encode()).hexdigest()


def _row(at: int, record: Record) -> tuple[Any, ...]:
    """One storable row. Raises ValueError with the reason why not."""
    if not record.doc_id or len(record.doc_id) > MAX_ID or _UNPRINTABLE.search(record.doc_id):
        raise ValueError(f"the id must have 1 to {MAX_ID} printable characters")
    if not record.text.strip() and not record.title.strip():
        raise ValueError("the document is empty: neither title nor text")
    if record.year is not None and (
        (isinstance(record.year, float) and not math.isfinite(record.year)) or abs(record.year) > 99_999
    ):
        raise ValueError(f"the year {record.year} is out of range")
    if "\x00" in record.text or "\x00" in record.title:
        raise ValueError("the text holds a NUL character")
    try:
        record.doc_id.encode()
        metadata = _canonical(record.metadata)
        digest = _hash(record, metadata)
    except UnicodeEncodeError:
        raise ValueError("the text holds half of a surrogate pair, which is not valid Unicode") from None
    except TypeError as error:
        raise ValueError(f"the metadata cannot be stored as JSON: {error}") from None
    return (
        record.doc_id,
        record.title,
        record.text,
        list(record.authors),
        record.year,
        record.venue,
        record.url,
        metadata,
        digest,
        record.place,
        at,
    )


def tabulate(records: Sequence[Record]) -> tuple[pl.DataFrame, list[Rejected]]:
    """The storable rows in order, `at` being the position among `records`; and the records that cannot be stored, with
    the reason."""
    rows, rejected = [], []
    for at, record in enumerate(records):
        try:
            rows.append(_row(at, record))
        except ValueError as error:
            excerpt = (record.title or record.text or record.doc_id)[:200].encode("utf-8", "replace").decode()
            place = record.place or repr(record.doc_id[:100])
            rejected.append(Rejected(place, str(error), excerpt.replace("\x00", "")))
    return pl.DataFrame(rows, schema=ROWS, orient="row"), rejected
