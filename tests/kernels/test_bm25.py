"""Formulas by hand, and against bm25s."""

from __future__ import annotations

import math

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernels.bm25 import DELTA, inverse_document_frequency, invert, saturation, weigh

CORPORA = st.lists(st.lists(st.integers(0, 8), max_size=12), min_size=1, max_size=25).filter(lambda rows: any(rows))


def flat(corpus: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.array([token for row in corpus for token in row], np.int32)
    return tokens, np.cumsum([0, *map(len, corpus)]).astype(np.int64)


def test_a_hand_computed_weight() -> None:
    """Three rows of 4, 2 and 3 tokens (mean 3); term 0 stands twice in row 0 and once in row 2."""
    postings = invert(*flat([[0, 1, 0, 2], [1, 3], [2, 0, 3]]), 4)
    assert postings.indptr.tolist() == [0, 2, 4, 6, 8]
    assert postings.rows.tolist() == [0, 2, 0, 1, 0, 2, 1, 2]
    assert postings.counts.tolist() == [2, 1, 1, 1, 1, 1, 1, 1]
    weights = weigh(postings, np.array([4, 2, 3]), 1.2, 0.75, "lucene")
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))  # 0.470004
    assert weights[0] == pytest.approx(idf * 2 / (2 + 1.2 * (0.25 + 0.75 * 4 / 3)), rel=1e-6)  # 0.268573
    assert weights[0] == pytest.approx(0.268573, abs=1e-6)
    assert weights[1] == pytest.approx(idf / (1 + 1.2), rel=1e-6)


@pytest.mark.parametrize(
    ("variant", "idf", "tf"),
    [
        ("lucene", math.log(1 + 8.5 / 2.5), 3 / (3 + 1.2 * 1.375)),
        ("robertson", math.log(8.5 / 2.5), 3 / (3 + 1.2 * 1.375)),
        ("atire", math.log(10 / 2), 2.2 * 3 / (3 + 1.2 * 1.375)),
        ("bm25l", math.log(11 / 2.5), 2.2 * (3 / 1.375 + 0.5) / (1.2 + 3 / 1.375 + 0.5)),
        ("bm25+", math.log(11 / 2), 2.2 * 3 / (3 + 1.2 * 1.375) + 1),
    ],
)
def test_every_variant_by_hand(variant: str, idf: float, tf: float) -> None:
    """Two of ten rows hold the term; three times in a row half as long again as the mean: 0.25 + 0.75 * 1.5 = 1.375."""
    assert inverse_document_frequency(np.array([2]), 10, variant)[0] == pytest.approx(idf, rel=1e-6)
    assert saturation(np.array([3.0]), np.array([1.5]), 1.2, 0.75, variant)[0] == pytest.approx(tf)


def test_robertson_never_counts_a_common_term_against_a_row() -> None:
    assert inverse_document_frequency(np.array([9, 6, 5]), 10, "robertson").tolist() == [0, 0, 0]


@given(CORPORA, st.floats(0.1, 3), st.floats(0, 1), st.sampled_from(["lucene", "robertson", "atire", "bm25l", "bm25+"]))
def test_equals_bm25s(corpus: list[list[int]], k1: float, b: float, variant: str) -> None:
    """bm25s spreads the lower bound of bm25l and bm25+ over all rows and stores the difference; that part is added back."""
    names = sorted({token for row in corpus for token in row})
    renumbered = [[names.index(token) for token in row] for row in corpus]
    postings = invert(*flat(renumbered), len(names))
    weights = weigh(postings, np.array([len(row) for row in corpus]), k1, b, variant)
    bare = bm25s.BM25(k1=k1, b=b, method=variant, delta=DELTA.get(variant, 0.5), csc_backend="numpy")
    bare.index(([[*row] for row in renumbered], {str(n): n for n in range(len(names))}), show_progress=False)
    np.testing.assert_array_equal(postings.indptr, bare.scores["indptr"])
    np.testing.assert_array_equal(postings.rows, bare.scores["indices"])
    expected = bare.scores["data"]
    if bare.nonoccurrence_array is not None:
        expected = expected + np.repeat(bare.nonoccurrence_array, np.diff(postings.indptr))
    np.testing.assert_allclose(weights, expected, rtol=2e-6, atol=2e-6)


@given(CORPORA)
def test_postings_count_every_token(corpus: list[list[int]]) -> None:
    postings = invert(*flat(corpus), 9)
    found = {
        (term, int(postings.rows[at])): int(postings.counts[at])
        for term in range(9)
        for at in range(postings.indptr[term], postings.indptr[term + 1])
    }
    assert found == {(t, r): row.count(t) for r, row in enumerate(corpus) for t in row}


def test_an_empty_corpus() -> None:
    postings = invert(np.empty(0, np.int32), np.zeros(1, np.int64), 0)
    assert postings.indptr.tolist() == [0]
    assert len(weigh(postings, np.empty(0, np.int64), 1.2, 0.75, "lucene")) == 0
