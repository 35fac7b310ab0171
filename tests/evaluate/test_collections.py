"""The classic judged collections through BM25: every value is trec_eval's or ir_measures', and the means are those known for them."""

from __future__ import annotations

import json
from pathlib import Path

import ir_measures
import numpy as np
import polars as pl
import pytest

from engine.evaluation.measure import measure, run_queries
from engine.metrics.base import parse_metric
from engine.pipeline.context import Context
from engine.pipeline.stages import PipelineSpec, parse
from engine.testing.contracts import MemoryResources
from engine.types import Ran

KNOWN = {"cisi": (0.396, 0.221, 0.448), "cacm": (0.486, 0.324, 0.642), "npl": (0.436, 0.287, 0.603)}
NAMES = (
    "nDCG@10",
    "AP",
    "R@100",
    "P@5",
    "Bpref",
    "RR",
    "Rprec",
    "Success@1",
    "nDCG",
    "AP(judged_only=True)",
    "Judged@10",
)


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", KNOWN)
def test_values_are_those_of_trec_eval(name: str, shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / name
    texts = {d["_id"]: ". ".join(filter(None, (d["title"], d["text"]))) for d in rows(folder / "corpus.jsonl")}
    judgments = pl.concat(
        [
            pl.read_csv(
                file,
                separator="\t",
                new_columns=["qid", "doc_id", "rating"],
                schema_overrides=[pl.String, pl.String, pl.Int32],
            )
            for file in sorted((folder / "qrels").glob("*.tsv"))
        ]
    ).unique(["qid", "doc_id"], keep="last")
    judged = set(judgments["qid"])
    queries = [(q["_id"], q["text"]) for q in rows(folder / "queries.jsonl") if q["_id"] in judged]
    pipelines = {"BM25": PipelineSpec(pipeline=parse(("retrievers",), {"bm25": {"k": 1000}}))}  # type: ignore[arg-type]
    resources = MemoryResources(texts, tmp_path)
    ran = Ran.together(list(run_queries(lambda: Context(resources), pipelines, queries, batch=32)))
    qids = [qid for qid, _ in queries]
    values = measure(ran.hits, judgments, qids, ["BM25"], [parse_metric(label) for label in NAMES], ran.failures)

    run = {
        qid: dict(part.select("doc_id", "score").iter_rows())
        for (qid,), part in ran.hits.partition_by("qid", as_dict=True).items()
    }
    qrels = {
        qid: dict(part.select("doc_id", "rating").iter_rows())
        for (qid,), part in judgments.partition_by("qid", as_dict=True).items()
    }
    evaluator = ir_measures.pytrec_eval.evaluator([ir_measures.parse_measure(label) for label in NAMES[:-1]], qrels)
    theirs = {(r.query_id, str(r.measure)): r.value for r in evaluator.iter_calc(run)}
    # ir_measures counts the judged itself, and leaves open how ties are ordered: it is told the order that trec_eval gives them.
    placed = {
        qid: {
            doc: -i
            for i, (doc, _) in enumerate(
                sorted(found.items(), key=lambda hit: (np.float32(hit[1]), hit[0]), reverse=True)
            )
        }
        for qid, found in run.items()
    }
    counted = ir_measures.iter_calc([ir_measures.parse_measure(NAMES[-1])], qrels, placed)
    theirs |= {(r.query_id, str(r.measure)): r.value for r in counted}
    assert len(values) == len(NAMES) * len(qids)
    for qid, _, label, value in values.iter_rows():
        assert value == pytest.approx(theirs.get((qid, label), 0.0), abs=1e-12), (qid, label)
    means = [values.filter(measure=label)["value"].mean() for label in NAMES[:3]]
    np.testing.assert_allclose(means, KNOWN[name], atol=0.02)
