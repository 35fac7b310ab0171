"""The contract of index structures: how the rows that an encoder gave are searched.

An index names what is encoded, and a structure: a component with its own parameters, which builds files beside the rows, opens them, and
searches them. In data a structure is its name, or `{name: parameters}`; "auto" leaves the choice to the index.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeAlias

from pydantic import BaseModel, PlainSerializer, PlainValidator

from engine.component import Component, discover, dump, parse
from engine.errors import BadInput
from engine.types import Mask, ProgressSink, TopK

AUTO = "auto"
Flat: TypeAlias = Any
"""An open index of one of the kinds that the structure names: see `engine.indexes.structured.StructuredOpenIndex`. Its rows are loaded."""


class OpenStructure(Protocol):
    """A structure over the rows of an open index. Read-only, so any thread may search it."""

    @property
    def memory(self) -> int:
        """Bytes that it keeps in memory beside the rows."""
        ...

    def search(self, queries: Any, k: int, allowed: Mask | None, effort: int | None) -> TopK:
        """The best k rows for each query (checked, in the form of the index) among `allowed` (bool [rows], not all of them).

        k: at most as many as rows; effort: how much is looked at, in a unit of the structure's own; None: its default.
        """
        ...


class Structure(Component, family="indexes.structures"):
    """The parameters of a structure; a subclass is one kind in one file."""

    rows: ClassVar[tuple[str, ...]]
    """Which kinds of index it can search: dense, late."""
    exact: ClassVar[bool] = False
    """Whether every search finds the best rows. What others miss is measured when they are built."""
    stored: ClassVar[str] = ""
    """Where the description of an index (info.json) says what was built; the name, unless another is given."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.stored = cls.__dict__.get("stored") or cls.name

    @abstractmethod
    def build(
        self, index: Flat, earlier: Flat | None, progress: ProgressSink
    ) -> tuple[BaseModel, dict[str, str | int | float]]:
        """Write files into `index.folder`, for one row or more; gives what `open` must know, and what the user is told.

        earlier: the index before, to continue what it has. Raises StorageFull, and what `progress` raises.
        """

    @abstractmethod
    def open(self, index: Flat, about: Mapping[str, Any] | None) -> OpenStructure:
        """Open what `build` wrote, after checking it; about: the description as stored, None where nothing was built. Raises WorkspaceDamaged."""

    def installed(self) -> str:
        """ "", or the package that is missing here."""
        return ""

    def require(self) -> None:
        """Raises MissingDependency with the install command, where a package is missing."""


def structures(kind: str) -> dict[str, type[Structure]]:
    """The structures that can search an index of this kind, by name."""
    known = discover("indexes.structures")
    return {name: cls for name, cls in known.items() if issubclass(cls, Structure) and kind in cls.rows}


class Named:
    """What makes a field hold a structure for one kind of index: a bare name stays a name, `{name: parameters}` becomes the component.

    The schema lists the structures that there are when it is asked for.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return PlainValidator(self._checked).__get_pydantic_core_schema__(source, handler)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        known = structures(self.kind)
        names = {"enum": [AUTO, *known], "type": "string"}
        full = [
            {"type": "object", "properties": {name: cls.model_json_schema()}, "required": [name], "additionalProperties": False}
            for name, cls in known.items()
            if cls.model_fields
        ]  # fmt: skip
        return {"anyOf": [names, *full]} if full else names

    def _checked(self, value: Any) -> str | Structure:
        known = structures(self.kind)
        if value == AUTO:
            return AUTO
        if (isinstance(value, str) and value not in known) or (
            isinstance(value, Structure) and value.name not in known
        ):
            *names, last = (repr(name) for name in (AUTO, *known))
            raise ValueError(f"Input should be {', '.join(names)} or {last}")
        if isinstance(value, str):
            return value
        try:
            found = parse("indexes.structures", value)
        except BadInput as error:
            raise ValueError(str(error)) from None
        return self._checked(found) if found is not value else found


IN_DATA = PlainSerializer(lambda value: dump(value) if isinstance(value, Structure) else value)
"""Stands beside `Named`: how the field is written."""
