"""The trace of one run: a tree of spans that says what every stage received, returned and cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.types import Ranking

if TYPE_CHECKING:
    from engine.pipeline.stages import Stage


@dataclass(slots=True, eq=False)
class Span:
    """One stage as it ran. `ms` includes the children; `cached` says that an equal stage had already run on the same
    input."""

    stage: Stage
    path: str
    ms: float = 0.0
    received: int = 0
    returned: int = 0
    cached: bool = False
    spared_ms: float = 0.0
    """Where `cached`: what the stage cost when it ran, with its children; 0 elsewhere."""
    output: Ranking | None = None
    children: list[Span] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    """What only this stage can tell: the contributions of a fusion, the share of a filter, a notice."""

    @property
    def alone_ms(self) -> float:
        """Milliseconds spent in this stage itself, without its children, as if nothing had been cached."""
        return max(0.0, self.ms + self.spared_ms - sum(child.ms for child in self.children))

    def walk(self) -> Iterator[Span]:
        """This span and all below it, in the order in which they ran (children before parents)."""
        for child in self.children:
            yield from child.walk()
        yield self
