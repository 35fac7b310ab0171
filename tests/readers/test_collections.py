"""BEIR, ACL Anthology, arXiv and Daily Papers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.readers.anthology import anthology_id, venue_of
from engine.readers.arxiv import submitted_year
from engine.readers.base import detect
from engine.readers.daily_papers import title_id
from engine.types import Judgment, Query, Record, Rejected
from tests.readers.conftest import ReadText


def beir(folder: Path) -> Path:
    (folder / "qrels").mkdir(parents=True)
    documents = [
        {"_id": "1", "title": "Algebraic Language", "text": "", "metadata": {"authors": "Perlis, A. J.; Samelson,K.", "source": "CACM December, 1958"}},
        {"_id": "2", "title": "", "text": "Body", "metadata": {}, "url": "https://x.org", "lang": "en"},
        {"title": "no id"},
    ]  # fmt: skip
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)) + "\n{oops\n")
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "languages?", "metadata": {"kind": "x"}}\n{"_id": "q2", "text": ""}\n'
    )
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\nq1\t1\t2\nq1\t2\t0\nq1\t2\nq1\t2\t0.5\nq1\t2\tnan\n"
    )
    return folder


DOCUMENTS = [
    Record(
        "1",
        "Algebraic Language",
        authors=("A. J. Perlis", "K. Samelson"),
        year=1958,
        venue="CACM",
        place="b/corpus.jsonl line 1",
    ),
    Record("2", "", "Body", url="https://x.org", metadata={"lang": "en"}, place="b/corpus.jsonl line 2"),
]
QUERIES = [
    Query("q1", "languages?", {"kind": "x"}, "b/queries.jsonl line 1"),
    Rejected("b/queries.jsonl line 2", "a query needs an id and a text", "q2"),
]
JUDGMENTS = [
    Judgment("q1", "1", 2, "b/qrels/test.tsv line 2"),
    Judgment("q1", "2", 0, "b/qrels/test.tsv line 3"),
    Rejected("b/qrels/test.tsv line 4", "has 2 cells; query id, document id and score are expected", "q1 2"),
    Rejected("b/qrels/test.tsv line 5", "the score '0.5' is not a whole number", "q1 2 0.5"),
    Rejected("b/qrels/test.tsv line 6", "the score 'nan' is not a whole number", "q1 2 nan"),
]


def test_beir_folder(tmp_path: Path) -> None:
    folder = beir(tmp_path / "b")
    items = list(detect(folder)().read(folder))
    assert items[:2] == DOCUMENTS
    assert [item.place for item in items[2:4]] == ["b/corpus.jsonl line 3", "b/corpus.jsonl line 4"]
    assert isinstance(items[2], Rejected)
    assert items[2].reason == "has no _id"
    assert items[4:] == [*QUERIES, *JUDGMENTS]


def test_beir_queries_and_judgments_without_a_corpus_and_as_single_files(tmp_path: Path) -> None:
    folder = beir(tmp_path / "b")
    (folder / "corpus.jsonl").unlink()
    assert list(detect(folder)().read(folder)) == [*QUERIES, *JUDGMENTS]
    single = folder / "qrels" / "test.tsv"
    assert list(detect(single)().read(single, name="b/qrels/test.tsv")) == JUDGMENTS
    single = folder / "queries.jsonl"
    assert list(detect(single)().read(single, name="b/queries.jsonl")) == QUERIES


ANTHOLOGY = """<?xml version='1.0' encoding='UTF-8'?>
<collection id="P17">
  <volume id="1">
    <meta>
      <booktitle>Proceedings of <fixed-case>ACL</fixed-case></booktitle>
      <editor><first>Regina</first><last>Barzilay</last></editor>
      <month>July</month>
      <year>2017</year>
    </meta>
    <frontmatter><url hash="1">P17-1000</url></frontmatter>
    <paper id="83">
      <title>On <fixed-case>BLEU</fixed-case> and <tex-math>F_1</tex-math>:
        a <i>study</i></title>
      <author id="x"><first>Ann</first><last>Lee</last><variant script="hani"><first>A</first><last>L</last></variant></author>
      <author><first/><last>Mono</last></author>
      <pages>1\u201310</pages>
      <abstract>See <url>http://x.org</url> for <b>more</b>.
    </abstract>
      <doi>10.1/x</doi>
    </paper>
    <paper id="oops"><title>Bad id</title></paper>
    <paper id="84"><title>Only a title</title><!-- remark --></paper>
  </volume>
</collection>"""
META = {"volume": "P17-1", "booktitle": "Proceedings of ACL", "month": "July"}


def test_anthology_file(read: ReadText) -> None:
    assert read("P17.xml", ANTHOLOGY) == [
        Record(
            "P17-1083", "On BLEU and F_1: a study", "See http://x.org for more.", ("Ann Lee", "Mono"), 2017, "ACL",
            "https://aclanthology.org/P17-1083", META | {"pages": "1\u201310", "doi": "10.1/x"}, "P17.xml line 11",
        ),
        Rejected("P17.xml line 21", "the ids of its collection, volume or paper are missing or not numbers"),
        Record("P17-1084", "Only a title", year=2017, venue="ACL", url="https://aclanthology.org/P17-1084", metadata=META, place="P17.xml line 22"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("collection", "volume", "paper", "expected", "venue"),
    [
        ("P17", "1", "83", "P17-1083", "ACL"),
        ("W19", "30", "17", "W19-3017", "Workshop"),
        ("D19", "1", "5", "D19-1005", "EMNLP"),
        ("D19", "50", "5", "D19-5005", "Workshop"),
        ("C69", "1", "2", "C69-0102", "COLING"),
        ("2020.nuse", "1", "1", "2020.nuse-1.1", "NUSE"),
        ("2020.acl", "main", "12", "2020.acl-main.12", "ACL"),
    ],
)
def test_anthology_ids(collection: str, volume: str, paper: str, expected: str, venue: str) -> None:
    assert anthology_id(collection, volume, paper) == expected
    assert venue_of(collection, volume) == venue


def test_anthology_folder_with_one_broken_file(tmp_path: Path) -> None:
    (tmp_path / "P17.xml").write_text(ANTHOLOGY)
    (tmp_path / "P18.xml").write_text(ANTHOLOGY[:600])
    (tmp_path / "P19.xml").write_text(ANTHOLOGY.replace("P17", "P19"))
    items = list(detect(tmp_path)().read(tmp_path, name="xml"))
    assert [item.doc_id for item in items if isinstance(item, Record)] == [
        "P17-1083",
        "P17-1084",
        "P19-1083",
        "P19-1084",
    ]
    broken = [item for item in items if isinstance(item, Rejected) and item.place == "xml/P18.xml"]
    assert [item.reason.startswith("is not well-formed XML: ") for item in broken] == [True]


ARXIV = {
    "id": "0704.0001", "submitter": "S", "authors": "C. Bal\\'azs, E. Berger", "title": "Calculation of\n  cross sections",
    "comments": "37 pages", "journal-ref": "Phys.Rev.D76", "doi": "10.1103/x", "categories": "hep-ph cs.IR",
    "abstract": "  A fully differential\ncalculation.\n", "update_date": "2008-11-26",
    "versions": [{"version": "v1", "created": "Mon, 2 Apr 2007 19:18:42 GMT"}],
    "authors_parsed": [["Bal\u00e1zs", "C.", ""], ["Berger", "E. L.", "Jr."]],
}  # fmt: skip


def test_arxiv(read: ReadText) -> None:
    lines = [json.dumps(ARXIV), '{"title": "x"}', "broken"]
    items = read("arxiv.json", "\n".join(lines))
    assert items[:2] == [
        Record(
            "0704.0001", "Calculation of cross sections", "A fully differential calculation.", ("C. Bal\u00e1zs", "E. L. Berger Jr."), 2007,
            "arXiv", "https://arxiv.org/abs/0704.0001",
            {
                "categories": ["hep-ph", "cs.IR"], "doi": "10.1103/x", "journal": "Phys.Rev.D76", "comments": "37 pages",
                "updated": "2008-11-26",
            },
            "arxiv.json line 1",
        ),
        Rejected("arxiv.json line 2", "has no id", "{'title': 'x'}"),
    ]  # fmt: skip
    assert items[2].place == "arxiv.json line 3"


@pytest.mark.parametrize(
    ("row", "year"),
    [
        ({"id": "hep-th/9901001"}, 1999),
        ({"id": "0704.0001"}, 2007),
        ({"id": "math.GT/0309136"}, 2003),
        ({"id": "x", "update_date": "2010-01-01"}, 2010),
    ],
)
def test_arxiv_years_without_versions(row: dict[str, str], year: int) -> None:
    assert submitted_year(row) == year


PAGE = """new

Get trending papers in your email inbox!

Subscribe

byAK and the research community

Mar 17

First Paper: A Title

The abstract of the first paper is rather long.

It has a second and much longer paragraph of text, too.

  \u2022 4 authors
\u00b7
Apr 29, 2024 3

Second Paper

The abstract of the second paper.

openbmb OpenBMB
\u00b7
Dec 5
"""


def test_daily_papers_page(read: ReadText) -> None:
    first = Record(
        "first-paper-a-title", "First Paper: A Title",
        "The abstract of the first paper is rather long.\n\nIt has a second and much longer paragraph of text, too.", year=2024,
        metadata={"date": "Apr 29, 2024", "votes": 3, "author_count": 4}, place="page.txt line 11",
    )  # fmt: skip
    second = Record(
        "second-paper", "Second Paper", "The abstract of the second paper.", year=2025,
        metadata={"date": "Dec 5", "organization": "openbmb OpenBMB", "year_inferred": True}, place="page.txt line 21",
    )  # fmt: skip
    assert read("page.txt", PAGE) == [first, second]


def test_daily_papers_merge_over_pages(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(PAGE)
    (tmp_path / "b.txt").write_text(
        PAGE.replace("Dec 5", "Dec 5, 2019 7").replace("FIRST", "First").replace("Second Paper", "SECOND paper")
    )
    items = list(detect(tmp_path)().read(tmp_path, name="d"))
    assert [item.doc_id for item in items if isinstance(item, Record)] == ["first-paper-a-title", "second-paper"]
    merged = items[1]
    assert isinstance(merged, Record)
    assert (merged.title, merged.year, merged.place) == ("Second Paper", 2019, "d/a.txt line 21; d/b.txt line 21")
    assert merged.metadata == {"date": "Dec 5, 2019", "votes": 7, "organization": "openbmb OpenBMB"}


def test_the_same_title_written_in_two_ways_has_one_id() -> None:
    assert title_id("ColBERT\u2013XM:  R\u00e9sum\u00e9!") == title_id("Colbert-XM: resume") == "colbert-xm-resume"
