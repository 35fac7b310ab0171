"""Recipe `late`: a linear map from the body's token states to short unit vectors for MaxSim (ColBERT; Khattab and Zaharia 2020, SIGIR).

It starts as the main components of the token states, which alone keep most of the untrained states' MaxSim, and learns by contrast (the
document that a query was made from, against a batch drawn in neighborhoods) and by distillation: KL divergence to a teacher who adds up BM25,
the dense vectors' cosines and the MaxSim of the whole states (engine/training/teacher.py), as ColBERTv2 learned from a cross-encoder
(Santhanam et al. 2022, NAACL).

sentence-transformers' trainer is not used: it runs the body over raw text at every step. Here states are read from disk, and each query is
scored against every document of the batch; the products that are not a maximum take no part in the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from engine.training.batches import Trained, batches, gathered, learning_rate, of_owner, torch_module
from engine.training.states import TokenStates
from engine.training.teacher import Queries, bm25_weights, counted, neighbors, standardized
from engine.training.vocabulary import Vocabulary
from engine.types import Ints, Progress, ProgressSink, ignore_progress

PAIRS = 1 << 24
"""Token pairs compared at a time."""


@dataclass(frozen=True, slots=True)
class LateSettings:
    """What a run of the recipe is made of. shares: of BM25, dense and whole-state MaxSim in the teacher;
    sharpness: what a deviation of its scores counts in its softmax; contrast: of the contrastive loss."""

    seed: int = 0
    epochs: float = 1.2
    batch: int = 64
    near: int = 7
    dimensions: int = 96
    rate: float = 3e-4
    shares: tuple[float, float, float] = (0.1, 0.1, 0.8)
    contrast: float = 0.1
    sharpness: float = 3.0


def late_head(dim: int, dimensions: int) -> Any:
    """The module: token states [tokens, dim] to unit vectors [tokens, dimensions]."""
    torch = torch_module()

    class LateHead(torch.nn.Module):  # type: ignore[misc, name-defined]
        """A linear map, then unit length."""

        def __init__(self) -> None:
            super().__init__()
            self.project = torch.nn.Linear(dim, dimensions)
            torch.nn.init.zeros_(self.project.bias)

        def forward(self, states: Any) -> Any:
            return torch.nn.functional.normalize(self.project(states), dim=-1)

    return LateHead()


def principal_components(states: TokenStates, dimensions: int, seed: int, sample: int = 200_000) -> Any:
    """float32 [dimensions, dim], orthonormal: the directions that keep most of the unit-length token states, found on a sample."""
    torch = torch_module()
    count = len(states.states)
    chosen = np.sort(np.random.default_rng(seed).permutation(count)[: min(sample, count)])
    rows = torch.nn.functional.normalize(torch.as_tensor(states.states[chosen]).float(), dim=1)
    _, directions = torch.linalg.eigh(rows.T @ rows)
    return directions.flip(1)[:, :dimensions].T.contiguous()


def best_tokens(queries: Any, documents: Any, indptr: list[int]) -> Any:
    """int64 [query tokens, documents]: the token of each document that is most similar to each query token, found without gradients."""
    torch = torch_module()
    found = torch.empty(len(queries), len(indptr) - 1, dtype=torch.int64, device=queries.device)
    with torch.no_grad():
        whole = queries.to(torch.bfloat16)
        half = documents.to(torch.bfloat16)
        for column, (start, end) in enumerate(pairwise(indptr)):
            found[:, column] = (half[start:end] @ whole.T).argmax(0) + start
    return found


def maxsim(queries: Any, documents: Any, best: Any, rows: Any, count: int) -> Any:
    """float32 [count, documents]: the mean over a query's tokens of the similarity to the best token; rows: the query of each token."""
    torch = torch_module()
    found = torch.cat(
        [
            (queries[part, None] * documents[best[part]]).sum(-1)
            for part in torch.arange(len(queries)).split(max(1, PAIRS // (best.shape[1] * queries.shape[1])))
        ]
    )
    sums = torch.zeros(count, best.shape[1], device=found.device).index_add(0, rows, found)
    return sums / torch.bincount(rows, minlength=count).clamp(min=1)[:, None]


def train_late(
    vocabulary: Vocabulary,
    documents: TokenStates,
    queries: Queries,
    asked: TokenStates,
    positions: Ints,
    settings: LateSettings,
    progress: ProgressSink = ignore_progress,
    check: Callable[[Any, int], None] | None = None,
) -> Trained:
    """Train a head on the documents at `positions` and the queries made of them (`asked`: the queries' states)."""
    torch = torch_module()
    functional = torch.nn.functional
    torch.manual_seed(settings.seed)
    head = late_head(documents.states.shape[1], settings.dimensions)
    head.project.weight.data.copy_(principal_components(documents, settings.dimensions, settings.seed))
    lexical = bm25_weights(counted(vocabulary, documents.ids, documents.indptr), vocabulary.scale)
    wanted = counted(vocabulary, asked.ids, asked.indptr).multiply(vocabulary.idf[None, :]).tocsr()
    queries_of = of_owner(queries.owner, len(documents))
    near = neighbors(documents.dense[positions], min(24, len(positions) - 1))
    size = min(settings.batch, len(positions))
    steps = max(1, round(settings.epochs * len(positions) / size))
    rng = np.random.default_rng(settings.seed)
    sharpness = torch.nn.Parameter(torch.tensor(3.0))
    optimizer = torch.optim.Adam([*head.parameters(), sharpness], lr=settings.rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, steps))
    log = []
    for step, chosen in enumerate(batches(near, positions, size, settings.near, steps, settings.seed)):
        these = np.array([rng.choice(queries_of(p)) for p in chosen.tolist()])
        states, _, indptr = gathered(documents, chosen)
        query_states, _, query_indptr = gathered(asked, these)
        rows = torch.repeat_interleave(torch.arange(size), torch.tensor(np.diff(query_indptr)))
        whole, whole_queries = functional.normalize(states, dim=1), functional.normalize(query_states, dim=1)
        with torch.no_grad():
            similar = maxsim(whole_queries, whole, best_tokens(whole_queries, whole, indptr), rows, size).numpy()
        exact = (wanted[these] @ lexical[chosen].T).toarray()
        cosine = asked.dense[these] @ documents.dense[chosen].T
        own = np.arange(size)
        parts = zip(settings.shares, (exact, cosine, similar), strict=True)
        target = torch.as_tensor(settings.sharpness * sum(share * standardized(scores, own) for share, scores in parts))
        alone = torch.eye(size) * -1e4
        vectors, query_vectors = head(states), head(query_states)
        scores = maxsim(query_vectors, vectors, best_tokens(query_vectors, vectors, indptr), rows, size)
        logits = scores * sharpness.exp()
        divergence = functional.kl_div(
            torch.log_softmax(logits + alone, 1),
            torch.log_softmax(target + alone, 1),
            log_target=True,
            reduction="batchmean",
        )
        contrast = functional.cross_entropy(logits, torch.arange(size))
        loss = divergence + settings.contrast * contrast
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        log.append({"step": step, "loss": float(divergence.detach()), "contrast": float(contrast.detach())})
        progress(Progress("train", step + 1, steps))
        if check is not None:
            check(head, step)
    return Trained(head, log, asdict(settings))
