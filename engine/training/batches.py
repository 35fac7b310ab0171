"""What the loops of the recipes share: batches drawn in neighborhoods, states read for them, the learning rate's course."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.errors import MissingDependency
from engine.training.states import TokenStates
from engine.training.teacher import neighbors
from engine.types import FloatRows, Ints


@dataclass(frozen=True, slots=True)
class Trained:
    """A head (a torch module) and how its training went: each line of `log` holds the step and what was measured at it."""

    head: Any
    log: list[dict[str, float]]
    settings: dict[str, Any]


def torch_module() -> Any:
    """torch. Raises MissingDependency with the command that installs it."""
    try:
        import torch
    except ImportError as error:
        raise MissingDependency("Training needs PyTorch: pip install 'triptych-search[train]'") from error
    return torch


def gathered(states: TokenStates, positions: Ints) -> tuple[Any, Any, list[int]]:
    """(states, ids, indptr) of some texts one after the other: float32 [tokens, dim], int64 [tokens], and a list."""
    torch = torch_module()
    spans = [(int(states.indptr[p]), int(states.indptr[p + 1])) for p in positions]
    rows = np.concatenate([states.states[start:end] for start, end in spans])
    ids = np.concatenate([states.ids[start:end] for start, end in spans])
    indptr = np.concatenate([[0], np.cumsum([end - start for start, end in spans])])
    return torch.as_tensor(rows).float(), torch.as_tensor(ids).long(), indptr.tolist()


def batches(near: Ints, positions: Ints, size: int, extra: int, steps: int, seed: int) -> Iterator[Ints]:
    """Positions of `size` documents a step: seeds in random order, each with `extra` of its neighbors; near: int64 [len(positions), m]."""
    rng = np.random.default_rng(seed)
    order, at = rng.permutation(len(positions)), 0
    for _ in range(steps):
        chosen: dict[int, None] = {}
        while len(chosen) < size:
            if at == len(order):
                order, at = rng.permutation(len(positions)), 0
            chosen[int(order[at])] = None
            chosen.update(dict.fromkeys(rng.permutation(near[order[at]])[:extra].tolist()))
            at += 1
        yield positions[np.fromiter(chosen, np.int64)[:size]]


def drawn_batches(dense: FloatRows, positions: Ints, size: int, extra: int, epochs: float, seed: int) -> list[Ints]:
    """The documents of every step of a training over `positions`, drawn by `batches` from the neighborhoods of their dense vectors [n, dim]."""
    size = min(size, len(positions))
    near = neighbors(dense[positions], min(24, len(positions) - 1))
    return list(batches(near, positions, size, extra, max(1, round(epochs * len(positions) / size)), seed))


def of_owner(owner: Ints, count: int) -> Callable[[int], Ints]:
    """Gives the positions in `owner` that hold a number below `count`, ascending."""
    order = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[order], np.arange(count + 1))
    return lambda one: order[first[one] : first[one + 1]]


def learning_rate(step: int, steps: int) -> float:
    """The rate's share at a step: up over the first 5 %, then down a half cosine."""
    warm = max(1, steps // 20)
    return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
