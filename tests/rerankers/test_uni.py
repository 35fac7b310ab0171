"""Reranking in passes: the bundled model's scores as it gives them to pairs, passes that are done when the budget ends, models that read only pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine.encoders.cross import PairScorer
from engine.encoders.opening import load_scorer
from engine.errors import BadInput
from engine.pipeline.context import Context
from engine.pipeline.explanation import COST_NOTE
from engine.rerankers.base import Deadline
from engine.rerankers.cross import Cross
from engine.rerankers.uni import Uni
from engine.testing.contracts import MemoryResources
from engine.types import Ranking
from tests.encoders.tiny import write_cross

TEXTS = {
    "soup": "Onion soup. Cook the onions slowly until they are brown.",
    "stem": "Stemming. Reducing words to their stems lets a search find other forms of a word.",
    "index": "Inverted indexes. An index lists, for each word, the documents that contain it.",
    "rank": "Ranking. Documents are put in the order of their scores.",
}
ORDER = ("soup", "rank", "index", "stem")


class Bundled(MemoryResources):
    """These documents, and one scorer."""

    def __init__(self, folder: Path, scorer: PairScorer) -> None:
        super().__init__(TEXTS, folder)
        self._scorer = scorer

    def scorer(self, model: str) -> Any:
        return self._scorer


@pytest.fixture(scope="module")
def scorer() -> PairScorer:
    return load_scorer(provider="cpu", threads=1)


def ranking() -> Ranking:
    rows = [("q", doc_id, 10.0 - place) for place, doc_id in enumerate(ORDER)]
    hits = pl.DataFrame(rows, schema={"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}, orient="row")
    return Ranking.of([("q", "word forms and stemming in search")]).with_hits(hits)


def test_candidates_go_by_the_scores_of_pairs(tmp_path: Path, scorer: PairScorer) -> None:
    resources = Bundled(tmp_path, scorer)
    found, span = Context(resources).execute(Uni(), ranking())
    pairs, _ = Context(resources).execute(Cross(), ranking())
    assert found.hits["doc_id"].to_list() == pairs.hits["doc_id"].to_list()
    assert found.hits["doc_id"][0] == "stem"
    np.testing.assert_allclose(found.hits["score"], pairs.hits["score"], atol=0.3)
    assert span.details[COST_NOTE].select("candidates", "scored").rows() == [(4, 4)]
    small, _ = Context(resources).execute(Uni(tokens=64), ranking())
    np.testing.assert_allclose(small.hits["score"], found.hits["score"], atol=1e-3)


def test_when_the_budget_ends_the_passes_that_are_done_count(
    tmp_path: Path, scorer: PairScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([False, True])
    monkeypatch.setattr(Deadline, "passed", property(lambda _: next(looks)))
    stage = Uni(tokens=64, budget_ms=1)
    found, span = Context(Bundled(tmp_path, scorer)).execute(stage, ranking())
    query = ranking().queries["text"][0]
    first = len(next(iter(scorer.passes.batches(query, [TEXTS[doc_id] for doc_id in ORDER], 64)))[0])
    assert 1 <= first < len(ORDER)
    assert span.details[COST_NOTE].select("candidates", "scored").rows() == [(4, first)]
    assert found.hits["doc_id"].to_list()[first:] == list(ORDER[first:])


def test_scores_of_candidates_one_after_another_tell_how_far_they_are(tmp_path: Path, scorer: PairScorer) -> None:
    resources = Bundled(tmp_path, scorer)
    found, _ = Context(resources).execute(Uni(), ranking())
    heard: list[int] = []
    query = ranking().queries["text"][0]
    scores = Uni(tokens=64).pair_scores(query, ranking().hits, Context(resources), heard.append)
    assert heard == sorted(heard)
    assert heard[-1] == len(ORDER)
    given = dict(found.hits.select("doc_id", "score").iter_rows())
    np.testing.assert_allclose(scores, [given[doc_id] for doc_id in ORDER], atol=1e-3)


def test_labels_name_models_that_do_not_come_along() -> None:
    assert (Uni().label(), Cross(candidates=7).label()) == ("rerank 50 in passes", "rerank 7")
    assert (Uni(model="own").label(), Cross(model="own").label()) == ("rerank 50 in passes (own)", "rerank 50 (own)")


def test_an_explanation_is_of_the_score_of_a_pass(tmp_path: Path, scorer: PairScorer) -> None:
    context = Context(Bundled(tmp_path, scorer))
    query = ranking().queries["text"][0]
    told = Uni().explain_document(query, "stem", context)
    assert told is not None
    assert told.score == pytest.approx(float(scorer.passes.score(query, [TEXTS["stem"]])[0]), abs=1e-3)
    weights = {weight.term: weight.weight for weight in told.weights}
    assert weights.keys() >= {"stemming", "Stemming."}
    longer = TEXTS["stem"].removeprefix("Stemming. ")
    without = float(scorer.passes.score(query, [longer])[0])
    assert weights["Stemming."] == pytest.approx(told.score - without, abs=1e-3)


def test_a_model_of_pairs_is_refused_with_the_remedy(tmp_path: Path) -> None:
    pairs = PairScorer.load(write_cross(tmp_path / "m"), "cpu", 1)
    with pytest.raises(BadInput, match="use the stage `cross`"):
        Context(Bundled(tmp_path, pairs)).execute(Uni(), ranking())
