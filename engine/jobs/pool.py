"""From pipelines to a queue of documents to be judged: run every query, pool what was found, put it in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
from pydantic import Field

from engine.evaluation.pooling import queue_items
from engine.evaluation.run import Evaluated, raise_all_failed
from engine.evaluation.verdicts import EFFECTS, verdicts
from engine.jobs.asking import AskingJob
from engine.metrics.base import parse_metric
from engine.types import Progress

if TYPE_CHECKING:
    from engine.serving.engine import Engine
    from engine.serving.running import Running
    from engine.workspace.workspace import Workspace


class PoolJob(AskingJob, name="pool"):
    """Runs pipelines over every query, and fills a judging queue with what they found. queue: its id and how it is
    ordered (`fill_queue`)."""

    words: ClassVar[str] = "Pool for judging:"
    makes: ClassVar[str] = "queue"
    page: ClassVar[str] = "judge"
    option: ClassVar[str] = "queue"

    queue: dict[str, Any] = Field(default_factory=dict)

    def run(self, engine: Engine, running: Running) -> None:
        """Raises TriptychError when nothing was found because every pipeline failed, and what an evaluation raises."""
        running.counts["queue"] = self.queue["queue_id"]
        found = self.evaluated(engine, running)
        running(Progress("order", 0, 1, "queues"))
        if len(found.ran.failures) and found.ran.hits.is_empty():
            raise_all_failed(found.ran)
        fill_queue(engine.workspace, running.job.collection_id, self.queue, found, self.names)


def fill_queue(
    workspace: Workspace, collection_id: str, order: Mapping[str, Any], found: Evaluated, pipelines: list[str]
) -> None:
    """Order what was found and put it into the queue. order: queue_id, order, depth, measure, baseline, again,
    limit."""
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
