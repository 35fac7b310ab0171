"""Files of runs, judgments and queries: what other tools write is read, what we write other tools read, and mistakes name their line."""

from __future__ import annotations

import csv
import io
import random
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import BadInput
from engine.files.judgments import read_judgments, write_judgments
from engine.files.queries import read_queries, write_queries
from engine.files.runs import RUN, read_run, write_run
from engine.files.sheets import FORMULA_STARTS
from engine.types import Query


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str | bytes, name: str = "file.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def hits(seed: int) -> pl.DataFrame:
    rng = random.Random(seed)
    rows = [
        (f"q{q}", f"{rng.choice('aBé検')}{d}", rng.choice([rng.gauss(0, 1), rng.gauss(0, 1e-9), 1 / 3, 0.0, -7.5e30]))
        for q in range(rng.randint(1, 6))
        for d in rng.sample(range(50), rng.randint(1, 30))
    ]
    return pl.DataFrame(rows, schema=RUN, orient="row")


@pytest.mark.parametrize("seed", range(20))
def test_runs_come_back_bit_for_bit_and_pytrec_eval_reads_the_same(seed: int, file: Any) -> None:
    before = hits(seed)
    text = write_run(before, "my tag")
    after, tag = read_run(file(text))
    assert tag == "my-tag"
    assert after.sort("qid", "doc_id").equals(before.sort("qid", "doc_id"))
    theirs = pytrec_eval.parse_run(io.StringIO(text))
    assert {(q, d): s for q, docs in theirs.items() for d, s in docs.items()} == {
        (q, d): s for q, d, s in before.iter_rows()
    }


def test_ranks_in_a_run_are_those_of_trec_eval() -> None:
    tied = pl.DataFrame(
        [("q", "a", 1.0), ("q", "c", 1.0 + 1e-12), ("q", "b", 1.0), ("q", "z", 0.5)], schema=RUN, orient="row"
    )
    assert [line.split()[2:4] for line in write_run(tied, "t").splitlines()] == [
        ["c", "1"],
        ["b", "2"],
        ["a", "3"],
        ["z", "4"],
    ]


def test_a_runs_ranks_are_not_trusted_and_its_layout_may_vary(file: Any) -> None:
    found, tag = read_run(file("\ufeff1\tQ0\ta\t9\t0.5\tx\r\n\r\n 1   Q0  b 9 1e2 x\r\n"))
    assert found.rows() == [("1", "a", 0.5), ("1", "b", 100.0)]
    assert tag == "x"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 Q0 a 1 0.5 t\n1 Q0 b 2 0.4\n", "line 2: has 5 columns"),
        ("1 Q0 a 1 high t\n", "line 1: the score 'high' is not a number"),
        ("1 Q0 a 1 nan t\n1 Q0 b 1 inf t\n", "line 1: .* line 2: the score 'inf'"),
        (
            "1 Q0 a 1 1 t\n2 Q0 a 1 1 t\n1 Q0 a 2 0 t\n",
            "line 3: the document 'a' of query '1' already stands in line 1",
        ),
        ("x\n" * 9, "line 5: .*; and 4 more"),
        ("\n\n", "holds no hits"),
    ],
)
def test_mistakes_in_runs_name_their_lines(text: str, says: str, file: Any) -> None:
    with pytest.raises(BadInput, match=f"^file.txt.*{says}"):
        read_run(file(text))


def test_a_run_refuses_ids_that_it_cannot_carry() -> None:
    for row in (("q", "a b", 1.0), ("q\n", "a", 1.0), ("", "a", 1.0)):
        with pytest.raises(BadInput, match="white space"):
            write_run(pl.DataFrame([row], schema=RUN, orient="row"), "t")


JUDGED = pl.DataFrame(
    [("1", "d1", 2), ("1", "d2", 0), ("q-2", "é", -1)],
    schema={"qid": pl.String, "doc_id": pl.String, "rating": pl.Int32},
    orient="row",
)


def rows(path: Path, form: str = "auto") -> list[tuple[str, str, int]]:
    return [(j.qid, j.doc_id, j.rating) for j in read_judgments(path, form).judgments]


