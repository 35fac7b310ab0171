"""Jobs that fit maps from scores to probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from engine.jobs.base import JobKind

if TYPE_CHECKING:
    from engine.serving.engine import Engine
    from engine.serving.running import Running


class CalibrateJob(JobKind, name="calibrate"):
    """A calibration, asked as `spec` of engine.evaluation.calibration.Asked writes it; its counts name it."""

    makes: ClassVar[str] = "calibration"
    page: ClassVar[str] = "calibrate"
    option: ClassVar[str] = "run"

    pipelines: dict[str, str] = Field(default_factory=dict)
    query_set: str = ""
    methods: tuple[Any, ...] = ()

    def label(self) -> str:
        """Which pipelines, on which query set."""
        return f"Calibrate {', '.join(self.pipelines)} on {self.query_set}"

    def run(self, engine: Engine, running: Running) -> None:
        """Raises what a calibration raises."""
        from engine.evaluation.calibration import Asked, calibrate_collection

        asked = Asked.of(running.job.params)
        stored = calibrate_collection(engine, running.job.collection_id, asked, progress=running)
        running.counts |= {"calibration": stored.calibration_id}
