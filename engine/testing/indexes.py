"""The contract of the indexes family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engine.indexes.base import IndexSpec
from engine.indexes.structured import StructuredOpenIndex
from engine.testing.fakes import fake_encoder
from engine.testing.memory import MemorySource, built, sentences
from engine.types import (
    Mask,
    TopK,
)

RECALL_SAMPLE = 100  # texts that an approximate index may ask for, to measure what it misses


def check_index(spec: IndexSpec, folder: Path, encoder: Any = None) -> None:
    """The contract of the indexes family: rows, filters, k, ties, incremental builds and refusals."""
    units = sentences(60)
    encoder = encoder or fake_encoder(spec.kind)
    source = MemorySource(units, encoder)
    index = built(spec, source, None, folder / "full")
    np.testing.assert_array_equal(index.numbers, source.numbers)

    queries = query_rows(spec, source, ["scientific papers", "nearest neighbors graph"])
    found = index.search(queries, 5)
    _check_hits(found, 2, 5, np.ones(60, bool))
    everything = index.search(queries, 1_000)
    assert everything.rows.shape[1] == 60, "k above the number of rows gives every row a place, no more"
    np.testing.assert_array_equal(everything.rows[:, :5], found.rows)
    assert index.search(queries, 0).rows.shape == (2, 0)
    assert index.search(query_rows(spec, source, []), 5).rows.shape == (0, 5)

    for share in (0.0, 0.05, 0.5, 1.0):
        allowed = np.random.default_rng(3).random(60) < share
        filtered = index.search(queries, 7, allowed)
        _check_hits(filtered, 2, 7, allowed)
        by_number = index.search(queries, 7, source.numbers[allowed])
        np.testing.assert_array_equal(by_number.rows, filtered.rows, "a filter may name the units that pass")
        for of_all, of_allowed in zip(everything.rows, filtered.rows, strict=True):
            expected = [row for row in of_all if row >= 0 and allowed[row]][:7]
            assert of_allowed[of_allowed >= 0].tolist() == expected, "a filter keeps the order of the rows that pass"

    changed = {number: text for number, text in units.items() if number % 4} | {
        10_000: "a new paper about scientific papers",
        10_007: "another one",
    }
    grown = MemorySource(changed, encoder)
    incremental = built(spec, grown, index, folder / "incremental")
    assert spec.joint or grown.asked <= 2 + RECALL_SAMPLE, (
        "texts of units that the previous index holds are not asked for again"
    )
    full = built(spec, MemorySource(changed, encoder), None, folder / "again")
    np.testing.assert_array_equal(incremental.numbers, sorted(changed))
    np.testing.assert_array_equal(incremental.search(queries, 9).rows, full.search(queries, 9).rows)
    np.testing.assert_array_equal(incremental.search(queries, 9).scores, full.search(queries, 9).scores)

    empty = built(spec, MemorySource({}, encoder), None, folder / "empty")
    assert len(empty.numbers) == 0
    assert empty.search(queries, 5).rows.shape == (2, 0)
    refilled = built(spec, source, empty, folder / "refilled")
    np.testing.assert_array_equal(refilled.search(queries, 5).rows, found.rows)
    alone = built(spec, MemorySource({5: "scientific papers"}, encoder), None, folder / "alone")
    _check_hits(alone.search(queries, 3), 2, 1, np.ones(1, bool))
    assert type(spec).model_validate(spec.model_dump()) == spec
    if isinstance(index, StructuredOpenIndex):
        assert index.searcher.memory >= 0
        best = index.search_exact(queries, 5)
        assert not index.how.exact or np.array_equal(found.rows, best.rows), "an exact structure finds the best"


def query_rows(spec: IndexSpec, source: MemorySource, texts: list[str]) -> Any:
    """The queries in the form that this kind of index takes."""
    if spec.kind == "cur":  # mixtures of its questions
        rows = [np.random.default_rng(len(text)).normal(size=spec.queries) for text in texts]  # type: ignore[attr-defined]
        return np.array(rows, np.float32).reshape(len(texts), spec.queries)  # type: ignore[attr-defined]
    return texts if spec.kind == "bm25" else source.encoder("").encode_queries(texts)


def _check_hits(found: TopK, queries: int, width: int, allowed: Mask) -> None:
    """Shapes and types, descending scores, ties by row, no row twice or against the filter."""
    assert found.rows.shape == found.scores.shape == (queries, width)
    assert (str(found.rows.dtype), str(found.scores.dtype)) == ("int64", "float32")
    for rows, scores in zip(found.rows.tolist(), found.scores.tolist(), strict=True):
        hits = [(score, row) for row, score in zip(rows, scores, strict=True) if row >= 0]
        assert hits == sorted(hits, key=lambda hit: (-hit[0], hit[1]))
        assert len({row for _, row in hits}) == len(hits)
        assert all(allowed[row] for _, row in hits)
        assert rows[len(hits) :] == [-1] * (width - len(hits)), "missing hits stand last"
        assert all(score == -np.inf for score in scores[len(hits) :])
