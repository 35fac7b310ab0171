"""Recipe `late`: a linear map from the body's token states to short unit vectors for MaxSim (ColBERT; Khattab and Zaharia 2020, SIGIR).

It starts as the main components of the token states, which alone keep most of the untrained states' MaxSim, and learns by contrast (the
document that a query was made from, against a batch drawn in neighborhoods) and by distillation: KL divergence to a teacher who adds up BM25,
the dense vectors' cosines and the MaxSim of the whole states (engine/training/teacher.py), as ColBERTv2 learned from a cross-encoder
(Santhanam et al. 2022, NAACL).

Trainer and distillation loss are sentence-transformers': MultiVectorEncoderTrainer and DistillKLDivLoss. The library's scoring is not used: it
keeps every product of two tokens for the backward pass, padding included, where only those that are a maximum have a gradient. Here they are
found first, without gradients, in half of the time (`python -m tests.benchmarks.bench_training`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from engine.training.batches import Trained, drawn_batches, gathered, of_owner, torch_module
from engine.training.states import TokenStates
from engine.training.teacher import Opinions, Queries, standardized
from engine.training.trainer import Course, as_model, divergence_of_scores, fit
from engine.training.vocabulary import Vocabulary
from engine.types import Ints, ProgressSink, ignore_progress

PAIRS = 1 << 24
"""Token pairs compared at a time."""


@dataclass(frozen=True, slots=True)
class LateSettings:
    """What a run of the recipe is made of. shares: of BM25, dense and whole-state MaxSim in the teacher;
    sharpness: what a deviation of its scores counts in its softmax; contrast: of the contrastive loss."""

    recipe: ClassVar[str] = "late"
    card: ClassVar[Mapping[str, Any]] = {
        "family": "late",
        "similarity": "cosine",
        "citation": "Khattab and Zaharia (2020), ColBERT, SIGIR; Santhanam et al. (2022), ColBERTv2, NAACL",
    }
    """What the cards of its models say."""
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


def every_maxsim(queries: Any, documents: Any, query_indptr: list[int], indptr: list[int]) -> Any:
    """float32 [queries, documents]: `maxsim` of texts given as vectors [tokens, dim] one text after the other."""
    torch = torch_module()
    count = len(query_indptr) - 1
    lengths = torch.tensor(np.diff(query_indptr), device=queries.device)
    rows = torch.repeat_interleave(torch.arange(count, device=queries.device), lengths)
    return maxsim(queries, documents, best_tokens(queries, documents, indptr), rows, count)


def train_late(
    vocabulary: Vocabulary,
    documents: TokenStates,
    queries: Queries,
    asked: TokenStates,
    positions: Ints,
    settings: LateSettings,
    progress: ProgressSink = ignore_progress,
) -> Trained:
    """Train a head on the documents at `positions` and the queries made of them (`asked`: the queries' states)."""
    torch = torch_module()
    torch.manual_seed(settings.seed)
    head = late_head(documents.states.shape[1], settings.dimensions)
    head.project.weight.data.copy_(principal_components(documents, settings.dimensions, settings.seed))
    model = as_model("late", _model(head))
    loss = late_loss(model, settings)
    course = Course(
        drawn_batches(documents.dense, positions, settings.batch, settings.near, settings.epochs, settings.seed),
        _Collate(vocabulary, documents, asked, queries, settings),
        settings.seed,
        told={"divergence": "loss", "contrast": "contrast"},
    )
    optimizer = torch.optim.Adam([*head.parameters(), loss.sharpness], lr=settings.rate, betas=(0.9, 0.98))
    log = fit("late", model, loss, optimizer, course, progress)
    return Trained(head.cpu(), log, asdict(settings))


class _Collate:
    """Documents at some positions to what the loss is given: their states, a query of each, and how BM25 and dense vectors score all of them."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        documents: TokenStates,
        asked: TokenStates,
        queries: Queries,
        settings: LateSettings,
    ) -> None:
        self.documents, self.asked, self.shares = documents, asked, settings.shares
        self.opinions = Opinions.of(vocabulary, asked, documents)
        self.queries_of = of_owner(queries.owner, len(documents))
        self.rng = np.random.default_rng(settings.seed)

    def __call__(self, chosen: Ints) -> dict[str, Any]:
        torch = torch_module()
        these = np.array([self.rng.choice(self.queries_of(position)) for position in chosen.tolist()])
        own = np.arange(len(chosen))
        exact, cosine = self.opinions.scores(these, chosen)
        known = self.shares[0] * standardized(exact, own) + self.shares[1] * standardized(cosine, own)
        features: dict[str, Any] = {"label": torch.as_tensor(known)}
        for name, stored, positions in (("query", self.asked, these), ("document", self.documents, chosen)):
            states, ids, indptr = gathered(stored, positions)
            features |= {f"{name}_input_ids": ids, f"{name}_token_embeddings": states, f"{name}_indptr": indptr}
        return features


def _model(head: Any) -> Any:
    torch = torch_module()

    class Projected(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Token states, one text after the other, to vectors."""

        def __init__(self) -> None:
            super().__init__()
            self.head = head

        def forward(self, features: dict[str, Any]) -> dict[str, Any]:
            return features | {"token_embeddings": head(features["token_embeddings"])}

    return Projected()


def late_loss(model: Any, settings: LateSettings) -> Any:
    """Divergence from the teacher, and contrast. Labels: [queries, documents], what BM25 and dense vectors add to the teacher's scores.

    The teacher's third opinion, MaxSim of the whole states, is formed here, where the states are.
    """
    torch = torch_module()
    functional = torch.nn.functional
    divergence = divergence_of_scores(model)

    class LateLoss(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Every query against every document of the batch."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.sharpness = torch.nn.Parameter(torch.tensor(3.0, device=model.device))

        def forward(self, features: list[dict[str, Any]], labels: Any) -> dict[str, Any]:
            whole = [functional.normalize(one["token_embeddings"].float(), dim=1) for one in features]
            made = [self.model(one)["token_embeddings"].float() for one in features]
            indptr = [one["indptr"] for one in features]
            own = torch.arange(len(labels), device=labels.device)
            with torch.no_grad():
                similar = standardized(every_maxsim(*whole, *indptr).cpu().numpy(), own.cpu().numpy())
            teacher = settings.sharpness * (labels + settings.shares[2] * torch.as_tensor(similar).to(labels))
            teacher[own, own] = -torch.inf
            logits = every_maxsim(*made, *indptr) * self.sharpness.exp()
            return {
                "divergence": divergence(logits - 1e4 * torch.eye(len(labels), device=labels.device), teacher),
                "contrast": settings.contrast * functional.cross_entropy(logits, own),
            }

    return LateLoss()
