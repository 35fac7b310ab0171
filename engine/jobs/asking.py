"""What the jobs have in common that run pipelines over a query set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from engine.jobs.base import JobKind, some

if TYPE_CHECKING:
    from engine.evaluation.run import Asked, Evaluated
    from engine.serving.engine import Engine
    from engine.serving.running import Running
    from engine.workspace.evaluations import StoredEvaluation
    from engine.workspace.workspace import Workspace


class AskingJob(JobKind):
    """Pipelines (name → YAML) and imported runs (name → where the workspace keeps it) on a query set, as `job_params`
    of engine.evaluation.run."""

    words: ClassVar[str] = ""
    """What stands before the names in a label."""

    pipelines: dict[str, str] = Field(default_factory=dict)
    runs: dict[str, str] = Field(default_factory=dict)
    query_set: str = ""
    metrics: tuple[str, ...] = ()
    depth: int = 1_000
    batch: int = 1
    every_query: bool = False
    settings: dict[str, Any] = Field(default_factory=dict)
    fresh: bool = False

    @property
    def names(self) -> list[str]:
        """Of the pipelines, then of the runs."""
        return [*self.pipelines, *self.runs]

    def label(self) -> str:
        """What is done with which pipelines, on which query set."""
        return f"{self.words} {some(self.names)} on {self.query_set}"

    def asked(self, workspace: Workspace) -> Asked:
        """What is to be evaluated. Raises NotFound when a run is gone."""
        from engine.evaluation.run import asked_by

        return asked_by(workspace, self.model_dump())

    def evaluated(self, engine: Engine, running: Running) -> Evaluated:
        """Evaluate what is asked. A job that is taken up again runs only what is not finished, also where it began with
        `fresh`."""
        from engine.evaluation.run import evaluate

        counts = running.counts
        again = "evaluation" in counts

        def begun(stored: StoredEvaluation) -> None:
            counts["evaluation"] = stored.evaluation_id

        asked = self.asked(engine.workspace)
        found = evaluate(
            engine, running.job.collection_id, asked, fresh=self.fresh and not again, progress=running, begun=begun
        )
        failed = found.ran.failures["qid"].n_unique()
        counts |= {"queries": len(found.ran.qids), **({"failed": failed} if failed else {})}
        return found
