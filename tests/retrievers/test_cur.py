"""CUR against the formula by hand, and retrieval that reads few documents against reading all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.errors import BadInput, WorkspaceDamaged
from engine.explain.why import explain
from engine.indexes.cur import NONE, CurIndex, question
from engine.kernels.cur import sampled, weights_of_items
from engine.pipeline.context import Context
from engine.pipeline.explanation import COST_NOTE
from engine.retrievers.cur import Cur
from engine.testing.contracts import MemoryResources, MemorySource, OverlapScorer, sentences
from engine.types import Ranking

RNG = np.random.default_rng(5)


class LowRankScorer:
    """Scores are inner products of `rank` numbers for each text: of low rank by construction. Counts the pairs."""

    def __init__(self, rank: int, noise: float = 0.0) -> None:
        self.rank, self.noise, self.pairs = rank, noise, 0
        self.card, self.fingerprint = OverlapScorer().card, f"{rank}/{noise}"

    def vector(self, text: str) -> np.ndarray:
        return np.random.default_rng(list(text.encode())).normal(size=self.rank)

    def score(self, query: str, texts: list[str], progress: object = None) -> np.ndarray:
        self.pairs += len(texts)
        exact = np.array([self.vector(query) @ self.vector(text) for text in texts], np.float32).reshape(len(texts))
        jitter = [np.random.default_rng(list((query + "|" + text).encode())).normal() for text in texts]
        return (exact + self.noise * np.array(jitter, np.float32).reshape(len(texts))).astype(np.float32)


def built(folder: Path, scorer: LowRankScorer, count: int = 60) -> MemoryResources:
    """A collection whose cross-encoder is the given one, for building and for asking."""
    texts = {f"d{i}": text for i, text in enumerate(sentences(count).values())}
    return MemoryResources(texts, folder, scorer=scorer)


def everything(resources: MemoryResources, scorer: LowRankScorer, query: str) -> np.ndarray:
    return scorer.score(query, resources.texts(resources.snapshot.doc_ids.to_list()))


def test_the_decomposition_is_c_times_pseudo_inverse_times_r():
    scores = RNG.normal(size=(12, 7)).astype(np.float32)  # items by questions
    columns = RNG.normal(size=12)
    np.testing.assert_allclose(
        weights_of_items(scores) @ columns, np.linalg.pinv(scores.astype(float)) @ columns, rtol=1e-6
    )


def test_a_ridge_is_the_regularized_least_squares():
    known, scores = RNG.normal(size=(9, 4)), RNG.normal(size=9)
    penalty = (0.3 * np.linalg.norm(known, 2)) ** 2
    expected = np.linalg.solve(known.T @ known + penalty * np.eye(4), known.T @ scores)
    np.testing.assert_allclose(weights_of_items(known, 0.3) @ scores, expected)


def test_nothing_known_is_nothing_learned():
    assert weights_of_items(np.zeros((3, 2), np.float32)).tolist() == [[0.0] * 3] * 2
    assert weights_of_items(np.zeros((0, 2), np.float32)).shape == (2, 0)


def test_a_sample_is_stable_when_the_set_changes_a_little():
    numbers = np.arange(1_000, dtype=np.int64)
    first = sampled(numbers, 50, 0)
    assert len(first) == 50
    assert (np.diff(first) > 0).all()
    assert sampled(numbers, 50, 0).tolist() == first.tolist()
    assert set(sampled(numbers, 50, 1)) != set(first)
    without = numbers[numbers != first[7]]
    assert len(set(sampled(without, 50, 0)) & set(first)) == 49
    assert sampled(numbers[:5], 50, 0).tolist() == [0, 1, 2, 3, 4]
    assert sampled(numbers[:50], 50, 0).tolist() == list(range(50))


def splitmix64(state: int) -> int:
    """The generator in whole numbers (Steele, Lea and Flood, OOPSLA 2014), one step after `state`."""
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_a_sample_is_drawn_by_splitmix64(seed: int):
    assert splitmix64(0) == 0xE220A8397B1DCDAF  # as published with the generator
    numbers = np.array([3, 4, 10, 77, 1_000, 2**40], np.int64)
    by_hash = sorted(numbers.tolist(), key=lambda number: splitmix64(number + seed * 0x9E3779B97F4A7C15))
    for count in range(1, 6):
        assert sampled(numbers, count, seed).tolist() == sorted(by_hash[:count])


@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_what_is_rounding_depends_on_the_size_of_the_scores(size: float):
    """Two questions of which one counts 1/100 of the other are two, however large the scores are."""
    known = np.diag([1.0, 0.01]).astype(np.float32) * np.float32(size)
    np.testing.assert_allclose(weights_of_items(known) * size, np.diag([1.0, 100.0]), rtol=1e-6)
    traces = np.diag([1.0, 1e-7]).astype(np.float32) * np.float32(size)
    np.testing.assert_allclose(weights_of_items(traces) * size, np.diag([1.0, 0.0]), rtol=1e-6)


def test_questions_are_titles_and_sentences():
    text = "A title. The first sentence. Is there a second one? " + "word " * 50
    assert question(text, 4) == "A title."
    assert question(text, 1) == "The first sentence."
    assert question(text, 3) == "Is there a second one?"
    assert len(question(text, 5).split()) == 32
    assert question("Only a title", 3) == "Only a title"


def test_scores_of_low_rank_are_recovered_exactly(tmp_path: Path):
    scorer = LowRankScorer(rank=5)
    resources = built(tmp_path, scorer)
    stage = Cur(queries=12, anchors=12, rescored=0, ridge=0)
    told = stage.exact_scores("nearest neighbors of papers", Context(resources))
    np.testing.assert_allclose(told, everything(resources, scorer, "nearest neighbors of papers"), atol=2e-3)


def test_only_anchors_and_the_best_are_read(tmp_path: Path):
    scorer = LowRankScorer(rank=5, noise=0.2)
    resources = built(tmp_path, scorer)
    stage = Cur(queries=10, anchors=8, rescored=6, k=20)
    resources.index(stage.index_spec())
    assert scorer.pairs == 60 * 10
    scorer.pairs = 0
    ranking, span = Context(resources).execute(stage, Ranking.of([("1", "graphs of words"), ("2", " ")]))
    assert scorer.pairs == 14
    assert span.details[COST_NOTE].select("qid", "candidates", "scored").rows() == [("1", 60, 14)]
    truth = dict(zip(resources.snapshot.doc_ids, everything(resources, scorer, "graphs of words"), strict=True))
    read = [
        doc_id
        for doc_id, score in ranking.hits.select("doc_id", "score").iter_rows()
        if score == pytest.approx(truth[doc_id], abs=1e-6)
    ]
    assert 6 <= len(read) <= 14


def test_recall_of_the_exact_best_grows_with_the_anchors(tmp_path: Path):
    scorer = LowRankScorer(rank=8, noise=0.5)
    resources = built(tmp_path, scorer, 120)
    queries = [f"question {i} about topic{i % 5}" for i in range(12)]

    def recall(anchors: int) -> float:
        stage, found = Cur(queries=30, anchors=anchors, rescored=0), 0
        for query in queries:
            truth = set(np.argsort(-everything(resources, scorer, query))[:10])
            found += len(truth & set(np.argsort(-stage.exact_scores(query, Context(resources)))[:10]))
        return found / (10 * len(queries))

    few, some, many = recall(4), recall(24), recall(96)
    assert few < some < many
    assert many > 0.8


def test_explanations_say_what_is_exact_and_add_up_to_the_estimate(tmp_path: Path):
    scorer = LowRankScorer(rank=4)
    resources = built(tmp_path, scorer)
    context = Context(resources)
    stage = Cur(queries=10, anchors=6, rescored=3, ridge=0)
    ranking, _ = context.execute(stage, Ranking.of([("q", "words and vectors")]))
    ((_, first),) = explain(stage, "words and vectors", ranking.hits["doc_id"][0], context)
    assert first.exact
    assert "its own score" in first.note
    truth = everything(resources, scorer, "words and vectors")
    scores = stage.exact_scores("words and vectors", context)
    read = stage._read("words and vectors", context)
    guessed = int(np.flatnonzero(~read.exact)[0])
    told = stage.explain_row("words and vectors", guessed, context)
    assert not told.exact
    assert told.note.startswith("Approximate: the cross-encoder did not read this document.")
    assert told.score == pytest.approx(float(scores[guessed]))
    assert len(told.weights) == 6, "no more documents than were read first"
    assert sum(w.weight for w in told.weights) + read.mean[guessed] == pytest.approx(told.score, abs=1e-3)
    assert told.score == pytest.approx(truth[guessed], abs=1e-2)
    assert scorer.pairs < 60 * 10 + 6 + 3 + 60 + 1, "an explanation in the same request reads nothing again"


def test_a_filter_and_deleted_documents_are_respected(tmp_path: Path):
    scorer = LowRankScorer(rank=4)
    resources = built(tmp_path, scorer)
    stage = Cur(queries=10, anchors=6, rescored=5, k=60)
    allowed = np.arange(60) % 4 == 0
    ranking, span = Context(resources, allowed).execute(stage, Ranking.of([("q", "words")]))
    assert sorted(int(doc_id[1:]) for doc_id in ranking.hits["doc_id"]) == list(range(0, 60, 4))
    assert 5 <= span.details[COST_NOTE]["scored"][0] <= 11, "what the filter drops is not read after the anchors"
    gone = resources.row_docs(stage.index_spec()).copy()
    gone[::2] = -1
    resources.row_docs = lambda spec: gone  # type: ignore[method-assign]
    ranking, _ = Context(resources).execute(stage, Ranking.of([("q", "words")]))
    assert sorted(int(doc_id[1:]) for doc_id in ranking.hits["doc_id"]) == list(range(1, 60, 2))


def test_documents_that_come_and_go_cost_little_and_give_what_a_new_build_gives(tmp_path: Path):
    spec = CurIndex(queries=10)
    units = sentences(200)
    source = MemorySource(units)
    scorer = source.scorer("")
    (tmp_path / "a").mkdir()
    spec.build(source, None, tmp_path / "a")
    assert scorer.pairs == 200 * 10
    changed = {number: text for number, text in units.items() if number != 10} | {
        9_000: "A new paper. It is about words."
    }
    grown = MemorySource(changed, scorer=scorer)
    scorer.pairs = 0
    (tmp_path / "b").mkdir()
    info = spec.build(grown, spec.open(tmp_path / "a"), tmp_path / "b")
    assert info.details["pairs"] == scorer.pairs <= 10 + 2 * 200
    (tmp_path / "c").mkdir()
    spec.build(MemorySource(changed), None, tmp_path / "c")
    one, other = spec.open(tmp_path / "b"), spec.open(tmp_path / "c")
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.anchors, other.anchors)


def test_an_interrupted_build_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("engine.indexes.shards.SHARD", 20)
    spec, source = CurIndex(queries=4), MemorySource(sentences(60))
    heard: list[int] = []

    def stop(step: object) -> None:
        heard.append(step.done)  # type: ignore[attr-defined]
        if step.done >= 160:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spec.build(source, None, tmp_path, stop)
    assert heard == sorted(heard)
    source.scorer("").pairs = 0
    spec.build(source, None, tmp_path)
    assert source.scorer("").pairs < 60 * 4
    (tmp_path / "whole").mkdir()
    spec.build(MemorySource(sentences(60)), None, tmp_path / "whole")
    np.testing.assert_array_equal(spec.open(tmp_path).scores, spec.open(tmp_path / "whole").scores)


def test_small_collections_have_fewer_questions(tmp_path: Path):
    spec = CurIndex(queries=5)
    spec.build(MemorySource({4: "one", 9: ""}), None, tmp_path)
    index = spec.open(tmp_path)
    assert index.anchors.tolist() == [4, 9, NONE, NONE, NONE]
    assert not index.scores[:, 2:].any()
    assert spec.effort(10_000) == "50,000 pairs for the cross-encoder, about 4 min at 200 a second"


def test_damage_and_wrong_queries_are_refused(tmp_path: Path):
    spec = CurIndex(queries=5)
    spec.build(MemorySource(sentences(9)), None, tmp_path)
    index = spec.open(tmp_path)
    with pytest.raises(BadInput, match="5 numbers"):
        index.search(np.zeros((1, 4), np.float32), 3)
    with pytest.raises(BadInput, match="5 numbers"):
        index.search(np.full((1, 5), np.nan, np.float32), 3)
    anchors = index.anchors.copy()
    anchors[0] = 1
    np.save(tmp_path / "anchors.npy", anchors)
    with pytest.raises(WorkspaceDamaged, match="does not hold"):
        spec.open(tmp_path)


def test_the_schema_of_hits_is_that_of_any_retriever(tmp_path: Path):
    ranking, _ = Context(built(tmp_path, LowRankScorer(3), 5)).execute(Cur(), Ranking.of([("q", "words")]))
    assert ranking.hits.schema["score"] == pl.Float64
    assert len(ranking.hits) == 5
