"""Token states of a frozen body, computed once and read from disk ever after: what makes training a head on two cores a matter of minutes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.encoders.runner import Runner, TokenIds
from engine.types import FloatRows, Ints, ProgressSink, ignore_progress


@dataclass(frozen=True, slots=True, eq=False)
class TokenStates:
    """Token states of n texts. Text i holds [indptr[i], indptr[i + 1]) of `states` and `ids`.

    states: float16 [tokens, dim], mapped from disk; ids: int32 [tokens]; indptr: int64 [n + 1];
    dense: float32 [n, dim], the mean of each text's states at unit length (the body's dense vector).
    """

    states: NDArray[np.float16]
    ids: NDArray[np.int32]
    indptr: Ints
    dense: FloatRows

    def __len__(self) -> int:
        return len(self.indptr) - 1


def token_states(
    body: Runner, texts: Sequence[str], folder: Path, progress: ProgressSink = ignore_progress
) -> TokenStates:
    """The states of `texts`, from the cache in `folder` where they are there, else computed and kept.

    The cache's key is the body's identity and the texts; half-written entries have another name and are overwritten.
    float16 rounds states by 5e-4 of their size, a tenth of what the body's own int8 weights do.
    """
    identity = json.dumps([body.pass_key, list(texts)]).encode()
    name = hashlib.sha256(identity).hexdigest()[:32]
    large, small = folder / f"{name}.states.npy", folder / f"{name}.npz"
    if not small.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _compute(body, texts, large, small, progress)
    with np.load(small, allow_pickle=False) as stored:
        ids, indptr, dense = (stored[key] for key in ("ids", "indptr", "dense"))
    return TokenStates(np.load(large, mmap_mode="r", allow_pickle=False), ids, indptr, dense)


def _compute(body: Runner, texts: Sequence[str], large: Path, small: Path, progress: ProgressSink) -> None:
    ids = body.ids(texts, "document")
    lengths = np.array([len(one) for one in ids], dtype=np.int64)
    indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    partial = large.with_suffix(".partial")
    shape = (int(indptr[-1]), body.card.dimensions)
    states = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
    dense = np.zeros((len(ids), body.card.dimensions), np.float32)

    def use(positions: Ints, of_texts: list[TokenIds], output: NDArray[np.float32]) -> None:
        for position, one, rows in zip(positions.tolist(), of_texts, output, strict=True):
            real = rows[: len(one)]
            states[indptr[position] : indptr[position + 1]] = real
            mean = real.mean(axis=0)
            dense[position] = mean / max(float(np.linalg.norm(mean)), 1e-12)

    body.each(texts, lambda window: body.ids(window, "document"), use, progress)
    states.flush()
    os.replace(partial, large)
    unfinished = small.with_suffix(".partial.npz")
    np.savez(unfinished, ids=np.concatenate(ids).astype(np.int32), indptr=indptr, dense=dense)
    os.replace(unfinished, small)
