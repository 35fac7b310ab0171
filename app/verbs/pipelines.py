"""Pipelines by name: the built-in ones, those that added models bring along, and those the user saved."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from app.presets import built_in
from app.results.search import PipelineView
from app.verbs.base import Verbs, writes
from app.verbs.offered import offered
from engine.errors import BadInput, NotFound
from engine.explain.candidates import rerank_stages
from engine.pipeline.stages import Cutoff, Fuse, PipelineSpec, Stage, Then, json_schema


class PipelineVerbs(Verbs):
    """Look up, check, save and delete pipelines."""

    def pipelines(self) -> tuple[PipelineView, ...]:
        """The built-in pipelines, those of added models, then the saved ones by name."""
        known = [_view(name, spec, i) for i, (name, spec) in enumerate(self._specs().items())]
        return (*known, *self._unreadable().values())

    def pipeline(self, name: str) -> PipelineView:
        """One pipeline. Raises NotFound that lists the known names."""
        return self._unreadable().get(name) or _view(name, self._spec(name), 0)

    def check_pipeline(self, yaml: str) -> PipelineView:
        """Parse a pipeline without saving it. Raises BadInput that names the line or parameter."""
        spec = PipelineSpec.from_yaml(yaml)
        return _view(spec.name_, spec, 0)

    @writes
    def save_pipeline(self, name: str, yaml: str) -> PipelineView:
        """Save under a name, replacing what was saved under it. Built-in names are refused."""
        name = " ".join(name.split())
        if not name or len(name) > 120 or any(ord(c) < 32 for c in name):
            raise BadInput("A pipeline needs a name of 1 to 120 printable characters.")
        if name in built_in():
            raise BadInput(f"{name!r} is a built-in pipeline; save your version under another name.")
        spec = PipelineSpec.from_yaml(yaml)
        spec = spec.model_copy(update={"name_": name})
        self.engine.workspace.save_pipeline(name, spec.to_yaml())
        return _view(name, spec, 0)

    @writes
    def delete_pipeline(self, name: str) -> None:
        """Forget a saved pipeline. Raises NotFound, and BadInput for built-in ones."""
        if name in built_in():
            raise BadInput(f"{name!r} is built in and cannot be deleted.")
        self.pipeline(name)
        if name in self._offered() and name not in {saved.name for saved in self.engine.workspace.pipelines()}:
            raise BadInput(f"{name!r} comes with its model, and goes when the model is deleted.")
        self.engine.workspace.delete_pipeline(name)

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of a pipeline file, from which forms are built."""
        return json_schema()

    def _specs(self) -> dict[str, PipelineSpec]:
        """Every pipeline that can be run, by name."""
        saved = {pipeline.name: _parsed(pipeline.yaml)[0] for pipeline in self.engine.workspace.pipelines()}
        return built_in() | self._offered() | {name: spec for name, spec in saved.items() if spec is not None}

    def _unreadable(self) -> dict[str, PipelineView]:
        """Saved pipelines that this program cannot read, as after a component was uninstalled: to be seen, mended or deleted, not run."""
        saved = [
            (pipeline.name, pipeline.yaml, *_parsed(pipeline.yaml)) for pipeline in self.engine.workspace.pipelines()
        ]
        return {
            name: PipelineView(name, 0, yaml, f"cannot be read: {problem}")
            for name, yaml, spec, problem in saved
            if spec is None
        }

    def _offered(self) -> dict[str, PipelineSpec]:
        """The pipelines of the models that were added to this workspace."""
        return offered(self.engine.workspace.models.cards())

    def _spec(self, name: str) -> PipelineSpec:
        specs = self._specs()
        if name not in specs:
            lost = self._unreadable().get(name)
            if lost is not None:
                raise BadInput(f"The saved pipeline {name!r} {lost.summary} Mend it in the editor, or delete it.")
            raise NotFound(f"There is no pipeline called {name!r}. Known: {', '.join(specs)}.")
        return specs[name]


@lru_cache(maxsize=256)
def _view(name: str, spec: PipelineSpec, slot: int) -> PipelineView:
    reranks = any(before for before, _ in rerank_stages(spec.pipeline))
    return PipelineView(name, slot % 4, spec.to_yaml(), summary(spec.pipeline), reranks)


@lru_cache(maxsize=256)
def _parsed(yaml: str) -> tuple[PipelineSpec | None, str]:
    """The specification, or None and why there is none."""
    try:
        return PipelineSpec.from_yaml(yaml), ""
    except BadInput as error:
        return None, str(error)


def summary(stage: Stage) -> str:
    """A pipeline in one line: "BM25 + Dense, fused by rrf → rerank 50"; a retriever alone by its model."""
    first, *others = _shown(stage)
    return first.models()[0] if first.models() and not first.reads_hits and not others else _line(stage)


def _shown(stage: Stage) -> list[Stage]:
    """The steps of a pipeline that its line names: a cut-off only where there is nothing else."""
    steps = list(stage.stages) if isinstance(stage, Then) else [stage]
    return [step for step in steps if not isinstance(step, Cutoff)] or steps


def _line(stage: Stage) -> str:
    if isinstance(stage, Fuse):
        return " + ".join(_line(part) for part in stage.inputs) + f", fused by {stage.method.name}"
    if isinstance(stage, Then):
        return " → ".join(_line(part) for part in _shown(stage))
    return stage.label()
