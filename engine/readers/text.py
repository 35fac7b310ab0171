"""Plain text: one file, one document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.readers.base import Reader, ReaderOptions
from engine.readers.textfile import is_text, read_text
from engine.types import Item, Record

_LONGEST_TITLE = 200


class PlainText(Reader, name="text"):
    """A short first line followed by a blank line is the title; otherwise the file name is."""

    title = "Plain text"
    suffixes = (".txt", ".text", ".asc", ".log", ".rst", ".org", ".tex")

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if path.is_dir() or path.suffix.lower() not in (*cls.suffixes, "") or not is_text(head):
            return 0.0
        return 0.5 if path.suffix else 0.2

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        title, text = split_title(read_text(path, options))
        # An empty file stays without a title, so that it is rejected as empty.
        yield Record(doc_id=name, title=title or (title_from_name(path) if text else ""), text=text, place=name)


def split_title(text: str) -> tuple[str, str]:
    """(title, rest): the first line if it is short and a blank line follows, else ("", text)."""
    text = text.lstrip("\ufeff \t\r\n").rstrip()
    first, _, rest = text.partition("\n")
    alone = not rest.partition("\n")[0].strip()
    if rest and alone and len(first) <= _LONGEST_TITLE:
        return first.strip(), rest.strip()
    return "", text


def title_from_name(path: Path) -> str:
    """ "my_notes-2.txt" as "my notes 2"."""
    return " ".join(path.stem.replace("_", " ").replace("-", " ").split()) or path.name
