"""Text files of unknown encoding: detection, decoding, and lines of bounded length."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from engine.errors import BadInput
from engine.readers.base import ReaderOptions
from engine.readers.position import POSITION, Stream

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def encoding_from_head(head: bytes) -> str | None:
    """The encoding that a byte order mark or the places of NUL bytes give away; None if neither does."""
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    sample = head[:4096]
    if len(sample) >= 4 and b"\0" in sample:
        even, odd = sample[0::2].count(0), sample[1::2].count(0)
        half = len(sample) // 2
        if odd > 0.4 * half and even < 0.1 * half:
            return "utf-16-le"
        if even > 0.4 * half and odd < 0.1 * half:
            return "utf-16-be"
    return None


def is_text(head: bytes) -> bool:
    """Whether the beginning of a file looks like text in some encoding rather than binary data."""
    if not head:
        return False
    if encoding_from_head(head) is not None:
        return True
    controls = sum(head.count(code) for code in (*range(0, 9), *range(14, 27), *range(28, 32)))
    return controls <= 2 + 0.01 * len(head)  # stray control characters are cleaned, not a reason to refuse a text


def decode_head(head: bytes) -> str:
    """The head as text for sniffing; undecodable bytes are replaced."""
    return head.decode(encoding_from_head(head) or "utf-8", errors="replace")


def detect_encoding(path: Path) -> tuple[str, str]:
    """(encoding, error handler) of a text file; reads the whole file unless a byte order mark settles it.

    UTF-8 wins when it decodes, or when under a tenth of its non-ASCII characters are broken (one bad byte must not
    turn a whole file into mojibake); otherwise it is Windows-1252, the superset of Latin-1 that files really use.
    """
    with path.open("rb") as file:
        head = file.read(4096)
        known = encoding_from_head(head)
        if known:
            return known, "replace"
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        broken = foreign = 0
        while chunk := file.read(1 << 20):
            if chunk.isascii() and not decoder.getstate()[0]:
                continue
            text = decoder.decode(chunk)
            broken += text.count("\ufffd")
            foreign += len(text) - len(text.encode("ascii", "ignore"))
        broken += decoder.decode(b"", True).count("\ufffd")
    return ("utf-8", "replace") if broken == 0 or broken < 0.1 * foreign else ("cp1252", "replace")


def open_text(path: Path, options: ReaderOptions, *, newline: str | None = None) -> io.TextIOWrapper:
    """Open a text file in the chosen or detected encoding, to be read piece by piece. Raises BadInput for an encoding that does not exist."""
    file = _opened(path, options, newline)
    POSITION.watch(cast(Stream, file.buffer))  # a buffered file, of which the stubs promise less
    return file


def _opened(path: Path, options: ReaderOptions, newline: str | None = None) -> io.TextIOWrapper:
    if options.encoding:
        try:
            codecs.lookup(options.encoding)
        except LookupError:
            raise BadInput(
                f"There is no text encoding called {options.encoding!r}; try utf-8, latin-1 or utf-16."
            ) from None
        return path.open(encoding=options.encoding, errors="replace", newline=newline)
    encoding, errors = detect_encoding(path)
    return path.open(encoding=encoding, errors=errors, newline=newline)


def read_text(path: Path, options: ReaderOptions) -> str:
    """A whole text file. Raises BadInput when it is longer than the limit of one document."""
    with _opened(path, options) as file:
        text = file.read(options.max_text_chars + 1)
    if len(text) > options.max_text_chars:
        raise BadInput(f"has more than {options.max_text_chars:,} characters, the limit of one document.")
    return text


def byte_lines(path: Path, limit: int) -> Iterator[tuple[int, bytes | None]]:
    """(line number from 1, line without its end) of a UTF-8 file; None in place of a line of more than `limit` bytes."""
    with path.open("rb") as file:
        POSITION.watch(file)
        number = 0
        while line := file.readline(limit + 1):
            number += 1
            if len(line) > limit and not line.endswith(b"\n"):
                while rest := file.readline(limit + 1):
                    if rest.endswith(b"\n"):
                        break
                yield number, None
                continue
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            yield number, line.rstrip(b"\r\n")
