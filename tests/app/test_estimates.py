"""Probabilities on the hits of calibrated pipelines, and what a threshold leaves out: by hand, from the uncalibrated scores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.results.search import Calibrated, Card
from app.verbs.services import Services
from engine.types import Judgment, Query, Record

QUERY = "onion soup"
MAP = "isotonic: {scores: [0.0, 4.0], values: [0.0, 1.0]"
"""A probability of a quarter of the score, as long as that is at most one."""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Twelve recipes: the more often the words stand in one, the higher it scores. Two are judged relevant, one is not."""
    with Services(tmp_path_factory.mktemp("workspace")) as opened:
        opened.create_collection("recipes")
        workspace = opened.engine.workspace
        key = workspace.collection("recipes").collection_id
        texts = [f"{'soup ' * n} {'onion ' * (n > 6)} with {'salt ' * (20 - n)}" for n in range(1, 13)]
        workspace.documents.upsert(key, [Record(f"r{n:02d}", text=text) for n, text in enumerate(texts, 1)], "test")
        workspace.documents.add_queries(key, [Query("1", QUERY)])
        given = [Judgment("1", "r12", 2), Judgment("1", "r02", 1), Judgment("1", "r11", 0)]
        workspace.documents.add_judgments(key, given)
        assert opened.wait(opened.index("recipes", ["bm25"]), 120).status == "done"
        yield opened


def save(services: Services, steps: str, name: str) -> None:
    services.save_pipeline(name, f"pipeline:\n{steps}")


def raw(services: Services) -> dict[str, float]:
    return {card.doc_id: card.score for card in services.search("recipes", QUERY, "BM25").cards}


def test_cards_carry_the_probability_and_dropped_hits_come_along(services: Services) -> None:
    expected = {doc_id: min(1.0, score / 4) for doc_id, score in raw(services).items()}
    ordered = list(expected)
    threshold = (expected[ordered[4]] + expected[ordered[5]]) / 2
    save(services, f"- bm25: {{k: 100}}\n- {MAP}, threshold: {threshold}}}", "cut")
    found = services.search("recipes", QUERY, "cut")
    assert [card.doc_id for card in found.cards] == ordered[:5]
    told = found.calibrated
    assert told is not None
    assert (told.label, told.threshold, found.total) == ("isotonic", threshold, 5)
    assert {card.doc_id: card.probability for card in (*found.cards, *told.dropped)} == pytest.approx(expected)
    assert [(card.doc_id, card.rank) for card in told.dropped] == [(d, i) for i, d in enumerate(ordered, 1)][5:]
    assert told.dropped[0].found_by[0].rank == 6
    assert told.probabilities == pytest.approx(list(expected.values()))
    assert (told.kept(threshold), told.kept(0.0), told.best) == (5, 12, pytest.approx(expected[ordered[0]]))
    assert told.relevant == pytest.approx([expected["r12"], expected["r02"]])
    assert (told.lost(threshold), told.lost(0.0)) == (1, 0)


def test_dropped_hits_come_with_the_end_of_the_list_only(services: Services) -> None:
    save(services, f"- bm25: {{k: 100}}\n- {MAP}, threshold: 0.02}}", "low")
    kept = services.search("recipes", QUERY, "low").total
    assert 1 < kept < 12
    first = services.search("recipes", QUERY, "low", limit=1).calibrated
    assert first is not None
    assert first.dropped == ()
    assert len(first.probabilities) == 12
    last = services.search("recipes", QUERY, "low", limit=1, offset=kept - 1).calibrated
    assert last is not None
    assert len(last.dropped) == 12 - kept


def test_an_emptied_list_still_says_what_was_best(services: Services) -> None:
    save(services, "- bm25: {k: 100}\n- platt: {slope: 0.0, intercept: 0.0, threshold: 0.6}", "none")
    found = services.search("recipes", QUERY, "none")
    assert found.cards == ()
    assert found.calibrated is not None
    assert found.calibrated.best == 0.5
    assert len(found.calibrated.dropped) == 12
    nothing = services.search("recipes", "zebra", "none").calibrated
    assert nothing is not None
    assert (nothing.probabilities, nothing.best, nothing.dropped) == ((), 0.0, ())


def test_columns_of_compare_reach_down_to_k(services: Services) -> None:
    ordered = list(raw(services))
    save(services, "- bm25: {k: 100}\n- platt: {slope: 0.0, intercept: 0.0, threshold: 0.6}", "none")
    save(services, "- bm25: {k: 100}\n- platt: {slope: 0.0, intercept: 0.0}\n- cutoff: {k: 3}", "three")
    result = services.compare("recipes", QUERY, ["BM25", "none", "three"], k=5)
    plain, none, three = result.columns
    assert plain.calibrated is None
    assert plain.hits[0].card.probability is None
    assert none.hits == ()
    assert none.calibrated is not None
    assert [card.doc_id for card in none.calibrated.dropped] == ordered[:5]
    assert three.calibrated is not None
    assert [hit.card.probability for hit in three.hits] == [0.5] * 3
    assert three.calibrated.dropped == (), "nothing is below the threshold"
    full = services.compare("recipes", QUERY, ["BM25", "three"], k=2).columns[1].calibrated
    assert full is not None
    assert len(full.probabilities) == 12


def test_a_calibrator_within_one_input_of_a_fusion_says_nothing_about_the_whole(services: Services) -> None:
    steps = (
        "- fuse:\n    inputs:\n    - - bm25: {k: 9}\n      - platt: {slope: 0.0, intercept: 0.0}\n    - - bm25: {k: 8}"
    )
    save(services, steps, "inner")
    found = services.search("recipes", QUERY, "inner")
    assert found.calibrated is None
    assert found.cards[0].probability is None
    save(services, steps + "\n- platt: {slope: 0.0, intercept: 1.0}", "both")
    outer = services.search("recipes", QUERY, "both").calibrated
    assert outer is not None
    assert outer.best == pytest.approx(0.7310585786)


def test_counts_by_hand() -> None:
    told = Calibrated("platt", 0.3, (0.9, 0.5, 0.3, 0.1), (0.9, 0.1))
    assert [told.kept(t) for t in (0.0, 0.3, 0.31, 0.9, 1.0)] == [4, 3, 2, 1, 0]
    assert [told.lost(t) for t in (0.0, 0.3, 0.9, 1.0)] == [0, 1, 1, 2]
    assert Calibrated("platt", 0.3, (), ()).best == 0
    assert Card("d", "", (), None, "", "", "", (), 1, 1.0).probability is None
