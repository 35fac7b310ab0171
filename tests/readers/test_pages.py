"""Markdown, HTML, plain text and PDF: one file, one document."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine.errors import BadInput
from engine.readers.base import detect
from engine.types import Record, Rejected
from tests.readers import hostile
from tests.readers.conftest import ReadText


def test_markdown_with_front_matter(read: ReadText) -> None:
    source = """---
title: From the front
author: [Ann Lee, "Ray, Bo"]
date: 2020-05-01
tags: [x, y]
---
# A heading

Text with **bold**, `code` and a [link](https://x.org).
Same paragraph.

* item one
* item two

```python
print(1)
```
<script>alert(1)</script>
"""
    assert read("note.md", source) == [
        Record(
            "note.md", "From the front", "Text with bold, code and a link. Same paragraph.\n\nitem one\n\nitem two\n\nprint(1)",
            ("Ann Lee", "Bo Ray"), 2020, metadata={"tags": ["x", "y"], "date": "2020-05-01"}, place="note.md",
        )
    ]  # fmt: skip


def test_markdown_title_from_heading_or_file_name(read: ReadText) -> None:
    assert read("a.md", "Intro\n=====\n\nBody\n") == [Record("a.md", "Intro", "Body", place="a.md")]
    assert read("my_note-2.md", "Body\n") == [Record("my_note-2.md", "my note 2", "Body", place="my_note-2.md")]


def test_markdown_front_matter_that_is_broken_or_multiplies_is_left_out(read: ReadText) -> None:
    broken = read("a.md", "---\ntitle: [x\n---\nBody\n")
    assert isinstance(broken[0], Rejected)
    assert broken[0].place == "a.md line 1"
    assert broken[0].reason.startswith("the front matter is not valid YAML")
    assert broken[1] == Record("a.md", "a", "Body", place="a.md")
    aliases = read("a.md", "---\na: &a [x]\nb: *a\n---\nBody\n")
    assert aliases[0] == Rejected("a.md line 1", "the front matter uses YAML aliases and was left out")
    assert read("a.md", "---\nx: !!python/object/apply:os.system [echo]\n---\nBody\n")[1] == Record(
        "a.md", "a", "Body", place="a.md"
    )


HTML = """<!DOCTYPE html><html><head><title>Page &amp; title</title>
<meta name="citation_author" content="Lee, Ann"><meta name="citation_author" content="Ray, Bo">
<meta name="citation_publication_date" content="2018/03/01"><link rel="canonical" href="https://x.org/p">
<meta name="citation_journal_title" content="J"><style>p {color: red}</style></head>
<body><h1>Head</h1><script>alert("no")</script><p>One <b>bold</b>
word.<br>next line</p><p hidden>secret</p><noscript>no</noscript><div>Two<!-- remark --></div><svg><text>no</text></svg></body></html>"""


def test_html(read: ReadText) -> None:
    assert read("page.html", HTML) == [
        Record(
            "page.html", "Page & title", "Head\n\nOne bold word.\nnext line\n\nTwo", ("Ann Lee", "Bo Ray"), 2018, "J", "https://x.org/p",
            {"date": "2018/03/01"}, "page.html",
        )
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8", "utf-16"])
def test_html_encodings(read: ReadText, encoding: str) -> None:
    declared = f'<html><head><meta charset="{encoding}"><title>Caf\u00e9</title></head><body>t\u00eate</body></html>'
    assert read("p.html", declared.encode(encoding)) == [Record("p.html", "Caf\u00e9", "t\u00eate", place="p.html")]
    wrong = declared.replace(encoding, "no-such-charset")
    assert read("p.html", wrong.encode(encoding)) == [Record("p.html", "Caf\u00e9", "t\u00eate", place="p.html")]


def test_html_named_pdf_is_read_as_html(read: ReadText) -> None:
    assert read("paper.pdf", "<html><title>Sign in</title><body>Please sign in</body></html>") == [
        Record("paper.pdf", "Sign in", "Please sign in", place="paper.pdf")
    ]


def test_html_without_text_is_empty(read: ReadText) -> None:
    (item,) = read("p.html", "<html><body><script>x</script></body></html>")
    assert item == Rejected("p.html", "empty: it has neither a title nor a text", "p.html")


@pytest.mark.parametrize(("tag", "depth"), [("div", 300), ("div", 100_000), ("b", 300), ("blockquote", 5_000)])
def test_html_that_the_parser_would_cut_is_refused(read: ReadText, tag: str, depth: int) -> None:
    nested = f"<{tag}>" * depth + "deep" + f"</{tag}>" * depth
    (item,) = read("p.html", f"<html><body>start{nested}<p>after</p></body></html>")
    assert item == Rejected("p.html", "is nested too deeply, so what it says cannot be read as a whole.")


def test_html_nested_as_pages_are_is_read_whole(read: ReadText) -> None:
    nested = "<div>" * 200 + "deep" + "</div>" * 200
    (item,) = read("p.html", f"<html><body>start{nested}<p>after</p></body></html>")
    assert isinstance(item, Record)
    assert item.text.split() == ["start", "deep", "after"]


@pytest.mark.parametrize(
    "source",
    [">" * 10_000 + " deep", "".join(" " * 2 * depth + "- item\n" for depth in range(200)), "- " * 3_000 + "x"],
)
def test_markdown_that_the_parser_would_cut_is_refused(read: ReadText, source: str) -> None:
    (item,) = read("m.md", f"before\n\n{source}\n\nafter\n")
    assert item == Rejected("m.md", "is nested too deeply: its quotes and lists stand in one another.")


def test_front_matter_that_is_nested_too_deeply_is_left_out_in_time(read: ReadText) -> None:
    began = time.monotonic()
    rejected, record = read("m.md", "---\na: " + "[" * 5_000 + "]" * 5_000 + "\n---\nSome text\n")
    assert rejected == Rejected("m.md line 1", "the front matter is nested too deeply and was left out")
    assert isinstance(record, Record)
    assert record.text == "Some text"
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("line", [">" * 90 + " deep", "- " * 40 + "deep"])
def test_markdown_nested_as_pages_are_is_read_whole(read: ReadText, line: str) -> None:
    (item,) = read("m.md", f"before\n\n{line}\n\nafter\n")
    assert isinstance(item, Record)
    assert item.text.split() == ["before", "deep", "after"]


def test_plain_text(read: ReadText) -> None:
    assert read("notes.txt", "A title\n\nFirst paragraph\nwraps.\n\n\n\nSecond.") == [
        Record("notes.txt", "A title", "First paragraph\nwraps.\n\nSecond.", place="notes.txt")
    ]
    assert read("my_notes.txt", "One line\nanother") == [
        Record("my_notes.txt", "my notes", "One line\nanother", place="my_notes.txt")
    ]
    assert read("blank.txt", " \n ") == [Rejected("blank.txt", "empty: it has neither a title nor a text", "blank.txt")]
    assert read("n.txt", "x" * 200, max_text_chars=100) == [
        Rejected("n.txt", "has more than 100 characters, the limit of one document.")
    ]


def test_pdf(read: ReadText) -> None:
    info = b"/Title (A real title) /Author (Ann Lee; Bo Ray) /CreationDate (D:20190102) /Keywords (k)"
    data = hostile.pdf([hostile.text_page("Page one", "second line"), hostile.text_page("Page two")], info=info)
    assert read("paper.pdf", data) == [
        Record(
            "paper.pdf", "A real title", "Page one\nsecond line\n\nPage two", ("Ann Lee", "Bo Ray"), 2019,
            metadata={"pages": 2, "keywords": "k"}, place="paper.pdf",
        )
    ]  # fmt: skip


def test_pdf_title_from_the_first_line_when_the_metadata_is_junk(read: ReadText) -> None:
    data = hostile.pdf(
        [hostile.text_page("17", "Dense retrieval for all", "body")], info=b"/Title (Microsoft Word - x.doc)"
    )
    (item,) = read("paper.pdf", data)
    assert isinstance(item, Record)
    assert item.title == "Dense retrieval for all"


def test_pdf_without_text_encrypted_or_broken(read: ReadText) -> None:
    no_text = "no text: its pages are images or empty; run it through text recognition (OCR) first."
    assert read("image.pdf", hostile.pdf([b"0 0 100 100 re f"])) == [Rejected("image.pdf", no_text)]
    assert read("none.pdf", hostile.pdf([]))[0].place == "none.pdf"
    assert read("secret.pdf", hostile.pdf([hostile.text_page("x")], encrypt=True)) == [
        Rejected("secret.pdf", "is encrypted; save it without a password.")
    ]
    (item,) = read("cut.pdf", b"%PDF-1.7\ngarbage")
    assert isinstance(item, Rejected)
    assert item.reason.startswith("is not a readable PDF")


def test_pdf_limits(read: ReadText) -> None:
    data = hostile.pdf([hostile.text_page("words " * 10)] * 3)
    assert read("p.pdf", data, max_pages=2) == [Rejected("p.pdf", "has 3 pages; the limit is 2.")]
    assert read("p.pdf", data, max_text_chars=100) == [
        Rejected("p.pdf", "has more than 100 characters, the limit of one document.")
    ]


def test_unknown_and_empty_files_are_errors_that_list_the_formats(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(bytes(range(256)))
    with pytest.raises(BadInput, match=r"x\.bin has a format that is not known\. Known formats: .*BibTeX"):
        detect(tmp_path / "x.bin")
    (tmp_path / "e.txt").touch()
    with pytest.raises(BadInput, match=r"e\.txt is empty"):
        detect(tmp_path / "e.txt")
    with pytest.raises(BadInput, match="does not exist"):
        detect(tmp_path / "missing")
