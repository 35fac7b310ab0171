"""ACL Anthology metadata: one XML file per collection, or the folder of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import BadInput
from engine.readers.base import Reader, ReaderOptions
from engine.readers.clean import parse_year, unwrap
from engine.readers.safe_xml import Element, elements, inner_text
from engine.readers.textfile import decode_head
from engine.types import Item, Record, Rejected

# Venues of the letters that old ids begin with (https://aclanthology.org/info/ids/). W is any workshop.
_LETTERS = {
    "A": "ANLP", "C": "COLING", "D": "EMNLP", "E": "EACL", "F": "TALN", "H": "HLT", "I": "IJCNLP", "J": "CL", "K": "CoNLL",
    "L": "LREC", "M": "MUC", "N": "NAACL", "O": "ROCLING", "P": "ACL", "Q": "TACL", "R": "RANLP", "S": "SemEval", "T": "TINLAP",
    "U": "ALTA", "W": "Workshop", "X": "TIPSTER", "Y": "PACLIC",
}  # fmt: skip
# New ids carry the venue; these are written in another way than in capitals.
_NAMES = {"conll": "CoNLL", "semeval": "SemEval", "starsem": "*SEM", "findings": "Findings", "jeptalnrecital": "TALN"}
_OLD_STYLE = re.compile(r"[A-Z]\d\d")
_MARK = "<collection id="


class Anthology(Reader, name="anthology"):
    """Papers of the ACL Anthology under their Anthology ids ("P17-1083", "2020.nuse-1.1"); front matter is left out."""

    title = "ACL Anthology XML"
    suffixes = (".xml",)
    risky = True
    folders = True

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if path.is_file():
            return 0.95 if _MARK in decode_head(head)[:2000] else 0.0
        visible = sorted(file for file in path.iterdir() if not file.name.startswith("."))
        if not visible or any(file.suffix != ".xml" or not file.is_file() for file in visible):
            return 0.0
        with visible[0].open("rb") as file:
            return 0.95 if _MARK in decode_head(file.read(2000)) else 0.0

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        if path.is_file():
            yield from _papers(path, name)
            return
        for file in sorted(path.glob("*.xml")):
            try:
                yield from _papers(file, f"{name}/{file.name}")
            except (BadInput, OSError) as error:  # one broken file does not cost the other five hundred
                yield Rejected(f"{name}/{file.name}", str(error))


def anthology_id(collection: str, volume: str, paper: str) -> str:
    """The id of a paper: new style "2020.nuse-1.1"; old style with four digits split 1+3, or 2+2 for workshops. Raises ValueError."""
    if not _OLD_STYLE.fullmatch(collection):
        return f"{collection}-{volume}.{paper}"
    if collection.startswith("W") or collection == "C69" or (collection == "D19" and int(volume) >= 5):
        return f"{collection}-{int(volume):02d}{int(paper):02d}"
    return f"{collection}-{int(volume)}{int(paper):03d}"


def venue_of(collection: str, volume: str) -> str:
    """A short venue name from the collection id: "ACL" for P17, "NUSE" for 2020.nuse."""
    if _OLD_STYLE.fullmatch(collection):
        if collection == "D19" and int(volume) >= 5:
            return "Workshop"
        return _LETTERS.get(collection[0], "")
    name = collection.partition(".")[2]
    return _NAMES.get(name, name.upper())


def _papers(path: Path, name: str) -> Iterator[Record | Rejected]:
    meta: Element | None = None
    for element in elements(path, ("paper", "meta", "volume")):
        if element.tag == "meta":
            meta = element
        elif element.tag == "volume":
            element.clear()
            meta = None
        else:
            place = f"{name} line {element.sourceline}"
            try:
                yield _record(element, meta, place)
            except (ValueError, AttributeError):
                yield Rejected(place, "the ids of its collection, volume or paper are missing or not numbers")
            # Its children are what costs memory; the empty element keeps the iteration valid.
            element.clear()


def _record(paper: Element, meta: Element | None, place: str) -> Record:
    volume = paper.getparent()
    collection, volume_id = volume.getparent().get("id") or "", volume.get("id") or ""
    doc_id = anthology_id(collection, volume_id, paper.get("id") or "")
    # One pass over the children: find() for each of eight tags costs more than all the rest.
    get: dict[str, Element] = {}
    authors = []
    for child in paper:
        if child.tag == "author":
            authors.append(_author(child))
        elif child.tag not in get:
            get[child.tag] = child
    metadata: dict[str, Any] = {
        "volume": f"{collection}-{volume_id}",
        "booktitle": unwrap(inner_text(meta.find("booktitle"))) if meta is not None else "",
        "month": meta.findtext("month", "") if meta is not None else "",
        "pages": inner_text(get.get("pages")),
        "doi": inner_text(get.get("doi")),
        "language": inner_text(get.get("language")),
        "award": inner_text(get.get("award")),
    }
    if "retracted" in get:
        metadata["retracted"] = inner_text(get["retracted"]) or True
    year = inner_text(get.get("year")) or (meta.findtext("year", "") if meta is not None else "")
    return Record(
        doc_id=doc_id,
        title=unwrap(inner_text(get.get("title"))),
        text=unwrap(inner_text(get.get("abstract"))),
        authors=tuple(name for name in authors if name),
        year=parse_year(year) or _year_of(collection),
        venue=venue_of(collection, volume_id),
        url=f"https://aclanthology.org/{doc_id}",
        metadata=metadata,
        place=place,
    )


def _author(author: Element) -> str:
    first, last = author.findtext("first") or "", author.findtext("last") or ""
    return f"{first} {last}".strip() or inner_text(author).strip()


def _year_of(collection: str) -> int | None:
    """The year that every collection id contains, for volumes without one."""
    if _OLD_STYLE.fullmatch(collection):
        short = int(collection[1:])
        return 1900 + short if short >= 60 else 2000 + short
    return parse_year(collection)
