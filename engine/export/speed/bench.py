"""How fast a model runs here: texts and queries a second on each provider, and the share of the hardware's peak that it reaches.

The peak is that of a matrix product in the same numbers as the model's, measured in the same run (engine.models.gemm); the arithmetic of a text
is counted from a profile of its run (engine.models.operations). The share is what Williams et al. (2009, Roofline) call attained performance
over the roof; it tells how much faster the same model could at best be on the same hardware.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.encoders.providers import Provider, available_providers
from engine.encoders.runner import body_folder
from engine.encoders.units import usable_cores
from engine.errors import BadInput
from engine.export.recipes import example_texts
from engine.export.speed.gemm import Kind, peak
from engine.export.speed.operations import count_operations
from engine.models.card import MODEL_FILE, ModelCard, read_card
from engine.models.family import family_of
from engine.system import child
from engine.types import Progress, ProgressSink, ignore_progress

DOCUMENTS, QUERIES = 64, 20
SECONDS_ALL, MEMORY_BYTES = 3600.0, 8e9  # for all of it in a child; memory beside eight times the model's own
SECONDS = 2.0  # least time over which documents are timed
COUNTED = 8  # documents whose arithmetic is counted
KINDS: dict[str, tuple[Kind, ...]] = {
    "none": ("float32",),
    "fp16": ("float16", "float32"),
    "int8": ("int8",),
    "int4": ("int8", "float16"),
}
"""What the products of a model with these weights compute in, the first that the hardware has."""


@dataclass(frozen=True, slots=True)
class ProviderSpeed:
    """Figures on one provider. documents: texts a second, of a cross-encoder pairs; queries: a second one after the other, of a cross-encoder
    those with 50 candidates each; operations: a second, while documents ran; peaks: operations a second by kind of number; kind: the one that
    counts; share: operations over that peak, 0 to 1, None where it could not be measured."""

    provider: str
    threads: int
    documents_per_second: float
    queries_per_second: float
    operations_per_second: float
    peaks: dict[str, float]
    kind: str
    share: float | None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What `bench_model` found. tokens: of a document on average, special ones included; operations: of one document."""

    model: str
    family: str
    fingerprint: str
    quantisation: str
    documents: int
    tokens_per_document: float
    operations_per_document: float
    speeds: tuple[ProviderSpeed, ...]
    notes: tuple[str, ...]


def bench_model(
    folder: Path,
    *,
    providers: Sequence[str] | None = None,
    threads: int | None = None,
    documents: int = DOCUMENTS,
    seconds: float = SECONDS,
    progress: ProgressSink = ignore_progress,
) -> Benchmark:
    """Time the model in `folder` on each of `providers` (default all that are available), with abstracts of the example collection.

    threads: on the CPU, default all cores. `progress` hears phase "benchmark" between the steps and may raise Cancelled.
    Raises BadInput on unknown providers or no documents, WorkspaceDamaged on a model that cannot be opened.
    """
    if documents < 1:
        raise BadInput("A benchmark needs at least one document.")
    chosen = list(available_providers() if providers is None else providers)
    texts, queries = example_texts(documents), example_texts(QUERIES, titles=True)
    card = read_card(folder)
    family = family_of(card.family)
    body = read_card(body_folder(folder, card)) if card.body else card  # which does nearly all of the arithmetic
    speeds, notes = [], []
    for place, name in enumerate(chosen):
        progress(Progress("benchmark", place, len(chosen) + 1, "steps"))
        model = family.open(folder, name, threads or usable_cores())
        running = model.runner.provider
        if running != name:
            notes.append(f"{name}: {' '.join(model.runner.warnings) or f'runs on {running}'}")
            continue
        speeds.append((family.rates(model, texts, queries, seconds), model.runner))
    progress(Progress("benchmark", len(chosen), len(chosen) + 1, "steps"))
    runner = family.open(folder, "cpu", 1).runner
    read = family.token_ids(runner.tokenizer, card, queries[0], texts[:COUNTED])
    tokens, operations = _arithmetic(read, card, body, folder)
    progress(Progress("benchmark", len(chosen) + 1, len(chosen) + 1, "steps"))
    return Benchmark(
        card.name,
        card.family,
        card.fingerprint,
        card.quantisation,
        len(texts),
        tokens,
        operations,
        tuple(
            _rated(rates, runner.provider, runner.threads, body.quantisation, operations) for rates, runner in speeds
        ),
        tuple(notes),
    )


def bench_in_child(
    folder: Path,
    *,
    threads: int | None = None,
    documents: int = DOCUMENTS,
    progress: ProgressSink = ignore_progress,
    check: Callable[[], None] = lambda: None,
) -> Benchmark:
    """`bench_model` in a process of its own with limits, so that a model that never ends, or crashes, costs nothing else.

    Raises what that raises, BadInput beyond the limits, TriptychError where the child dies.
    """
    card = read_card(folder)
    request = {"task": "bench", "folder": str(folder), "threads": threads, "documents": documents}
    most = child.Limits(SECONDS_ALL, MEMORY_BYTES + 8 * card.bytes, "Nothing was kept; try fewer documents.")
    found = child.run(f"Measuring the model {card.name!r}", request, most, progress, check)
    speeds = tuple(ProviderSpeed(**speed) for speed in found["speeds"])
    return Benchmark(**found | {"speeds": speeds, "notes": tuple(found["notes"])})


def bench_task(arguments: dict[str, Any], progress: ProgressSink) -> dict[str, Any]:
    """What the child does of `bench_in_child`."""
    folder = Path(arguments.pop("folder"))
    return asdict(bench_model(folder, progress=progress, **arguments))


def _arithmetic(pairs: list[tuple[Any, Any]], card: ModelCard, body: ModelCard, folder: Path) -> tuple[float, float]:
    """Tokens and operations of a document on average, by token ids and types of some; of a head, its body's are included."""
    given = [
        {"input_ids": ids[None], "attention_mask": np.ones_like(ids)[None], "token_type_ids": types[None]}
        for ids, types in pairs
    ]
    total = count_operations((body_folder(folder, card) if card.body else folder) / MODEL_FILE, given)
    if card.body:
        states = [np.zeros((1, len(ids), body.dimensions), np.float32) for ids, _ in pairs]
        read = [one | {"token_embeddings": rows} for one, rows in zip(given, states, strict=True)]
        total += count_operations(folder / MODEL_FILE, read)
    return float(np.mean([len(ids) for ids, _ in pairs])), total / len(pairs)


def _rated(
    rates: tuple[float, float], provider: str, threads: int, quantisation: str, operations: float
) -> ProviderSpeed:
    """The rates beside the peaks of the same provider and as many threads."""
    kinds: tuple[Kind, ...] = ("float32", "float16", "int8") if provider != "cpu" else ("float32", "int8")
    measured = {kind: peak(kind, Provider(provider), threads) for kind in kinds}
    peaks = {kind: value for kind, value in measured.items() if value is not None}
    kind = next((kind for kind in KINDS[quantisation] if kind in peaks), "float32")
    reached = rates[0] * operations
    share = reached / peaks[kind] if kind in peaks else None
    if share is not None and share > 1:  # something else ran while the peak was measured, so it was none
        share = None
    return ProviderSpeed(
        provider, threads, rates[0], rates[1], reached, {str(key): value for key, value in peaks.items()}, kind, share
    )
