"""The pipeline specification: a tree of frozen stages that is its own cache key, YAML file and JSON Schema.

`Fuse(inputs=(Bm25(), Dense()), method=Rrf()) % 100` reads, in YAML::

    - fuse:
        inputs:
        - bm25: {}
        - dense: {}
        method: {rrf: {k: 60}}
    - cutoff: {k: 100}

`>>` and `%` are the only operators (after pyterrier's `_ops.py`); equality of stages drives prefix sharing.
"""

from __future__ import annotations

import io
import json
from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from engine import component
from engine.component import Component, discover, dump, summary
from engine.errors import BadInput
from engine.types import Ranking

if TYPE_CHECKING:
    from engine.indexes.base import IndexSpec
    from engine.pipeline.context import Context
    from engine.pipeline.explanation import Evidence, ScoreExplanation
    from engine.pipeline.trace import Span

STAGE_FAMILIES = ("rewriters", "retrievers", "feedback", "selectors", "rerankers", "calibrators", "stages")
MAX_DEPTH = 12
MAX_YAML_CHARS = 64_000


class Stage(Component, family="stages"):
    """A step that turns a ranking into a ranking. Holds parameters only; everything live is reached through the
    context.

    What explains a run, draws it or chooses among stages goes by what a class states of itself here, not by its name or
    family.
    """

    head: ClassVar[str] = "other"
    """What it makes of a list, in a word: rewritten, retrieved, feedback, fused, reranked, calibrated, selected,
    other."""
    evidence: ClassVar[Evidence] = ""
    explains: ClassVar[Literal["", "rows", "documents"]] = ""
    """How a score is told: "rows" by a stage that searches (see `engine.retrievers.base.Searching`), "documents" by
    `explain_document`."""
    reads_hits: ClassVar[bool] = True
    """Whether the hits that it receives matter; a first stage goes by the query alone."""
    asks_anew: ClassVar[bool] = False
    """Whether it makes queries of its own, so that only a run tells what was searched for."""
    loses: ClassVar[str] = "unfound"
    """Why its list may lack a document that it received: threshold, unselected, unfound."""

    @abstractmethod
    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        """The ranking that this stage makes of `ranking`. Its queries stay the same, as the user asked them; what first
        stages search for instead may change (`Ranking.asking`), and is left in the trace."""

    def label(self) -> str:
        """A few words for column heads and the trace."""
        return self.name

    def children(self) -> tuple[Stage, ...]:
        """The stages inside this one."""
        return ()

    def models(self) -> tuple[str, ...]:
        """The models that it runs, by name: the parameter `model`, where it has one. Not those of stages inside it."""
        model = getattr(self, "model", "")
        return (model,) if model else ()

    def term_analyzer(self) -> str:
        """The analyzer whose terms its explanations name; "" where they are no terms of an analyzer."""
        return ""

    def explain_document(self, query: str, doc_id: str, ctx: Context) -> ScoreExplanation | None:
        """Why this document gets its score; None where the stage cannot tell, or has no score for it."""
        return None

    def why_lost(self, span: Span, qid: str, doc_id: str, rank: int) -> tuple[str, str] | None:
        """(verdict, sentence), where this stage dropped a document that had come with `rank`, as its span tells; None
        where it was another."""
        return None

    def facts(self, span: Span, qid: str) -> list[str]:
        """What it did in this run, in a few words each."""
        return []

    def index_spec(self) -> IndexSpec | None:
        """The index that this stage reads, if any."""
        return None

    def walk(self) -> Iterator[Stage]:
        """This stage and all below it, inputs first."""
        for child in self.children():
            yield from child.walk()
        yield self

    def __rshift__(self, other: Stage) -> Stage:
        return Then(stages=(*_steps(self), *_steps(other)))

    def __mod__(self, k: int) -> Stage:
        return self >> Cutoff(k=k)


def parse(families: tuple[str, ...], data: Any, depth: int = 0) -> Component:
    """A component of several families from its data form (see `engine.component.parse`), for stages also a list of
    them. Raises BadInput."""
    if isinstance(data, Component):
        return data
    if depth > MAX_DEPTH or _depth(data) > 4 * MAX_DEPTH:
        raise BadInput(f"The pipeline is nested deeper than {MAX_DEPTH} stages.")
    kind = families[0] if families == ("fusers",) else "stages"
    if isinstance(data, list) and kind == "stages":
        if not data:
            raise BadInput("A pipeline needs at least one stage.")
        steps = [step for item in data for step in _steps(_as_stage(parse(families, item, depth + 1)))]
        return steps[0] if len(steps) == 1 else Then(stages=tuple(steps))
    return component.parse(kind, data, {name: cls for family in families for name, cls in components(family).items()})


