"""Speeds that were measured on this computer, kept with the workspace: one per model, valid for the very files it was
measured with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from engine.errors import BadInput
from engine.jobs.base import MODELS_VIEW, JobKind

if TYPE_CHECKING:
    from engine.export.speed.bench import Benchmark
    from engine.serving.engine import Engine
    from engine.serving.running import Running
    from engine.workspace.workspace import Workspace

SETTING = "model_benchmarks"


@dataclass(frozen=True, slots=True)
class Speed:
    """Documents and queries encoded a second (cross-encoders: pairs a second, and queries with 50 candidates each), and
    on what."""

    fingerprint: str
    provider: str
    threads: int
    documents_per_second: float
    queries_per_second: float
    share: float | None
    """Of the peak of this hardware, 0 to 1; None where that could not be measured."""
    measured_at: str


def keep(workspace: Workspace, name: str, found: Benchmark) -> Speed | None:
    """Remember what was measured just now on the fastest provider, instead of what was measured before; None where no
    provider ran."""
    if not found.speeds:
        return None
    best = max(found.speeds, key=lambda speed: speed.documents_per_second)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    speed = Speed(
        found.fingerprint,
        best.provider,
        best.threads,
        best.documents_per_second,
        best.queries_per_second,
        best.share,
        now,
    )
    workspace.set_setting(SETTING, {**_stored(workspace), name: asdict(speed)})
    return speed


class ModelBenchJob(JobKind, name="model-bench"):
    """Measures the speed of a model on every provider of this computer."""

    address: ClassVar[Mapping[str, str]] = MODELS_VIEW

    model: str = Field("", alias="name")

    def label(self) -> str:
        """Of which model."""
        return f"Measure the speed of {self.model}"

    def run(self, engine: Engine, running: Running) -> None:
        """Raises BadInput on an unknown name, WorkspaceDamaged on a damaged model."""
        from engine.export.speed.bench import bench_in_child

        folder = engine.workspace.models.find(self.model)
        if keep(engine.workspace, self.model, bench_in_child(folder, progress=running, check=running.check)) is None:
            raise BadInput(f"No provider of this computer could run {self.model!r}.")


def speed_of(workspace: Workspace, name: str, fingerprint: str) -> Speed | None:
    """What was measured with these files; None where nothing was, or with others of the same name."""
    found = _stored(workspace).get(name)
    try:
        speed = Speed(**found) if isinstance(found, Mapping) else None
    except TypeError:  # of another version of the program
        return None
    return speed if speed is not None and speed.fingerprint == fingerprint else None


def _stored(workspace: Workspace) -> dict[str, Any]:
    found = workspace.setting(SETTING, {})
    return dict(found) if isinstance(found, Mapping) else {}
