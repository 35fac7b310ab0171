"""What tests share: tiny deterministic fakes, and the contract that every component of a family must keep.

Third parties call the same contracts on their own components; each takes a specification and an empty folder and raises AssertionError.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.indexes.base import IndexSpec, OpenIndex
from engine.models.card import ModelCard
from engine.types import FloatRows, Ints, Mask, Progress, ProgressSink, TopK, ignore_progress

RECALL_SAMPLE = 100  # texts that an approximate index may ask for, to measure what it misses
SENTENCES = (
    "Neural retrieval of scientific papers",
    "Stemming and stop words in English retrieval",
    "Dense vectors encode the meaning of papers",
    "A graph of nearest neighbors answers quickly",
    "Inverted lists answer word queries exactly",
    "Scientific papers cite other scientific papers",
    "Calibration turns scores into probabilities",
    "Probabilities of relevance rank the papers",
)


class HashEncoder:
    """A dense encoder without a model: each word adds ±1 at a hashed place, rows are L2-normalized. Texts that share words are close.

    A text without words gives a zero row. `calls` counts the documents that were encoded.
    """

    def __init__(self, dimensions: int = 32, name: str = "hash") -> None:
        self.card = ModelCard(
            name=name,
            title="Hashed words",
            source="engine.testing",
            revision="1",
            licence="Apache-2.0",
            dimensions=dimensions,
            max_tokens=512,
            similarity="cosine",
            pooling="mean",
            files={},
        )
        self.fingerprint = f"{name}/{dimensions}"
        self.calls = 0

    def encode_queries(self, texts: Sequence[str]) -> FloatRows:
        """float32 [texts, dimensions]."""
        rows = np.zeros((len(texts), self.card.dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                code = zlib.crc32(word.encode())
                row[code % len(row)] += 1 if code & (1 << 20) else -1
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, lengths, out=rows, where=lengths > 0)
        return rows

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> FloatRows:
        """float32 [texts, dimensions]."""
        progress(Progress("encode", len(texts), len(texts)))
        self.calls += len(texts)
        return self.encode_queries(texts)


class MemorySource:
    """Units held in a dictionary, number to text. `asked` counts the texts that were fetched."""

    def __init__(self, units: Mapping[int, str], encoder: Any = None) -> None:
        self.units = dict(sorted(units.items()))
        self._encoder = encoder or HashEncoder()
        self.asked = 0

    @property
    def numbers(self) -> Ints:
        """Ascending unit numbers."""
        return np.array(list(self.units), np.int64)

    def texts(self, numbers: Ints) -> list[str]:
        """The texts of these units, in this order."""
        self.asked += len(numbers)
        return [self.units[number] for number in numbers.tolist()]

    def encoder(self, model: str) -> Any:
        """The same encoder for every model name."""
        return self._encoder


def sentences(count: int) -> dict[int, str]:
    """`count` units with gaps in their numbers and repeated words in their texts."""
    return {7 * i + 3: f"{SENTENCES[i % len(SENTENCES)]} topic{i % 5} item{i}" for i in range(count)}


def check_index(spec: IndexSpec, folder: Path, encoder: Any = None) -> None:
    """The contract of the indexes family: rows, filters, k, ties, incremental builds and refusals."""
    units = sentences(60)
    source = MemorySource(units, encoder)
    index = _built(spec, source, None, folder / "full")
    np.testing.assert_array_equal(index.numbers, source.numbers)

    queries = query_rows(spec, source, ["scientific papers", "nearest neighbors graph"])
    found = index.search(queries, 5)
    _check_hits(found, 2, 5, np.ones(60, bool))
    everything = index.search(queries, 1_000)
    assert everything.rows.shape[1] == 60, "k above the number of rows gives every row a place, no more"
    np.testing.assert_array_equal(everything.rows[:, :5], found.rows)
    assert index.search(queries, 0).rows.shape == (2, 0)
    assert index.search(queries[:0], 5).rows.shape == (0, 5)

    for share in (0.0, 0.05, 0.5, 1.0):
        allowed = np.random.default_rng(3).random(60) < share
        filtered = index.search(queries, 7, allowed)
        _check_hits(filtered, 2, 7, allowed)
        for of_all, of_allowed in zip(everything.rows, filtered.rows, strict=True):
            expected = [row for row in of_all if row >= 0 and allowed[row]][:7]
            assert of_allowed[of_allowed >= 0].tolist() == expected, "a filter keeps the order of the rows that pass"

    changed = {number: text for number, text in units.items() if number % 4} | {
        10_000: "a new paper about scientific papers",
        10_007: "another one",
    }
    grown = MemorySource(changed, encoder)
    incremental = _built(spec, grown, index, folder / "incremental")
    assert grown.asked <= 2 + RECALL_SAMPLE, "texts of units that the previous index holds are not asked for again"
    full = _built(spec, MemorySource(changed, encoder), None, folder / "again")
    np.testing.assert_array_equal(incremental.numbers, sorted(changed))
    np.testing.assert_array_equal(incremental.search(queries, 9).rows, full.search(queries, 9).rows)
    np.testing.assert_array_equal(incremental.search(queries, 9).scores, full.search(queries, 9).scores)

    empty = _built(spec, MemorySource({}, encoder), None, folder / "empty")
    assert len(empty.numbers) == 0
    assert empty.search(queries, 5).rows.shape == (2, 0)
    refilled = _built(spec, source, empty, folder / "refilled")
    np.testing.assert_array_equal(refilled.search(queries, 5).rows, found.rows)
    alone = _built(spec, MemorySource({5: "scientific papers"}, encoder), None, folder / "alone")
    _check_hits(alone.search(queries, 3), 2, 1, np.ones(1, bool))
    assert type(spec).model_validate(spec.model_dump()) == spec


def query_rows(spec: IndexSpec, source: MemorySource, texts: list[str]) -> Any:
    """The queries in the form that this kind of index takes."""
    return texts if spec.kind == "bm25" else source.encoder("").encode_queries(texts)


def _built(spec: IndexSpec, source: MemorySource, previous: OpenIndex | None, folder: Path) -> OpenIndex:
    folder.mkdir(parents=True)
    steps: list[Progress] = []
    info = spec.build(source, previous, folder, steps.append)
    assert steps, "a build reports progress"
    index = spec.open(folder)
    assert (info.rows, info.fingerprint) == (len(index.numbers), index.fingerprint)
    return index


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
