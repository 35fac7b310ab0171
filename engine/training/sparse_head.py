"""The module that the recipe `sparse` trains: a document's token states and pieces to weighted terms."""

from __future__ import annotations

import math
from typing import Any

from engine.training.batches import torch_module
from engine.training.teacher import K1, B
from engine.training.vocabulary import Vocabulary

BOOST = 4.0
"""How far above its threshold a document's strongest expansion starts, on average."""
FEWEST, MOST = 60, 200
"""Terms of a document: a short one's threshold sinks until it has so many, a long one keeps so many of the heaviest."""


def sparse_head(vocabulary: Vocabulary, dim: int, mean_length: float) -> Any:
    """The module: BM25's literal weights, and expansions, at first of no term."""
    torch = torch_module()
    nn, functional = torch.nn, torch.nn.functional

    class SparseHead(nn.Module):  # type: ignore[misc, name-defined]
        """literal and expansion of one text, or of many pooled ones."""

        def __init__(self) -> None:
            super().__init__()
            count = len(vocabulary.expandable)
            self.register_buffer("term", torch.as_tensor(vocabulary.term, dtype=torch.int64))
            self.register_buffer("expandable", torch.as_tensor(vocabulary.expandable))
            self.register_buffer("scale", torch.as_tensor(vocabulary.scale))
            self.register_buffer("mean_length", torch.tensor(mean_length))
            self.inner, self.outer = nn.Linear(dim, dim), nn.Linear(dim, dim)
            nn.init.zeros_(self.outer.weight)
            nn.init.zeros_(self.outer.bias)
            self.decoder = nn.Parameter(torch.zeros(count, dim))
            self.threshold = nn.Parameter(torch.ones(count))

        def literal(self, ids: Any) -> Any:
            """float32 [V] of one text's pieces, int64 [tokens]: (k1 + 1) tf / (tf + k1 (1 - b + b·length / mean length)), times the term's scale."""
            term = self.term[ids]
            known = (term >= 0).float()
            size = self.term.shape[0]
            place = torch.where(term >= 0, term, size)
            tf = torch.zeros(size + 1).scatter_add(0, place, known)[:-1]
            norm = K1 * (1 - B + B * known.sum() / self.mean_length)
            return tf * (K1 + 1) / (tf + norm) * self.scale

        def sums(self, dense: Any) -> Any:
            """[n, expandable terms]: h(d)·e - θ of the texts' dense vectors [n, dim]."""
            hidden = dense + self.outer(functional.gelu(self.inner(dense * math.sqrt(dim))))
            return hidden @ self.decoder.T - self.threshold

        def expansion(self, dense: Any) -> Any:
            """[n, expandable terms]: log(1 + relu(·)) of `sums`."""
            return torch.log1p(functional.relu(self.sums(dense)))

        def sunk(self, sums: Any, literal: Any) -> Any:
            """The sums [1, expandable terms] of one text of literal weights [V], raised alike until FEWEST terms weigh something."""
            present = literal > 0
            count = min(FEWEST, sums.shape[1] - 1)
            absent = sums[0].masked_fill(present[self.expandable], -1e9)
            missing = (FEWEST - present.sum()).clamp(0, count)
            best = absent.topk(count + 1).values
            threshold = torch.where(missing > 0, best[missing], torch.zeros_like(best[0])).clamp(-1e3, 0)
            return sums - threshold

        def forward(self, token_embeddings: Any, input_ids: Any) -> Any:
            """term_weights [1, V] of token_embeddings [1, tokens, dim] and input_ids [1, tokens]."""
            dense = functional.normalize(token_embeddings.mean(dim=1), dim=-1)
            literal = self.literal(input_ids[0])
            expansion = torch.log1p(functional.relu(self.sunk(self.sums(dense), literal)))
            weights = literal.scatter_add(0, self.expandable, expansion[0])
            least = weights.topk(min(MOST, len(vocabulary.term))).values[-1]
            return (weights * (weights >= least)).unsqueeze(0)

    return SparseHead()


def start(head: Any, vectors: Any, dense: Any, terms: float) -> None:
    """Give the head the terms' vectors, and the threshold that `terms` terms a document pass on average; the strongest then weighs log(1 + BOOST)."""
    torch = torch_module()
    products = dense @ vectors.T
    threshold = products.flatten().topk(max(1, round(terms * len(products)))).values[-1]
    size = BOOST / float(torch.relu(products - threshold).amax(1).mean().clamp(min=1e-9))
    head.decoder.data.copy_(vectors * size)
    head.threshold.data.fill_(float(threshold) * size)
