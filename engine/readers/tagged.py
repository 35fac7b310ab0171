"""Records made of tagged lines ("TI  - A title"), the shape that RIS and MEDLINE share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tagged:
    """One record: the line number of its first tag, and tag -> values in order."""

    line: int
    values: dict[str, list[str]] = field(default_factory=dict)
    closed: bool = False

    def first(self, *tags: str) -> str:
        """The first value of the first tag that is present, else ""."""
        return next((self.values[tag][0] for tag in tags if self.values.get(tag)), "")

    def all(self, *tags: str) -> list[str]:
        """All values of these tags."""
        return [value for tag in tags for value in self.values.get(tag, [])]


@dataclass(frozen=True, slots=True)
class Stray:
    """A line that belongs to no record."""

    line: int
    text: str


def tagged_records(
    lines: Iterable[str], pattern: re.Pattern[str], first: str, last: str | None
) -> Iterator[Tagged | Stray]:
    """Records that begin at tag `first` and end at tag `last`, or at the next `first`. `pattern` captures (tag, value); other lines continue the value before."""
    record: Tagged | None = None
    tag, further = "", list[str]()

    def join() -> None:
        """Put the lines that continue a value behind it; all at once, since there may be many."""
        if record is not None and further:
            record.values[tag][-1] = "\n".join((record.values[tag][-1], *further))
            further.clear()

    for number, raw in enumerate(lines, start=1):
        line = raw.rstrip("\r\n")
        if number == 1:
            line = line.removeprefix("\ufeff")
        found = pattern.match(line)
        if found is None:
            if not line.strip():
                continue
            if record is None or not tag:
                yield Stray(number, line)
            else:
                further.append(line.strip())
            continue
        join()
        tag, value = found.group(1), found.group(2).strip()
        if tag == first:
            if record is not None:
                yield record
            record = Tagged(number)
        elif record is None:
            yield Stray(number, line)
            tag = ""
            continue
        if tag == last:
            record.closed = True
            yield record
            record, tag = None, ""
            continue
        record.values.setdefault(tag, []).append(value)
    join()
    if record is not None:
        yield record
