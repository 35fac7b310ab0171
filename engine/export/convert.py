"""Conversion in a process of its own (engine.system.child): it holds gigabytes, may be stopped at any moment, and takes nothing with it when native
code fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.system import child
from engine.types import ProgressSink

SECONDS = 6 * 3600.0
MEMORY_SHARE = 0.9
"""Of this computer's memory: beyond it the system would choose what to end, and might choose the workbench."""
REMEDY = "Nothing was added; a smaller model needs less."


def convert(
    source: Path, built: Path, options: Mapping[str, Any], progress: ProgressSink, check: Callable[[], None]
) -> None:
    """Export `source` to the new folder `built` in a child. `progress` hears how far it is; it and `check`, called often, may raise to stop it.

    options: further arguments of `export_model`, or of `round_model` where "task" is "round". Raises what that raises, BadInput beyond the limits,
    and TriptychError where the child dies.
    """
    request = {"task": "export", "source": str(source), "out_folder": str(built), **options}
    child.run("The conversion", request, child.Limits(SECONDS, _memory(), REMEDY), progress, check)


def _memory() -> float:
    try:
        return MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return float("inf")


def export_task(arguments: dict[str, Any], progress: ProgressSink) -> None:
    """What the child does of `export_model`."""
    from engine.export.export import export_model

    source, out = Path(arguments.pop("source")), Path(arguments.pop("out_folder"))
    export_model(source, out, say=lambda _: None, progress=progress, **arguments)


def round_task(arguments: dict[str, Any], progress: ProgressSink) -> None:
    """What the child does of `round_model`."""
    from engine.export.rounding import round_model

    source, out = Path(arguments.pop("source")), Path(arguments.pop("out_folder"))
    round_model(source, out, progress=progress, **arguments)
