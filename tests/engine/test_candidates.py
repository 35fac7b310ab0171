"""One scoring tells what fewer candidates, or less time, would have given; where it cannot, it says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.explain.candidates import Scoring, rerank_stages, scored
from engine.pipeline.context import Context
from engine.pipeline.explanation import COST_NOTE
from engine.pipeline.stages import PipelineSpec
from engine.rerankers.cross import Cross
from engine.rerankers.e2rank import E2Rank
from engine.testing.contracts import MemoryResources
from engine.types import Ranking

TEXTS = {"a": "red", "b": "red green", "c": "yellow", "d": "red green blue", "e": "blue blue blue blue"}
RECEIVED = ("c", "a", "e", "b", "d")
QUERY = "red green blue"
ORDERS = {0: "caebd", 1: "caebd", 2: "acebd", 3: "aecbd", 4: "baecd", 5: "dbaec"}
"""By hand: the shared words of the first n, less a thousandth for each word; the others follow as they came."""


def received() -> Ranking:
    rows = [("q", doc_id, 5.0 - i) for i, doc_id in enumerate(RECEIVED)]
    schema = {"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}
    return Ranking.of([("q", QUERY)]).with_hits(pl.DataFrame(rows, schema=schema, orient="row"))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(MemoryResources(TEXTS, tmp_path))


@pytest.mark.parametrize("count", ORDERS)
def test_one_scoring_tells_the_order_of_every_number_of_candidates(context: Context, count: int) -> None:
    scoring = scored(Cross(candidates=2), QUERY, received().hits, 5, 60_000, context)
    assert (scoring.separate, scoring.most) == (True, 5)
    told = scoring.order(count)
    assert "".join(told["doc_id"]) == ORDERS[count]
    assert told["rank"].to_list() == [1, 2, 3, 4, 5]
    assert dict(told.select("doc_id", "received").iter_rows()) == {d: i for i, d in enumerate(RECEIVED, 1)}
    assert told.filter(pl.col("score").is_not_null())["doc_id"].to_list() == list(ORDERS[count][:count])


@pytest.mark.parametrize("standing", [0.0, 0.8])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_it_tells_what_running_with_that_number_gives(context: Context, count: int, standing: float) -> None:
    stage = Cross(candidates=count, standing=standing)
    ran, _ = context.execute(stage, received())
    told = scored(Cross(standing=standing), QUERY, received().hits, 5, 60_000, context).order(count)
    assert told["doc_id"].to_list() == ran.hits["doc_id"].to_list()
    np.testing.assert_allclose(told["score"].drop_nulls().to_numpy(), ran.hits["score"].to_numpy()[:count], rtol=1e-6)


def test_times_and_budgets_follow_from_the_marks() -> None:
    scoring = Scoring(Cross(), received().hits, np.arange(5.0), ((2, 10.0), (4, 20.0), (5, 26.0)), separate=True)
    assert [scoring.ms(n) for n in (0, 1, 2, 3, 5, 9)] == [0, 5, 10, 15, 26, 26]
    assert scoring.reached(9) == 5
    budgets = {0: 0, 5: 2, 10: 2, 10.5: 4, 20: 4, 20.1: 5, 1_000: 5}
    assert {ms: scoring.reached(5, ms) for ms in budgets} == budgets, "what is begun when the time is up is finished"
    assert scoring.reached(3, 15) == 3


def test_a_budget_of_a_run_reaches_what_the_scoring_says(context: Context) -> None:
    assert scored(Cross(), QUERY, received().hits, 5, 0, context).order(0)["doc_id"].to_list() == list(RECEIVED)
    empty = Scoring(Cross(), received().hits, np.empty(0), (), separate=True)
    assert (empty.most, empty.ms(3), empty.reached(3)) == (0, 0.0, 0)


def test_a_run_that_stops_early_reaches_what_the_scoring_says(tmp_path: Path) -> None:
    texts = {"d0": "red", **{f"d{i}": "blue " * i for i in range(1, 10)}}
    context = Context(MemoryResources(texts, tmp_path))
    hits = pl.DataFrame({"qid": ["q"] * 10, "doc_id": list(texts), "score": np.arange(10.0)[::-1]})
    ranking = Ranking.of([("q", "red")]).with_hits(hits)
    stage = Cross(early_stop=1.85, top=1)
    told = scored(stage, "red", ranking.hits, 10, 60_000, context)
    assert (told.most, told.reached(10), told.reached(5)) == (10, 6, 4)
    _, span = context.execute(stage, ranking)
    assert span.details[COST_NOTE]["scored"].to_list() == [6]


def test_a_query_without_words_and_an_empty_list_are_scored_by_nobody(context: Context) -> None:
    assert scored(Cross(), "  ", received().hits, 5, 60_000, context).most == 0
    nothing = received().hits.clear()
    assert scored(Cross(), QUERY, nothing, 5, 60_000, context).order(0).is_empty()


def test_what_must_see_all_candidates_together_is_run_with_that_number(context: Context) -> None:
    stage = E2Rank(documents=2)
    scoring = scored(stage, QUERY, received().hits, 4, 60_000, context)
    assert (scoring.separate, scoring.most) == (False, 4)
    ran, _ = context.execute(stage.model_copy(update={"candidates": 4}), received())
    assert scoring.order(4)["doc_id"].to_list() == ran.hits["doc_id"].to_list()
    assert scoring.order(0)["doc_id"].to_list() == list(RECEIVED)
    with pytest.raises(ValueError, match="must be run"):
        scoring.order(3)


def test_rerankers_are_found_with_the_stages_before_them() -> None:
    spec = PipelineSpec.from_yaml(
        "pipeline:\n- fuse:\n    inputs:\n    - - bm25: {k: 9}\n      - cross: {candidates: 3}\n    - dense: {k: 7}\n"
        "- cutoff: {k: 5}\n- maxsim: {candidates: 4}\n- cross: {candidates: 2}\n"
    )
    found = [([stage.name for stage in before], stage.name) for before, stage in rerank_stages(spec.pipeline)]
    assert found == [
        (["bm25"], "cross"),
        (["fuse", "cutoff"], "maxsim"),
        (["fuse", "cutoff", "maxsim"], "cross"),
    ]
    assert [stage.candidates for _, stage in rerank_stages(spec.pipeline)] == [3, 4, 2]
