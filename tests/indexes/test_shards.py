"""Shards of the three kinds of rows: what was encoded is found again, what is damaged is encoded again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.encoders.base import Encoder
from engine.errors import BadInput
from engine.indexes.shards import Shards
from engine.indexes.stored.rows import RowKind, SparseKind, TokenKind, VectorKind, row_kind
from engine.models.card import ModelCard
from engine.testing.contracts import HashEncoder, MemorySource
from engine.types import FloatRows, Ints, ProgressSink, SparseRows, TokenRows, ignore_progress

WIDTH = 7
KINDS: dict[str, RowKind[Any]] = {"dense": VectorKind(WIDTH), "sparse": SparseKind(WIDTH), "late": TokenKind(WIDTH)}


def card(family: str, width: int = WIDTH) -> ModelCard:
    fields = HashEncoder(width, name=f"by-{family}").card.model_dump()
    return ModelCard.model_validate(fields | {"family": family})


def row_of(number: int, width: int = WIDTH) -> tuple[list[int], list[float]]:
    """Unit n holds n % 4 terms."""
    terms = sorted({(number * 3 + step * 2) % width for step in range(number % 4)})
    return terms, [number + term / 8 for term in terms]


def rows_of(family: str, numbers: Sequence[int]) -> Any:
    """The rows of units in the kind of a family, with values that name their unit."""
    if family == "dense":
        return np.array([[number + i / 8 for i in range(WIDTH)] for number in numbers], np.float32).reshape(-1, WIDTH)
    parts = [row_of(number) for number in numbers]
    indptr: Ints = np.cumsum([0, *(len(terms) for terms, _ in parts)])
    terms = np.array([term for terms, _ in parts for term in terms], np.int32)
    weights = np.array([weight for _, weights in parts for weight in weights], np.float32)
    if family == "sparse":
        return SparseRows(indptr, terms, weights, WIDTH)
    return TokenRows(indptr, np.repeat(weights[:, None], WIDTH, axis=1), terms)


class NumberEncoder:
    """Reads a unit's number from its text."""

    def __init__(self, family: str) -> None:
        self.card = card(family)
        self.family = family
        self.fingerprint = f"numbers/{family}"
        self.calls = 0

    def encode_queries(self, texts: Sequence[str]) -> Any:
        return rows_of(self.family, [int(text) for text in texts])

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> Any:
        self.calls += len(texts)
        return self.encode_queries(texts)


