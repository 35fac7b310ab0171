"""Measures: hand-computed values, and the same numbers as trec_eval on random rankings with ties, gaps and unjudged documents."""

from __future__ import annotations

import math
import random

import ir_measures
import numpy as np
import polars as pl
import pytest

from engine.component import discover
from engine.errors import BadInput
from engine.metrics.base import Metric, mark, parse_metric

HITS = {"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}
JUDGMENTS = {"qid": pl.String, "doc_id": pl.String, "rating": pl.Int32}
Run = dict[str, dict[str, float]]
Qrels = dict[str, dict[str, int]]


def table(nested: Run | Qrels, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    rows = [(qid, doc_id, value) for qid, docs in nested.items() for doc_id, value in docs.items()]
    return pl.DataFrame(rows, schema=schema, orient="row")


def values(metric: str, run: Run, qrels: Qrels) -> list[float]:
    marked = mark(list(qrels), table(run, HITS), table(qrels, JUDGMENTS))
    return parse_metric(metric).values(marked).tolist()


# Ranks 1..5: relevant (1), unjudged, non-relevant, relevant (2), negative; one relevant document (3) is not found.
RUN: Run = {"q": {"a": 5.0, "u": 4.0, "n": 3.0, "b": 2.0, "x": 1.0}}
QRELS: Qrels = {"q": {"a": 1, "n": 0, "b": 2, "c": 3, "x": -1}}
DCG = 1 / math.log2(2) + 2 / math.log2(5)
IDEAL = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("AP", (1 / 1 + 2 / 4) / 3),
        ("AP@3", (1 / 1) / 3),
        ("AP(rel=2)", (1 / 4) / 2),
        ("RR", 1.0),
        ("RR(rel=2)", 1 / 4),
        ("RR(rel=2)@3", 0.0),
        ("R@4", 2 / 3),
        ("R@1", 1 / 3),
        ("P@4", 2 / 4),
        ("P@10", 2 / 10),
        ("P(rel=2)@5", 1 / 5),
        ("Rprec", 1 / 3),
        ("Success@1", 1.0),
        ("Success(rel=2)@3", 0.0),
        ("Judged@2", 1 / 2),
        ("Judged@10", 4 / 5),
        ("Judged", 4 / 5),
        ("nDCG", DCG / IDEAL),
        ("nDCG@10", DCG / IDEAL),
        ("nDCG@1", 1 / 3),
        ("nDCG(dcg=exp-log2)@4", (1 + 3 / math.log2(5)) / (7 + 3 / math.log2(3) + 1 / math.log2(4))),
        # Condensed, the ranks are: relevant (1), non-relevant, relevant (2).
        ("AP(judged_only=True)", (1 / 1 + 2 / 3) / 3),
        ("RR(rel=2, judged_only=True)", 1 / 3),
        ("P(judged_only=True)@3", 2 / 3),
        ("R(judged_only=True)@3", 2 / 3),
        ("Rprec(judged_only=True)", 2 / 3),
        ("Success(rel=2, judged_only=True)@3", 1.0),
        ("nDCG(judged_only=True)@3", (1 + 2 / math.log2(4)) / IDEAL),
        ("Bpref", (1 + 0) / 3),  # one judged non-relevant above b, and min(1, 3) of them in all
    ],
)
def test_by_hand(metric: str, expected: float) -> None:
    assert values(metric, RUN, QRELS) == [pytest.approx(expected, abs=1e-15)]


def test_ties_go_to_the_greater_id_and_scores_are_compared_as_32_bit_floats() -> None:
    qrels = {"q": {"a": 1}}
    assert values("RR", {"q": {"a": 1.0, "b": 1.0}}, qrels) == [0.5]
    assert values("RR", {"q": {"a": 1.0 + 1e-12, "b": 1.0}}, qrels) == [0.5]
    assert values("RR", {"q": {"a": 1.0 + 1e-6, "b": 1.0}}, qrels) == [1.0]
    assert values("RR", {"q": {"a": 1.0, "é": 1.0, "B": 1.0}}, qrels) == [0.5]


def test_queries_without_hits_or_relevant_documents_are_zero_and_others_are_left_out() -> None:
    qrels: Qrels = {"none": {"a": 0}, "empty": {"a": 1}, "q": {"a": 1}}
    run: Run = {"none": {"a": 1.0}, "q": {"a": 1.0}, "stranger": {"a": 1.0}}
    for name in discover("metrics"):
        metric = name + ("@3" if discover("metrics")[name].cut == "must" else "")  # type: ignore[attr-defined]
        none, empty, found = values(metric, run, qrels)
        assert (none, empty, found) == (1.0 if name == "Judged" else 0.0, 0.0, 1 / 3 if name == "P" else 1.0), name
    assert mark([], table({}, HITS), table({}, JUDGMENTS)).queries == 0
    assert values("AP", {}, {}) == []


def test_the_last_queries_may_lack_judgments_or_hits() -> None:
    """Counts of every query, however few come at the end: AP 1, then nothing to measure by, twice."""
    run: Run = {"q": {"a": 2.0}, "unjudged": {"a": 2.0, "b": 1.0}}
    marked = mark(["q", "unjudged", "empty"], table(run, HITS), table({"q": {"a": 1, "n": 0}}, JUDGMENTS))
    for name in discover("metrics"):
        cutoff = "@1" if discover("metrics")[name].cut == "must" else ""  # type: ignore[attr-defined]
        assert parse_metric(name + cutoff).values(marked).tolist() == [1.0, 0.0, 0.0], name


