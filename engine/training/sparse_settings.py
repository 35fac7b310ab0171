"""What a run of the recipe `sparse` is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class SparseSettings:
    """What a run of the recipe is made of.

    words: epochs of the first stage; terms: wanted expansions a document; dense_share: of the dense scores in the teacher, the rest is BM25's;
    sharpness: what a deviation of the teacher's scores counts in its softmax; others: share of queries whose own document is left out, so
    that the order of the others is learned; hidden: share of the rest for which half of their own document's literal score is hidden.
    """

    recipe: ClassVar[str] = "sparse"
    card: ClassVar[Mapping[str, Any]] = {
        "family": "sparse",
        "similarity": "dot",
        "queries": "inference-free",
        "quantisation": "int8",
        "quantisation_notes": "the terms' vectors int8 per term, activations uint8 per call; the rest float32",
        "citation": (
            "Geng, Wang, Ru and Yang (2024), Towards Competitive Search Relevance For Inference-Free Learned Sparse Retrievers, "
            "arXiv:2411.04403; Formal, Piwowarski and Clinchant (2021), SPLADE, SIGIR; Paria et al. (2020), Minimizing FLOPs, ICLR"
        ),
    }
    """What the cards of its models say."""
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
