"""RIS, as exported by reference managers and publishers. Read line by line, so that every problem has a line number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from engine.readers.base import Reader, ReaderOptions
from engine.readers.clean import excerpt, parse_year, person_name, unwrap
from engine.readers.tagged import Stray, Tagged, tagged_records
from engine.readers.textfile import decode_head, is_text, open_text
from engine.types import Item, Record, Rejected

_LINE = re.compile(r"([A-Z][A-Z0-9])  ?- ?(.*)")
_START = re.compile(r"^\ufeff?\s*TY  ?- ?\S+", re.MULTILINE)
_TITLE, _TEXT, _DATE = ("TI", "T1", "CT"), ("AB", "N2"), ("PY", "Y1", "DA")
_AUTHORS = ("AU", "A1")
_VENUE = ("JO", "JF", "T2", "JA", "J2", "BT", "C3", "PB")
_METADATA = {
    "TY": "type", "DO": "doi", "KW": "keywords", "SN": "issn", "VL": "volume", "IS": "issue", "SP": "first_page",
    "EP": "last_page", "LA": "language", "N1": "notes", "PB": "publisher", "DB": "database", "A2": "editors", "ED": "editors",
}  # fmt: skip


class Ris(Reader, name="ris"):
    """RIS bibliographies (tags TY to ER)."""

    title = "RIS"
    suffixes = (".ris",)

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if path.is_dir() or not is_text(head):
            return 0.0
        if _START.search(decode_head(head)):
            return 0.95 if path.suffix.lower() == ".ris" else 0.85
        return 0.4 if path.suffix.lower() == ".ris" else 0.0

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        with open_text(path, options) as file:
            for record in tagged_records(file, _LINE, first="TY", last="ER"):
                place = f"{name} line {record.line}"
                if isinstance(record, Stray):
                    yield Rejected(place, "stands outside a record (TY … ER)", excerpt(record.text))
                else:
                    yield _record(record, place)


def _record(tagged: Tagged, place: str) -> Record:
    doi = tagged.first("DO").removeprefix("https://doi.org/")
    metadata: dict[str, object] = {}
    for tag, name in _METADATA.items():
        values = [unwrap(value) for value in tagged.all(tag)]
        if values:
            metadata.setdefault(name, values if name in ("keywords", "editors") else "; ".join(values))
    date = tagged.first("DA")
    if date:
        metadata["date"] = date.strip("/")
    # T2 is the series of a book but the journal of an article; the first filled tag is the best name there is.
    return Record(
        doc_id=tagged.first("ID", "AN") or doi,
        title=unwrap(tagged.first(*_TITLE)),
        text="\n\n".join(unwrap(value) for value in tagged.all(_TEXT[0]) or tagged.all(_TEXT[1])),
        authors=tuple(person_name(author) for author in tagged.all(*_AUTHORS)),
        year=next((year for tag in _DATE if (year := parse_year(tagged.first(tag)))), None),
        venue=unwrap(tagged.first(*_VENUE)),
        url=tagged.first("UR", "L2", "LK") or doi,
        metadata=metadata,
        place=place,
    )
