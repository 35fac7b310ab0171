"""The first run of a model, in a child with limits: only a model that gives usable rows there is published.

What a graph does is seen only when it runs: it may loop for ever, crash its runtime, take all memory, or give the same row for every text.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput
from engine.models.card import ModelCard, read_card, write_card
from engine.models.entries import CatalogueEntry, entry_of
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
SAME = 1e-6
"""Rows that differ by less, relative to their size, are the same."""


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
    from engine.encoders.opening import open_encoder

    if card.family == "cross":
        from engine.encoders.cross import PairScorer

        scores = np.asarray(PairScorer.load(built, provider="cpu", threads=1).score(PROBES[0], PROBES[1:]))
        if scores.shape != (len(PROBES) - 1,) or not np.isfinite(scores).all():
            raise BadInput(f"{card.name} gives no finite score to a pair of texts; it cannot be used.")
        _refuse_constant(card, [np.atleast_1d(score) for score in scores])
        return
    encoder = open_encoder(built, provider="cpu", threads=1)
    documents, queries = encoder.encode_documents(list(PROBES)), encoder.encode_queries(list(PROBES))
    if len(documents) != len(PROBES) or len(queries) != len(PROBES):
        raise BadInput(f"{card.name} does not give one row a text; it cannot be used.")
    for found in (documents, queries):
        _refuse_useless(card, found)


def _refuse_useless(card: ModelCard, found: Any) -> None:
    if card.family == "sparse":
        if not np.isfinite(found.weights).all():
            raise BadInput(f"{card.name} gives weights that are not finite; it cannot be used.")
        if not np.any(found.weights):
            raise BadInput(f"{card.name} gives no term a weight, for none of {len(PROBES)} texts; it cannot be used.")
        texts = np.zeros((len(found), card.dimensions), np.float32)
        texts[np.repeat(np.arange(len(found)), np.diff(found.indptr)), found.terms] = found.weights
        _refuse_constant(card, list(texts))
        return
    if card.family == "late":
        rows = [np.asarray(found.vectors[start:stop], np.float32) for start, stop in pairwise(found.indptr)]
        if not all(len(row) and row.any(axis=1).all() for row in rows):
            raise BadInput(f"{card.name} gives tokens no vector, or one of zeros; it cannot be used.")
    else:
        rows = [np.asarray(row, np.float32) for row in found]
    every = np.concatenate([row.ravel() for row in rows]) if rows else np.zeros(0)
    if not np.isfinite(every).all():
        raise BadInput(f"{card.name} gives vectors that are not finite; it cannot be used.")
    if not every.any():
        raise BadInput(f"{card.name} gives nothing but zeros, for {len(PROBES)} different texts; it cannot be used.")
    _refuse_constant(card, [row.reshape(-1, row.shape[-1]).mean(axis=0) for row in rows if row.size])


def _refuse_constant(card: ModelCard, rows: list[NDArray[Any]]) -> None:
    """Raises BadInput where every text has the same row."""
    every = np.stack(rows).astype(np.float64)
    if np.abs(every - every[0]).max() <= SAME * max(1.0, float(np.abs(every).max())):
        raise BadInput(f"{card.name} gives the same for {len(rows)} different texts; it cannot tell texts apart.")
