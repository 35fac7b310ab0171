"""MaxSim against hand-computed values and a loop over every pair of tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.kernels import maxsim as kernel
from engine.kernels.maxsim import TokenStore, best_texts, matches, maxsim, quantised
from engine.types import FloatRows, Ints


def store_of(texts: list[FloatRows]) -> TokenStore:
    """Texts one after another, as they are."""
    indptr = np.cumsum([0, *(len(text) for text in texts)]).astype(np.int64)
    dim = texts[0].shape[1] if texts else 2
    return TokenStore(indptr, np.concatenate([np.empty((0, dim), np.float32), *texts]))


def brute(query: FloatRows, store: TokenStore) -> list[float]:
    """The definition, pair by pair."""
    scores = []
    for row in range(len(store)):
        text = store.floats(row).astype(np.float64)
        total = sum(max((float(q @ t) for t in text), default=-np.inf) for q in query.astype(np.float64))
        scores.append(total)
    return scores


def drawn(seed: int, lengths: list[int], dim: int) -> TokenStore:
    """Random texts of these lengths."""
    random = np.random.default_rng(seed)
    return store_of([unit(random.standard_normal((length, dim))) for length in lengths])


def unit(rows: NDArray[np.float64]) -> FloatRows:
    """Rows of length 1."""
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_scores_computed_by_hand() -> None:
    store = store_of(
        [
            np.array([[1, 0], [0, 1]], np.float32),  # both query tokens find themselves: 1 + 1
            np.array([[0.6, 0.8]], np.float32),  # one token answers both: .6 + .8
            np.array([[-1, 0], [0, -1], [-0.6, -0.8]], np.float32),  # the best of bad ones: 0 + 0
        ]
    )
    query = np.array([[1, 0], [0, 1]], np.float32)
    np.testing.assert_allclose(maxsim(query, store), [2, 1.4, 0], atol=1e-6)
    np.testing.assert_allclose(maxsim(query, store, np.array([2, 0])), [0, 2], atol=1e-6)
    rows, scores = best_texts(query, store, 2)
    assert rows.tolist() == [0, 1]
    np.testing.assert_allclose(scores, [2, 1.4], atol=1e-6)


def test_a_factor_on_a_query_token_weighs_it() -> None:
    store = store_of([np.array([[1, 0]], np.float32), np.array([[0, 1]], np.float32)])
    assert maxsim(np.array([[1, 0], [0, 0.5]], np.float32), store).tolist() == [1, 0.5]


def test_a_text_without_tokens_has_no_score_and_is_never_found() -> None:
    empty = np.empty((0, 2), np.float32)
    store = store_of([empty, np.array([[1, 0]], np.float32), empty])
    query = np.array([[1, 0]], np.float32)
    assert maxsim(query, store).tolist() == [-np.inf, 1, -np.inf]
    assert best_texts(query, store, 5)[0].tolist() == [1]
    assert len(maxsim(query, store_of([]))) == 0


def test_equal_texts_keep_their_order_wherever_they_lie() -> None:
    random = np.random.default_rng(0)
    same = unit(random.standard_normal((7, 16)))
    texts = [same if row % 3 == 0 else unit(random.standard_normal((row % 11 + 1, 16))) for row in range(90)]
    query = same[:5] * np.float32(3)
    rows, scores = best_texts(query, store_of(texts), 30)
    assert rows.tolist() == list(range(0, 90, 3))
    assert len(set(scores.tolist())) == 1


def test_matches_names_the_first_best_token() -> None:
    text = np.array([[0, 1], [1, 0], [1, 0]], np.float32)
    places, similarities = matches(np.array([[2, 1], [0, 3]], np.float32), text)
    assert places.tolist() == [1, 0]
    assert similarities.tolist() == [2, 3]


def test_codes_count_in_steps_of_the_largest_component() -> None:
    codes, scales = quantised(np.array([[1.27, -0.5, 0.004], [0, 0, 0], [-2.54, 0.02, 1.27]], np.float32))
    assert codes.tolist() == [[127, -50, 0], [0, 0, 0], [-127, 1, 64]]
    np.testing.assert_allclose(scales, [0.01, 0, 0.02], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    lengths=st.lists(st.integers(0, 9), max_size=25),
    tokens=st.integers(1, 6),
    at_once=st.integers(1, 40),
    wide=st.booleans(),
)
def test_blocks_of_any_size_give_the_score_of_the_definition(
    seed: int, lengths: list[int], tokens: int, at_once: int, wide: bool
) -> None:
    store = drawn(seed, lengths, 5)
    query = np.random.default_rng(seed + 1).standard_normal((tokens, 5)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "TOKENS_AT_ONCE", at_once)
        scores = maxsim(query, store, wide=wide)
        np.testing.assert_allclose(scores, brute(query, store), rtol=1e-5, atol=1e-5)
        some: Ints = np.flatnonzero(np.random.default_rng(seed).random(len(store)) < 0.5)
        np.testing.assert_allclose(maxsim(query, store, some, wide), scores[some], rtol=1e-5, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), lengths=st.lists(st.integers(0, 6), max_size=40), k=st.integers(0, 50))
def test_the_best_texts_are_those_of_a_sort(seed: int, lengths: list[int], k: int) -> None:
    store = drawn(seed, lengths, 4)
    codes, scales = quantised(store.vectors)
    coded = TokenStore(store.indptr, codes, scales)
    query = np.random.default_rng(seed + 1).standard_normal((3, 4)).astype(np.float32)
    exact = maxsim(query, coded, wide=True)
    np.testing.assert_allclose(exact, brute(query, coded), rtol=1e-5, atol=1e-5)
    order = [row for row in np.lexsort((np.arange(len(exact)), -exact)).tolist() if exact[row] > -np.inf]
    rows, scores = best_texts(query, coded, k)
    assert rows.tolist() == order[:k]
    np.testing.assert_array_equal(scores, exact[rows])
    allowed = np.flatnonzero(np.arange(len(exact)) % 2 == 0)
    assert best_texts(query, coded, k, allowed)[0].tolist() == [row for row in order if row % 2 == 0][:k]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000))
def test_codes_stay_within_half_a_step(seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((20, 8)).astype(np.float32)
    codes, scales = quantised(vectors)
    back = TokenStore(np.array([0, 20]), codes, scales).floats(0)
    assert (np.abs(back - vectors) <= scales[:, None] * 0.5001).all()
    assert (np.abs(codes).max(axis=1) == 127).all()