def components(family: str) -> dict[str, type[Component]]:
    """All components of a family, those that are written in this file among them."""
    if family == "stages":
        return {"cutoff": Cutoff, "fuse": Fuse}
    return discover(family)


def _depth(data: Any) -> int:
    """Nesting depth of plain data, found without recursion so that hostile input cannot exhaust the stack."""
    deepest, pending = 0, [(data, 1)]
    while pending:
        item, level = pending.pop()
        deepest = max(deepest, level)
        if level > 8 * MAX_DEPTH:
            break
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        pending.extend((child, level + 1) for child in inner)
    return deepest


def _brackets(text: str) -> int:
    """How deep brackets are open at most, those in quotes among them."""
    depth = deepest = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _as_stage(found: Component) -> Stage:
    if not isinstance(found, Stage):
        raise BadInput(f"{found.name!r} is not a stage.")
    return found


def _validated(families: tuple[str, ...]) -> Any:
    def validate(data: Any) -> Component:
        try:
            return parse(families, data)
        except BadInput as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(validate)


def _dump_stage(stage: Stage) -> Any:
    return [dump(step) for step in stage.stages] if isinstance(stage, Then) else dump(stage)


StageField = Annotated[
    Stage, _validated(STAGE_FAMILIES), PlainSerializer(_dump_stage), WithJsonSchema({"x-family": "stage"})
]
FuserField = Annotated[Component, _validated(("fusers",)), PlainSerializer(dump), WithJsonSchema({"x-family": "fuser"})]


class Then(Stage, name="then"):
    """Stages one after another; written as a list."""

    stages: tuple[StageField, ...] = Field(min_length=1, description="The stages, first to last.")

    def children(self) -> tuple[Stage, ...]:
        return self.stages

    def label(self) -> str:
        return " → ".join(stage.label() for stage in self.stages)

    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        for stage in self.stages:
            ranking = ctx.run(stage, ranking)
        return ranking


class Cutoff(Stage, name="cutoff"):
    """Keep the first k hits of every query."""

    k: int = Field(100, ge=1, le=100_000, description="How many hits to keep for a query.")

    def label(self) -> str:
        return f"top {self.k}"

    def why_lost(self, span: Span, qid: str, doc_id: str, rank: int) -> tuple[str, str]:
        return "below_cutoff", f"It was at rank {rank} when the list was cut at {self.k}."

    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        return ranking.top(self.k)


class Fuse(Stage, name="fuse"):
    """Run several pipelines on the same query and merge their lists into one."""

    head: ClassVar[str] = "fused"
    inputs: tuple[StageField, ...] = Field(
        min_length=2, max_length=8, description="The pipelines whose lists are merged."
    )
    method: FuserField = Field(
        default_factory=lambda: parse(("fusers",), "rrf"), description="How the lists are merged."
    )

    @model_validator(mode="after")
    def _one_weight_per_input(self) -> Fuse:
        weights = getattr(self.method, "weights", ())
        if weights and len(weights) != len(self.inputs):
            raise ValueError(f"{len(weights)} weights were given for {len(self.inputs)} inputs")
        return self

    def children(self) -> tuple[Stage, ...]:
        return self.inputs

    def label(self) -> str:
        return f"fuse ({self.method.name})"

    def facts(self, span: Span, qid: str) -> list[str]:
        return [self.method.formula()]  # type: ignore[attr-defined]

    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        lists = [ctx.run(stage, ranking).hits for stage in self.inputs]
        contributions = self.method.contributions(lists)  # type: ignore[attr-defined]
        ctx.note("contributions", contributions)
        scores = contributions.group_by("qid", "doc_id").agg(score=_sum_in_order())
        if not scores["score"].is_finite().all():
            raise BadInput(
                f"{self.method.name}: the weights or statistics of this fusion make scores without bounds; "
                "choose smaller ones."
            )
        return ranking.with_hits(scores)


