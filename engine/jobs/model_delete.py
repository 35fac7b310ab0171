"""Taking a model out of a workspace, and saying first what is built with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from engine.errors import BadInput
from engine.jobs.base import MODELS_VIEW, JobKind
from engine.types import Progress

if TYPE_CHECKING:
    from engine.serving.engine import Engine
    from engine.serving.running import Running
    from engine.workspace.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Use:
    """An index that was built with a model."""

    collection: str
    kind: str
    generation_id: str


def uses(workspace: Workspace, name: str) -> tuple[Use, ...]:
    """The published indexes of all collections whose rows a model made."""
    return tuple(
        Use(collection.name, generation.kind, generation.generation_id)
        for collection in workspace.collections()
        for generation in workspace.generations.live(collection.collection_id)
        if generation.params.get("model") == name
    )


def refuse_used(workspace: Workspace, name: str) -> None:
    """Raises BadInput that names the collections where indexes are built with a model."""
    collections = dict.fromkeys(use.collection for use in uses(workspace, name))
    if collections:
        raise BadInput(
            f"{name!r} is used by indexes of {', '.join(map(repr, collections))}. Drop them first, or force it: "
            "they are deleted with it."
        )


class ModelDeleteJob(JobKind, name="model-delete"):
    """Deletes a model of the workspace and, with `force`, the indexes that it made."""

    address: ClassVar[Mapping[str, str]] = MODELS_VIEW

    model: str = Field("", alias="name")
    force: bool = False

    def label(self) -> str:
        """Which model."""
        return f"Delete the model {self.model}"

    def run(self, engine: Engine, running: Running) -> None:
        """Raises BadInput where indexes use it, unless forced; NotFound."""
        workspace = engine.workspace
        if not self.force:
            refuse_used(workspace, self.model)
        workspace.models.refuse_absent(self.model)
        built = uses(workspace, self.model)
        # Before the model, so that a job that was interrupted still finds what is left to do.
        for step, use in enumerate(built):
            running(Progress("delete", step, len(built) + 1, "steps"))
            workspace.generations.drop(use.generation_id)
        running(Progress("delete", len(built), len(built) + 1, "steps"))
        workspace.models.remove(self.model)
        running.counts["indexes_dropped"] = len(built)
