"""PDF: the title from its metadata or first line, the text page by page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import BadInput
from engine.readers.base import Reader, ReaderOptions
from engine.readers.clean import one_line, parse_year, split_names
from engine.readers.text import title_from_name
from engine.types import Item, Record

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument

_BREAK_HYPHEN = re.compile("[\ufffe\x02]\\s*")  # pdfium's mark for a word divided at the end of a line
_JUNK_TITLE = re.compile(
    r"(?i)(untitled|microsoft word|powerpoint|slide 1|document\d*$|.*\.(docx?|tex|dvi|pdf|indd|qxd|rtf)$)"
)


class Pdf(Reader, name="pdf"):
    """Text as pdfium extracts it. Scanned pages have none: such a file is rejected, not stored empty."""

    title = "PDF"
    suffixes = (".pdf",)
    risky = True

    @classmethod
    def sniff(cls, path: Path, head: bytes) -> float:
        # Content alone decides: many files called .pdf are error pages in HTML.
        return 1.0 if b"%PDF-" in head[:1024] else 0.0

    def parse(self, path: Path, options: ReaderOptions, name: str) -> Iterator[Item]:
        document = _open(path)
        try:
            if len(document) > options.max_pages:
                raise BadInput(f"has {len(document):,} pages; the limit is {options.max_pages:,}.")
            pages = list(_pages(document, options))
            info = {key: one_line(value) for key, value in document.get_metadata_dict(skip_empty=True).items()}
        finally:
            document.close()
        text = "\n\n".join(page for page in pages if page)
        if not text.strip():
            raise BadInput("no text: its pages are images or empty; run it through text recognition (OCR) first.")
        title = info.get("Title", "")
        if len(title) < 4 or _JUNK_TITLE.match(title):
            title = _first_line(text) or title_from_name(path)
        yield Record(
            doc_id=name,
            title=title,
            text=text,
            authors=split_names(info.get("Author")),
            year=parse_year(info.get("CreationDate", "").removeprefix("D:")[:4]),
            metadata={"pages": len(pages), "keywords": info.get("Keywords", ""), "subject": info.get("Subject", "")},
            place=name,
        )


def _open(path: Path) -> PdfDocument:
    from pypdfium2 import PdfDocument, PdfiumError

    try:
        return PdfDocument(path)
    except PdfiumError as error:
        reason = str(error)
        if "assword" in reason:
            raise BadInput("is encrypted; save it without a password.") from None
        raise BadInput(f"is not a readable PDF: {reason}") from None


def _pages(document: PdfDocument, options: ReaderOptions) -> Iterator[str]:
    """The text of each page. Raises BadInput beyond the text limit; a page that pdfium cannot open is empty."""
    from pypdfium2 import PdfiumError

    total = 0
    for number in range(len(document)):
        try:
            page = document[number]
        except PdfiumError:
            yield ""
            continue
        try:
            text = page.get_textpage().get_text_bounded(errors="replace")
        except PdfiumError:
            text = ""
        finally:
            page.close()
        total += len(text)
        if total > options.max_text_chars:
            raise BadInput(f"has more than {options.max_text_chars:,} characters, the limit of one document.")
        yield _BREAK_HYPHEN.sub("", text).replace("\r\n", "\n").strip()


def _first_line(text: str) -> str:
    """The first line with at least two words and 200 characters at most, among the first ten."""
    lines = (one_line(line) for line in text.split("\n")[:10])
    return next((line for line in lines if len(line) <= 200 and re.search(r"[^\W\d_]{2,}\s+\S*[^\W\d_]{2,}", line)), "")
