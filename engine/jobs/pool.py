"""From pipelines to a queue of documents to be judged: run every query, pool what was found, put it in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from engine.evaluation.pooling import queue_items
from engine.evaluation.run import Evaluated, asked_by, evaluate_for, raise_all_failed
from engine.evaluation.verdicts import EFFECTS, verdicts
from engine.metrics.base import parse_metric
from engine.types import Progress

if TYPE_CHECKING:
    from engine.serving.engine import Engine
    from engine.serving.running import Running
    from engine.workspace.workspace import Workspace


def run_pool(engine: Engine, running: Running) -> None:
    """The work of a job of kind "pool": params of an evaluation over every query, and `queue`: its id and how it is ordered."""
    running.counts["queue"] = running.job.params["queue"]["queue_id"]
    found = evaluate_for(engine, running)
    running(Progress("order", 0, 1, "queues"))
    asked = asked_by(engine.workspace, running.job.params)
    names = [*asked.pipelines, *asked.runs]
    if len(found.ran.failures) and found.ran.hits.is_empty():
        raise_all_failed(found.ran)
    assert found.stored is not None
    fill_queue(engine.workspace, running.job.collection_id, running.job.params["queue"], found, names)


def fill_queue(
    workspace: Workspace, collection_id: str, order: Mapping[str, Any], found: Evaluated, pipelines: list[str]
) -> None:
    """Order what was found and put it into the queue. order: queue_id, order, depth, measure, baseline, again, limit."""
    documents = workspace.documents
    assert found.stored is not None
    query_set = found.stored.query_set
    qids = documents.queries(collection_id, query_set)["qid"].to_list()
    judgments = documents.settled_judgments(collection_id, query_set)
    hits = found.ran.hits
    effects = pl.DataFrame(schema=EFFECTS)
    if order["order"] == "flip":
        failed = set(found.ran.failures["qid"])
        whole = [qid for qid in qids if qid not in failed]
        worth = max(1, int(judgments["rating"].max() or 1))  # type: ignore[arg-type]
        metric = parse_metric(order["measure"])
        effects = verdicts(hits, judgments, whole, pipelines, order["baseline"], metric, worth).documents
    items = queue_items(
        hits, qids, pipelines, order=order["order"], depth=order["depth"], effects=effects,
        known=None if order["again"] else judgments, limit=order["limit"],
    )  # fmt: skip
    workspace.judging.fill(order["queue_id"], found.stored.evaluation_id, items)
