"""The limit of memory holds in the child of every reader: a file that needs more is named, and neither the parent nor another file pays."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from engine.readers.base import detect, readers
from engine.readers.sandbox import Batch, read_in_child
from engine.types import Rejected
from tests.readers import hostile
from tests.readers.test_collections import PAGE

MEGABYTE = "word " * 200_000
LIMIT = 30_000_000
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of address space")


def anthology(folder: Path) -> Path:
    path = folder / "P17.xml"
    paper = "<paper id='1'><title>" + "<b>x</b>" * 2_000_000 + "</title></paper>"
    path.write_text(f'<collection id="P17"><volume id="1">{paper}</volume></collection>')
    return path


def arxiv(folder: Path) -> Path:
    path = folder / "arxiv.json"
    row = {"id": "2101.00001", "title": "T", "categories": "cs.IR", "authors": "A", "authors_parsed": [["A", "B", ""]], "versions": [], "update_date": "2021-01-01", "abstract": MEGABYTE * 9}  # fmt: skip
    path.write_text(json.dumps(row) + "\n")
    return path


def beir(folder: Path) -> Path:
    path = folder / "beir"
    (path / "qrels").mkdir(parents=True)
    (path / "corpus.jsonl").write_text(json.dumps({"_id": "1", "title": "T", "text": MEGABYTE * 9}) + "\n")
    (path / "queries.jsonl").write_text('{"_id": "q", "text": "x"}\n')
    (path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t1\n")
    return path


def text(name: str, begin: str, repeated: str, end: str = "") -> Callable[[Path], Path]:
    def build(folder: Path) -> Path:
        path = folder / name
        path.write_text(begin + repeated + end, "utf-8")
        return path

    return build


def parquet(folder: Path) -> Path:
    pl.DataFrame({"id": ["1", "2"], "title": ["A", "B"], "text": [MEGABYTE * 20] * 2}).write_parquet(
        folder / "a.parquet"
    )
    return folder / "a.parquet"


def pdf(folder: Path) -> Path:
    words = b"BT /F1 12 Tf " + b"(hello) Tj " * 3_000_000 + b" ET"
    (folder / "a.pdf").write_bytes(hostile.pdf([words], compress=True))
    return folder / "a.pdf"


def xlsx(folder: Path) -> Path:
    plain, far = hostile.xlsx(folder / "plain.xlsx", {"S": [["title"], ["A"]]}), folder / "far.xlsx"
    with zipfile.ZipFile(plain) as before, zipfile.ZipFile(far, "w") as after:
        for entry in before.infolist():
            content = before.read(entry).replace(b'<row r="2"><c r="A2"', b'<row r="1048576"><c r="XFD1048576"')
            after.writestr(entry.filename, content)
    return far


def archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "a.zip", "w") as file:
        for number in range(60_000):
            file.writestr(f"{'long' * 50}{number}.txt", "")
    return folder / "a.zip"


FILES: dict[str, Callable[[Path], Path]] = {
    "anthology": anthology,
    "arxiv": arxiv,
    "beir": beir,
    "bibtex": text("a.bib", "@article{k, title={", MEGABYTE * 20, "}}\n"),
    "csv": text("a.csv", 'id,title,text\n1,A,"', MEGABYTE * 9, '"\n'),
    "daily-papers": text("page.txt", PAGE, "\U0001f600 word" * 1_600_000),
    "html": text("a.html", "<html><body>", "<p>x</p>" * 2_000_000, "</body></html>"),
    "jsonl": text("a.jsonl", '{"id": "1", "title": "T", "text": "', MEGABYTE * 9, '"}\n'),
    "markdown": text("a.md", "# T\n\n", "*x* " * 1_000_000),
    "nbib": text("a.nbib", "PMID- 1\nTI  - A\nAB  - first\n", "      more words here\n" * 1_000_000),
    "parquet": parquet,
    "pdf": pdf,
    "ris": text("a.ris", "TY  - JOUR\nTI  - A\nAB  - first\n", "more words\n" * 1_500_000, "ER  - \n"),
    "text": text("a.txt", "", "\U0001f600 word" * 1_600_000),
    "xlsx": xlsx,
    "zip": archive,
}  # fmt: skip


def test_every_reader_has_a_file_that_needs_too_much() -> None:
    assert set(FILES) == set(readers())


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_needs_more_memory_than_it_may_is_named_and_the_next_one_is_read(name: str, tmp_path: Path) -> None:
    path = FILES[name](tmp_path)
    if name != "zip":
        assert detect(path).name == name
    after = tmp_path / "after.txt"
    after.write_text("still read")
    items = [
        item
        for event in read_in_child([path, after], memory_bytes=LIMIT)
        if isinstance(event, Batch)
        for item in event.items
    ]
    refused, *_, last = items
    assert isinstance(refused, Rejected), refused
    assert re.search(r"needed more (than 0\.03 GB of memory|memory than one file may)", refused.reason), refused.reason
    assert last.place == "after.txt"
    assert not isinstance(last, Rejected)
