"""HTML pages: title, authors and date from the metadata, the visible text without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from engine.errors import BadInput
from engine.readers.base import Reader, ReaderOptions
from engine.readers.clean import parse_year, person_name, split_names, web_address
from engine.readers.safe_xml import wants_memory
from engine.readers.text import title_from_name
from engine.readers.textfile import decode_head, encoding_from_head, is_text
from engine.types import Item, Record

_START = re.compile(
    r"\ufeff?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_INVISIBLE = frozenset(
    re.findall(r"\w+", "script style noscript template head iframe object embed svg math canvas select textarea button")
)
_BLOCKS = frozenset(
    re.findall(
        r"\w+",
        "address article aside blockquote dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr li "
        "main nav ol p pre section table td th tr ul",
    )
)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset=[\"']?([A-Za-z0-9_-]{1,40})", re.IGNORECASE)
_TITLES = ("citation_title", "dc.title", "og:title")
_AUTHORS = ("citation_author", "dc.creator", "author", "article:author")
_DATES = ("citation_publication_date", "citation_date", "dc.date", "article:published_time", "date")
_VENUES = ("citation_journal_title", "citation_conference_title", "og:site_name")

Element: TypeAlias = Any  # lxml ships no types


class HtmlPage(Reader, name="html"):
    """One page, one document. Nothing that the page refers to is ever fetched."""

    title = "HTML"
    suffixes = (".html", ".htm", ".xhtml")
    risky = True

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        if path.is_dir() or not is_text(head):
            return 0.0
        if _START.match(decode_head(head)[:8000]):
            return 0.9
        return 0.6 if path.suffix.lower() in cls.suffixes else 0.0

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        root = _root(path, options)
        meta = _metadata(root)
        text = visible_text(root)
        title = _first(meta, _TITLES) or _title_element(root)
        authors = [person_name(name) for key in _AUTHORS for name in meta.get(key, []) if "://" not in name]
        date = _first(meta, _DATES)
        yield Record(
            doc_id=name,
            title=title or (title_from_name(path) if text.strip() else ""),
            text=text,
            authors=tuple(dict.fromkeys(authors if len(authors) != 1 else split_names(authors[0]))),
            year=parse_year(date),
            venue=_first(meta, _VENUES),
            url=_canonical(root) or web_address(_first(meta, ("og:url",))),
            metadata={
                "date": date,
                "description": _first(meta, ("description", "og:description")),
                "keywords": _first(meta, ("keywords",)),
            },
            place=name,
        )


def _root(path: Path, options: ReaderOptions) -> Element:
    from lxml import etree

    data = path.read_bytes()
    if len(data) > 4 * options.max_text_chars:
        raise BadInput(f"has {len(data):,} bytes, more than a page can have.")
    declared = _META_CHARSET.search(data[:4096])
    encoding = options.encoding or encoding_from_head(data) or (declared.group(1).decode() if declared else None)
    try:
        text = data.decode(encoding or "utf-8")
    except (UnicodeDecodeError, LookupError):
        # The declared encoding is wrong or unknown; UTF-8 with broken bytes is worse than what Western pages really use.
        text = _decode_loosely(data)
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(text.replace("\0", "").encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, etree.ParserError) as error:
        if wants_memory(error):
            raise MemoryError from None
        raise BadInput(f"is not readable HTML: {error}") from None
    if any(wants_memory(entry) for entry in parser.error_log):
        raise MemoryError  # the parser gives what it has so far
    if any("Excessive depth" in error.message for error in parser.error_log):
        raise BadInput(
            "is nested too deeply, so what it says cannot be read as a whole."
        )  # the parser drops the rest without a word
    if root is None:
        raise BadInput("empty: it has neither a title nor a text")
    return root


def _decode_loosely(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _metadata(root: Element) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for element in root.iter("meta"):
        key = (element.get("name") or element.get("property") or "").lower()
        content = " ".join((element.get("content") or "").split())
        if key and content:
            found.setdefault(key, []).append(content)
    return found


def _first(meta: dict[str, list[str]], keys: tuple[str, ...]) -> str:
    return next((meta[key][0] for key in keys if key in meta), "")


def _title_element(root: Element) -> str:
    for tag in ("title", "h1"):
        for element in root.iter(tag):
            text = " ".join("".join(element.itertext()).split())
            if text:
                return text
    return ""


def _canonical(root: Element) -> str:
    links = (
        element.get("href") or "" for element in root.iter("link") if (element.get("rel") or "").lower() == "canonical"
    )
    return next((address for link in links if (address := web_address(link))), "")


def visible_text(root: Element) -> str:
    """The text that a reader of the page would see; block elements are paragraphs. Iterative: pages nest deeper than Python recurses."""
    parts: list[str] = []
    stack: list[tuple[Element, bool]] = [(root, False)]
    while stack:
        element, leaving = stack.pop()
        tag = element.tag if isinstance(element.tag, str) else ""
        block = tag in _BLOCKS
        if leaving:
            parts.append("\n\n" if block else "")
        else:
            hidden = tag in _INVISIBLE or not tag or element.get("hidden") is not None
            if not hidden:
                parts.append("\n\n" if block else "\n" if tag == "br" else "")
                parts.append(" ".join((element.text or "").split("\n")))
                stack.append((element, True))
                stack.extend((child, False) for child in reversed(element))
                continue
        parts.append(" ".join((element.tail or "").split("\n")))
    return "".join(parts)
