"""Document scores from passages: the best one, or the mean, against brute force."""

from __future__ import annotations

from pathlib import Path
from random import Random
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernels.topk import empty_hits, put_hits
from engine.pipeline.context import Context
from engine.retrievers.base import best_documents, document_scores
from engine.retrievers.bm25 import explained
from engine.retrievers.dense import Dense
from engine.testing.contracts import HashEncoder, MemoryResources
from engine.types import FloatRows, Ints, Mask, Ranking, Snapshot, TopK

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


def searched(docs: Ints, scores: FloatRows, k: int, allowed: Mask | None = None) -> tuple[pl.DataFrame, list[int]]:
    """The best documents of "a" to "f", and how many rows each search was asked for."""
    numbers = np.arange(6, dtype=np.int64)
    snapshot = Snapshot("memory", 1, numbers, pl.Series("doc_id", list("abcdef")), np.arange(len(docs)), docs)
    context = Context(SimpleNamespace(snapshot=snapshot, row_docs=lambda spec: docs))  # type: ignore[arg-type]
    asked: list[int] = []

    def search(count: int) -> TopK:
        asked.append(count)
        found = TopK(*empty_hits(1, min(count, len(scores))))
        put_hits(found, 0, scores if allowed is None else np.where(allowed, scores, np.float32(-np.inf)), count)
        return found

    return best_documents(Dense().index_spec(), ["q"], k, search, context), asked


def test_it_searches_on_where_one_document_takes_all_places() -> None:
    """Eight of twelve rows are of "a", and the six that are asked for first, row 0 the last of them, are among these."""
    docs = np.array([0] * 8 + [1] * 4, np.int32)
    scores = np.array([7, 12, 11, 10, 9, 8, 6, 5, 4, 3, 2, 1], np.float32)
    found, asked = searched(docs, scores, 2)
    assert sorted(found.select("doc_id", "score").iter_rows()) == [("a", 12.0), ("b", 4.0)]
    assert asked == [6, 12]


@given(
    owners=st.lists(st.integers(0, 5), min_size=1, max_size=30),
    k=st.integers(1, 8),
    order=st.randoms(use_true_random=False),
    barred=st.sets(st.integers(0, 29), max_size=10),
)
def test_the_best_documents_are_found_however_many_passages_the_first_one_has(
    owners: list[int], k: int, order: Random, barred: set[int]
) -> None:
    """Against a loop over all passages, some of them barred; document 5 may lack a passage, as new ones do."""
    docs = np.array(owners, np.int32)
    scores = np.array(order.sample(range(1, 100), len(docs)), np.float32)
    allowed = np.array([row not in barred for row in range(len(docs))])
    found, asked = searched(docs, scores, k, allowed)
    best: dict[str, float] = {}
    for row in np.flatnonzero(allowed):
        name = "abcdef"[docs[row]]
        best[name] = max(best.get(name, 0.0), float(scores[row]))
    first = dict(sorted(best.items(), key=lambda pair: -pair[1])[:k])
    assert dict(found.sort("score", descending=True).head(k).select("doc_id", "score").iter_rows()) == first
    assert asked == sorted(set(asked)), "each search asks for more"
    assert asked[-1] <= len(docs)


def test_a_document_without_passages_has_no_score() -> None:
    """Rows 0 and 2 are of "a", row 1 of a deleted document, row 3 of "c"; of equal rows the first one is told."""
    docs = np.array([0, -1, 0, 2], np.int32)
    numbers = np.arange(3, dtype=np.int64)
    snapshot = Snapshot("memory", 1, numbers, pl.Series("doc_id", list("abc")), np.arange(4), docs)
    context = Context(SimpleNamespace(snapshot=snapshot, row_docs=lambda spec: docs))  # type: ignore[arg-type]
    scores, rows = document_scores(Dense().index_spec(), np.array([0.5, 9, 0.5, -1], np.float32), context)
    assert (scores.tolist(), rows.tolist()) == ([0.5, -np.inf, -1.0], [0, -1, 3])


def test_an_explanation_begins_with_what_weighs_most() -> None:
    told = explained([("common", 0.5), ("rare", 2.0), ("other", 1.0)], 3, "note")
    assert [weight.term for weight in told.weights] == ["rare", "other", "common"]
    assert (told.score, told.exact, told.row) == (3.5, True, 3)


def test_the_mean_does_not_reward_one_good_passage(resources: MemoryResources) -> None:
    """Document a is "apple pear" and "plum", b is "apple" alone: both hold the word, b speaks of nothing else."""
    order = [
        Context(resources).execute(Dense(k=4, passages=how), Ranking.of([("q", "apple")]))[0].hits["doc_id"].to_list()  # type: ignore[arg-type]
        for how in ("max", "mean")
    ]
    assert order[0][0] == order[1][0] == "b"
    mean = expected("mean", "apple")
    assert order[1] == sorted(IDS, key=lambda name: (-mean[name], name))


def test_the_best_mean_is_sought_beyond_the_best_passage(resources: MemoryResources) -> None:
    """Document c has the best passage about pears and plums, and one about figs; a has two that are about a pear and a plum."""
    asked = Ranking.of([("q", "pear plum")])
    first = [
        Context(resources).execute(Dense(k=1, passages=how), asked)[0].hits["doc_id"].to_list()  # type: ignore[arg-type]
        for how in ("max", "mean")
    ]
    assert first == [["c"], ["a"]]


def test_filters_and_k_hold(resources: MemoryResources) -> None:
    stage = Dense(k=2, passages="mean")
    found, _ = Context(resources, np.array([True, False, True, False])).execute(
        stage, Ranking.of([("q", "apple"), ("r", " ")])
    )
    assert found.hits["doc_id"].to_list() == sorted("ac", key=lambda n: -expected("mean", "apple")[n])
