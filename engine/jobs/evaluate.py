"""Jobs that evaluate pipelines against the judgments of a query set."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from engine.jobs.asking import AskingJob

if TYPE_CHECKING:
    from engine.serving.engine import Engine
    from engine.serving.running import Running


class EvaluateJob(AskingJob, name="evaluate"):
    """An evaluation; its counts tell which one it is, the queries that it ran, and how many failed."""

    words: ClassVar[str] = "Evaluate"
    makes: ClassVar[str] = "evaluation"
    page: ClassVar[str] = "evaluate"
    option: ClassVar[str] = "run"

    def run(self, engine: Engine, running: Running) -> None:
        """Raises TriptychError when every pipeline failed on every query, and what an evaluation raises."""
        from engine.evaluation.run import raise_all_failed

        found = self.evaluated(engine, running)
        if found.ran.failures.height and found.values["value"].null_count() == found.values.height:
            raise_all_failed(found.ran)
