"""BibTeX: bibtexparser splits the entries, LaTeX accents and braces become plain text, broken entries are named by line."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.readers.base import Reader, ReaderOptions
from engine.readers.clean import excerpt, parse_year, person_name, unwrap
from engine.readers.textfile import decode_head, is_text, open_text
from engine.types import Item, Record, Rejected

_CHUNK_CHARS = 1_000_000
_ENTRY = re.compile(r"^\s*@\s*[A-Za-z]+\s*[{(]", re.MULTILINE)
_BLOCK_START = re.compile(r"@\w*[ \t]*[{(]")
# Standard three-letter month macros of every BibTeX style.
_MONTHS = {
    name[:3].lower(): name
    for name in (
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December",
    )
}  # fmt: skip
_VENUES = ("journal", "journaltitle", "booktitle", "school", "institution", "howpublished", "publisher")
_OWN_FIELDS = {"title", "abstract", "author", "editor", "year", "date", "url", *_VENUES[:3]}


class Bibtex(Reader, name="bibtex"):
    """Bibliographies in BibTeX or BibLaTeX; `@string` macros and `#` concatenation are resolved."""

    title = "BibTeX"
    suffixes = (".bib", ".bibtex")

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if path.is_dir() or not is_text(head):
            return 0.0
        entries = len(_ENTRY.findall(decode_head(head)))
        if path.suffix.lower() in cls.suffixes:
            return 0.95
        return 0.6 if entries and head.lstrip()[:1] in (b"@", b"%") else 0.0

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        strings = dict(_MONTHS)
        decoder = _Latex()
        # The parser reports every broken block to its logger; here they become Rejected items.
        logging.getLogger("bibtexparser").setLevel(logging.CRITICAL)
        with open_text(path, options) as file:
            for first_line, chunk in _chunks(file):
                yield from _parse_chunk(chunk, first_line, name, strings, decoder)


def _chunks(lines: Iterator[str]) -> Iterator[tuple[int, str]]:
    """(line number of its first line, text) in pieces of about a megabyte, cut only before a line that opens a block."""
    first, size, collected = 1, 0, list[str]()
    for number, line in enumerate(lines, start=1):
        if size > _CHUNK_CHARS and _BLOCK_START.match(line.lstrip()):
            yield first, "".join(collected)
            first, size, collected = number, 0, []
        collected.append(line)
        size += len(line)
    if collected:
        yield first, "".join(collected)


def _parse_chunk(chunk: str, first_line: int, name: str, strings: dict[str, str], decoder: _Latex) -> Iterator[Item]:
    from bibtexparser.entrypoint import parse_string
    from bibtexparser.model import (
        Block,
        DuplicateBlockKeyBlock,
        DuplicateFieldKeyBlock,
        Entry,
        ParsingFailedBlock,
        String,
    )

    blocks: list[Block | None] = [*parse_string(chunk, parse_stack=[]).blocks]
    for block in blocks:
        if block is None:
            continue
        place = f"{name} line {first_line + (block.start_line or 0)}"
        if isinstance(block, (DuplicateBlockKeyBlock, DuplicateFieldKeyBlock)):
            # Two entries with one key are both documents here: what happens to equal ids is decided where they are stored.
            block = block.ignore_error_block
        if isinstance(block, String):
            strings[block.key.lower()] = _value(block.value, strings)
        elif isinstance(block, Entry):
            fields: dict[str, str] = {}
            for field in block.fields:
                fields.setdefault(field.key.strip().lower(), _value(str(field.value), strings))
            yield _record(block.entry_type, block.key, fields, place, decoder)
        elif isinstance(block, ParsingFailedBlock):
            reason = " ".join(str(getattr(block.error, "abort_reason", None) or block.error).split())
            yield Rejected(place, f"broken entry: {reason}", excerpt(block.raw))


def _value(raw: str, strings: dict[str, str]) -> str:
    """A field's value without its delimiters, `a # "b" # {c}` joined and macros replaced."""
    return "".join(_piece(piece.strip(), strings) for piece in _split_outside(raw, "#"))


