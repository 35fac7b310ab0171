"""Saved "Daily Papers" pages: title, abstract, number of authors, date and votes of each paper, as a browser copies them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import BadInput
from engine.readers.base import Reader, ReaderOptions
from engine.readers.textfile import decode_head, is_text, read_text
from engine.types import Item, Record, Rejected

_BANNER = "AK and the research community"
_DATE_LINE = re.compile(
    r"((?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* \d{1,2})(?:, ((?:19|20)\d\d))?(?:\s+(\d+))?"
)
_AUTHORS_LINE = re.compile(r"[\u2022*-]?\s*(\d+) authors?")
_LONGEST_TITLE = 300


class DailyPapers(Reader, name="daily-papers"):
    """Result pages saved as text, one file or a folder of them; a paper on several pages is one document."""

    title = "Daily Papers page"
    suffixes = (".txt",)
    folders = True

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if path.is_file():
            return 0.95 if is_text(head) and _BANNER in decode_head(head)[:1000] else 0.0
        visible = sorted(file for file in path.iterdir() if not file.name.startswith("."))
        if not visible or any(file.suffix != ".txt" or not file.is_file() for file in visible):
            return 0.0
        for file in visible:
            with file.open("rb") as page:
                if _BANNER not in decode_head(page.read(4000)):
                    return 0.0
        return 0.95

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        if path.is_file():
            yield from merged(page_records(read_text(path, options), name))
            return
        records: list[Record] = []
        for file in sorted(path.glob("*.txt")):
            try:
                records += page_records(read_text(file, options), f"{name}/{file.name}")
            except (BadInput, OSError) as error:
                yield Rejected(f"{name}/{file.name}", str(error))
        yield from merged(records)


@dataclass(frozen=True, slots=True)
class _Block:
    line: int
    lines: tuple[str, ...]


def title_id(title: str) -> str:
    """The id of a paper: the letters and digits of its title without case and accents, joined by hyphens, so that the same title always merges."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", title).casefold() if not unicodedata.combining(c))
    return "-".join(re.findall(r"[^\W_]+", plain))


def page_records(text: str, name: str) -> list[Record]:
    """The papers of one page. A date without a year belongs to the year after the newest year shown: pages omit only the current one."""
    blocks = _blocks(text)
    papers: list[tuple[Record, re.Match[str] | None]] = []
    closed = True
    for position, block in enumerate(blocks):
        footer = _footer(block)
        if footer is not None:
            closed = True
            if papers:
                record, _ = papers[-1]
                papers[-1] = replace(record, metadata=record.metadata | footer[0]), footer[1]
        elif _opens_paper(block, blocks[position + 1 : position + 2], closed):
            closed = False
            papers.append(
                (Record(title_id(block.lines[0]), title=block.lines[0], place=f"{name} line {block.line}"), None)
            )
        elif papers:
            record, date = papers[-1]
            body = " ".join(block.lines)
            papers[-1] = replace(record, text=f"{record.text}\n\n{body}" if record.text else body), date
    years = [int(date.group(2)) for _, date in papers if date and date.group(2)]
    current = max(years) + 1 if years else None
    return [_dated(record, date, current) for record, date in papers]


def _blocks(text: str) -> list[_Block]:
    """Runs of lines between blank lines, from the first paper on: everything to the banner and the date under it is navigation."""
    blocks: list[_Block] = []
    start, lines = 0, list[str]()
    for number, raw in enumerate([*text.splitlines(), ""], start=1):
        line = " ".join(raw.split())
        if line:
            start = start or number
            lines.append(line)
        elif lines:
            blocks.append(_Block(start, tuple(lines)))
            start, lines = 0, []
    banner = next((i for i, block in enumerate(blocks) if any(_BANNER in line for line in block.lines)), -1)
    rest = blocks[banner + 1 :]
    return rest[1:] if rest and len(rest[0].lines) == 1 and _DATE_LINE.fullmatch(rest[0].lines[0]) else rest


def _footer(block: _Block) -> tuple[dict[str, Any], re.Match[str]] | None:
    """(metadata, date) of the lines under an abstract: authors or an organization, a dot, the date with votes."""
    if "\u00b7" not in block.lines:
        return None
    date = _DATE_LINE.fullmatch(block.lines[-1])
    if date is None:
        return None
    metadata: dict[str, Any] = {"date": f"{date.group(1)}, {date.group(2)}" if date.group(2) else date.group(1)}
    if date.group(3):
        metadata["votes"] = int(date.group(3))
    who = block.lines[0]
    authors = _AUTHORS_LINE.fullmatch(who)
    if authors:
        metadata["author_count"] = int(authors.group(1))
    elif who != "\u00b7":
        metadata["organization"] = who
    return metadata, date


def _opens_paper(block: _Block, following: list[_Block], closed: bool) -> bool:
    """A title is one shortish line before a longer text. Where the paper before it is not closed by a footer, a full stop marks a paragraph of its abstract."""
    line = block.lines[0]
    if len(block.lines) > 1 or len(line) > _LONGEST_TITLE or not following or _footer(following[0]) is not None:
        return False
    return len(following[0].lines[0]) > len(line) and (closed or not line.endswith("."))


def _dated(record: Record, date: re.Match[str] | None, current: int | None) -> Record:
    if date is None:
        return record
    if date.group(2):
        return replace(record, year=int(date.group(2)))
    if current is None:
        return record
    return replace(record, year=current, metadata=record.metadata | {"year_inferred": True})


def merged(records: list[Record]) -> Iterator[Record]:
    """One record per id in order of first appearance: the longest text, a shown year before an inferred one, all metadata, the most votes."""
    kept: dict[str, Record] = {}
    for record in records:
        before = kept.get(record.doc_id)
        kept[record.doc_id] = record if before is None else _merge(before, record)
    yield from kept.values()


def _merge(first: Record, second: Record) -> Record:
    known = [one for one in (first, second) if one.year is not None]
    certain = [one for one in known if "year_inferred" not in one.metadata] or known
    metadata = second.metadata | first.metadata
    if certain:
        metadata |= {"date": certain[0].metadata["date"]}
        if "year_inferred" not in certain[0].metadata:
            metadata.pop("year_inferred", None)
    votes = [one.metadata["votes"] for one in (first, second) if "votes" in one.metadata]
    if votes:
        metadata["votes"] = max(votes)
    return replace(
        first,
        text=max(first.text, second.text, key=len),
        year=certain[0].year if certain else None,
        metadata=metadata,
        place=f"{first.place}; {second.place}",
    )
