"""A query with many candidates in one pass: what is cut, how passes are planned, and that a score depends on its pair alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.encoders.cross import PairScorer
from engine.encoders.opening import load_scorer
from engine.encoders.passes import cut, plan_passes
from engine.errors import BadInput, Cancelled
from engine.types import Progress
from tests.encoders.tiny import write_cross
from tests.models.texts import TEXTS

SAME = (
    1e-3  # of scores that spread over 20: sums of floats may round otherwise where more rows are multiplied at a time
)
QUERY = "how do stemming and indexing change what a search finds"
LONG = " ".join(TEXTS * 12)


@pytest.fixture(scope="module")
def scorer() -> PairScorer:
    return load_scorer(provider="cpu", threads=2)


def one_by_one(scorer: PairScorer, query: str, texts: list[str]) -> np.ndarray:
    return np.array([scorer.passes.score(query, [text])[0] for text in texts])


def test_a_score_depends_on_its_pair_alone(scorer: PairScorer) -> None:
    texts = [*TEXTS, "", LONG, "stemming", "Indexing."]
    alone = one_by_one(scorer, QUERY, texts)
    together = scorer.passes.score(QUERY, texts)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, rtol=0, atol=SAME)
    np.testing.assert_allclose(scorer.passes.score(QUERY, texts[::-1])[::-1], alone, rtol=0, atol=SAME)
    assert np.diff(np.sort(alone)).min() > SAME, "the texts differ, so do their scores"


@pytest.mark.parametrize("tokens", [64, 200, 4096])
def test_the_length_of_passes_changes_no_score(scorer: PairScorer, tokens: int) -> None:
    texts = TEXTS * 4
    found = np.zeros(len(texts), np.float32)
    seen = []
    for positions, scores in scorer.passes.batches(QUERY, texts, tokens):
        found[positions] = scores
        seen += positions.tolist()
    assert seen == list(range(len(texts)))
    np.testing.assert_allclose(found, scorer.passes.score(QUERY, texts), rtol=0, atol=SAME)


def test_without_an_order_texts_of_equal_length_share_a_pass(scorer: PairScorer) -> None:
    texts = ["stemming", LONG, "indexing", LONG + " again"]
    units = [positions.tolist() for positions, _ in scorer.passes.batches(QUERY, texts, 64, in_order=False)]
    assert [sorted(unit) for unit in units] == [[1], [3], [0, 2]]


def test_the_scores_are_those_of_pairs_but_for_rounding(scorer: PairScorer) -> None:
    texts = [*TEXTS, LONG, "stemming", "cooking onion soup", "Indexing and searching: what is found, and what is not."]
    for query in (QUERY, "soup", "neural ranking models " * 8):
        pairs, passes = scorer.score(query, texts), scorer.passes.score(query, texts)
        assert np.abs(pairs - passes).max() < 0.05 * np.ptp(pairs)
        assert np.corrcoef(pairs, passes)[0, 1] > 0.999


def test_a_query_keeps_half_of_the_models_limit(scorer: PairScorer) -> None:
    whole, half = "stemming " * 400, "stemming " * 126
    texts = TEXTS[:2]
    expected = scorer.passes.score(half, texts)
    np.testing.assert_allclose(scorer.passes.score(whole, texts), expected, rtol=0, atol=SAME)
    assert np.abs(scorer.passes.score("stemming " * 100, texts) - expected).max() > SAME


def test_progress_is_heard_and_stops(scorer: PairScorer) -> None:
    heard: list[Progress] = []
    scorer.passes.score(QUERY, TEXTS * 8, heard.append)
    assert heard[0].done == 0
    assert (heard[-1].done, heard[-1].total) == (len(TEXTS) * 8, len(TEXTS) * 8)
    assert scorer.passes.score(QUERY, []).shape == (0,)

    def stop(step: Progress) -> None:
        if step.done:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        scorer.passes.score(QUERY, TEXTS * 8, stop)


def test_a_model_of_pairs_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="reads query and document together from its first layer"):
        _ = PairScorer.load(write_cross(tmp_path / "m"), "cpu", 1).passes


def test_passes_by_hand() -> None:
    assert [unit.tolist() for unit in plan_passes([3, 4, 2, 9, 1, 1], 8)] == [[0, 1], [2], [3], [4, 5]]
    assert [unit.tolist() for unit in plan_passes([3, 4], -5)] == [[0], [1]]
    assert list(plan_passes([], 8)) == []


@given(st.lists(st.integers(2, 60), max_size=40), st.integers(1, 100))
def test_passes_hold_each_text_once_and_no_more_than_they_may(lengths: list[int], tokens: int) -> None:
    units = [unit.tolist() for unit in plan_passes(lengths, tokens)]
    assert [place for unit in units for place in unit] == list(range(len(lengths)))
    totals = [sum(lengths[place] for place in unit) for unit in units]
    assert all(total <= tokens or len(unit) == 1 for unit, total in zip(units, totals, strict=True))
    # no pass could have taken the first text of the next one
    assert all(total + lengths[after[0]] > tokens for total, after in zip(totals, units[1:], strict=False))


def test_cutting_keeps_the_last_token() -> None:
    ids = np.array([2, 10, 11, 12, 3])
    assert cut(ids, 4).tolist() == [2, 10, 11, 3]
    assert cut(ids, 5).tolist() == ids.tolist()
