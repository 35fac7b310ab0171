"""Damaged files of every format: whatever bytes change, reading ends in items and never in an exception."""

from __future__ import annotations

import contextlib
import json
import tempfile
import zipfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import BadInput
from engine.readers.base import ReaderOptions, detect, readers
from engine.types import Item, Judgment, Query, Record, Rejected
from tests.readers import hostile
from tests.readers.test_bibliographies import BIB, NBIB, RIS
from tests.readers.test_collections import ANTHOLOGY, ARXIV, PAGE
from tests.readers.test_pages import HTML
from tests.readers.test_tables import table

_OPTIONS = ReaderOptions()
QUICK = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def samples() -> dict[str, bytes]:
    """One valid file of each format by file name."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        workbook = hostile.xlsx(root / "t.xlsx", {"S": [["id", "title"], [1, "A"]]}).read_bytes()
        pl.DataFrame({"id": [1, 2], "title": ["A", "B"]}).write_parquet(root / "t.parquet")
        with zipfile.ZipFile(root / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.md", "# T\n\nBody " * 20)
            archive.writestr("b.bib", BIB)
        return {
            "t.bib": BIB.encode(),
            "t.ris": RIS.encode(),
            "t.nbib": NBIB.encode(),
            "t.xml": ANTHOLOGY.encode(),
            "t.json": json.dumps(ARXIV).encode(),
            "t.jsonl": b'{"id": 1, "title": "A", "metadata": {"year": 1999}}\n{"id": "b", "text": "B"}\n',
            "t.txt": PAGE.encode(),
            "t.html": HTML.encode(),
            "t.md": b"---\ntitle: T\ntags: [a, b]\n---\n# H\n\nBody *x* [y](z)\n",
            "t.csv": table(";").encode(),
            "t.tsv": b"query-id\tcorpus-id\tscore\nq\td\t1\n",
            "t.pdf": hostile.pdf([hostile.text_page("Some text on a page")], compress=True),
            "t.xlsx": workbook,
            "t.parquet": (root / "t.parquet").read_bytes(),
            "t.zip": (root / "t.zip").read_bytes(),
        }


SAMPLES = samples()


def survives(name: str, data: bytes) -> list[Item]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            reader = detect(path)
        except BadInput:
            return []
        items = list(reader().read(path))
        with contextlib.suppress(BadInput, OSError, UnicodeError):
            reader().columns(path, _OPTIONS)
    assert all(isinstance(item, (Record, Rejected, Query, Judgment)) for item in items)
    assert all(item.place for item in items)
    assert all(item.doc_id and (item.title or item.text) for item in items if isinstance(item, Record))
    return items


@pytest.mark.parametrize("name", SAMPLES)
def test_valid_samples_give_more_than_rejections(name: str) -> None:
    assert any(not isinstance(item, Rejected) for item in survives(name, SAMPLES[name]))


def test_every_reader_has_a_sample_and_a_title() -> None:
    assert {detect_name(name, data) for name, data in SAMPLES.items()} | {"text"} == set(readers())
    assert all(reader.title and reader.__doc__ for reader in readers().values())


def detect_name(name: str, data: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        return detect(path).name


@pytest.mark.parametrize("name", SAMPLES)
@QUICK
@given(data=st.data())
def test_damaged_bytes(name: str, data: st.DataObject) -> None:
    content = bytearray(SAMPLES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        if not content:
            break
    survives(name, bytes(content))


@pytest.mark.parametrize("name", SAMPLES)
@QUICK
@given(data=st.data())
def test_truncated_files(name: str, data: st.DataObject) -> None:
    survives(name, SAMPLES[name][: data.draw(st.integers(0, len(SAMPLES[name])))])


@QUICK
@given(st.sampled_from([*SAMPLES, "t", "t.rst", "t.unknown"]), st.binary(max_size=200))
def test_arbitrary_bytes_under_any_name(name: str, data: bytes) -> None:
    survives(name, data)