def _sum_in_order() -> Any:
    """Sum contributions in input order, so that equal documents get bit-equal scores whatever order the rows come
    in."""
    import polars as pl

    return pl.col("contribution").sort_by("input").sum()


def _steps(stage: Stage) -> tuple[Stage, ...]:
    return stage.stages if isinstance(stage, Then) else (stage,)


class PipelineSpec(Component, family="pipelines"):
    """A named pipeline: what a YAML file holds."""

    name_: str = Field(
        "", alias="name", max_length=120, description="What the pipeline is called in lists and columns."
    )
    description: str = Field(
        "", max_length=2000, description="A sentence for the people who will choose between pipelines."
    )
    pipeline: StageField

    model_config = ConfigDict(populate_by_name=True)

    def to_yaml(self) -> str:
        """The YAML form; `from_yaml` gives back an equal specification."""
        data = {"name": self.name_, "description": self.description, "pipeline": _dump_stage(self.pipeline)}
        if not self.description:
            del data["description"]
        out = io.StringIO()
        _yaml().dump(data, out)
        return out.getvalue()

    @classmethod
    def from_yaml(cls, text: str) -> PipelineSpec:
        """Parse YAML (or JSON, its subset). Raises BadInput that names the line or the parameter."""
        from ruamel.yaml.error import YAMLError

        if len(text) > MAX_YAML_CHARS:
            raise BadInput(f"The pipeline has {len(text):,} characters; at most {MAX_YAML_CHARS:,} are read.")
        if _brackets(text) > 8 * MAX_DEPTH:  # the parser's time grows with the square of the depth
            raise BadInput(f"The pipeline is nested deeper than {MAX_DEPTH} stages.")
        try:
            if any(getattr(event, "anchor", None) is not None for event in _yaml().parse(text)):
                raise BadInput("Anchors and aliases (& and *) are not read in a pipeline; write the stages out.")
            data = _yaml().load(text)
            plain = json.loads(json.dumps({"pipeline": data} if isinstance(data, list) else data, default=str))
        except (YAMLError, RecursionError, ValueError, TypeError) as error:
            mark = getattr(error, "problem_mark", None)
            where = f"Line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
            raise BadInput(
                f"{where}this is not YAML: {getattr(error, 'problem', None) or 'it cannot be parsed'}."
            ) from None
        if not isinstance(plain, dict):
            raise BadInput("A pipeline file holds `name:` and `pipeline:`.")
        try:
            return cls.model_validate(plain)
        except ValidationError as error:
            raise BadInput(component.first_problem(error)) from None

    def index_specs(self) -> list[IndexSpec]:
        """The distinct indexes that running it needs, in the order of use."""
        return list(dict.fromkeys(spec for stage in self.pipeline.walk() if (spec := stage.index_spec()) is not None))


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    yaml.width = 100
    return yaml


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a pipeline file. `$defs/stage` lists every stage and `$defs/fuser` every fusion method, from
    the registry."""
    stages = {name: cls for family in STAGE_FAMILIES for name, cls in components(family).items()}
    fusers = components("fusers")
    defs: dict[str, Any] = {}
    for name, cls in {**stages, **fusers}.items():
        schema = _link(cls.model_json_schema())
        defs |= schema.pop("$defs", {})
        schema["description"] = summary(cls)
        defs[name] = schema
    defs["fuser"] = {"anyOf": [_tagged(name) for name in fusers]}
    steps = {"type": "array", "items": {"$ref": "#/$defs/stage"}, "minItems": 1}
    defs["stage"] = {"anyOf": [*(_tagged(name) for name in stages), steps]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pipeline",
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 120},
            "description": {"type": "string", "maxLength": 2000},
            "pipeline": {"$ref": "#/$defs/stage"},
        },
        "required": ["pipeline"],
        "additionalProperties": False,
        "$defs": defs,
    }


def _tagged(name: str) -> dict[str, Any]:
    ref = {"$ref": f"#/$defs/{name}"}
    return {"type": "object", "properties": {name: ref}, "required": [name], "additionalProperties": False}


def _link(schema: Any) -> Any:
    """Put `$ref`s where pydantic could only leave the name of a family; the fields are polymorphic by registry."""
    if isinstance(schema, list):
        return [_link(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    linked = {key: _link(value) for key, value in schema.items() if key != "x-family"}
    return {**linked, "$ref": f"#/$defs/{schema['x-family']}"} if "x-family" in schema else linked
