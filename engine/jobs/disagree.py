"""Where pipelines disagree, over a query set without judgments: run every query, keep what was found, and compare the
lists two by two.

It is kept like an evaluation that has no metric: finished queries stay when it is stopped, and asking the same again
runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import polars as pl

from engine.evaluation.run import Asked, ImportedRun, raise_all_failed
from engine.jobs.asking import AskingJob
from engine.statistics.agreement import pairwise
from engine.types import Ran

if TYPE_CHECKING:
    from engine.pipeline.stages import PipelineSpec
    from engine.serving.engine import Engine
    from engine.serving.running import Running
    from engine.workspace.evaluations import StoredEvaluation

PURPOSE = "disagreement"


def asked_for(pipelines: Mapping[str, PipelineSpec], runs: Mapping[str, ImportedRun], query_set: str, k: int) -> Asked:
    """The first `k` documents of every pipeline and run, on every query of the set."""
    return Asked(pipelines, (), runs, query_set, k, every_query=True, settings={"purpose": PURPOSE})


class DisagreeJob(AskingJob, name="disagree"):
    """A comparison as `asked_for` asks it. Older ones of the same names, queries and depth are forgotten: what they
    were made from has changed."""

    words: ClassVar[str] = "Disagreement of"
    makes: ClassVar[str] = "evaluation"
    page: ClassVar[str] = "evaluate"
    option: ClassVar[str] = "disagree"

    def run(self, engine: Engine, running: Running) -> None:
        """Raises TriptychError when every pipeline failed on every query, and what an evaluation raises."""
        found = self.evaluated(engine, running)
        evaluations, stored = engine.workspace.evaluations, found.stored
        assert stored is not None
        check_answered(found.ran, self.names)
        for other in evaluations.list(stored.collection_id):
            if other.evaluation_id != stored.evaluation_id and _about(other) == _about(stored):
                evaluations.delete(other.evaluation_id)


def _about(stored: StoredEvaluation) -> tuple[object, ...]:
    spec = stored.spec
    return stored.query_set, spec.get("purpose"), spec["depth"], list(spec["pipelines"]), list(spec["runs"])


def agreements(ran: Ran, names: Sequence[str], qids: Sequence[str], k: int) -> pl.DataFrame:
    """engine.statistics.agreement.AGREEMENTS of every two of `names` on the queries that both answered; `qids` are
    those asked, in their order."""
    failed = set(ran.failures.select("pipeline", "qid").iter_rows())
    answered = {name: [qid for qid in qids if (name, qid) not in failed] for name in names}
    return pairwise(ran.hits, answered, k)


def check_answered(ran: Ran, names: Sequence[str]) -> None:
    """Raises TriptychError when every pipeline failed on every query, and there is no run beside them."""
    if len(ran.failures) and len(ran.failures) == len(names) * len(ran.qids):
        raise_all_failed(ran)