def _piece(piece: str, strings: dict[str, str]) -> str:
    if len(piece) >= 2 and (piece[0], piece[-1]) in (("{", "}"), ('"', '"')):
        return piece[1:-1]
    return strings.get(piece.lower(), piece)


def _split_outside(raw: str, separator: str) -> list[str]:
    """Split at `separator` outside braces and quotes."""
    if separator not in raw:
        return [raw]
    parts, depth, quoted, start = [], 0, False, 0
    for position, character in enumerate(raw):
        escaped = position > 0 and raw[position - 1] == "\\"
        if character in "{}" and not escaped:
            depth += 1 if character == "{" else -1
        elif character == '"' and depth == 0 and not escaped:
            quoted = not quoted
        elif character == separator and depth == 0 and not quoted and not escaped:
            parts.append(raw[start:position])
            start = position + 1
    return [*parts, raw[start:]]


def _record(kind: str, key: str, fields: dict[str, str], place: str, decoder: _Latex) -> Record:
    get = {field: decoder.text(value) for field, value in fields.items() if field not in ("author", "editor", "url")}
    venue_field = next((field for field in _VENUES if get.get(field)), "")
    people = fields.get("author") or fields.get("editor") or ""
    doi = get.get("doi", "").strip()
    metadata: dict[str, Any] = {"type": kind.lower()}
    metadata |= {field: value for field, value in get.items() if field not in _OWN_FIELDS and field != venue_field}
    if "author" in fields and "editor" in fields:
        metadata["editors"] = _people(fields["editor"], decoder)
    return Record(
        doc_id=key,
        title=get.get("title", ""),
        text=get.get("abstract", ""),
        authors=tuple(_people(people, decoder)),
        year=parse_year(get.get("year")) or parse_year(get.get("date")),
        venue=get.get(venue_field, ""),
        url=_unbrace(fields.get("url", "")).replace("\\", "") or doi,
        metadata=metadata,
        place=place,
    )


def _people(value: str, decoder: _Latex) -> list[str]:
    """Names joined by " and " outside braces; a braced name is one word, as for an institution. "others" is nobody."""
    names = []
    for raw in _split_and(" ".join(value.split())):
        whole = raw.startswith("{") and raw.endswith("}") and raw.count("{") == 1
        name = decoder.text(raw)
        if name and name.lower() != "others":
            names.append(name if whole else person_name(name))
    return names


def _split_and(value: str) -> list[str]:
    parts, depth, start, position = [], 0, 0, 0
    while position < len(value):
        if value[position] in "{}":
            depth += 1 if value[position] == "{" else -1
        elif depth == 0 and value[position : position + 5].lower() == " and ":
            parts.append(value[start:position].strip())
            start = position + 5
            position = start - 1
            continue
        position += 1
    return [part for part in (*parts, value[start:].strip()) if part]


def _unbrace(text: str) -> str:
    return re.sub(r"(?<!\\)[{}]", "", text)


class _Latex:
    """LaTeX markup to plain text; mathematics is kept as it is written."""

    @cached_property
    def _converter(self) -> Any:
        from pylatexenc.latex2text import LatexNodes2Text, MacroTextSpec, get_default_latex_context_db

        context = get_default_latex_context_db()
        context.add_context_category("plain-urls", prepend=True, macros=[MacroTextSpec("url", simplify_repl="%s")])
        return LatexNodes2Text(latex_context=context, math_mode="verbatim", strict_latex_spaces=False)

    def text(self, value: str) -> str:
        """Plain text of a field. What the converter cannot parse only loses its braces."""
        if "\\" in value:
            # In a bibliography a percent sign is a percent sign, not the start of a comment.
            escaped = re.sub(r"(?<!\\)%", r"\\%", value)
            try:
                value = str(self._converter.latex_to_text(escaped))
            except (ValueError, IndexError, AttributeError, RecursionError):
                value = _unbrace(value)
        else:
            value = _unbrace(value).replace("~", " ").replace("``", "\u201c").replace("''", "\u201d")
            value = value.replace("---", "\u2014").replace("--", "\u2013")
        return unwrap(value)