def random_case(rng: random.Random) -> tuple[Run, Qrels]:
    """Few distinct scores (ties), unjudged and negative documents, short lists, ids of mixed case and script."""
    names = [f"{rng.choice('aBé検d')}{i}" for i in range(rng.randint(1, 40))]
    found = rng.sample(names, rng.randint(1, len(names)))
    step = rng.choice([1, 7, 1000])
    scores = {name: rng.randint(-5, 5) / step + rng.choice([0, 0, 1e-13, 1e-3]) for name in found}
    judged = {name: rng.choice([-1, 0, 0, 0, 1, 1, 2, 3]) for name in rng.sample(names, rng.randint(1, len(names)))}
    return {"q": scores}, {"q": judged}


def test_same_numbers_as_trec_eval_on_1000_random_rankings() -> None:
    rng = random.Random(20)
    names = [
        "AP", "AP@5", "AP(rel=2)", "RR", "RR(rel=2)", "R@3", "R@20", "R(rel=2)@5", "P@1", "P@10", "P(rel=2)@5", "nDCG", "nDCG@3",
        "nDCG@10", "AP(judged_only=True)", "AP(judged_only=True)@5", "P(judged_only=True)@5", "R(judged_only=True)@3",
        "Rprec(judged_only=True)", "Success(judged_only=True)@3", "RR(judged_only=True)", "nDCG(judged_only=True)@3", "Bpref", "Bpref(rel=2)", "Rprec", "Rprec(rel=2)", "Success@3", "Success(rel=2)@5",
    ]  # fmt: skip
    run: Run = {}
    qrels: Qrels = {}
    for i in range(1000):
        hits, judged = random_case(rng)
        run[f"q{i}"], qrels[f"q{i}"] = hits["q"], judged["q"]
    marked = mark(list(qrels), table(run, HITS), table(qrels, JUDGMENTS))
    evaluator = ir_measures.pytrec_eval.evaluator([ir_measures.parse_measure(name) for name in names], qrels)
    theirs: dict[str, dict[str, float]] = {}
    for result in evaluator.iter_calc(run):
        theirs.setdefault(str(result.measure), {})[result.query_id] = result.value
    for name in names:
        metric = parse_metric(name)
        expected = [theirs[str(ir_measures.parse_measure(name))][qid] for qid in qrels]
        np.testing.assert_allclose(metric.values(marked), expected, rtol=0, atol=1e-12, err_msg=name)
    checked = {parse_metric(name).name for name in names}
    assert checked | {"Judged"} == set(discover("metrics")), (
        "every metric is checked; trec_eval has none like Judged, which follows"
    )
    first = np.array([theirs["RR"][qid] for qid in qrels])
    np.testing.assert_array_equal(parse_metric("RR@4").values(marked), np.where(first >= 1 / 4, first, 0))


def test_judged_agrees_with_ir_measures_where_scores_differ() -> None:
    rng = random.Random(7)
    run, qrels = {}, {}
    for i in range(200):
        hits, judged = random_case(rng)
        run[f"q{i}"] = {doc_id: float(place) for place, doc_id in enumerate(hits["q"])}
        qrels[f"q{i}"] = judged["q"]
    for name in ("Judged@5", "Judged"):
        expected = {r.query_id: r.value for r in ir_measures.iter_calc([ir_measures.parse_measure(name)], qrels, run)}
        assert values(name, run, qrels) == [pytest.approx(expected[qid]) for qid in qrels]


@pytest.mark.parametrize(
    ("written", "label"),
    [("ndcg@10", "nDCG@10"), ("MAP", "AP"), ("mrr@10", "RR@10"), ("Recall@100", "R@100"), (" P( rel=2 )@5 ", "P(rel=2)@5"),
     ("AP(rel=1)", "AP"), ("nDCG(dcg='exp-log2')@5", "nDCG(dcg=exp-log2)@5"), ("bpref", "Bpref")],
)  # fmt: skip
def test_notation(written: str, label: str) -> None:
    metric = parse_metric(written)
    assert metric.label() == label
    assert parse_metric(label) == metric


@pytest.mark.parametrize(
    ("written", "says"),
    [("nDGC@10", "Known: AP, Bpref, Judged, P, R"), ("R", "R@10"), ("Bpref@5", "has no cut-off"), ("P@0", "cutoff"), ("AP(rel=x)", "rel"),
     ("AP(k=2)", "takes rel"), ("Judged(rel=1)", "no parameter"), ("Bpref(judged_only=True)", "takes rel"), ("nDCG@10;drop", "not a metric"), ("", "not a metric"), ("nDCG(dcg=ln)", "dcg")],
)  # fmt: skip
def test_wrong_notation_says_what_is_known(written: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        parse_metric(written)


def test_every_measure_describes_itself() -> None:
    for name, cls in discover("metrics").items():
        assert issubclass(cls, Metric)
        assert cls.name == name
        assert all(field.description for field in cls.model_fields.values())
