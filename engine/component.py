"""Components: frozen parameters that describe themselves, and a registry that finds them by family and name."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from importlib.metadata import entry_points
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from engine.errors import BadInput

FAMILIES = (
    "readers",
    "chunkers",
    "encoders",
    "indexes",
    "retrievers",
    "feedback",
    "fusers",
    "selectors",
    "rerankers",
    "calibrators",
    "metrics",
)


class Component(BaseModel):
    """A named set of parameters with defaults, bounds and descriptions. Subclassing with `name=` registers it in its `family`.

    Equality and the JSON form are the identity: they key caches, drive prefix sharing, and build the form in the UI. So no number is
    infinite or NaN, which JSON cannot hold and which equals nothing.
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
    """All components of a family: every module of `engine.<family>`, then third parties' `triptych.<family>` entry points."""
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


def lookup(family: str, name: str) -> type[Component]:
    """The component class called `name`. Raises BadInput that lists the known names."""
    known = discover(family)
    if name not in known:
        raise BadInput(f"There is no {family.removesuffix('s')} called {name!r}. Known: {', '.join(known)}.")
    return known[name]
