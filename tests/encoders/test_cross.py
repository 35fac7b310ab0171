"""Scores of pairs, by hand on a tiny model: each word is worth something, in the second text ten times as much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.encoders.cross import PairScorer
from engine.errors import BadInput, Cancelled
from engine.types import Progress
from tests.encoders.tiny import write_cross, write_model

TEXTS = ["green", "green blue", "", "red red red", "blue"]
EXPECTED = [1 + 20.0, 1 + 60, 1, 1 + 30, 1 + 40]


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_logits_by_hand(tmp_path: Path, mask: bool, threads: int) -> None:
    scorer = PairScorer.load(write_cross(tmp_path / "m", mask=mask), "cpu", threads)
    found = scorer.score("red", TEXTS)
    assert found.dtype == np.float32
    assert found.tolist() == EXPECTED
    assert scorer.score("red", []).shape == (0,)
    assert scorer.score("", TEXTS).tolist() == [score - 1 for score in EXPECTED]


def test_batches_come_in_the_order_given_and_may_be_left_early(tmp_path: Path) -> None:
    scorer = PairScorer.load(write_cross(tmp_path / "m"), "cpu", 1)
    texts = ["red " * (i % 7 + 1) for i in range(30)]
    seen = [positions.tolist() for positions, _ in scorer.batches("red", texts)]
    assert [place for unit in seen for place in unit] == list(range(30))
    assert max(map(len, seen)) == 8
    first = next(iter(scorer.batches("red", texts)))
    assert first[1].tolist() == [1 + 10 * (i % 7 + 1) for i in range(8)]


def test_an_int8_model_scores_one_pair_a_call(tmp_path: Path) -> None:
    folder = write_cross(tmp_path / "m", mask=False, batch_effect=True, quantisation="int8")
    assert PairScorer.load(folder, "cpu", 2).score("red", TEXTS).tolist() == [score + 1 for score in EXPECTED]


def test_prompts_stand_before_both_texts(tmp_path: Path) -> None:
    folder = write_cross(tmp_path / "m", prompts={"query": "query: ", "document": "passage: "})
    assert PairScorer.load(folder, "cpu").score("red", ["green"]).tolist() == [8 + 1 + 160 + 20]


def test_what_does_not_fit_is_cut_from_the_longer_text_and_counted(tmp_path: Path) -> None:
    scorer = PairScorer.load(write_cross(tmp_path / "m", max_tokens=8), "cpu")
    assert scorer.score("red", ["green " * 9]).tolist() == [1 + 4 * 20]
    assert scorer.dropped_tokens("red", ["green " * 9, "green", ""]).tolist() == [5, 0, 0]


def test_progress_is_heard_and_stops(tmp_path: Path) -> None:
    scorer = PairScorer.load(write_cross(tmp_path / "m"), "cpu", 1)
    heard: list[Progress] = []
    scorer.score("red", ["red"] * 20, heard.append)
    assert [step.done for step in heard] == [0, 8, 16, 20]
    assert {step.total for step in heard} == {20}

    def stop(step: Progress) -> None:
        if step.done:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        scorer.score("red", ["red"] * 20, stop)


def test_an_encoder_is_no_scorer(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is of the family 'dense'"):
        PairScorer.load(write_model(tmp_path / "m", dimensions=2), "cpu")


def test_a_score_that_is_not_finite_names_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = PairScorer.load(write_cross(tmp_path / "m"), "cpu", 1)
    monkeypatch.setattr(scorer.runner, "run", lambda ids, types: np.full((len(ids), 1), np.nan, np.float32))
    with pytest.raises(BadInput, match="not finite for the text 'green'"):
        scorer.score("red", ["green"])
