"""CSV, JSON lines, Parquet and spreadsheets: exact records, exact places of what is broken."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from engine.errors import BadInput
from engine.readers.base import ColumnGuess, ReaderOptions, content_id, detect, preview
from engine.readers.delimited import Delimited, sniff_delimiter
from engine.readers.fields import guess_columns
from engine.types import Item, Record, Rejected
from tests.readers import hostile
from tests.readers.conftest import ReadText

EXPECTED = [
    Record(
        "a1",
        "Caf\u00e9 notes",
        "Some text, here",
        ("Ann Lee",),
        2019,
        "SIGIR",
        "https://x.org/1",
        {"topic": "ir"},
        "t.csv row 2",
    ),
    Record("a2", "Second", 'say "hi"', ("Bo Ray", "Cy Dow"), None, "", "", {}, "t.csv row 3"),
]
HEADER = ["ID", "Title", "Abstract", "Authors", "Year", "Venue", "URL", "topic"]
ROWS = [
    ["a1", "Caf\u00e9 notes", "Some text, here", "Lee, Ann", "2019", "SIGIR", "https://x.org/1", "ir"],
    ["a2", "Second", 'say "hi"', "Bo Ray; Cy Dow", "", "", "", ""],
]


def table(delimiter: str = ",", end: str = "\n") -> str:
    def cell(value: str) -> str:
        return '"' + value.replace('"', '""') + '"' if delimiter in value or '"' in value or ";" in value else value

    return "".join(delimiter.join(map(cell, row)) + end for row in [HEADER, *ROWS])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_are_sniffed(read: ReadText, delimiter: str) -> None:
    assert read("t.csv", table(delimiter)) == EXPECTED


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(read: ReadText, end: str) -> None:
    assert read("t.csv", table(end=end)) == EXPECTED


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_encodings_are_detected(read: ReadText, encoding: str) -> None:
    assert read("t.csv", table(";", "\r\n").encode(encoding)) == EXPECTED


def test_a_chosen_encoding_is_obeyed_and_an_unknown_one_is_an_error(read: ReadText) -> None:
    items = read("t.csv", "id,title\n1,\u0416\u0443\u043a\n".encode("koi8-r"), encoding="koi8-r")
    assert items == [Record("1", "\u0416\u0443\u043a", place="t.csv row 2")]
    assert read("t.csv", "id,title\n1,x\n", encoding="klingon") == [
        Rejected("t.csv", "There is no text encoding called 'klingon'; try utf-8, latin-1 or utf-16.")
    ]


def test_one_bad_byte_does_not_turn_utf8_into_mojibake(read: ReadText) -> None:
    rows = "".join(f"{i},\u00e9t\u00e9 {i}\n" for i in range(20))
    items = read("t.csv", f"id,title\n{rows}".encode() + b"20,bad \xff byte\n")
    assert [item.title for item in items if isinstance(item, Record)][:2] == ["\u00e9t\u00e9 0", "\u00e9t\u00e9 1"]
    assert isinstance(items[-1], Record)
    assert items[-1].title == "bad \ufffd byte"


def test_excel_separator_line(read: ReadText) -> None:
    assert read("t.csv", "sep=;\r\n" + table(";", "\r\n")) == EXPECTED


def test_ragged_rows_are_named_and_the_rest_kept(read: ReadText) -> None:
    items = read("t.csv", "id,title,text\n1,a,b\n2,only\n3,c,d,e\n4,e,f,\n")
    assert items == [
        Record("1", "a", "b", place="t.csv row 2"),
        Rejected("t.csv row 3", "has 2 cells where the header has 3", "2 | only"),
        Rejected("t.csv row 4", "has 4 cells where the header has 3", "3 | c | d | e"),
        Record("4", "e", "f", place="t.csv row 5"),
    ]


def test_an_unterminated_quote_costs_one_row(read: ReadText) -> None:
    items = read("t.csv", 'id,title,text\n1,a,b\n2,"open,c\n3,d,e\n4,"multi\nline",f\n')
    assert items == [
        Record("1", "a", "b", place="t.csv row 2"),
        Rejected("t.csv row 3", "a quotation mark closes in the middle of a cell; double it or remove it"),
        Record("3", "d", "e", place="t.csv row 4"),
        Record("4", "multi line", "f", place="t.csv row 5"),
    ]
    assert read("t.csv", 'id,title\n1,a\n2,"open\n3,b\n')[1:] == [
        Rejected("t.csv row 3", "a quotation mark opened in this row is never closed"),
        Record("3", "b", place="t.csv row 4"),
    ]


def test_a_cell_over_the_limit_costs_one_row_and_one_of_ten_megabytes_is_read(read: ReadText) -> None:
    wide = "w" * 10_000_000
    items = read("t.csv", f"id,text\n1,{wide}\n2,{wide}x\n3,ok\n")
    assert [type(item) for item in items] == [Record, Rejected, Record]
    assert isinstance(items[0], Record)
    assert len(items[0].text) == 10_000_000
    assert items[1].place == "t.csv row 3"
    assert "longer than 10,000,000 characters" in items[1].reason  # type: ignore[union-attr]


def test_columns_can_be_overridden(read: ReadText) -> None:
    items = read("t.csv", "id,title,note\n1,a,b\n", columns={"text": "note", "title": ""})
    assert items == [Record("1", "", "b", metadata={"title": "a"}, place="t.csv row 2")]
    assert read("t.csv", "id,title\n1,a\n", columns={"text": "body"}) == [
        Rejected("t.csv", "There is no column 'body' for text. Columns: id, title.")
    ]
    with pytest.raises(BadInput, match="There is no field called 'abstract'"):
        read("t.csv", "id,title\n1,a\n", columns={"abstract": "title"})


def test_a_table_without_header_and_one_without_known_names(read: ReadText) -> None:
    assert read("t.tsv", "17\tthe first passage\n18\tthe second passage\n") == [
        Record(
            content_id("", "the first passage"),
            "",
            "the first passage",
            metadata={"column 1": "17"},
            place="t.tsv row 1",
        ),
        Record(
            content_id("", "the second passage"),
            "",
            "the second passage",
            metadata={"column 1": "18"},
            place="t.tsv row 2",
        ),
    ]
    assert read("t.csv", "k,remark\nx,long enough\n") == [
        Record(content_id("", "long enough"), "", "long enough", metadata={"k": "x"}, place="t.csv row 2")
    ]


def test_ids_of_mixed_types_stay_text(read: ReadText) -> None:
    assert [item.doc_id for item in read("t.csv", "id,title\n007,a\n7,b\nx7,c\n7.0,d\n") if isinstance(item, Record)] == [
        "007", "7", "x7", "7.0",
    ]  # fmt: skip
    lines = '{"id": 7, "title": "a"}\n{"id": "007", "title": "b"}\n{"id": "x", "title": "c"}\n'
    assert [item.doc_id for item in read("t.jsonl", lines) if isinstance(item, Record)] == ["7", "007", "x"]


def test_delimiter_in_a_file_of_one_column() -> None:
    assert sniff_delimiter("title\nOne; two, three\nFour\n", ".csv") == ","


def test_guessed_columns_are_shown_with_all_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(table())
    seen = preview(path, n=1)
    assert (seen.format, seen.items, seen.available) == ("csv", (EXPECTED[0],), tuple(HEADER))
    assert seen.guesses == (
        ColumnGuess("doc_id", "ID"), ColumnGuess("title", "Title"), ColumnGuess("text", "Abstract"), ColumnGuess("authors", "Authors"),
        ColumnGuess("year", "Year"), ColumnGuess("venue", "Venue"), ColumnGuess("url", "URL"),
    )  # fmt: skip


def test_better_names_win_and_one_column_feeds_one_field() -> None:
    guesses = {
        guess.field: guess.column
        for guess in guess_columns(["doi", "name", "Article Title", "body", "abstract", "date", "pub_year"])
    }
    assert guesses == {"doc_id": "doi", "title": "Article Title", "text": "abstract", "year": "pub_year", "url": "doi"}


def test_json_lines_with_broken_lines(read: ReadText) -> None:
    lines = [
        '{"id": 1, "title": "A", "text": "b", "metadata": {"authors": ["X Y"], "year": 1999, "lang": "en"}}',
        "{broken",
        "[1]",
        "",
        '{"id": "2", "title": "NaN is fine", "score": NaN}',
        '{"id": "3", "title": "lone \\ud800 surrogate", "tags": ["a", "b"]}',
        '{"id": "4"}',
    ]
    items = read("t.jsonl", "\n".join(lines))
    assert items[0] == Record("1", "A", "b", ("X Y",), 1999, metadata={"lang": "en"}, place="t.jsonl line 1")
    assert items[1].place == "t.jsonl line 2"
    assert isinstance(items[1], Rejected)
    assert items[1].reason.startswith("not valid JSON: ")
    assert items[1].excerpt == "{broken"
    assert items[2:] == [
        Rejected("t.jsonl line 3", "is not a JSON object", "[1]"),
        Record("2", "NaN is fine", place="t.jsonl line 5"),
        Record("3", "lone surrogate", metadata={"tags": ["a", "b"]}, place="t.jsonl line 6"),
        Rejected("t.jsonl line 7", "empty: it has neither a title nor a text", "4"),
    ]


def test_good_lines_after_fifty_broken_ones_are_kept(read: ReadText) -> None:
    items = read("t.jsonl", "{x\n" * 60 + '{"id": "1", "title": "A"}\n')
    assert len(items) == 61
    assert items[-1] == Record("1", "A", place="t.jsonl line 61")


def test_twenty_empty_documents_are_counted_one_by_one(read: ReadText) -> None:
    items = read("t.jsonl", '{"id": "x", "title": "", "text": " "}\n' * 20 + '{"id": "1", "title": "A"}')
    assert [item.reason for item in items[:20] if isinstance(item, Rejected)] == [
        "empty: it has neither a title nor a text"
    ] * 20
    assert len(items) == 21


def test_a_text_of_a_million_characters_is_kept_whole(read: ReadText) -> None:
    (item,) = read("t.jsonl", '{"id": "1", "text": "' + "word " * 200_000 + '"}')
    assert isinstance(item, Record)
    assert item.text == ("word " * 200_000).strip()


def test_nested_beyond_reason_and_overlong_lines_are_rejected(read: ReadText) -> None:
    items = read("t.jsonl", '{"id": 1, "text": ' + "[" * 100_000 + '\n{"id": "2", "text": "ok"}\n')
    assert [type(item) for item in items] == [Rejected, Record]
    items = read("t.jsonl", '{"id": "1", "text": "' + "x" * 900 + '"}\n{"id": "2", "text": "ok"}\n', max_text_chars=100)
    assert items == [
        Rejected("t.jsonl line 1", "the line is longer than the limit"),
        Record("2", "", "ok", place="t.jsonl line 2"),
    ]


def test_a_json_array(read: ReadText) -> None:
    assert read("t.json", '[{"id": 1, "title": "A"}, 5, {"id": 2, "title": "B"}]') == [
        Record("1", "A", place="t.json item 1"),
        Rejected("t.json item 2", "is not a JSON object", "5"),
        Record("2", "B", place="t.json item 3"),
    ]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame(
        {
            "id": [1, 2, 3],
            "title": ["A", "B", None],
            "abstract": ["text", None, None],
            "authors": [["X Y", "Lee, Ann"], [], None],
            "published": [dt.date(2020, 5, 1), None, dt.date(1999, 1, 1)],
            "tags": [["t"], None, None],
        }
    ).write_parquet(path)
    assert list(detect(path)().read(path)) == [
        Record(
            "1",
            "A",
            "text",
            ("X Y", "Ann Lee"),
            2020,
            metadata={"tags": ["t"], "date": "2020-05-01"},
            place="t.parquet row 1",
        ),
        Record("2", "B", place="t.parquet row 2"),
        Rejected("t.parquet row 3", "empty: it has neither a title nor a text", "3"),
    ]


def test_parquet_rows_keep_their_numbers_over_batches(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"id": range(2_500), "text": [f"text {i}" for i in range(2_500)]}).write_parquet(
        path, row_group_size=700
    )
    items = list(detect(path)().read(path))
    assert items[2_345] == Record("2345", "", "text 2345", place="t.parquet row 2346")
    assert len(items) == 2_500


def test_truncated_parquet_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"id": [1], "text": ["x"]}).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    (item,) = detect(path)().read(path)
    assert isinstance(item, Rejected)
    assert item.place == "t.parquet"
    assert item.reason.startswith("is not a readable Parquet file: ")


def test_spreadsheet_with_two_sheets(tmp_path: Path) -> None:
    path = hostile.xlsx(
        tmp_path / "t.xlsx",
        {
            "First": [["ID", "Title", "Year", ""], [7, "A", 2019, "x"], [], ["b", "B & C", 2020.0]],
            "Empty": [],
            "No text": [["ID", "Amount"], [1, 2]],
        },
    )
    assert list(detect(path)().read(path)) == [
        Record("7", "A", year=2019, place="t.xlsx sheet First row 2"),
        Record("b", "B & C", year=2020, place="t.xlsx sheet First row 4"),
        Rejected(
            "t.xlsx sheet No text", "No column looks like a title or a text; say which one is. Columns: ID, Amount."
        ),
    ]


def test_broken_spreadsheet(tmp_path: Path) -> None:
    path = hostile.xlsx(tmp_path / "t.xlsx", {"S": [["title"], ["A"]]})
    path.write_bytes(path.read_bytes()[:-40])
    (item,) = detect(path)().read(path)
    assert isinstance(item, Rejected)
    assert item.reason.startswith("is not a readable spreadsheet")


def test_csv_names_that_repeat_or_are_missing_stay_apart(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,title,note,note,\n1,a,b,c,\n")
    items: list[Item] = list(Delimited().read(path, ReaderOptions()))
    assert items == [Record("1", "a", metadata={"note": "b", "note (4)": "c"}, place="t.csv row 2")]


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        ("Nr,Titel,Zusammenfassung,Autor(en),Erscheinungsjahr,Zeitschrift", ["title", "text", "authors", "year", "venue"]),
        ("Identifiant,Titre,Résumé,Auteur(s),Année,Revue,Lien", ["doc_id", "title", "text", "authors", "year", "venue", "url"]),
        ("Identificador,Título,Resumen,Autores,Año,Revista,Enlace", ["doc_id", "title", "text", "authors", "year", "venue", "url"]),
    ],
)  # fmt: skip
def test_headings_of_other_languages_are_guessed(header: str, fields: list[str]) -> None:
    names = header.split(",")
    found = [(guess.field, guess.column) for guess in guess_columns(names)]
    assert [column for _, column in found] == names[-len(fields) :]
    assert [field for field, _ in found] == fields


def test_english_headings_come_before_those_of_other_languages() -> None:
    names = ["Titel", "Title", "Zusammenfassung", "Abstract", "Jahr", "Year"]
    assert {guess.column for guess in guess_columns(names)} == {"Title", "Abstract", "Year"}


def test_a_german_table_is_read(read: ReadText) -> None:
    text = "Kennung;Titel;Zusammenfassung;Autoren;Jahr\nk1;Größe zählt;Über Mengen;Ann Lee;2019\nk2;Zwei;Drei;Bo Ray;2020\n"
    assert read("ohne_endung", text)[0] == Record(
        "k1", "Größe zählt", "Über Mengen", ("Ann Lee",), 2019, metadata={}, place="ohne_endung row 2"
    )


MIXED = ["007", "1e5", "1.0", "12345678901234567890", "123456789012345678901234567890", "abc"]


def test_ids_that_look_like_numbers_stay_as_they_are_written_in_every_table(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("id,title\n" + "".join(f"{one},t\n" for one in MIXED))
    (tmp_path / "i.tsv").write_text("id\ttitle\n" + "".join(f"{one}\tt\n" for one in MIXED))
    (tmp_path / "i.jsonl").write_text("".join(f'{{"id": "{one}", "title": "t"}}\n' for one in MIXED))
    pl.DataFrame({"id": MIXED, "title": ["t"] * len(MIXED)}).write_parquet(tmp_path / "i.parquet")
    hostile.xlsx(tmp_path / "i.xlsx", {"S": [["id", "title"], *[[one, "t"] for one in MIXED]]})
    for path in sorted(tmp_path.iterdir()):
        assert [item.doc_id for item in detect(path)().read(path) if isinstance(item, Record)] == MIXED, path.name


def test_ids_that_are_numbers_keep_all_their_digits(read: ReadText, tmp_path: Path) -> None:
    whole = ["7", "12345678901234567890", "123456789012345678901234567890", "123456789012345678901234567891", "-3"]
    items = read("n.jsonl", "".join(f'{{"id": {one}, "title": "t"}}\n' for one in whole))
    assert [item.doc_id for item in items if isinstance(item, Record)] == whole
    (item,) = read("f.jsonl", '{"id": 1.5e300, "title": "t"}\n')
    assert isinstance(item, Record)
    assert item.doc_id == "1.5e+300"
    path = tmp_path / "f.parquet"
    pl.DataFrame({"id": [7.0, 1e5, 2.5, 1e22], "title": ["t"] * 4}).write_parquet(path)
    assert [item.doc_id for item in detect(path)().read(path) if isinstance(item, Record)] == [
        "7",
        "100000",
        "2.5",
        "1e+22",
    ]
