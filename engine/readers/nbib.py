"""PubMed / MEDLINE (.nbib): four-character tags, continuation lines indented by six."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from engine.readers.base import Reader, ReaderOptions
from engine.readers.clean import excerpt, parse_year, person_name, unwrap
from engine.readers.tagged import Stray, Tagged, tagged_records
from engine.readers.textfile import decode_head, is_text, open_text
from engine.types import Item, Record, Rejected

_LINE = re.compile(r"([A-Z]{2,4}) {0,2}- ?(.*)")
_START = re.compile(r"^\ufeff?\s*PMID ?- ?\d+", re.MULTILINE)
_LISTS = {"MH": "mesh_terms", "OT": "keywords", "PT": "publication_types"}


class Medline(Reader, name="nbib"):
    """Citations in the MEDLINE format that PubMed exports."""

    title = "PubMed / MEDLINE"
    suffixes = (".nbib", ".medline")

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if path.is_dir() or not is_text(head):
            return 0.0
        if _START.search(decode_head(head)):
            return 0.95
        return 0.4 if path.suffix.lower() in cls.suffixes else 0.0

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        with open_text(path, options) as file:
            for record in tagged_records(file, _LINE, first="PMID", last=None):
                place = f"{name} line {record.line}"
                if isinstance(record, Stray):
                    yield Rejected(place, "stands before the first PMID", excerpt(record.text))
                else:
                    yield _record(record, place)


def _record(tagged: Tagged, place: str) -> Record:
    pmid = tagged.first("PMID")
    identifiers = [value.removesuffix("[doi]").strip() for value in tagged.all("LID", "AID") if value.endswith("[doi]")]
    metadata: dict[str, object] = {
        "pmid": pmid,
        "pmcid": tagged.first("PMC"),
        "doi": identifiers[0] if identifiers else "",
        "date": tagged.first("DP"),
        "language": tagged.first("LA"),
    }
    metadata |= {name: [unwrap(value) for value in tagged.all(tag)] for tag, name in _LISTS.items()}
    return Record(
        doc_id=pmid,
        title=unwrap(tagged.first("TI", "BTI")),
        text="\n\n".join(unwrap(value) for value in tagged.all("AB")),
        # FAU holds full names ("Curie, Marie"), AU only initials ("Curie M").
        authors=tuple(person_name(author) for author in tagged.all("FAU") or tagged.all("AU")),
        year=parse_year(tagged.first("DP")),
        venue=unwrap(tagged.first("JT", "TA")),
        url=f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/" if pmid.isdigit() else "",
        metadata=metadata,
        place=place,
    )
