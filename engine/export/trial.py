"""The first run of a model, in a child with limits: only a model that gives usable rows there is published.

What a graph does is seen only when it runs: it may loop for ever, crash its runtime, take all memory, or give the same row for every text.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from engine.errors import BadInput
from engine.models.card import ModelCard, read_card, write_card
from engine.models.entries import CatalogueEntry, entry_of
from engine.models.family import family_of
from engine.models.hub.sources import Plan, take_graph
from engine.system import child
from engine.types import ProgressSink

PROBES = (
    "information retrieval",
    "How are documents ranked?",
    "bread and butter",
    "red",
    "green and blue",
    "blue",
    "a",
)
SECONDS, SECONDS_PER_GB = 120.0, 200.0
MEMORY_BYTES, MEMORY_PER_BYTE = 2e9, 4.0
ENVIRONMENT = "TRIPTYCH_TRIAL_SECONDS"


def limits(size: float, remedy: str = "Nothing was added.") -> child.Limits:
    """What a first run may take, by the bytes of the model."""
    seconds = SECONDS + SECONDS_PER_GB * size / 1e9
    try:
        seconds = float(os.environ.get(ENVIRONMENT) or seconds)
    except ValueError:
        raise BadInput(f"{ENVIRONMENT} is a number of seconds, not {os.environ[ENVIRONMENT]!r}.") from None
    told = f"{remedy} Try a smaller model; a slow computer can be given more time with {ENVIRONMENT}."
    return child.Limits(seconds, MEMORY_BYTES + MEMORY_PER_BYTE * size, told)


def try_out(built: Path, card: ModelCard, check: Callable[[], None] = lambda: None) -> None:
    """Run a few texts through a finished folder, in a child. Raises BadInput or WorkspaceDamaged where it does not give what its family gives, or
    takes more than it may, and TriptychError where it kills the child."""
    request = {"task": "try", "folder": str(built)}
    child.run(f"The first run of the model {card.name!r}", request, limits(card.bytes), check=check)


def take(
    source: Path, built: Path, chosen: Plan, about: dict[str, str], entry: CatalogueEntry | None,
    check: Callable[[], None] = lambda: None,
) -> ModelCard:  # fmt: skip
    """`take_graph`, which opens the graph, in a child; the card is written. Raises what that raises, and what `try_out` does."""
    size = sum(path.stat().st_size for path in (source / chosen.graph).parent.glob("*") if path.is_file())
    request = {"task": "take", "source": str(source), "built": str(built), "plan": asdict(chosen), "about": about}
    named = {"entry": entry.name if entry is not None else ""}
    child.run(f"Opening the graph of {about['name']!r}", request | named, limits(size), check=check)
    return read_card(built)


def take_task(arguments: dict[str, Any], progress: ProgressSink) -> None:
    """What the child does of `take`."""
    built, plan = Path(arguments["built"]), Plan(**arguments["plan"] | {"files": tuple(arguments["plan"]["files"])})
    entry = entry_of(arguments["entry"]) if arguments["entry"] else None
    write_card(built, take_graph(Path(arguments["source"]), built, plan, arguments["about"], entry))


def try_task(arguments: dict[str, Any], progress: ProgressSink) -> None:
    """What the child does of `try_out`."""
    folder = Path(arguments["folder"])
    check_rows(folder, read_card(folder))


def check_rows(built: Path, card: ModelCard) -> None:
    """Run the probes in this process. Raises BadInput on rows that are missing, not finite, zero, or the same for every text."""
    family = family_of(card.family)
    family.try_out(family.open(built, "cpu", 1), PROBES)