@pytest.mark.parametrize("form", ["trec", "beir", "csv"])
def test_judgments_come_back(form: str, file: Any) -> None:
    text = write_judgments(JUDGED, form)
    assert rows(file(text)) == rows(file(text), form) == JUDGED.rows()
    assert read_judgments(file(text)).form == form
    if form == "trec":
        theirs = pytrec_eval.parse_qrel(io.StringIO(text))
        assert theirs == {"1": {"d1": 2, "d2": 0}, "q-2": {"é": -1}}


CELLS = st.text("'=+-@＝ab1é,;\"", min_size=1).filter(lambda text: text.strip() == text)


@given(st.lists(st.tuples(CELLS, CELLS, st.integers(-1, 3)), min_size=1, max_size=6, unique_by=lambda row: row[:2]))
def test_csv_judgments_hold_no_formula_and_come_back(rows: list[tuple[str, str, int]]) -> None:
    table = pl.DataFrame(rows, JUDGED.schema, orient="row")
    text = write_judgments(table, "csv")
    cells = [cell for line in csv.reader(io.StringIO(text)) for cell in line[:2]]
    assert not any(cell.startswith(FORMULA_STARTS) for cell in cells), "no spreadsheet runs anything"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "judgments.csv"
        path.write_text(text, encoding="utf-8", newline="")
        back = read_judgments(path, "csv").judgments
    assert [(one.qid, one.doc_id, one.rating) for one in back] == rows


def test_judgments_in_csv_may_name_queries_by_their_words(file: Any) -> None:
    text = write_judgments(JUDGED, "csv", {"1": 'say "so", twice'})
    assert text.splitlines()[1] == '"say ""so"", twice",d1,2'
    found = read_judgments(file(text))
    assert found.by_text
    assert found.judgments[0].qid == 'say "so", twice'
    assert found.judgments[0].place == "file.txt line 2"
    assert rows(file("Rating,DocID,Query,x\n3.0,d1,how,y\n")) == [("how", "d1", 3)]
    assert rows(file("how,d1,3\n")) == [("how", "d1", 3)]
    assert rows(file("\ufeffhow,d1,3\n")) == [("how", "d1", 3)], "without the mark of some editors"


@pytest.mark.parametrize(
    ("text", "form", "says"),
    [
        ("1 0 a 1\n1 0 b\n", "auto", "line 2: has 3 columns"),
        ("1 0 a 1.5\n", "auto", "line 1: the rating '1.5' is not a whole number"),
        ("1 0 a 99999999999\n", "auto", "line 1: the rating"),
        ("how,d1,3\nhow,,2\n", "csv", "line 2: the query or the document is empty"),
        ("how,d1,3\n,d1,2\n", "csv", "line 2: the query or the document is empty"),
        ("1 0 a 1\n1 0 a 0\n", "auto", "line 2: the document 'a' of query '1' was already judged in line 1"),
        ("query-id\tcorpus-id\tscore\n1\ta\n", "auto", "line 2: has 2 columns"),
        ("query,docid,rating\nhow,d1,\n", "auto", "line 2: the rating ''"),
        ('query,docid,rating\nhow,d1,1\n"open,d2,1\n', "auto", "line 3: is not CSV"),
        ('query,docid,rating\n"a\nb",d1,1\nhow,d1\n', "auto", "line 4: has 2 columns"),
        ("", "auto", "holds no judgments"),
    ],
)
def test_mistakes_in_judgments_name_their_lines(text: str, form: str, says: str, file: Any) -> None:
    with pytest.raises(BadInput, match=f"^file.txt.*{says}"):
        read_judgments(file(text), form)


def test_judgments_that_a_form_cannot_carry_are_refused() -> None:
    spaced = JUDGED.with_columns(doc_id=pl.lit("a b"))
    with pytest.raises(BadInput, match="export as csv"):
        write_judgments(spaced, "trec")
    assert "a b" in write_judgments(spaced, "beir")
    with pytest.raises(BadInput, match="export as csv"):
        write_judgments(JUDGED.with_columns(doc_id=pl.lit("a\tb")), "beir")
    for act in (lambda: write_judgments(JUDGED, "xml"), lambda: read_judgments(Path("x"), "xml")):
        with pytest.raises(BadInput, match="Known: trec, beir, csv"):
            act()


