"""The first stage of the recipe `sparse`: vectors of terms that stand in for the query encoder.

They are learned so that their sum over a query's terms, weighted by counts times IDF, points where the body's vector of the whole query does,
by sentence-transformers' EmbedDistillLoss (Kim et al. 2023, EmbedDistill) and, over the documents of the batch, its DistillKLDivLoss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from engine.training.batches import torch_module
from engine.training.trainer import Course, as_model, divergence_of_scores, fit
from engine.types import FloatRows, Ints, ProgressSink

if TYPE_CHECKING:
    from engine.training.sparse_settings import SparseSettings

SHARPNESS = 20.0
"""What a cosine counts in the softmax."""
BATCH = 512


def word_vectors(
    wanted: Any,
    targets: FloatRows,
    documents: FloatRows,
    owner: Ints,
    rows: Ints,
    settings: SparseSettings,
    progress: ProgressSink,
) -> Any:
    """float32 [terms, dim], on the CPU: vectors whose sums, weighted as the queries are, point where the body's vectors of whole queries do.

    wanted: CSR [queries, terms], the queries' weights; targets: their dense vectors [queries, dim]; documents: all documents' [n, dim];
    owner: the document of each query; rows: the queries to learn from. Loss: 1 - cosine, plus the divergence between the two softmaxes over
    the batch's documents and as many others.
    """
    torch = torch_module()
    torch.manual_seed(settings.seed)
    bag = torch.nn.EmbeddingBag(wanted.shape[1], targets.shape[1], mode="sum", sparse=True)
    torch.nn.init.normal_(bag.weight, std=1e-3)
    model = as_model("dense", _bag_model(bag))
    rng = np.random.default_rng(settings.seed)
    size = min(BATCH, len(rows))
    drawn = [
        part
        for _ in range(settings.words)
        for part in rng.permutation(rows)[: len(rows) // size * size].reshape(-1, size)
    ]

    def collate(chosen: Ints) -> dict[str, Any]:
        part = wanted[chosen]
        among = np.concatenate([owner[chosen], rng.integers(len(documents), size=size)])
        return {
            "query_input_ids": torch.as_tensor(part.indices).long(),
            "query_offsets": torch.as_tensor(part.indptr[:-1]).long(),
            "query_weights": torch.as_tensor(part.data),
            "query_among": torch.as_tensor(documents[among]),
            "label": torch.as_tensor(targets[chosen]),
        }

    optimizer = torch.optim.SparseAdam(bag.parameters(), lr=settings.word_rate)
    fit("dense", model, _loss(model), optimizer, Course(drawn, collate, settings.seed, "words"), progress)
    return bag.weight.detach().cpu()


def _bag_model(bag: Any) -> Any:
    torch = torch_module()

    class Bag(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Weighted terms to the direction of their sum."""

        def __init__(self) -> None:
            super().__init__()
            self.bag = bag

        def forward(self, features: dict[str, Any]) -> dict[str, Any]:
            sums = self.bag(features["input_ids"], features["offsets"], per_sample_weights=features["weights"])
            return features | {"sentence_embedding": torch.nn.functional.normalize(sums, dim=1)}

    return Bag()


def _loss(model: Any) -> Any:
    torch = torch_module()
    from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss

    divergence = divergence_of_scores(model)
    embedding = EmbedDistillLoss(model, distance_metric="cosine")

    class WordLoss(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Where the sums point, and how they rank documents."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, features: list[dict[str, Any]], labels: Any) -> dict[str, Any]:
            made, among = self.model(features[0])["sentence_embedding"], features[0]["among"]
            return {
                "direction": embedding.compute_loss_from_embeddings([made], [labels]),
                "divergence": divergence(SHARPNESS * made @ among.T, SHARPNESS * labels @ among.T),
            }

    return WordLoss()
