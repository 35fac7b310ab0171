"""Cleaning of everything that a reader yields: control characters, Unicode form, whitespace, ids, years, names, metadata.

It is applied in one place, `Reader.read`, so that no reader can forget it and nothing downstream needs to repeat it.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any

MAX_ID_CHARS = 512
EXCERPT_CHARS = 200

# Removed characters by the name under which they are counted. U+FEFF is a byte order mark inside the text.
_REMOVED = {
    "NUL": "\x00",
    "lone surrogates": "\ud800-\udfff",
    "control characters": "\x01-\x08\x0e-\x1f\x7f-\x84\x86-\x9f",
    "bidi controls": "\u202a-\u202e\u2066-\u2069",
    "byte order marks": "\ufeff\ufffe\uffff",
}
_CLASSES = {name: re.compile(f"[{ranges}]") for name, ranges in _REMOVED.items()}
_ANY_REMOVED = re.compile(f"[{''.join(_REMOVED.values())}]")
# Quotes and dashes of Windows-1252 that were taken for Latin-1: in that range they are control characters, which no text means.
_PUNCTUATION = str.maketrans(
    dict(zip("\x91\x92\x93\x94\x95\x96\x97", "\u2018\u2019\u201c\u201d\u2022\u2013\u2014", strict=True))
)
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_BLANK_LINES = re.compile(r"\n{3,}")
_YEAR = re.compile(r"(?<!\d)(1\d{3}|20\d{2}|2100)(?!\d)")
_GLUED_DATE = re.compile(r"(1\d{3}|20\d{2})(0[1-9]|1[0-2])([0-2]\d|3[01])")
_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:\s*)?(10\.\d{4,9}/\S+)", re.IGNORECASE)


def visible(text: str) -> bool:
    """Whether anything of a text can be seen: more than spaces, zero-width characters and other formatting."""
    return any(not c.isspace() and unicodedata.category(c) not in ("Cf", "Mn", "Cc") for c in text)


def strip_controls(text: str, counts: Counter[str] | None = None) -> str:
    """`text` in Unicode NFC without NUL, lone surrogates, C0/C1 controls and bidi overrides; what is removed is added to `counts`.

    C1 controls that are misread quotes and dashes are restored instead, and counted too.
    """
    if text.isascii():
        if text.isprintable():
            return text
    elif not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    if _ANY_REMOVED.search(text) is None:
        return text
    restored = text.translate(_PUNCTUATION)
    if counts is not None and restored != text:
        counts["misread punctuation"] += sum(map(str.__ne__, text, restored))
    text = restored
    for name, characters in _CLASSES.items():
        text, removed = characters.subn("", text)
        if removed and counts is not None:
            counts[name] += removed
    # Removing a character can bring a base and its combining mark together.
    return unicodedata.normalize("NFC", text)


def one_line(text: str, counts: Counter[str] | None = None) -> str:
    """A title, name or venue: cleaned, every run of whitespace one space."""
    return " ".join(strip_controls(text, counts).split())


def paragraphs(text: str, counts: Counter[str] | None = None) -> str:
    """A body of text: cleaned, runs of spaces one space, line breaks kept, at most one blank line between paragraphs."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    text = strip_controls(_LINE_ENDS.sub("\n", text), counts)
    if "\n" not in text:
        return " ".join(text.split())
    lines = "\n".join(" ".join(line.split()) for line in text.split("\n"))
    return _BLANK_LINES.sub("\n\n", lines).strip("\n")


def unwrap(text: str) -> str:
    """Join the lines of a hard-wrapped text; blank lines stay paragraph breaks."""
    text = _LINE_ENDS.sub("\n", text)
    if "\n" not in text:
        return " ".join(text.split())
    parts = re.split(r"\n[ \t]*\n", text)
    return "\n\n".join(" ".join(part.split()) for part in parts).strip()


def clean_id(value: object, counts: Counter[str] | None = None) -> str:
    """An id as text: cleaned and at most 512 characters; whole floats lose their ".0", so that 7, 7.0 and "7" are one id."""
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value)
    if isinstance(value, float):
        value = int(value) if value.is_integer() and abs(value) < 1e21 else value  # beyond, digits would be made up
    return one_line(str(value), counts)[:MAX_ID_CHARS].strip()


