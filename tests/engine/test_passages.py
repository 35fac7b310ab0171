"""Document scores from passages: the best one, or the mean, against brute force."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.context import Context
from engine.retrievers.dense import Dense
from engine.testing import HashEncoder, MemoryResources
from engine.types import Ranking, Snapshot

TEXTS = {
    f"p{i}": text
    for i, text in enumerate(("apple pear", "plum", "apple", "apple pear plum", "fig", "pear", "apple fig"))
}
DOCUMENTS = np.array([0, 0, 1, 2, 2, 2, 3], dtype=np.int32)  # the document of each passage
IDS = ["a", "b", "c", "d"]


@pytest.fixture
def resources(tmp_path: Path) -> MemoryResources:
    held = MemoryResources(TEXTS, tmp_path)
    numbers = held.snapshot.passage_nos
    held.snapshot = Snapshot("memory", 1, numbers[: len(IDS)], pl.Series("doc_id", IDS), numbers, DOCUMENTS)
    held.row_docs = lambda spec: DOCUMENTS  # type: ignore[method-assign]
    return held


def expected(how: str, query: str) -> dict[str, float]:
    encoder = HashEncoder()
    scores = encoder.encode_documents(list(TEXTS.values())) @ encoder.encode_queries([query])[0]
    pick = np.max if how == "max" else np.mean
    return {name: float(pick(scores[i == DOCUMENTS])) for i, name in enumerate(IDS)}


@pytest.mark.parametrize("how", ["max", "mean"])
@pytest.mark.parametrize("query", ["apple", "pear plum", "fig"])
def test_scores_equal_brute_force(resources: MemoryResources, how: str, query: str) -> None:
    stage = Dense(k=10, passages=how)  # type: ignore[arg-type]
    found, _ = Context(resources).execute(stage, Ranking.of([("q", query)]))
    assert dict(found.hits.select("doc_id", "score").iter_rows()) == pytest.approx(expected(how, query), abs=1e-6)


def test_the_mean_does_not_reward_one_good_passage(resources: MemoryResources) -> None:
    """Document a is "apple pear" and "plum", b is "apple" alone: both hold the word, b speaks of nothing else."""
    order = [
        Context(resources).execute(Dense(k=4, passages=how), Ranking.of([("q", "apple")]))[0].hits["doc_id"].to_list()  # type: ignore[arg-type]
        for how in ("max", "mean")
    ]
    assert order[0][0] == order[1][0] == "b"
    mean = expected("mean", "apple")
    assert order[1] == sorted(IDS, key=lambda name: (-mean[name], name))


def test_filters_and_k_hold(resources: MemoryResources) -> None:
    stage = Dense(k=2, passages="mean")
    found, _ = Context(resources, np.array([True, False, True, False])).execute(
        stage, Ranking.of([("q", "apple"), ("r", " ")])
    )
    assert found.hits["doc_id"].to_list() == sorted("ac", key=lambda n: -expected("mean", "apple")[n])
