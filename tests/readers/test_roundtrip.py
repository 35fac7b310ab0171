"""Whatever is written in a format is read back, for any text."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.readers.base import Reader
from engine.readers.bibtex import Bibtex
from engine.readers.clean import clean_id, one_line
from engine.readers.delimited import Delimited
from engine.readers.jsonl import JsonLines
from engine.readers.ris import Ris
from engine.types import Record

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

anything = st.text(st.characters(codec="utf-8"), max_size=60)
words = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=12)
titles = st.lists(words, min_size=1, max_size=6).map(" ".join)
ids = st.text(st.sampled_from("abcXYZ0123456789-_.:"), min_size=1, max_size=20)
keys = ids.map("k{}".format)  # the key of an entry begins with a letter
years = st.integers(1000, 2100)


def back(reader: Reader, name: str, content: str) -> list[Record]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(content, encoding="utf-8", newline="")
        items = list(reader.read(path))
    assert all(isinstance(item, Record) for item in items), items
    return [item for item in items if isinstance(item, Record)]


@QUICK
@given(st.lists(st.tuples(ids, titles, anything, years), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_csv(rows: list[tuple[str, str, str, int]], delimiter: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["id", "title", "text", "year"])
    writer.writerows(rows)
    records = back(Delimited(), "t.csv", out.getvalue())
    assert [(r.doc_id, r.title, " ".join(r.text.split()), r.year) for r in records] == [
        (clean_id(doc_id), one_line(title), one_line(text), year) for doc_id, title, text, year in rows
    ]


@QUICK
@given(st.lists(st.tuples(ids, titles, anything, st.lists(titles, max_size=3)), min_size=1, max_size=8))
def test_jsonl(rows: list[tuple[str, str, str, list[str]]]) -> None:
    lines = [json.dumps({"id": i, "title": t, "text": x, "tags": tags}) for i, t, x, tags in rows]
    records = back(JsonLines(), "t.jsonl", "\n".join(lines))
    assert [(r.doc_id, r.title, " ".join(r.text.split()), r.metadata.get("tags", [])) for r in records] == [
        (i, one_line(t), one_line(x), [one_line(tag) for tag in tags]) for i, t, x, tags in rows
    ]


@QUICK
@given(st.lists(st.tuples(ids, titles, st.lists(titles, max_size=3), years), min_size=1, max_size=8))
def test_ris(rows: list[tuple[str, str, list[str], int]]) -> None:
    entries = [
        "\n".join(
            [
                "TY  - JOUR",
                f"ID  - {i}",
                f"TI  - {t}",
                *(f"AU  - {name}" for name in names),
                f"PY  - {year}",
                "ER  - ",
                "",
            ]
        )
        for i, t, names, year in rows
    ]
    records = back(Ris(), "t.ris", "\n".join(entries))
    assert [(r.doc_id, r.title, r.authors, r.year) for r in records] == [
        (i, one_line(t), tuple(map(one_line, names)), year) for i, t, names, year in rows
    ]


@QUICK
@given(st.lists(st.tuples(keys, titles, years), min_size=1, max_size=8), st.booleans())
def test_bibtex(rows: list[tuple[str, str, int]], quoted: bool) -> None:
    opening, closing = ('"', '"') if quoted else ("{", "}")
    entries = [f"@misc{{{i},\n  title = {opening}{t}{closing},\n  year = {year}\n}}\n" for i, t, year in rows]
    records = back(Bibtex(), "t.bib", "\n".join(entries))
    assert [(r.doc_id, r.title, r.year) for r in records] == [(i, one_line(t), year) for i, t, year in rows]