def parse_year(value: object) -> int | None:
    """The first year 1000..2100 in a number, a date or text such as "2019-03" or "March 1999"; None if there is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (dt.date, dt.datetime)):
        value = value.year
    if isinstance(value, (int, float)):
        return int(value) if 1000 <= value <= 2100 and value == int(value) else None
    text = str(value)
    found = _YEAR.search(text) or _GLUED_DATE.search(text)
    return int(found.group(1)) if found else None


def person_name(name: str) -> str:
    """ "Last, First" and "Last, Jr., First" as "First Last" and "First Last Jr."; other names unchanged."""
    parts = [part.strip() for part in name.split(",")]
    if len(parts) == 2 and all(parts):
        return f"{parts[1]} {parts[0]}"
    if len(parts) == 3 and all(parts):
        return f"{parts[2]} {parts[0]} {parts[1]}"
    return " ".join(name.split()).strip(" ,")


def split_names(value: object) -> tuple[str, ...]:
    """Author names from a list, a list of objects with a name, or text separated by ";", "|", " and " or commas."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        first, last = value.get("first") or value.get("given"), value.get("last") or value.get("family")
        name = value.get("name") or " ".join(str(part) for part in (first, last) if part)
        return (person_name(str(name)),) if name else ()
    if isinstance(value, (list, tuple)):
        # Names in a list are whole already: a comma in one of them can only be "Last, First".
        return tuple(
            name
            for one in value
            for name in (split_names(one) if isinstance(one, (Mapping, list, tuple)) else (person_name(str(one)),))
            if name
        )
    return tuple(name for name in map(person_name, _split_name_text(str(value))) if name)


def _split_name_text(text: str) -> list[str]:
    for separator in (";", "|", "\n"):
        if separator in text:
            return text.split(separator)
    if re.search(r"\sand\s", text):
        return [name for part in re.split(r",?\s+and\s+", text) for name in _split_commas(part)]
    return _split_commas(text)


def _split_commas(text: str) -> list[str]:
    """ "Ann Lee, Bo Ray" is two people, "Lee, Ann" one: every part of a list of people has a space in it."""
    parts = [part.strip() for part in text.split(",")]
    return parts if len(parts) > 1 and all(" " in part for part in parts) else [text]


def web_address(value: str) -> str:
    """An http(s) address, also for a bare DOI or "www."; "" for everything else, `javascript:` included."""
    value = value.strip()
    if value.lower().startswith(("http://", "https://")) and not re.search(r"[\s<>\"]", value):
        return value
    if value.lower().startswith("www.") and not re.search(r"[\s<>\"]", value):
        return f"https://{value}"
    found = _DOI.fullmatch(value)
    return f"https://doi.org/{found.group(1)}" if found else ""


def excerpt(value: object) -> str:
    """The beginning of a rejected input, safe to show and store."""
    return one_line(str(value)[: 2 * EXCERPT_CHARS])[:EXCERPT_CHARS]


def clean_metadata(metadata: Mapping[Any, Any], counts: Counter[str] | None = None) -> dict[str, Any]:
    """Metadata as plain JSON values without empty ones. At most 5,000 values and 8 levels are kept: aliases and nesting can multiply without end."""
    budget = [5_000]
    cleaned = _clean_value(metadata, counts, budget, depth=0)
    return cleaned if isinstance(cleaned, dict) else {}


def _clean_value(value: Any, counts: Counter[str] | None, budget: list[int], depth: int) -> Any:
    budget[0] -= 1
    if budget[0] < 0 or depth > 8:
        return None
    if isinstance(value, str):
        return paragraphs(value, counts)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (dt.date, dt.datetime, dt.time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return None
    if isinstance(value, Mapping):
        pairs = (
            (one_line(str(key), counts), _clean_value(one, counts, budget, depth + 1)) for key, one in value.items()
        )
        return {key: one for key, one in pairs if key and one not in (None, "", [], {})}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = (_clean_value(one, counts, budget, depth + 1) for one in value)
        return [one for one in items if one not in (None, "", [], {})]
    return one_line(str(value), counts)
