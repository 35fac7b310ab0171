"""Components: frozen parameters that describe themselves, and a registry that finds them by family and name."""

from __future__ import annotations

import functools
import importlib
import json
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import BadInput

FAMILIES = (
    "readers",
    "chunkers",
    "expanders",
    "families",
    "indexes",
    "rewriters",
    "retrievers",
    "feedback",
    "fusers",
    "selectors",
    "rerankers",
    "calibrators",
    "metrics",
    "indexes.structures",
    "jobs",
)
NOUNS = {
    "families": "model family",
    "indexes": "index",
    "fusers": "fusion method",
    "indexes.structures": "index structure",
    "jobs": "kind of job",
}
"""What one component of a family is called, where that is not the family's name without its s."""


class Component(BaseModel):
    """A named set of parameters with defaults, bounds and descriptions. Subclassing with `name=` registers it in its
    `family`.

    Equality and the JSON form are the identity: they key caches, drive prefix sharing, and build the form in the UI. So
    no number is infinite or NaN, which JSON cannot hold and which equals nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    family: ClassVar[str] = ""
    name: ClassVar[str] = ""
    _registry: ClassVar[dict[str, dict[str, type[Component]]]] = {}

    def __init_subclass__(cls, *, family: str | None = None, name: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if family is not None:
            cls.family = family
        if name is not None:
            cls.name = name
            known = Component._registry.setdefault(cls.family, {})
            other = known.get(name)
            if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
                raise TypeError(f"{cls.family} {name!r} is already registered by {other.__module__}")
            known[name] = cls


def discover(family: str) -> dict[str, type[Component]]:
    """All components of a family: every module of `engine.<family>`, then third parties' `triptych.<family>` entry
    points."""
    _load(family)
    return dict(sorted(Component._registry.get(family, {}).items()))


@functools.cache
def _load(family: str) -> None:
    """Once a process: looking through what is installed takes longer than parsing a pipeline."""
    package = importlib.import_module(f"engine.{family}")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"engine.{family}.{module.name}")
    for entry in entry_points(group=f"triptych.{family}"):
        entry.load()


def summary(kind: type) -> str:
    """What a class says of itself first: the first paragraph of its docstring, in one line."""
    return " ".join((kind.__doc__ or "").partition("\n\n")[0].split())


def lookup(family: str, name: str) -> type[Component]:
    """The component class called `name`. Raises BadInput that lists the known names."""
    return _named(discover(family), noun(family), name)


def noun(family: str) -> str:
    """What one component of a family is called."""
    return NOUNS.get(family, family.removesuffix("s"))


def parse(family: str, data: Any, known: Mapping[str, type[Component]] | None = None) -> Component:
    """A component from its data form, `name` or `{name: parameters}`; `known`: others than all of the family. Raises
    BadInput."""
    if isinstance(data, Component):
        return data
    if isinstance(data, str):
        data = {data: {}}
    if not isinstance(data, Mapping) or len(data) != 1:
        raise BadInput(
            f"{_article(noun(family))} is written as `name: {{parameters}}`, one name; got {_excerpt(data)}."
        )
    ((name, parameters),) = data.items()
    kind = _named(discover(family) if known is None else known, noun(family), name)
    try:
        return kind.model_validate({} if parameters is None else parameters)
    except ValidationError as error:
        raise BadInput(f"{name}: {first_problem(error)}") from None


def dump(component: Component) -> dict[str, Any]:
    """The data form `{name: parameters}` of a component, with every parameter written out."""
    return {component.name: component.model_dump(mode="json")}


def first_problem(error: ValidationError) -> str:
    """The first of the problems with some parameters: where it is, and what."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"]) or "parameters"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}"


def _named(known: Mapping[str, type[Component]], noun: str, name: Any) -> type[Component]:
    if name not in known:
        raise BadInput(f"There is no {noun} called {name!r}. Known: {', '.join(sorted(known))}.")
    return known[name]


def _article(noun: str) -> str:
    return f"An {noun}" if noun[0] in "aeiou" else f"A {noun}"


def _excerpt(data: Any) -> str:
    text = json.dumps(data, default=str, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"
