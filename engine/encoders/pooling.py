"""Token states to one vector: the three poolings, as pure functions of arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from engine.types import FloatRows

States = NDArray[np.float32]  # [batch, tokens, dim]
Lengths = NDArray[np.int64]  # [batch]; tokens at and after it are padding


def mean(states: States, lengths: Lengths) -> FloatRows:
    """The average of the states before each length."""
    if (lengths == states.shape[1]).all():
        plain: FloatRows = states.mean(axis=1, dtype=np.float32)
        return plain
    real = np.arange(states.shape[1])[None, :] < lengths[:, None]
    total: FloatRows = np.einsum("btd,bt->bd", states, real.astype(np.float32))
    return np.divide(total, lengths[:, None].astype(np.float32), out=total)


def cls(states: States, lengths: Lengths) -> FloatRows:
    """The state of the first token."""
    return states[:, 0]


def last(states: States, lengths: Lengths) -> FloatRows:
    """The state of the last token before each length."""
    return states[np.arange(len(states)), lengths - 1]


POOLINGS: dict[str, Callable[[States, Lengths], FloatRows]] = {"mean": mean, "cls": cls, "last": last}


def normalize(rows: FloatRows) -> FloatRows:
    """Rows scaled to unit L2 length; a zero row stays zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: FloatRows = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit
