"""BibTeX, RIS and MEDLINE: exact records, and reading on after a broken entry."""

from __future__ import annotations

from engine.readers.base import content_id
from engine.types import Record, Rejected
from tests.readers.conftest import ReadText

BIB = r"""% a comment
@string{acl = {Annual Meeting of the {ACL}}}
@comment{not an entry}

@inproceedings{mueller2019,
  title     = {A {S}tudy of M{\"u}ller's 5% na{\"\i}vet\'e and $F_1$~scores -- part \& whole},
  author    = {M{\"u}ller, J{\'e}r{\^o}me and van der Berg, Jan and {World Health Organization} and King, Jr., Martin},
  booktitle = "Proc. of the " # acl,
  abstract  = {First line
    continues 100% here.

    Second paragraph.},
  month = jan, year = 2019, pages = {1--10},
  url = {https://x.org/a\_b}, doi = {10.1000/182},
  keywords = {one, two}
}

@article{broken,
  title = {Never closed,
  year = 2001

@article(paren99,
  title = "Quoted {"}title{"}",
  editor = {Lee, Ann and others},
  journaltitle = {Journal of Things},
  date = {1999-05-06},
)
@article{mueller2019, title = {Same key again}}
"""


def test_bibtex(read: ReadText) -> None:
    items = read("papers.bib", BIB)
    assert items[0] == Record(
        "mueller2019",
        "A Study of M\u00fcller's 5% na\u00efvet\u00e9 and $F_1$ scores \u2013 part & whole",
        "First line continues 100% here.\n\nSecond paragraph.",
        ("J\u00e9r\u00f4me M\u00fcller", "Jan van der Berg", "World Health Organization", "Martin King Jr."),
        2019,
        "Proc. of the Annual Meeting of the ACL",
        "https://x.org/a_b",
        {
            "type": "inproceedings",
            "month": "January",
            "pages": "1\u201310",
            "doi": "10.1000/182",
            "keywords": "one, two",
        },
        "papers.bib line 5",
    )
    assert isinstance(items[1], Rejected)
    assert items[1].place == "papers.bib line 18"
    assert items[1].reason.startswith("broken entry: ")
    assert items[1].excerpt.startswith("@article{broken")
    assert items[2] == Record(
        "paren99",
        'Quoted "title"',
        "",
        ("Ann Lee",),
        1999,
        "Journal of Things",
        metadata={"type": "article"},
        place="papers.bib line 22",
    )
    assert items[3] == Record("mueller2019", "Same key again", metadata={"type": "article"}, place="papers.bib line 28")
    assert len(items) == 4


def test_bibtex_lines_and_macros_over_chunks(read: ReadText) -> None:
    filler = "".join(f"@misc{{k{i}, title = {{T{i}}}, abstract = {{{'x' * 900}}}}}\n" for i in range(1_500))
    items = read("big.bib", '@string{v = "Venue"}\n' + filler + "@misc{last, title = {End}, journal = v}\n")
    assert items[-1] == Record("last", "End", venue="Venue", metadata={"type": "misc"}, place="big.bib line 1502")
    assert len(items) == 1_501


def test_bibtex_nested_beyond_reason(read: ReadText) -> None:
    deep = "{" * 5_000 + "\\'e" + "}" * 5_000
    items = read("t.bib", f"@misc{{a, title = {{{deep}}}}}\n@misc{{b, title = {{ok}}}}\n")
    assert items[-1] == Record("b", "ok", metadata={"type": "misc"}, place="t.bib line 2")


RIS = """TY  - JOUR
TI  - A title that
continues here
AU  - Curie, Marie
AU  - Lee, Ann
PY  - 1911/05/01/
JO  - Journal of Things
AB  - Abstract with caf\u00e9.
KW  - one
KW  - two
DO  - 10.1000/182
SP  - 1
EP  - 10
ER  -

stray line
TY  - BOOK
ID  - b1
T1  - Second
Y1  - 2001
UR  - https://x.org/b
ER  -
TY  - JOUR
TI  - Without end
"""


def test_ris(read: ReadText) -> None:
    assert read("refs.ris", RIS) == [
        Record(
            "10.1000/182", "A title that continues here", "Abstract with caf\u00e9.", ("Marie Curie", "Ann Lee"), 1911, "Journal of Things",
            "https://doi.org/10.1000/182",
            {"type": "JOUR", "doi": "10.1000/182", "keywords": ["one", "two"], "first_page": "1", "last_page": "10"},
            "refs.ris line 1",
        ),
        Rejected("refs.ris line 16", "stands outside a record (TY \u2026 ER)", "stray line"),
        Record("b1", "Second", year=2001, url="https://x.org/b", metadata={"type": "BOOK"}, place="refs.ris line 17"),
        Record(content_id("Without end", ""), "Without end", metadata={"type": "JOUR"}, place="refs.ris line 23"),
    ]  # fmt: skip


NBIB = """
PMID- 123
OWN - NLM
TI  - A long title that is
      continued on the next line.
LID - 10.1000/182 [doi]
AB  - BACKGROUND: something.
FAU - Curie, Marie
AU  - Curie M
DP  - 2019 Mar 5
JT  - Journal of Things
TA  - J Things
MH  - *Radium
PT  - Journal Article

PMID- 124
TI  - Second
AU  - Lee A
"""


def test_nbib(read: ReadText) -> None:
    assert read("pubmed.nbib", NBIB) == [
        Record(
            "123", "A long title that is continued on the next line.", "BACKGROUND: something.", ("Marie Curie",), 2019, "Journal of Things",
            "https://pubmed.ncbi.nlm.nih.gov/123/",
            {"pmid": "123", "doi": "10.1000/182", "date": "2019 Mar 5", "mesh_terms": ["*Radium"], "publication_types": ["Journal Article"]},
            "pubmed.nbib line 2",
        ),
        Record("124", "Second", authors=("Lee A",), url="https://pubmed.ncbi.nlm.nih.gov/124/", metadata={"pmid": "124"}, place="pubmed.nbib line 16"),
    ]  # fmt: skip


def test_content_decides_over_the_suffix(read: ReadText) -> None:
    for name in ("export.txt", "export"):
        assert len([item for item in read(name, RIS) if isinstance(item, Record)]) == 3
        assert len(read(name, NBIB)) == 2
        assert len(read(name, BIB.removeprefix("% a comment\n"))) == 4