def test_a_beir_folder_gives_queries_and_judgments(tmp_path: Path) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n7\ta\t1\n")
    (tmp_path / "queries.jsonl").write_text('{"_id": "7", "text": "how", "metadata": {"a": 1}, "b": 2}\n')
    assert rows(tmp_path) == [("7", "a", 1)]
    (query,), form = read_queries(tmp_path)
    assert (query.qid, query.text, query.metadata, form) == ("7", "how", {"a": 1, "b": 2}, "beir")
    for read in (read_queries, read_judgments):
        with pytest.raises(BadInput, match="BEIR folder"):
            read(tmp_path / "qrels")  # type: ignore[operator]


OLD_TOPICS = """<top>
<num> Number: 301
<title> International Organized Crime

<desc> Description:
Identify organizations that
participate in crime.
</top>

<top>
<num>302</num><title>Polio &amp; "<b>"</title>
</top>
"""


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ('{"_id": 3, "text": "a"}\n', "beir", [("3", "a", {})]),
        ("q1\thow do\nq2\tthey work\n", "tsv", [("q1", "how do", {}), ("q2", "they work", {})]),
        ("how do\n\n  they work \n", "lines", [("1", "how do", {}), ("3", "they work", {})]),
        ("query: a, b, answer: c, d\nQuery: x\n", "answers", [("1", "a, b", {"answer": "c, d"}), ("2", "x", {})]),
        (OLD_TOPICS, "trec", [("301", "International Organized Crime", {"desc": "Identify organizations that participate in crime."}),
                              ("302", 'Polio &amp; "<b>"', {})]),
    ],
)  # fmt: skip
def test_queries_in_every_form(
    text: str, form: str, expected: list[tuple[str, str, dict[str, str]]], file: Any
) -> None:
    for asked in ("auto", form):
        found, said = read_queries(file(text), asked)
        assert said == form
        assert [(q.qid, q.text, q.metadata) for q in found] == expected


def test_encodings_are_found_out(file: Any) -> None:
    assert read_queries(file("naïve façade".encode("cp1252")))[0][0].text == "naïve façade"
    assert read_queries(file("検索".encode("utf-16")))[0][0].text == "検索"


@pytest.mark.parametrize(
    ("text", "form", "says"),
    [
        ('{"_id": "1", "text": "a"}\n{"_id": \n', "auto", "line 2: is not JSON"),
        ('{"_id": "1"}\n', "auto", "line 1: is not an object with"),
        (
            '{"_id": "1", "text": "a"}\n{"_id": "1", "text": "b"}\n',
            "auto",
            "line 2: the query id '1' already stands in line 1",
        ),
        ('{"_id": "1", "text": " "}\n', "auto", "line 1: the query has no id or no text"),
        ("q1 how\n", "tsv", "line 1: has no tab"),
        ("query: a\nb\n", "answers", "line 2: is not of the form"),
        ("<top>\n<title> a\n</top>\n<top><num>2<title>b</top>", "auto", "line 1: the topic has no <num>"),
        ("\n \n", "auto", "holds no queries"),
        ("plain", "trec", "holds no queries"),
        ("x" * 1_000_001, "auto", "line 1: has more than 1,000,000"),
    ],
)
def test_mistakes_in_queries_name_their_lines(text: str, form: str, says: str, file: Any) -> None:
    with pytest.raises(BadInput, match=f"^file.txt.*{says}"):
        read_queries(file(text), form)


def test_missing_files_are_named(tmp_path: Path) -> None:
    for read in (read_queries, read_judgments, read_run):
        with pytest.raises(BadInput, match=r"none\.txt does not exist"):
            read(tmp_path / "none.txt")  # type: ignore[operator]
    with pytest.raises(BadInput, match="is a folder"):
        read_run(tmp_path)
    with pytest.raises(BadInput, match="Known: beir, trec"):
        read_queries(tmp_path / "x", "xml")


def test_queries_come_back(file: Any) -> None:
    queries = [Query("1", "検索 how", {"a": [1]}), Query("b", "two\nlines")]
    again = read_queries(file(write_queries(queries)))[0]
    assert [(q.qid, q.text, q.metadata) for q in again] == [(q.qid, q.text, q.metadata) for q in queries]
    assert [(q.qid, q.text) for q in read_queries(file(write_queries(queries, "tsv")))[0]] == [
        ("1", "検索 how"),
        ("b", "two lines"),
    ]
    with pytest.raises(BadInput, match="beir or tsv"):
        write_queries(queries, "xml")
