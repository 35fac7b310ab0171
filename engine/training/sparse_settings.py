"""What a run of the recipe `sparse` is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SparseSettings:
    """What a run of the recipe is made of.

    words: epochs of the first stage; terms: wanted expansions a document; dense_share: of the dense scores in the teacher, the rest is BM25's;
    sharpness: what a deviation of the teacher's scores counts in its softmax; others: share of queries whose own document is left out, so
    that the order of the others is learned; hidden: share of the rest for which half of their own document's literal score is hidden.
    """

    seed: int = 0
    words: int = 3
    epochs: float = 8.0
    batch: int = 512
    near: int = 3
    terms: float = 130.0
    rate: float = 3e-4
    word_rate: float = 2e-3
    dense_share: float = 0.6
    hidden: float = 0.3
    others: float = 1.0
    sharpness: float = 4.0
