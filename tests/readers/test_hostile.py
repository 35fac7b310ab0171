"""Files made to harm: bombs, traversal, entities, endless nesting. Each costs itself, within limits, and says so."""

from __future__ import annotations

import resource
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from engine.errors import BadInput
from engine.readers.archive import unpack
from engine.readers.base import ReaderOptions, detect
from engine.readers.sandbox import Batch, read_in_child
from engine.readers.sources import UNKNOWN
from engine.types import Item, Record, Rejected
from tests.readers import hostile
from tests.readers.conftest import ReadText

BILLION = "<!DOCTYPE collection [" + '<!ENTITY a0 "lol">' + "".join(
    f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10)
) + "]>"  # fmt: skip


def in_child(
    *paths: Path, options: ReaderOptions | None = None, memory: int = 1_000_000_000, seconds: float = 20
) -> list[Item]:
    events = read_in_child(paths, options, memory_bytes=memory, seconds_per_file=seconds)
    return [item for event in events if isinstance(event, Batch) for item in event.items]


def here(path: Path, options: ReaderOptions | None = None) -> list[Item]:
    """Read in this process: for what must be refused before anything unfolds."""
    return list(detect(path)().read(path, options))


@pytest.fixture
def small_memory() -> Iterator[None]:
    """Fail instead of taking the machine along, should a limit not hold in this very process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (12_000_000_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


pytestmark = pytest.mark.usefixtures("small_memory")


@pytest.mark.parametrize(
    "head",
    [
        BILLION,
        '<!DOCTYPE collection [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE collection [<!ENTITY x SYSTEM "http://127.0.0.1:9/x">]>',
        '<!DOCTYPE collection [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;]>',
    ],
)
def test_xml_entities_are_refused(read: ReadText, head: str) -> None:
    body = '<collection id="P17"><volume id="1"><paper id="1"><title>&a9;&x;</title></paper></volume></collection>'
    began = time.monotonic()
    (item,) = read("P17.xml", f'<?xml version="1.0"?>{head}{body}')
    assert isinstance(item, Rejected)
    assert "XML" in item.reason
    assert "root:" not in item.reason
    assert time.monotonic() - began < 10


def test_xml_entities_in_utf16_are_refused_too(read: ReadText) -> None:
    body = '<collection id="P17"><volume id="1"><paper id="1"><title>&a9;</title></paper></volume></collection>'
    head = '<!DOCTYPE collection [<!ENTITY a9 "lol">]>'
    (item,) = read("P17.xml", f'<?xml version="1.0" encoding="utf-16"?>{head}{body}'.encode("utf-16"))
    assert isinstance(item, Rejected)
    assert item.reason.startswith("declares XML entities")


def test_xml_nested_and_in_the_wrong_encoding(read: ReadText) -> None:
    start = '<collection id="P17"><volume id="1"><paper id="1"><title>'
    (item,) = read("P17.xml", start + "<b>" * 100_000)
    assert isinstance(item, Rejected)
    assert item.reason.startswith("is not well-formed XML")
    (item,) = read(
        "P17.xml",
        b'<?xml version="1.0" encoding="utf-8"?>' + start.encode() + b"caf\xe9</title></paper></volume></collection>",
    )
    assert isinstance(item, Rejected)
    assert item.reason.startswith("is not well-formed XML")


def test_zip_slip_links_and_nested_archives(tmp_path: Path) -> None:
    path = tmp_path / "mixed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("docs/a.md", "# Title\n\nBody")
        archive.writestr("../evil.txt", "evil")
        archive.writestr("/abs.txt", "evil")
        archive.writestr("..\\win.txt", "evil")
        archive.writestr("C:/x.txt", "evil")
        link = zipfile.ZipInfo("link.txt")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("__MACOSX/docs/._a.md", "junk")
        archive.writestr("inner.zip", _zip_bytes(tmp_path))
        archive.writestr("raw.bin", bytes(range(256)))
    items = in_child(path)
    assert [(item.place, item.reason) for item in items if isinstance(item, Rejected)] == [
        ("mixed.zip/../evil.txt", "its path leads out of the archive"),
        ("mixed.zip//abs.txt", "its path leads out of the archive"),
        ("mixed.zip/..\\win.txt", "its path leads out of the archive"),
        ("mixed.zip/C:/x.txt", "its path leads out of the archive"),
        ("mixed.zip/link.txt", "is a link"),
        ("mixed.zip/inner.zip", "is an archive inside an archive; unpack it first"),
        ("mixed.zip/raw.bin", UNKNOWN),
    ]
    assert [item for item in items if isinstance(item, Record)] == [
        Record("mixed.zip/docs/a.md", "Title", "Body", place="mixed.zip/docs/a.md")
    ]
    assert not (tmp_path / "evil.txt").exists()
    # The reader on its own gives the same items as the child.
    assert list(detect(path)().read(path)) == items


def test_an_entry_without_a_name_does_not_cost_the_others(tmp_path: Path) -> None:
    path = tmp_path / "nameless.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "nobody knows where this belongs")
        archive.writestr("a.md", "# Title\n\nBody")
    # The directory's entry: its name is the last byte before the next signature.
    content = path.read_bytes()
    at = content.index(b"PK\x01\x02")
    name = at + 46
    assert content[name : name + 1] == b"x"
    content = content[: at + 28] + b"\0\0" + content[at + 30 : name] + content[name + 1 :]
    end = content.rindex(b"PK\x05\x06")
    size = int.from_bytes(content[end + 12 : end + 16], "little") - 1
    path.write_bytes(content[: end + 12] + size.to_bytes(4, "little") + content[end + 16 :])
    assert [item.title for item in in_child(path) if isinstance(item, Record)] == ["Title"]


@pytest.mark.parametrize("deep", ["[" * 900 + "]" * 900, '{"a":' * 900 + "1" + "}" * 900])
def test_a_row_that_is_nested_too_deeply_does_not_cost_the_others(tmp_path: Path, deep: str) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [f'{{"id": "1", "title": "A", "{key}": {deep}}}' for key in ("authors", "title", "text", "year", "keywords")]
    path.write_text("\n".join([*rows, '{"id": "2", "title": "B"}']))
    items = in_child(path)
    assert items[-1] == Record("2", "B", place="rows.jsonl line 6")
    assert all(
        item.place.startswith("rows.jsonl line") and item.reason == "is nested too deeply"
        for item in items
        if isinstance(item, Rejected)
    )


def _zip_bytes(tmp_path: Path) -> bytes:
    path = tmp_path / "inner.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.txt", "x")
    return path.read_bytes()


def test_zip_bombs_by_ratio_by_lie_and_by_number(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros.txt", "w") as entry:
        for _ in range(120):
            entry.write(bytes(1_000_000))
    (item,) = here(path)
    assert isinstance(item, Rejected)
    assert item.reason.startswith("would unpack to 120,000,000 bytes from 116,")
    # The directory at the end claims one byte; the data is the same.
    lying = path.read_bytes().replace((120_000_000).to_bytes(4, "little"), (1).to_bytes(4, "little"))
    path.write_bytes(lying)
    (item,) = here(path)
    assert isinstance(item, Rejected)
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(20):
            archive.writestr(f"{i}.txt", "x")
    (item,) = here(path, ReaderOptions(max_entries=19))
    assert item == Rejected("bomb.zip", "has 20 entries; the limit is 19.")


def test_zip_bytes_are_counted_while_they_are_written(tmp_path: Path) -> None:
    path, folder = tmp_path / "a.zip", tmp_path / "out"
    folder.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "x" * 10)
    assert unpack(path, folder, ReaderOptions(max_expanded_bytes=10), "a.zip") == []
    assert (folder / "a.txt").read_text() == "x" * 10
    path.write_bytes(path.read_bytes()[:-30])
    (item,) = here(path)
    assert isinstance(item, Rejected)
    assert item.reason.startswith("is not a readable zip archive")


def test_what_is_written_is_limited_even_where_the_claims_are_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = tmp_path / "a.zip", tmp_path / "out"
    folder.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "x" * 10)
    monkeypatch.setattr("engine.readers.archive._check_claims", lambda *_: None)
    with pytest.raises(BadInput, match="more than the limit"):
        unpack(path, folder, ReaderOptions(max_expanded_bytes=9), "a.zip")


def test_an_encrypted_entry_and_one_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "some text")
    data = bytearray(path.read_bytes())
    data[data.index(b"some text")] ^= 1
    path.write_bytes(bytes(data))
    (item,) = here(path)
    assert isinstance(item, Rejected)
    assert "Bad CRC-32" in item.reason


def test_spreadsheet_bomb(tmp_path: Path) -> None:
    path = hostile.xlsx(tmp_path / "t.xlsx", {"S": [["title"], ["A"]]}, extra={"xl/media/x": bytes(120_000_000)})
    (item,) = here(path)
    assert isinstance(item, Rejected)
    assert "would unfold to 120,00" in item.reason


def test_parquet_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    # One string of a megabyte in a dictionary, 1,500 rows that refer to it: 59 KB for 1.5 GB.
    duckdb.sql(
        f"COPY (SELECT i AS id, repeat('x', 1000000) AS text FROM range(1500) t(i)) TO '{path}' (FORMAT parquet, DICTIONARY_SIZE_LIMIT 2000000)"
    )
    assert path.stat().st_size < 200_000
    items = in_child(path)
    records = [item for item in items if isinstance(item, Record)]
    assert len(records) == 99  # 100 MB less the bytes of the ids
    assert items[-1] == Rejected(
        "bomb.parquet row 100", "unfolds to more than 100,000,000 bytes; this row and those after it were not read"
    )


def test_a_pdf_that_unfolds_beyond_the_memory_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pdf"
    # 60 KB that print 30 million words.
    path.write_bytes(hostile.pdf([b"BT /F1 12 Tf " + b"(hello) Tj " * 30_000_000 + b" ET"], compress=True))
    assert path.stat().st_size < 2_000_000
    good = tmp_path / "good.pdf"
    good.write_bytes(hostile.pdf([hostile.text_page("A page with words on it")]))
    bad, after = in_child(path, good, memory=600_000_000)
    assert bad == Rejected("bomb.pdf", "needed more than 0.6 GB of memory")
    assert isinstance(after, Record)


def test_a_sheet_with_one_cell_in_its_far_corner_says_why_it_is_not_read(tmp_path: Path) -> None:
    plain, far = hostile.xlsx(tmp_path / "plain.xlsx", {"S": [["title"], ["A"]]}), tmp_path / "far.xlsx"
    with zipfile.ZipFile(plain) as before, zipfile.ZipFile(far, "w") as after:
        for entry in before.infolist():
            content = before.read(entry).replace(b'<row r="2"><c r="A2"', b'<row r="1048576"><c r="XFD1048576"')
            after.writestr(entry.filename, content)
    assert in_child(far) == [Rejected("far.xlsx", "needed more than 1 GB of memory")]


@pytest.mark.parametrize("declared", ['<!ENTITY x "lol">', '<!ENTITY x SYSTEM "file:///etc/hostname">'])
def test_entities_inside_a_spreadsheet_are_not_unfolded(tmp_path: Path, declared: str) -> None:
    plain, odd = hostile.xlsx(tmp_path / "plain.xlsx", {"S": [["title"], ["A"]]}), tmp_path / "odd.xlsx"
    with zipfile.ZipFile(plain) as before, zipfile.ZipFile(odd, "w") as after:
        for entry in before.infolist():
            content = before.read(entry).replace(b"<t>A</t>", b"<t>A &x;</t>")
            head = f"<!DOCTYPE worksheet [{declared}]>".encode() if "sheet1" in entry.filename else b""
            after.writestr(entry.filename, head + content)
    items = here(odd)
    assert all(isinstance(item, Rejected) for item in items)
    assert "unrecognized entity" in str(items[0])


def test_half_a_million_lines_of_one_value_are_read_in_time(tmp_path: Path) -> None:
    path = tmp_path / "long.ris"
    path.write_text("TY  - JOUR\nTI  - A\nAB  - first\n" + "more\n" * 500_000 + "ER  - \n")
    began = time.monotonic()
    (item,) = here(path)
    assert isinstance(item, Record)
    assert item.text.startswith("first")
    assert item.text.count("more") == 500_000
    assert time.monotonic() - began < 15


def test_html_with_300k_attributes_ends_within_its_time(tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    attributes = " ".join(f"a{i}=''" for i in range(300_000))
    path.write_text(f"<html><body><p {attributes}>text</p></body></html>")
    after = tmp_path / "b.txt"
    after.write_text("still read")
    began = time.monotonic()
    items = in_child(path, after, seconds=2)
    assert time.monotonic() - began < 30
    # Quick parsers read it, slow ones run into the limit: both are fine, the next file is read either way.
    assert items[0] in (
        Record("a.html", "a", "text", place="a.html"),
        Rejected("a.html", f"took more than {2 + path.stat().st_size / 1e6:.0f} s"),
    )
    assert items[1] == Record("b.txt", "b", "still read", place="b.txt")


def test_pdf_flate_bomb_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pdf"
    path.write_bytes(hostile.pdf([b"BT /F1 1 Tf " + b"(aaaaaaaaaaaaaaaa) Tj " * 12_000_000 + b"ET"], compress=True))
    after = tmp_path / "z.txt"
    after.write_text("still read")
    assert path.stat().st_size < 1_500_000
    began = time.monotonic()
    items = in_child(path, after, memory=500_000_000, seconds=2)
    assert time.monotonic() - began < 30
    assert isinstance(items[0], Rejected)
    assert items[0].place == "bomb.pdf"
    assert items[1] == Record("z.txt", "z", "still read", place="z.txt")


def test_yaml_tags_and_html_in_titles_are_only_text(read: ReadText) -> None:
    (item,) = read("t.csv", 'id,title\n1,"<img src=x onerror=alert(1)> ${alert(1)} =cmd()"\n')
    assert isinstance(item, Record)
    assert item.title == "<img src=x onerror=alert(1)> ${alert(1)} =cmd()"
