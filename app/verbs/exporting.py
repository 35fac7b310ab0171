"""Documents as BibTeX, RIS and CSV text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.files.sheets import csv_text

Rows = Sequence[Mapping[str, Any]]
_TEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_"}
    | {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


def bibliography() -> dict[str, Callable[[Rows], str]]:
    """The export forms by name."""
    return {"bibtex": bibtex, "ris": ris, "csv": table}


def bibtex(rows: Rows) -> str:
    """BibTeX entries; keys are unique within the export."""
    used: set[str] = set()
    entries = []
    for row in rows:
        kind = "inproceedings" if _looks_like_proceedings(row["venue"]) else "article" if row["venue"] else "misc"
        fields = {
            "title": "{" + tex(row["title"] or row["doc_id"]) + "}",
            "author": " and ".join(tex(name) for name in row["authors"] or ()),
            "year": str(row["year"] or ""),
            ("booktitle" if kind == "inproceedings" else "journal"): tex(row["venue"]),
            "url": _url(row["url"]),
            "abstract": tex(" ".join(row["text"].split())),
        }
        lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value.strip("{}")]
        entries.append(f"@{kind}{{{_key(row, used)},\n" + ",\n".join(lines) + "\n}\n")
    return "\n".join(entries)


def ris(rows: Rows) -> str:
    """RIS records with the tags that reference managers read."""
    records = []
    for row in rows:
        proceedings = _looks_like_proceedings(row["venue"])
        lines = [
            ("TY", "CONF" if proceedings else "JOUR" if row["venue"] else "GEN"),
            ("ID", row["doc_id"]),
            ("TI", row["title"]),
        ]
        lines += [("AU", name) for name in row["authors"] or ()]
        lines += [("PY", str(row["year"] or "")), ("T2", row["venue"]), ("UR", _url(row["url"])), ("AB", row["text"])]
        body = "".join(f"{tag}  - {' '.join(str(value).split())}\r\n" for tag, value in lines if str(value).strip())
        records.append(body + "ER  - \r\n")
    return "\r\n".join(records)


def table(rows: Rows) -> str:
    """CSV with a header."""
    columns = ("doc_id", "title", "authors", "year", "venue", "url", "text")
    return csv_text(
        columns,
        (["; ".join(row["authors"] or ()) if name == "authors" else row[name] for name in columns] for row in rows),
    )


def tex(text: str) -> str:
    """Text in which LaTeX finds nothing to run."""
    return str(text).translate(_TEX)


def _url(url: str) -> str:
    """A link without the characters that would end a BibTeX field."""
    return re.sub(r"[{}\\\s]", "", url)


def _looks_like_proceedings(venue: str) -> bool:
    return bool(re.search(r"proceedings|conference|workshop|symposium|\b[A-Z]{3,6}\b", venue))


def _key(row: Mapping[str, Any], used: set[str]) -> str:
    """surname + year + first long word of the title, made unique by a letter."""
    surname = (row["authors"] or [""])[0].split(",")[0].split()[-1:] or ["anon"]
    word = next((w for w in re.findall(r"\w+", row["title"]) if len(w) > 3), "")
    plain = unicodedata.normalize("NFKD", f"{surname[0]}{row['year'] or ''}{word}".lower())
    base = re.sub(r"[^a-z0-9]", "", plain.encode("ascii", "ignore").decode()) or "entry"
    key, n = base, 1
    while key in used:
        n += 1
        key = f"{base}-{n}"
    used.add(key)
    return key
