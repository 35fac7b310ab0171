"""Reranking by a cross-encoder: order, budget, what is read, and what is left out to explain a score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.encoders.cross import PairScorer
from engine.pipeline.context import Context
from engine.pipeline.explanation import COST_NOTE
from engine.rerankers.base import Deadline
from engine.rerankers.cross import Cross, best_passage, sentence_spans, stretches, with_standing
from engine.testing.contracts import MemoryResources
from engine.types import Ranking
from tests.encoders.tiny import write_cross

TEXTS = {"a": "green", "b": "green blue", "c": "red red red", "d": "blue"}


class Tiny(MemoryResources):
    """Documents of the tiny model's words, scored by hand: each word of the document adds ten times what it is worth."""

    def __init__(self, folder: Path, texts: dict[str, str] = TEXTS) -> None:
        super().__init__(texts, folder / "indexes")
        self._scorer = PairScorer.load(write_cross(folder / "model"), "cpu", 1)

    def scorer(self, model: str) -> Any:
        assert model == "triptych-cross"
        return self._scorer


def ranking(*doc_ids: str, query: str = "red") -> Ranking:
    rows = [("q", doc_id, 10.0 - place) for place, doc_id in enumerate(doc_ids)]
    hits = pl.DataFrame(rows, schema={"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}, orient="row")
    return Ranking.of([("q", query)]).with_hits(hits)


def test_candidates_go_by_the_models_logit(tmp_path: Path) -> None:
    found, _ = Context(Tiny(tmp_path)).execute(Cross(candidates=3), ranking("a", "b", "c", "d"))
    assert list(found.hits.select("doc_id", "score").iter_rows()) == [
        ("b", 61.0),
        ("c", 31.0),
        ("a", 21.0),
        ("d", 20.0),
    ]


def test_when_the_budget_ends_the_first_candidates_have_their_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow:
        """Two texts at a time; the time is up after the first two."""

        def batches(self, query: str, texts: Sequence[str]) -> Iterator[tuple[Any, Any]]:
            for start in (0, 2):
                yield np.arange(start, start + 2), np.array([start, start + 1], np.float32)

    looks = iter([False, True])
    monkeypatch.setattr(Deadline, "passed", property(lambda _: next(looks)))
    monkeypatch.setattr(MemoryResources, "scorer", lambda _, model: Slow())
    resources = MemoryResources(TEXTS, tmp_path)
    found, span = Context(resources).execute(Cross(budget_ms=1), ranking("a", "b", "c", "d"))
    assert found.hits["doc_id"].to_list() == ["b", "a", "c", "d"]
    assert span.details[COST_NOTE].select("candidates", "scored").rows() == [(4, 2)]


def test_the_passage_with_most_words_of_the_query_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resources = Tiny(tmp_path)
    monkeypatch.setattr(resources, "passages", lambda ids: [["blue blue", "red green"], ["green"], [], ["blue", "red"]])
    stage = Cross(text="best_passage")
    found, _ = Context(resources).execute(stage, ranking("a", "b", "c", "d"))
    assert dict(found.hits.select("doc_id", "score").iter_rows()) == {"a": 31.0, "b": 21.0, "c": 1.0, "d": 11.0}


def test_the_standing_before_counts_as_much_as_it_is_told() -> None:
    scores, before = np.array([1.0, 3.0, np.nan, 5.0]), np.array([9.0, 6.0, 5.0, 3.0])
    # over what was scored: the scores' deviation is sqrt(8/3), that of the scores before sqrt(6), so 3 points before are 2 points now
    found = with_standing(scores, before, 0.5)
    np.testing.assert_allclose(found, [2.0, 3.0, np.nan, 4.0])
    np.testing.assert_array_equal(with_standing(scores, before, 0), scores)
    np.testing.assert_array_equal(with_standing(scores, np.full(4, 2.0), 1), scores)
    np.testing.assert_array_equal(with_standing(np.array([np.nan, 2.0]), before[:2], 1), [np.nan, 2.0])
    # 0.1 before is one deviation of two, and so is 1 now
    np.testing.assert_allclose(with_standing(np.array([1.0, 3.0]), np.array([0.1, 0.2]), 0.5), [0.5, 3.5])
    assert with_standing(scores, before, 2)[0] > with_standing(scores, before, 2)[3]


def test_the_best_passage_by_hand() -> None:
    assert best_passage("Neural ranking models", ["ranking ranking", "Models of neural nets", "neural models"]) == (
        "Models of neural nets"
    )
    assert best_passage("red", ["red", "red red"]) == "red red"
    assert best_passage("red", ["blue", "green"]) == "blue"
    assert best_passage("red", []) == ""


def test_an_explanation_tells_what_the_score_loses_without_each_part(tmp_path: Path) -> None:
    resources = Tiny(tmp_path, {"a": "green blue . red"})
    told = Cross().explain_document("red blue", "a", Context(resources))
    assert told is not None
    # "." is an unknown word, worth 7, and ends the first sentence
    assert told.score == 1 + 4 + 10 * (2 + 4 + 7 + 1)
    assert [(w.term, w.weight, w.start, w.end) for w in told.weights] == [
        ("green blue .", 130.0, 0, 12),
        ("red", 10.0, 13, 16),
        ("blue", 4.0, -1, -1),
        ("red", 1.0, -1, -1),
    ]
    assert not told.exact
    assert "Approximate" in told.note


def test_a_document_that_is_gone_has_no_explanation(tmp_path: Path) -> None:
    assert Cross().explain_document("red", "gone", Context(Tiny(tmp_path))) is None


def test_sentences_by_hand() -> None:
    text = "One. Two!  Three"
    assert [text[start:end] for start, end in sentence_spans(text)] == ["One.", "Two!", "Three"]
    assert sentence_spans("  ") == []


@given(st.lists(st.integers(1, 5), max_size=40), st.integers(1, 15))
def test_stretches_cover_all_in_order(lengths: list[int], most: int) -> None:
    ends = np.cumsum(lengths).tolist()
    spans = [(end - length, end) for end, length in zip(ends, lengths, strict=True)]
    found = stretches(spans, most)
    assert len(found) == min(most, len(spans))
    assert [start for start, _ in found[1:]] == [end for _, end in found[:-1]]
    assert not found or (found[0][0], found[-1][1]) == (0, ends[-1])


@pytest.mark.parametrize(
    ("unread", "allowed", "settled"),
    [
        # Of 4 read, the best is the first: 3 in a row changed nothing, 1 - 0.05^(1/3) = .632 of the unread may still.
        (0, 0.01, True),
        (1, 0.64, True),
        (1, 0.62, False),
        (3, 1.90, True),
        (3, 1.89, False),
    ],
)
def test_an_early_stop_by_hand(unread: int, allowed: float, settled: bool) -> None:
    candidates = pl.DataFrame({"score": np.arange(4.0 + unread)[::-1]})
    stage = Cross(early_stop=allowed, top=1)
    assert stage.settled(np.array([9.0, 1, 2, 3]), candidates) is settled
    assert not Cross(top=1).settled(np.array([9.0, 1, 2, 3]), candidates)


def test_nothing_is_settled_by_a_candidate_that_changed_the_first() -> None:
    candidates = pl.DataFrame({"score": np.arange(9.0)[::-1]})
    assert not Cross(early_stop=100, top=1).settled(np.array([1.0, 2, 3, 4]), candidates)
    assert not Cross(early_stop=100, top=4).settled(np.array([4.0, 3, 2, 1]), candidates)


def test_what_an_early_stop_leaves_unread_keeps_its_order(tmp_path: Path) -> None:
    """Ten documents, two read at a time; the first is the best. After 6 read, 5 changed nothing: .451 of 4 unread is 1.80."""
    texts = {"d0": "red", **{f"d{i}": "blue " * i for i in range(1, 10)}}
    context = Context(MemoryResources(texts, tmp_path))
    found, span = context.execute(Cross(early_stop=1.85, top=1), ranking(*texts))
    assert span.details[COST_NOTE].select("candidates", "scored").rows() == [(10, 6)]
    assert found.hits["doc_id"].to_list() == list(texts)


@pytest.mark.parametrize(("candidates", "least"), [(50, 40), (200, 153), (1000, 752)])
def test_how_early_an_early_stop_can_come(candidates: int, least: int) -> None:
    """As assets/docs/rerank.md says, where nothing after the tenth changes the first ten."""
    asked = pl.DataFrame({"score": np.arange(float(candidates))[::-1]})
    stage, scores = Cross(early_stop=1), np.arange(1000.0)[::-1]
    reads = [n for n in range(1, candidates + 1) if stage.settled(scores[:n], asked)]
    assert reads == list(range(least, candidates + 1))
