"""Every index specification keeps the contract of its family."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.component import discover
from engine.indexes.base import IndexSpec
from engine.indexes.bm25 import Bm25Index
from engine.indexes.cur import CurIndex
from engine.indexes.dense import DenseIndex
from engine.indexes.late import LateIndex
from engine.indexes.sparse import SparseIndex
from engine.testing.contracts import check_index

SPECS = [
    Bm25Index(),
    Bm25Index(analyzer="any"),
    *(Bm25Index(variant=variant) for variant in ("robertson", "atire", "bm25l", "bm25+")),
    DenseIndex(),
    DenseIndex(structure="exact", unit="document"),
    DenseIndex(structure="hnsw"),
    LateIndex(),
    LateIndex(structure="centroids", unit="document"),
    SparseIndex(),
    SparseIndex(unit="document"),
    CurIndex(),
    CurIndex(queries=8, seed=3),
]


def test_every_registered_index_is_listed() -> None:
    assert set(discover("indexes").values()) == {type(spec) for spec in SPECS}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.model_dump_json(exclude_defaults=True) + spec.name)
def test_contract(spec: IndexSpec, tmp_path: Path) -> None:
    check_index(spec, tmp_path)