def assert_equal(left: Any, right: Any, kind: RowKind[Any]) -> None:
    for one, other in zip(kind.arrays(left), kind.arrays(right), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(params=sorted(KINDS))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def source(encoder: Encoder[Any], numbers: range) -> MemorySource:
    return MemorySource({number: str(number) for number in numbers}, encoder)


def test_what_was_encoded_is_found_again(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.indexes.shards.SHARD", 8)
    encoder = NumberEncoder(family)
    Shards(tmp_path, encoder).encode(source(encoder, range(20)), np.arange(20), ignore_progress)
    assert encoder.calls == 20
    again = Shards(tmp_path, encoder)
    again.encode(source(encoder, range(30)), np.arange(30), ignore_progress)
    assert encoder.calls == 30, "only what is new"
    wanted = np.array([29, 3, 0, 17, 3, 20])
    assert_equal(again.rows(wanted), rows_of(family, wanted.tolist()), KINDS[family])
    assert_equal(again.rows(wanted[:0]), rows_of(family, []), KINDS[family])
    with pytest.raises(LookupError, match="1 units"):
        again.rows(np.array([3, 31]))
    assert len(Shards(tmp_path, HashEncoder(WIDTH)).numbers) == 0, "rows of another encoder are not used"


def test_rows_of_an_earlier_index_count_as_encoded(family: str, tmp_path: Path) -> None:
    encoder = NumberEncoder(family)
    shards = Shards(tmp_path, encoder)
    shards.reuse(np.array([2, 5, 9]), rows_of(family, [2, 5, 9]))
    shards.encode(source(encoder, range(10)), np.arange(10), ignore_progress)
    assert encoder.calls == 7
    assert_equal(shards.rows(np.arange(10)), rows_of(family, list(range(10))), KINDS[family])


@pytest.mark.parametrize("harm", ["cut", "swap", "lose"])
def test_a_damaged_shard_is_encoded_again(
    family: str, harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.indexes.shards.SHARD", 8)
    encoder = NumberEncoder(family)
    first = Shards(tmp_path, encoder)
    first.encode(source(encoder, range(24)), np.arange(24), ignore_progress)
    part = first.folder / f"000001.{KINDS[family].parts[0]}.npy"
    if harm == "cut":
        part.write_bytes(part.read_bytes()[:-4])
    elif harm == "swap":  # the bytes of a negative NaN, or of a number far out of range
        part.write_bytes(part.read_bytes()[:-8] + b"\xff" * 8)
    else:
        part.unlink()
    again = Shards(tmp_path, encoder)
    again.encode(source(encoder, range(24)), np.arange(24), ignore_progress)
    assert encoder.calls == 24 + 8
    assert_equal(again.rows(np.arange(24)), rows_of(family, list(range(24))), KINDS[family])


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        (SparseRows(np.array([0, 2]), np.array([1, 7], np.int32), np.ones(2, np.float32), 7), "outside"),
        (SparseRows(np.array([0, 2]), np.array([3, 3], np.int32), np.ones(2, np.float32), 7), "ascending"),
        (SparseRows(np.array([0, 1]), np.array([3], np.int32), np.zeros(1, np.float32), 7), "above 0"),
        (SparseRows(np.array([0, 1]), np.array([3], np.int32), np.full(1, np.inf, np.float32), 7), "above 0"),
        (SparseRows(np.array([0, 2]), np.array([3], np.int32), np.ones(1, np.float32), 7), "bounds"),
        (SparseRows(np.array([1, 1]), np.array([3], np.int32), np.ones(1, np.float32), 7), "bounds"),
        (SparseRows(np.array([0, 1, 1]), np.array([3], np.int32), np.ones(1, np.float32), 7), "instead of 1"),
        (SparseRows(np.array([0, 1]), np.array([3], np.int32), np.ones(1, np.float32), 8), "8 terms"),
        (TokenRows(np.array([0, 1]), np.full((1, 7), np.nan, np.float32), np.zeros(1, np.int32)), "not numbers"),
        (TokenRows(np.array([0, 1]), np.ones((1, 6), np.float32), np.zeros(1, np.int32)), "instead of 1"),
        (TokenRows(np.array([0, 1]), np.ones((1, 7), np.float32), np.full(1, -1, np.int32)), "below 0"),
        (np.full((1, 7), np.inf, np.float32), "not numbers"),
        (np.ones((2, 7), np.float32), "instead of"),
    ],
)
def test_unusable_rows_are_refused(rows: Any, wrong: str, tmp_path: Path) -> None:
    family = {SparseRows: "sparse", TokenRows: "late"}.get(type(rows), "dense")
    encoder = NumberEncoder(family)
    encoder.encode_documents = lambda *_: rows  # type: ignore[method-assign]
    with pytest.raises(BadInput, match=wrong):
        Shards(tmp_path, encoder).encode(source(encoder, range(1)), np.arange(1), ignore_progress)
    assert not list(tmp_path.rglob("*.npy"))


def test_a_cross_encoder_gives_no_rows() -> None:
    with pytest.raises(BadInput, match="pairs"):
        row_kind(card("cross"))


@given(
    st.lists(st.lists(st.integers(0, 40), max_size=6), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=12),
    st.sampled_from(sorted(KINDS)),
)
def test_gathering_is_indexing(sources: list[list[int]], picks: list[tuple[int, int]], family: str) -> None:
    picks = [(which, at) for which, at in picks if which < len(sources) and at < len(sources[which])]
    which, at = np.array(picks, np.int64).reshape(-1, 2).T
    found = KINDS[family].gather([rows_of(family, numbers) for numbers in sources], which, at)
    assert_equal(found, rows_of(family, [sources[w][a] for w, a in picks]), KINDS[family])


def test_vectors_are_stored_as_float32(tmp_path: Path) -> None:
    encoder = NumberEncoder("dense")
    shards = Shards(tmp_path, encoder)
    doubles: FloatRows = rows_of("dense", [4]).astype(np.float64)  # type: ignore[assignment]
    shards.put(np.array([4]), doubles)
    assert shards.rows(np.array([4])).dtype == np.float32
