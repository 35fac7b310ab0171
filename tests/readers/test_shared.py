"""The readers on whole collections: how many documents there are is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.readers.base import detect
from engine.readers.sandbox import Batch, read_in_child
from engine.types import Item, Judgment, Query, Record, Rejected


def items_of(path: Path) -> list[Item]:
    return list(detect(path)().read(path))


def test_anthology_and_the_judgments_on_it(shared_data: Path) -> None:
    items = [
        item
        for event in read_in_child([shared_data / "acl-anthology" / "xml"])
        if isinstance(event, Batch)
        for item in event.items
    ]
    records = {item.doc_id: item for item in items if isinstance(item, Record)}
    assert len(items) == len(records) == 61_686
    assert sum(len(record.text) >= 200 for record in records.values()) == 23_204
    assert all(record.year and 1965 <= record.year <= 2021 for record in records.values())
    assert all(record.venue for record in records.values())
    judged = [item for item in items_of(shared_data / "acl-litsearch") if isinstance(item, Judgment)]
    assert len(judged) == 400
    assert all(judgment.doc_id in records for judgment in judged)


def test_daily_papers(shared_data: Path) -> None:
    folder = shared_data / "daily-papers"
    merged = [item for item in items_of(folder) if isinstance(item, Record)]
    assert len(merged) == 140
    assert all(len(record.title) > 5 and len(record.text) > 400 for record in merged)
    apart = [item for file in sorted(folder.glob("*.txt")) for item in items_of(file)]
    assert all(isinstance(item, Record) for item in apart)
    assert {item.doc_id for item in apart if isinstance(item, Record)} == {record.doc_id for record in merged}
    assert len(apart) == 161


@pytest.mark.parametrize(
    ("name", "documents", "queries", "judgments"),
    [("cacm", 3204, 64, 796), ("cisi", 1460, 112, 3114), ("npl", 11426, 93, 2083), ("acl-litsearch", 0, 400, 400)],
)
def test_judged_collections(shared_data: Path, name: str, documents: int, queries: int, judgments: int) -> None:
    items = items_of(shared_data / name)
    counts = {kind: sum(isinstance(item, kind) for item in items) for kind in (Record, Query, Judgment, Rejected)}
    assert counts == {Record: documents, Query: queries, Judgment: judgments, Rejected: 0}
