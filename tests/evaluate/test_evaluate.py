"""Running and measuring: shared prefixes once, failures without a value, stops between queries, means over the same queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine.errors import BadInput, Cancelled
from engine.evaluation.measure import (
    RUN_FAILURES,
    TOTAL,
    VALUES,
    Ran,
    common_queries,
    latencies,
    measure,
    run_queries,
    summarize,
)
from engine.metrics.base import parse_metric
from engine.pipeline.context import Context
from engine.pipeline.stages import PipelineSpec, Stage, parse
from engine.testing.contracts import MemoryResources, sentences
from engine.types import Progress, Ranking

TEXTS = {f"d{i}": text for i, text in enumerate(sentences(24).values())}
QUERIES = [("1", "scientific papers"), ("2", "nearest neighbors"), ("3", "inverted lists"), ("4", "unheard")]
LOG: list[str] = []


class Watched(Stage, name="watched-in-tests"):
    """Passes a ranking on, and writes down that it ran; fails on a word."""

    fails_on: str = ""
    tag: str = ""

    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        texts = ranking.queries["text"].to_list()
        LOG.append(f"{self.tag}:{'|'.join(texts)}")
        if self.fails_on and any(self.fails_on in text for text in texts):
            raise RuntimeError(f"no {self.fails_on} today")
        return ranking


def spec(*stages: Any) -> PipelineSpec:
    steps = [parse(("retrievers",), "bm25"), *stages]
    made = steps[0]
    for stage in steps[1:]:
        made = made >> stage  # type: ignore[operator]
    return PipelineSpec(pipeline=made)


@pytest.fixture
def resources(tmp_path: Path) -> MemoryResources:
    LOG.clear()
    return MemoryResources(TEXTS, tmp_path)


def run(
    resources: MemoryResources,
    pipelines: dict[str, PipelineSpec],
    queries: list[tuple[str, str]] = QUERIES,
    **options: Any,
) -> Ran:
    return Ran.together(list(run_queries(lambda: Context(resources), pipelines, queries, **options)))


def test_hits_are_those_of_a_search_whatever_the_batch(resources: MemoryResources) -> None:
    pipelines = {"a": spec(), "b": PipelineSpec(pipeline=parse(("retrievers",), "dense"))}  # type: ignore[arg-type]
    alone, together = run(resources, pipelines), run(resources, pipelines, batch=3)
    assert alone.qids == together.qids == ("1", "2", "3", "4")
    order = ["pipeline", "qid", "doc_id"]
    assert alone.hits.sort(order).equals(together.hits.sort(order))
    expected = Context(resources).execute(pipelines["a"].pipeline, Ranking.of(QUERIES))[0].hits
    assert alone.hits.filter(pipeline="a").drop("pipeline").equals(expected.drop("rank"))
    assert run(resources, pipelines, depth=2).hits.group_by("pipeline", "qid").len()["len"].max() == 2


def test_shared_prefixes_run_once_and_are_charged_to_both(resources: MemoryResources) -> None:
    shared = Watched(tag="shared")
    pipelines = {"short": spec(shared), "long": spec(shared, Watched(tag="own"))}
    ran = run(resources, pipelines, QUERIES[:2])
    warm_up = ["shared:scientific papers", "own:scientific papers"]
    assert [*warm_up, *warm_up, "shared:nearest neighbors", "own:nearest neighbors"] == LOG
    by_label = ran.times.filter(qid="2", label="watched-in-tests").sort("pipeline", "path")
    assert by_label["pipeline"].to_list() == ["long", "long", "short"]
    long, short = (ran.times.filter(qid="2", pipeline=name) for name in ("long", "short"))
    assert long.filter(label="BM25")["ms"].item() == short.filter(label="BM25")["ms"].item() > 0
    for part in (long, short):
        total = part.filter(pl.col("path") == TOTAL)["ms"].item()
        rest = part.filter(pl.col("path") != TOTAL)["ms"].sum()
        assert rest <= total <= rest + 50, "the total holds what the sequence itself takes as well"
        assert part["path"].is_unique().all()


@pytest.mark.parametrize("batch", [1, 3])
def test_a_query_that_fails_has_no_value_and_takes_no_other_along(resources: MemoryResources, batch: int) -> None:
    pipelines = {"whole": spec(), "half": spec(Watched(fails_on="neighbors"))}
    ran = run(resources, pipelines, batch=batch)
    assert ran.failures.rows() == [("half", "2", "Unexpected RuntimeError: no neighbors today")]
    judgments = pl.DataFrame({"qid": ["1", "2", "4"], "doc_id": ["d0", "d3", "d0"], "rating": [1, 1, 1]})
    values = measure(ran.hits, judgments, ["1", "2", "4"], list(pipelines), [parse_metric("RR")], ran.failures)
    assert values.schema == VALUES
    half = dict(values.filter(pipeline="half").select("qid", "value").iter_rows())
    assert half["1"] > 0
    assert half["2"] is None, "failed, not zero"
    assert half["4"] == 0.0, "ran and found nothing"
    assert dict(values.filter(pipeline="whole").select("qid", "value").iter_rows())["2"] > 0


def test_stopping_keeps_finished_queries_and_the_rest_can_follow(resources: MemoryResources) -> None:
    pipelines = {"a": spec()}
    whole = run(resources, pipelines)

    def stop(progress: Progress) -> None:
        if progress.done == 2:
            raise Cancelled("stopped")

    kept: list[Ran] = []

    with pytest.raises(Cancelled):
        kept.extend(run_queries(lambda: Context(resources), pipelines, QUERIES, progress=stop))
    finished = Ran.together(kept)
    assert finished.qids == ("1", "2")
    told: list[Progress] = []
    rest = [query for query in QUERIES if query[0] not in finished.qids]
    resumed = Ran.together(
        [finished, *run_queries(lambda: Context(resources), pipelines, rest, progress=told.append, done=2)]
    )
    assert resumed.qids == whole.qids
    assert resumed.hits.equals(whole.hits)
    assert [(p.done, p.total) for p in told] == [(2, 4), (3, 4), (4, 4)]


def test_a_stage_that_cancels_is_not_a_failed_query(
    resources: MemoryResources, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(*_: object) -> None:
        raise Cancelled("stopped")

    monkeypatch.setattr(Watched, "run", cancel)
    with pytest.raises(Cancelled):
        run(resources, {"a": spec(Watched())})


def test_a_batch_has_at_least_one_query(resources: MemoryResources) -> None:
    with pytest.raises(BadInput, match="at least one"):
        run(resources, {"a": spec()}, batch=0)
    assert run(resources, {"a": spec()}, []).qids == ()


def long_table(measures: dict[str, dict[str, list[float | None]]]) -> pl.DataFrame:
    rows = [
        (f"q{i}", name, label, value)
        for label, by_name in measures.items()
        for name, values in by_name.items()
        for i, value in enumerate(values)
    ]
    return pl.DataFrame(rows, schema=VALUES, orient="row")


def test_means_and_tests_are_over_the_queries_that_all_answered() -> None:
    values = long_table({"AP": {"base": [0.1, 0.2, 0.3, 1.0], "new": [0.2, 0.3, 0.4, None], "broken": [None] * 4}})
    assert common_queries(values) == (["q0", "q1", "q2"], ["broken"])
    base, new, broken = summarize(values, baseline="base", test="t").iter_rows(named=True)
    assert base["mean"] == pytest.approx(0.2)
    assert base["queries"] == new["queries"] == 3
    assert base["p"] is None
    assert new["difference"] == pytest.approx(0.1)
    assert (new["wins"], new["ties"], new["losses"]) == (3, 0, 0)
    assert (broken["mean"], broken["queries"], broken["p"]) == (None, 0, None)


def test_correction_is_over_the_pipelines_within_one_measure() -> None:
    better = [
        [0.5, 0.6, 0.4, 0.7, 0.9, 0.8, 0.65],
        [0.2, 0.3, 0.1, 0.5, 0.4, 0.25, 0.35],
        [0.1, 0.3, 0.2, 0.2, 0.3, 0.1, 0.4],
    ]
    names = ("one", "two", "base")
    values = long_table({label: dict(zip(names, better, strict=True)) for label in ("AP", "RR")})
    for correction, factors in (("none", (1, 1)), ("holm", (2, 1))):
        found = summarize(values, baseline="base", correction=correction)
        for label in ("AP", "RR"):
            part = found.filter(measure=label)
            pairs = part.filter(pl.col("p").is_not_null()).sort("p").select("p", "p_corrected").rows()
            assert len(pairs) == 2
            expected = [min(1.0, p * factor) for (p, _), factor in zip(pairs, factors, strict=True)]
            assert [corrected for _, corrected in pairs] == pytest.approx([expected[0], max(expected)])
    assert found.equals(summarize(values, baseline="base")), "seeded"


@pytest.mark.parametrize("wrong", [{"baseline": "x"}, {"test": "x"}, {"correction": "x"}])
def test_unknown_names_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="'x'"):
        summarize(long_table({"AP": {"a": [0.1]}}), **wrong)  # type: ignore[arg-type]


def test_no_values_make_no_summary() -> None:
    assert summarize(pl.DataFrame(schema=VALUES)).is_empty()
    assert summarize(long_table({"AP": {"a": [None]}}))["mean"].to_list() == [None]
    failures = pl.DataFrame(schema=RUN_FAILURES)
    assert measure(
        Ran.nothing().hits,
        pl.DataFrame(
            {"qid": [], "doc_id": [], "rating": []}, schema={"qid": pl.String, "doc_id": pl.String, "rating": pl.Int32}
        ),
        [],
        ["a"],
        [parse_metric("AP")],
        failures,
    ).is_empty()


def test_latencies_are_quantiles_over_queries() -> None:
    times = pl.DataFrame(
        {
            "pipeline": ["a"] * 5,
            "qid": list("12345"),
            "path": [TOTAL] * 5,
            "label": ["total"] * 5,
            "ms": [1.0, 2.0, 3.0, 4.0, 100.0],
        }
    )
    assert latencies(times).rows() == [("a", TOTAL, "total", 3.0, pytest.approx(4.0 + 0.8 * 96.0))]
