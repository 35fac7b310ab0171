"""arXiv metadata as JSON lines, one paper per line, as in the snapshot that arXiv publishes on Kaggle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.readers.base import Reader, ReaderOptions
from engine.readers.clean import clean_id, excerpt, parse_year, split_names, unwrap
from engine.readers.fields import as_text
from engine.readers.jsonl import json_rows
from engine.types import Item, Record, Rejected

_OLD_ID = re.compile(r"[a-z-]+(?:\.[A-Z]{2})?/(\d\d)\d{5}")
_NEW_ID = re.compile(r"(\d\d)(?:0[1-9]|1[0-2])\.\d{4,5}")


class ArxivJson(Reader, name="arxiv"):
    """Papers with `authors_parsed`, `categories` and `abstract`, ids as in arxiv.org/abs/ID."""

    title = "arXiv metadata"
    suffixes = (".json", ".jsonl")

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if path.is_dir() or not head.lstrip(b"\xef\xbb\xbf \r\n\t[").startswith(b"{"):
            return 0.0
        first = head.split(b"\n")[0]
        return 0.95 if all(key in first for key in (b'"authors_parsed"', b'"categories"', b'"abstract"')) else 0.0

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        for row in json_rows(path, options, name):
            if isinstance(row, Rejected):
                yield row
            elif not clean_id(row[1].get("id")):
                yield Rejected(row[0], "has no id", excerpt(row[1]))
            else:
                yield _record(row[1], row[0])


def submitted_year(row: dict[str, Any]) -> int | None:
    """The year of the first version, else the one in the id; `update_date` only says when the metadata changed."""
    versions = row.get("versions")
    if isinstance(versions, list) and versions and isinstance(versions[0], dict):
        year = parse_year(versions[0].get("created"))
        if year:
            return year
    doc_id = clean_id(row.get("id"))
    found = _OLD_ID.fullmatch(doc_id) or _NEW_ID.fullmatch(doc_id)
    if found:
        short = int(found.group(1))
        return 1900 + short if short >= 91 else 2000 + short
    return parse_year(row.get("update_date"))


def _authors(row: dict[str, Any]) -> tuple[str, ...]:
    parsed = row.get("authors_parsed")
    if not isinstance(parsed, list) or not parsed:
        return split_names(as_text(row.get("authors")))
    # Each entry is [last, first, suffix, affiliation …].
    parts = [[*map(as_text, entry), "", "", ""][:3] for entry in parsed if isinstance(entry, list) and entry]
    return tuple(" ".join(part for part in (first, last, suffix) if part) for last, first, suffix in parts)


def _record(row: dict[str, Any], place: str) -> Record:
    doc_id = clean_id(row.get("id"))
    rest = {
        "categories": as_text(row.get("categories")).split(),
        "doi": row.get("doi"),
        "journal": row.get("journal-ref"),
        "comments": row.get("comments"),
        "report": row.get("report-no"),
        "updated": row.get("update_date"),
    }
    return Record(
        doc_id=doc_id,
        title=as_text(row.get("title")),
        text=unwrap(as_text(row.get("abstract"))),
        authors=_authors(row),
        year=submitted_year(row),
        venue="arXiv",
        url=f"https://arxiv.org/abs/{doc_id}",
        metadata=rest,
        place=place,
    )
