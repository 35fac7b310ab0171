"""Cutting many texts into units of work of about equal cost, running them in threads, and checking the scores that come of it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput
from engine.models.card import ModelCard
from engine.types import Ints

Scores = NDArray[np.float32]


def plan_units(lengths: Ints, budget: int, same_length: bool) -> Iterator[Ints]:
    """Positions grouped into units of work, longest first, each at most `budget` tokens after padding (one text at least).

    Texts without tokens are left out. same_length: a unit never mixes lengths, for graphs that cannot mask padding.
    """
    order = np.argsort(-lengths, kind="stable")
    order = order[lengths[order] > 0]
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        stop = min(len(order), start + max(1, budget // int(longest)))
        if same_length:
            stop = start + int(np.searchsorted(-lengths[order[start:stop]], -longest, side="right"))
        yield order[start:stop]
        start = stop


def run_units(units: Sequence[Ints], work: Callable[[Ints], None], threads: int) -> Generator[Ints, None, None]:
    """Run `work` on every unit in `threads` threads, yielding each unit when it is done.

    Work runs only a few units ahead of the consumer, so a consumer that blocks pauses it; one that stops, or an error, ends the threads.
    """
    if len(units) == 1 or threads == 1:  # a single query should not pay for a thread
        for unit in units:
            work(unit)
            yield unit
        return
    pending: deque[tuple[Future[None], Ints]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="encode")
    try:
        for unit in units:
            pending.append((pool.submit(work, unit), unit))
            if len(pending) > 2 * threads:
                future, finished = pending.popleft()
                future.result()
                yield finished
        for future, finished in pending:
            future.result()
            yield finished
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def refuse_infinite(scores: Scores, card: ModelCard, texts: Sequence[str]) -> None:
    """Raise BadInput where the score of one of these texts is not finite."""
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise BadInput(
            f"Model {card.name!r} produced a score that is not finite for the text {texts[bad[0]][:80]!r}; "
            "try the CPU provider, or another model."
        )
