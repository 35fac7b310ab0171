"""Sparse search: exactness, filters, refusals, damaged files, interrupted and incremental builds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.encoders.sparse import joined
from engine.errors import BadInput, Cancelled, IndexNotReady, WorkspaceDamaged
from engine.indexes.sparse import FILES, SparseIndex, SparseOpenIndex
from engine.kernels.impacts import Impacts, WeightedTerms, best_rows_of, given_by, invert_rows, row_scores
from engine.testing.contracts import HashEncoder, HashTermEncoder, MemorySource, check_index, sentences
from engine.types import Progress, ProgressSink, SparseRows, ignore_progress

SPEC = SparseIndex(model="hashed-terms")
WIDTH = 6


class GivenEncoder(HashTermEncoder):
    """Looks rows up: the text "17" is the row 17; its literal terms are the first half of them."""

    def __init__(self, rows: Sequence[Mapping[int, float]], name: str = "given") -> None:
        super().__init__(WIDTH, name)
        self.given = rows

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> SparseRows:
        self.calls += len(texts)
        return rows_of([self.given[int(text)] for text in texts])

    def literal_ids(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        return [
            np.array(sorted(self.given[int(text)])[::-1][len(self.given[int(text)]) // 2 :] * 2, np.int64)
            for text in texts
        ]


def rows_of(rows: Sequence[Mapping[int, float]], width: int = WIDTH) -> SparseRows:
    parts = [sorted(row.items()) for row in rows]
    return joined(
        [(np.array([t for t, _ in p], np.int32), np.array([w for _, w in p], np.float32)) for p in parts], width
    )


def built(
    source: MemorySource, folder: Path, previous: Any = None, progress: ProgressSink = ignore_progress
) -> SparseOpenIndex:
    folder.mkdir(parents=True, exist_ok=True)
    SPEC.build(source, previous, folder, progress)
    return SPEC.open(folder)


def given_index(rows: Sequence[Mapping[int, float]], folder: Path) -> SparseOpenIndex:
    return built(MemorySource({7 * i: str(i) for i in range(len(rows))}, GivenEncoder(rows)), folder)


SMALL = [{0: 1.0, 2: 2.0}, {2: 0.5, 3: 4.0}, {}, {1: 1.0, 2: 2.0}]


@pytest.fixture
def small(tmp_path: Path) -> SparseOpenIndex:
    return given_index(SMALL, tmp_path / "small")


def test_rows_and_scores_by_hand(small: SparseOpenIndex) -> None:
    queries = rows_of([{2: 3.0, 3: 0.25}, {5: 1.0}, {}])
    found = small.search(queries, 3)
    assert found.rows.tolist() == [[0, 3, 1], [-1] * 3, [-1] * 3], "equal scores: the lower row first; no match, no hit"
    assert found.scores[0].tolist() == [6.0, 6.0, 2.5]
    assert small.scores(rows_of([{2: 3.0, 3: 0.25}])).tolist() == [6.0, 2.5, 0.0, 6.0]
    assert small.contributions(rows_of([{2: 3.0, 3: 0.25, 4: 9.0}]), 1) == [(2, 1.5), (3, 1.0)]
    assert small.search(queries, 3, np.array([False, True, True, True])).rows[0].tolist() == [3, 1, -1]
    assert small.search(queries, 9).rows.shape == (3, 4)


def test_rarity_counts_what_stands_in_the_texts(small: SparseOpenIndex) -> None:
    # the lower half of a row's terms: 0, 2, nothing, 1; each repeated in its text
    assert small.literal_frequency.tolist() == [1, 1, 1, 0, 0, 0]
    expected = [math.log(1 + 3.5 / 1.5)] * 3 + [math.log(1 + 4.5 / 0.5)] * 3
    np.testing.assert_allclose(small.idf, expected, rtol=1e-6)


def test_the_contract(tmp_path: Path) -> None:
    check_index(SPEC, tmp_path)


@st.composite
def problems(draw: st.DrawFn) -> tuple[SparseRows, SparseRows, int, NDArray[np.bool_]]:
    weights = st.integers(1, 12).map(lambda n: n / 4)  # sums are exact, so that ties are ties
    row = st.dictionaries(st.integers(0, 9), weights, max_size=6)
    rows = rows_of(draw(st.lists(row, max_size=40)), 10)
    allowed = np.array(draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows))), bool)
    return rows, rows_of(draw(st.lists(row, max_size=4)), 10), draw(st.integers(0, 12)), allowed


def dense_of(rows: SparseRows) -> NDArray[np.float64]:
    table = np.zeros((len(rows), rows.width))
    table[np.repeat(np.arange(len(rows)), np.diff(rows.indptr)), rows.terms] = rows.weights
    return table


@given(problems(), st.integers(1, 7))
@settings(deadline=None)
def test_search_is_brute_force(problem: tuple[SparseRows, SparseRows, int, NDArray[np.bool_]], block: int) -> None:
    rows, queries, k, allowed = problem
    impacts = invert_rows(rows, block)
    for term in range(rows.width):
        part = slice(impacts.indptr[term], impacts.indptr[term + 1])
        column = dense_of(rows)[:, term]
        assert impacts.rows[part].tolist() == np.flatnonzero(column).tolist()
        assert impacts.weights[part].tolist() == column[column > 0].tolist()
    asked = [
        WeightedTerms(queries.terms[start:end].astype(np.int64), queries.weights[start:end])
        for start, end in zip(queries.indptr[:-1], queries.indptr[1:], strict=True)
    ]
    scores = dense_of(queries) @ dense_of(rows).T
    width = min(k, len(rows))
    found = best_rows_of(impacts, asked, width, allowed)
    for i, query in enumerate(asked):
        assert row_scores(impacts, query).tolist() == scores[i].tolist()
        order = sorted(
            (row for row in range(len(rows)) if allowed[row] and scores[i, row] > 0),
            key=lambda row: (-scores[i, row], row),
        )[:width]
        assert found.rows[i].tolist() == order + [-1] * (width - len(order))
        assert found.scores[i, : len(order)].tolist() == scores[i, order].tolist()
        for row in order:
            assert sum(weight for _, weight in given_by(impacts, query, row)) == scores[i, row]


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("scientific papers", "weighted terms"),
        (np.ones((1, WIDTH), np.float32), "weighted terms"),
        (rows_of([{1: 1.0}], 7), "7 terms"),
        (rows_of([{1: -1.0}]), "above 0"),
        (rows_of([{1: math.inf}]), "above 0"),
        (rows_of([{1: math.nan}]), "above 0"),
        (rows_of([{-1: 1.0}]), "outside"),
        (rows_of([{99: 1.0}]), "outside"),
        (SparseRows(np.array([0, 2]), np.array([1, 1], np.int32), np.ones(2, np.float32), WIDTH), "ascending"),
        (SparseRows(np.array([0, 5]), np.array([1], np.int32), np.ones(1, np.float32), WIDTH), "bounds"),
    ],
)
def test_unusable_queries_are_refused(small: SparseOpenIndex, query: Any, wrong: str) -> None:
    with pytest.raises(BadInput, match=wrong):
        small.search(query, 3)


def test_unusable_filters_widths_and_rows_are_refused(small: SparseOpenIndex) -> None:
    query = rows_of([{2: 1.0}])
    with pytest.raises(BadInput, match="4 booleans"):
        small.search(query, 3, np.ones(3, bool))
    with pytest.raises(BadInput, match="k is -1"):
        small.search(query, -1)
    with pytest.raises(BadInput, match="Row 4"):
        small.contributions(query, 4)
    with pytest.raises(BadInput, match="instead of 1"):
        small.scores(rows_of([{2: 1.0}, {2: 1.0}]))


def test_a_model_of_another_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="needs a sparse model"):
        built(MemorySource({1: "one"}, HashEncoder()), tmp_path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["cut", "flip", "lose", "swap"])
def test_damaged_files_are_refused(name: str, harm: str, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    built(MemorySource(sentences(30), HashTermEncoder()), folder)
    path = folder / name
    raw = path.read_bytes()
    if harm == "cut":
        path.write_bytes(raw[:-1])
    elif harm == "flip":
        path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 0x80]))  # the sign of the last value
    elif harm == "swap":
        path.write_bytes((folder / FILES[(FILES.index(name) + 1) % len(FILES)]).read_bytes())
    else:
        path.unlink()
    with pytest.raises(WorkspaceDamaged, match="Build it again"):
        SPEC.open(folder)


def test_a_description_of_something_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    built(MemorySource(sentences(5), HashTermEncoder()), folder)
    with pytest.raises(IndexNotReady, match="Build it again"):
        SparseIndex(model="another").open(folder)
    info = (folder / "info.json").read_text()
    for said, other in (('"rows": 5', '"rows": 4'), ('"width": 5000', '"width": 4000')):
        assert said in info
        (folder / "info.json").write_text(info.replace(said, other))
        with pytest.raises(WorkspaceDamaged):
            SPEC.open(folder)
    (folder / "info.json").write_text(info[:-10])
    with pytest.raises(WorkspaceDamaged):
        SPEC.open(folder)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_incremental_build_gives_the_same_files(tmp_path: Path) -> None:
    encoder = HashTermEncoder()
    units = sentences(50)
    first = built(MemorySource(units, encoder), tmp_path / "first")
    changed = {n: t for n, t in units.items() if n % 3} | {10_000: "papers of another kind"}
    asked = MemorySource(changed, encoder)
    before = encoder.calls
    built(asked, tmp_path / "second", first)
    assert encoder.calls == before + 1
    built(MemorySource(changed, HashTermEncoder()), tmp_path / "again")
    assert files_of(tmp_path / "second") == files_of(tmp_path / "again")
    encoder.fingerprint = "another"
    built(MemorySource(changed, encoder), tmp_path / "third", first)
    assert encoder.calls == before + 1 + len(changed), "rows of another model are not reused"


def test_an_interrupted_build_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.indexes.shards.SHARD", 8)
    encoder = HashTermEncoder()

    def stop(step: Progress) -> None:
        if step.done >= 16:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        built(MemorySource(sentences(30), encoder), tmp_path / "index", progress=stop)
    assert encoder.calls == 8, "the second shard was not finished"
    built(MemorySource(sentences(30), encoder), tmp_path / "index")
    assert encoder.calls == 30
    built(MemorySource(sentences(30), HashTermEncoder()), tmp_path / "whole")
    assert files_of(tmp_path / "index") == files_of(tmp_path / "whole")


def test_postings_of_nothing() -> None:
    empty = invert_rows(rows_of([{}, {}]))
    assert isinstance(empty, Impacts)
    assert row_scores(empty, WeightedTerms(np.array([3]), np.ones(1, np.float32))).tolist() == [0, 0]
