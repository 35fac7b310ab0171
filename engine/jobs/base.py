"""Kinds of jobs: what one is asked, what it is called, where what it makes is shown, and how it runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import ConfigDict, ValidationError

from engine.component import Component, first_problem, lookup
from engine.errors import BadInput

if TYPE_CHECKING:
    from engine.serving.engine import Engine
    from engine.serving.running import Running

MODELS_VIEW = {"view": "models"}
"""Where the Library shows its models."""
SHOWN = 3
"""Names that a label tells before it counts."""


class JobKind(Component, family="jobs"):
    """A kind of long work, under the name that its rows carry. Its fields are what a job is asked; rows may hold more,
    of other versions.

    Subclass it with `name=` in a file of its own here, or in another package with an entry point `triptych.jobs`; then
    it can be submitted, is listed by its label, and leads to its page. Everything that `run` commits must be safe to
    meet again when the job is resumed.
    """

    model_config = ConfigDict(extra="ignore")

    makes: ClassVar[str] = ""
    """Which of the job's counts holds the id of what it makes; "" where that is not one thing."""
    page: ClassVar[str] = "library"
    """The page that shows the job and what it makes."""
    address: ClassVar[Mapping[str, str]] = {}
    """Options of that page's address which open the right part of it."""
    option: ClassVar[str] = ""
    """The option of that page's address which names what the job made."""
    ends_in_indexes: ClassVar[bool] = False
    """Whether it changes the documents or indexes of its collection, so that a missing index may be on its way."""
    before_indexes: ClassVar[tuple[str, ...]] = ()
    """Phases in which it builds no index yet."""
    resumable: ClassVar[bool] = True
    """Whether it goes on where it stopped; others can only be cancelled, and fail when the program ends meanwhile."""

    @classmethod
    def read(cls, params: Mapping[str, Any]) -> Self:
        """A job from the parameters in its row. Raises BadInput."""
        try:
            return cls.model_validate(params)
        except ValidationError as error:
            raise BadInput(f"{cls.name}: {first_problem(error)}") from None

    @abstractmethod
    def label(self) -> str:
        """The job in a few words, for lists: "Add papers.jsonl"."""

    @abstractmethod
    def run(self, engine: Engine, running: Running) -> None:
        """Do the work, tell `running` how far it is, and keep `running.counts`. Raises Halted through `running`, and
        TriptychError."""


def kind_of(name: str) -> type[JobKind]:
    """The kind of this name; JobKind itself where it is not installed (any more), which says nothing of the job."""
    try:
        found = lookup("jobs", name)
    except BadInput:
        return JobKind
    return found if issubclass(found, JobKind) else JobKind


def label_of(name: str, params: Mapping[str, Any]) -> str:
    """The label of a job's row; the name of its kind where nothing can read what it was asked."""
    kind = kind_of(name)
    if kind is JobKind:
        return name
    try:
        return kind.read(params).label()
    except BadInput:
        return name


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
