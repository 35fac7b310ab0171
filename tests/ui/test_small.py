"""Formats, exports and the upload folder."""

from __future__ import annotations

import csv
import io
import os
import time
from pathlib import Path

import pytest
from fakes import FakeServices

from app.drawing import cards, format
from app.results.search import RejectionView
from app.ui.web import exports
from app.ui.web.uploads import UNCLAIMED_SECONDS, Uploads


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_549_000, "1.5 MB"),
        (123_456_789, "123 MB"),
        (5_000_000_000, "5.0 GB"),
        (7 * 10**12, "7.0 TB"),
    ],
)
def test_size(value: int, text: str) -> None:
    assert format.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (0.4, "0 s"), (59.4, "59 s"), (75, "1 min 15 s"), (3725, "1 h 02 min")]
)
def test_duration(value: float | None, text: str) -> None:
    assert format.duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12 ms"), (4.26, "4.3 ms"), (128.4, "128 ms"), (1240.0, "1.24 s")]
)
def test_milliseconds(value: float, text: str) -> None:
    assert format.milliseconds(value) == text


def test_scores_and_names() -> None:
    assert [format.score(v) for v in (0, 0.03254, -0.5, 7.4891, 94.44)] == ["0", "0.0325", "-0.5000", "7.489", "94.44"]
    assert format.signed(-0.03) == "−0.0300"
    assert format.shorten("abcdef", 4) == "abc…"
    assert (format.plural(1, "query", "queries"), format.plural(1200, "query", "queries")) == (
        "1 query",
        "1,200 queries",
    )


@pytest.mark.parametrize(
    ("cell", "safe"),
    [
        *((cell, "'" + cell) for cell in ("=1+1", "+x", "-x", "@x")),
        ("\t=x", "'\t'=x"),  # a spreadsheet that divides at tabs or line ends sees a second cell there
        ("\r=x", "'\r'=x"),
    ],
)
def test_formula_cells_are_defused(cell: str, safe: str) -> None:
    text = exports.rejections([RejectionView(cell, 'a,b\n"c"', "")])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows == [["where", "why", "what stood there"], [safe, 'a,b\n"c"', ""]]


def upload(uploads: Uploads, name: str = "a") -> str:
    path = uploads.root / (name * 64) / "papers.csv"
    path.parent.mkdir()
    path.write_text("x")
    return str(path)


def age(path: Path, seconds: float) -> None:
    past = time.time() - seconds
    os.utime(path, (past, past))


def test_the_folder_is_private(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    assert uploads.root == tmp_path.resolve() / "tmp" / "uploads"
    assert uploads.root.stat().st_mode & 0o777 == 0o700


def test_files_stay_until_every_job_that_reads_them_is_over(tmp_path: Path) -> None:
    uploads, services = Uploads(tmp_path), FakeServices(tmp_path)
    path = upload(uploads)
    uploads.claim([path], "job-1")
    assert uploads.sweep(services) == 0  # type: ignore[arg-type]
    uploads.claim([path], "job-d")
    assert uploads.sweep(services) == 0, "one of the two is still running"  # type: ignore[arg-type]
    (uploads.root / f"{'a' * 64}.jobs").write_text("job-d\nunknown\n")
    assert uploads.sweep(services) == 1  # type: ignore[arg-type]
    assert list(uploads.root.iterdir()) == []


def test_a_failed_job_keeps_its_files_because_it_can_be_resumed(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.claim([upload(uploads)], "job-f")
    assert uploads.sweep(FakeServices(tmp_path)) == 0  # type: ignore[arg-type]


def test_what_was_never_added_goes_after_a_day(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    fresh, old = upload(uploads, "f"), upload(uploads, "0")
    stray = uploads.root / "tmpabc_d123"
    stray.write_text("cut off")
    mine = [uploads.root / "tmp.csv", uploads.root / "mine"]
    for path in mine:
        path.mkdir() if path.name == "mine" else path.write_text("mine")
        age(path, UNCLAIMED_SECONDS * 100)
    age(Path(old).parent, UNCLAIMED_SECONDS + 60)
    age(stray, UNCLAIMED_SECONDS + 60)
    assert uploads.sweep(FakeServices(tmp_path)) == 2  # type: ignore[arg-type]
    assert sorted(entry.name for entry in uploads.root.iterdir()) == ["f" * 64, "mine", "tmp.csv"]
    uploads.discard([fresh])
    assert sorted(uploads.root.iterdir()) == sorted(mine), "files of other names are somebody else's"


def test_names_of_authors_stand_apart_and_are_cut() -> None:
    assert str(cards.people(("A", "B", "C", "D"), 2)) == '<span dir="auto">A</span>, <span dir="auto">B</span> et al.'
    assert str(cards.people(("علي",), 3)) == '<span dir="auto">علي</span>'
