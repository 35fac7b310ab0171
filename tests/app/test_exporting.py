"""Exports read back by the formats' own parsers."""

from __future__ import annotations

import csv
import io
import re
from types import SimpleNamespace
from typing import Any

import pytest

from app.results.search import Card, Column, ColumnHit, Ledger, LedgerEntry, LedgerRow, PipelineView
from app.ui.web import exports
from app.verbs.exporting import bibtex, ris, table
from engine.component import lookup
from engine.files import sheets
from engine.readers.base import ReaderOptions
from engine.types import Record

ROW = {
    "doc_id": "d1",
    "title": "Ranking & 100% of {braces}",
    "authors": ["Ada Lovelace", "José Ñandú"],
    "year": 1999,
    "venue": "SIGIR",
    "url": "https://example.org/a_b",
    "text": "First line.\nSecond line.",
}
BARE = {"doc_id": "=1+1", "title": "", "authors": [], "year": None, "venue": "", "url": "", "text": "@SUM(A1)"}


def test_bibtex_escapes_and_keys_are_unique():
    text = bibtex([ROW, ROW, BARE])
    assert text.startswith("@inproceedings{lovelace1999ranking,\n  title = {{Ranking \\& 100\\% of \\{braces\\}}},")
    assert "author = {Ada Lovelace and José Ñandú}" in text
    assert "@inproceedings{lovelace1999ranking-2," in text
    assert "url = {https://example.org/a_b}" in text
    assert "@misc{anon," in text


def test_bibtex_is_read_back():
    import bibtexparser

    library = bibtexparser.parse_string(bibtex([ROW, BARE]))
    assert not library.failed_blocks
    first = library.entries[0]
    assert first["author"] == "Ada Lovelace and José Ñandú"
    assert first["year"] == "1999"


def test_ris_by_hand():
    assert ris([ROW]) == (
        "TY  - CONF\r\nID  - d1\r\nTI  - Ranking & 100% of {braces}\r\nAU  - Ada Lovelace\r\nAU  - José Ñandú\r\n"
        "PY  - 1999\r\nT2  - SIGIR\r\nUR  - https://example.org/a_b\r\nAB  - First line. Second line.\r\nER  - \r\n"
    )


def test_ris_is_read_back(tmp_path):
    path = tmp_path / "list.ris"
    path.write_text(ris([ROW, BARE]), "utf-8")
    records = [item for item in lookup("readers", "ris")().read(path, ReaderOptions()) if isinstance(item, Record)]
    assert (records[0].title, records[0].authors, records[0].year) == (ROW["title"], tuple(ROW["authors"]), 1999)
    assert records[0].text == "First line. Second line."
    assert len(records) == 2


def test_csv_disarms_formulas():
    rows = list(csv.DictReader(io.StringIO(table([ROW, BARE]))))
    assert rows[0]["authors"] == "Ada Lovelace; José Ñandú"
    assert rows[0]["text"] == ROW["text"]
    assert rows[1]["doc_id"] == "'=1+1"
    assert rows[1]["text"] == "'@SUM(A1)"


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", "＋1", "－1", "＠x"]


def cells(text: str) -> list[str]:
    return [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_table_of_any_export_holds_a_cell_that_begins_a_formula(formula: str) -> None:
    card = Card(formula, formula, (formula,), 2000, formula, formula, formula, (), 1, -0.5)
    view = PipelineView(formula, 0, "", "")
    column = Column(view, (ColumnHit(card, 3, False),), (), 1.0, 1)
    compared: Any = SimpleNamespace(query=formula, columns=(column,))
    row = LedgerRow(formula, formula, 1, -0.5, (LedgerEntry(1, -0.5, -0.5, -0.5),))
    record = dict.fromkeys(("doc_id", "title", "venue", "url", "text"), formula) | {"authors": [formula], "year": -0.5}
    for text, times in (
        (table([record]), 6),
        (exports.columns(compared), 4),
        (exports.ledger(Ledger(formula, "rrf", "", (formula,), (row,))), 5),
    ):
        found = cells(text)
        assert [cell for cell in found if cell.startswith(formula)] == []
        assert sum(cell.startswith("'") and cell.replace("'", "").startswith(formula) for cell in found) == times
        # Numbers stay numbers, the negative ones too.
        assert "-0.5" in found


@pytest.mark.parametrize("text", ["x;=1", "x\t@1", "x\n-1", "x\r\n+1", 'x;"=1', "x;'\"=1", '"=1', "x;＝1"])
def test_a_spreadsheet_that_divides_elsewhere_finds_no_formula_either(text: str) -> None:
    written = sheets.csv_text(("a", "b"), [("row", text)])
    for mark in ",;\t":
        for row in csv.reader(io.StringIO(written, newline=""), delimiter=mark):
            assert not any(re.match(r"[\s\"]*[-=+@＝]", cell) for cell in row), (mark, row)
    assert sheets.unguarded(sheets.guarded(text)) == text
