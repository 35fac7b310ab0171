"""Recipe `sparse`: a head that gives documents weighted terms, and leaves queries to a look-up.

A document's weight of a term is BM25's weight of its literal occurrences, so that exact words never vanish, plus an expansion,
log(1 + relu(h(d)·e - θ)): d is the mean of the body's token states (its dense vector), e the term's vector, θ its threshold. Queries are counts
of terms times IDF (inference-free: Geng et al. 2024, arXiv:2411.04403).

Two stages. First the terms' vectors are learned so that the weighted sum of a query's terms points where the body's vector of the whole query
does (engine/training/words.py): a bag of words that stands in for the query encoder. Then thresholds, vectors and h learn to rank as the
teacher does (engine/training/teacher.py), by KL divergence over a batch of documents drawn in neighborhoods, under FLOPS (Paria et al. 2020,
ICLR), which weighs against frequent terms as Geng et al. do and whose strength is steered towards the wanted number of terms.

Trainer and losses are sentence-transformers': SparseEncoderTrainer, and SpladeLoss of SparseDistillKLDivLoss and FlopsLoss. What they read
are dense vectors from disk and look-ups of queries, and every query of a batch is scored against every document of it in one product.

Trials taught what is not here: with literal weights that learn too, or with terms expanded from single tokens, rankings got worse
(examples/training/README.md).
"""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict
from typing import Any

import numpy as np

from engine.training.batches import Trained, drawn_batches, of_owner, torch_module
from engine.training.sparse_head import sparse_head, start
from engine.training.sparse_settings import SparseSettings
from engine.training.states import TokenStates
from engine.training.teacher import Opinions, Queries, standardized
from engine.training.trainer import Course, as_model, fit
from engine.training.vocabulary import Vocabulary
from engine.training.words import word_vectors
from engine.types import Ints, ProgressSink, ignore_progress

LOGIT = 12.0
"""What a score, divided by the query's sum of weights, counts in the softmax at first; learned from there."""
HIDDEN = -1e4
"""The logit of a document that a query does not rank."""


def train_sparse(
    vocabulary: Vocabulary,
    documents: TokenStates,
    queries: Queries,
    asked: TokenStates,
    positions: Ints,
    settings: SparseSettings,
    progress: ProgressSink = ignore_progress,
) -> Trained:
    """Train a head on the documents at `positions` and the queries made of them (`asked`: the queries' pieces and dense vectors)."""
    torch = torch_module()
    torch.manual_seed(settings.seed)
    opinions = Opinions.of(vocabulary, asked, documents)
    head = sparse_head(vocabulary, documents.dense.shape[1], float(opinions.counts.sum()) / max(1, len(documents)))
    rows = np.flatnonzero(np.isin(queries.owner, positions))
    owner = np.searchsorted(positions, queries.owner)
    vectors = word_vectors(opinions.wanted, asked.dense, documents.dense[positions], owner, rows, settings, progress)
    sample = np.random.default_rng(settings.seed).permutation(positions)[:2000]
    expandable = torch.as_tensor(vocabulary.expandable)
    start(head, vectors[expandable], torch.as_tensor(documents.dense[sample]), settings.terms)
    model = as_model("sparse", _model(head))
    idf = torch.as_tensor(vocabulary.idf)
    loss = sparse_loss(model, idf.max() / idf[expandable].clamp(min=0.5))  # frequent terms cost more
    transform = [*head.inner.parameters(), *head.outer.parameters()]
    groups = [
        {"params": transform, "lr": settings.rate / 4},
        {"params": [head.decoder, head.threshold, loss.loss.warmth], "lr": settings.rate},
    ]
    course = Course(
        drawn_batches(documents.dense, positions, settings.batch, settings.near, settings.epochs, settings.seed),
        _Collate(vocabulary, opinions, queries, settings),
        settings.seed,
        told={"base_loss": "loss", "expansions": "expansions", "strength": "strength"},
        callbacks=(steering(loss, settings.terms),),
    )
    log = fit("sparse", model, loss, torch.optim.Adam(groups, betas=(0.9, 0.98)), course, progress)
    return Trained(head.cpu(), log, asdict(settings))


class _Collate:
    """Documents at some positions to what the loss is given: two queries of each, and how the teacher ranks all of the documents for them."""

    def __init__(self, vocabulary: Vocabulary, opinions: Opinions, queries: Queries, settings: SparseSettings) -> None:
        self.opinions, self.settings = opinions, settings
        self.expansions = opinions.wanted[:, vocabulary.expandable].tocsr()
        self.sums = np.maximum(np.asarray(opinions.wanted.sum(1), np.float32), 1e-6)
        self.queries_of = of_owner(queries.owner, len(opinions.dense))
        self.rng = np.random.default_rng(settings.seed)

    def __call__(self, chosen: Ints) -> dict[str, Any]:
        torch = torch_module()
        settings, rng = self.settings, self.rng
        parts = [rng.permutation(self.queries_of(position))[:2] for position in chosen.tolist()]
        these, own = np.concatenate(parts), np.repeat(np.arange(len(chosen)), [len(part) for part in parts])
        line = np.arange(len(these))
        exact, similar = self.opinions.scores(these, chosen)
        share = settings.dense_share
        teacher = settings.sharpness * (share * standardized(similar, own) + (1 - share) * standardized(exact, own))
        exact[line, own] *= np.where(rng.random(len(these)) < settings.hidden, 0.5, 1.0)
        apart = rng.random(len(these)) < settings.others
        teacher[line, own] = np.where(apart, -np.inf, teacher[line, own])
        known = exact / self.sums[these]
        known[line, own] = np.where(apart, HIDDEN, known[line, own])
        asking = self.expansions[these].multiply(1 / self.sums[these]).tocsr()
        return {
            "query_sentence_embedding": _csr(asking),
            "query_task": "query",
            "document_sentence_embedding": torch.as_tensor(self.opinions.dense[chosen]),
            "label": torch.as_tensor(np.stack([known, teacher])),
        }


def _model(head: Any) -> Any:
    torch = torch_module()

    class Expansions(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Documents' dense vectors to expansions; queries are what they are."""

        def __init__(self) -> None:
            super().__init__()
            self.head = head

        def forward(self, features: dict[str, Any]) -> dict[str, Any]:
            if features.get("task") == "query":
                return features
            return features | {"sentence_embedding": head.expansion(features["sentence_embedding"])}

    return Expansions()


def sparse_loss(model: Any, cost: Any) -> Any:
    """sentence-transformers' SpladeLoss, of the divergence from the teacher and of FLOPS, a term's share of it times its `cost`.

    Its labels are [2, queries, documents]: the literal scores, HIDDEN where the student shall not rank, and the teacher's logits.
    """
    torch = torch_module()
    from sentence_transformers.sparse_encoder.losses import FlopsLoss, SparseDistillKLDivLoss, SpladeLoss

    class Distillation(SparseDistillKLDivLoss):  # type: ignore[misc]
        """Every query against every document: literal score plus expansions."""

        def __init__(self) -> None:
            super().__init__(model, similarity_fct=lambda _, column: column, temperature=1.0)
            self.warmth = torch.nn.Parameter(torch.tensor(0.0, device=model.device))

        def compute_loss_from_embeddings(self, embeddings: Any, labels: Any) -> Any:
            asking, expanded = embeddings
            known, teacher = labels
            scores = (known + torch.sparse.mm(asking, expanded.T)) * LOGIT * self.warmth.exp()
            return super().compute_loss_from_embeddings([scores, *scores.unbind(1)], teacher)

    class Flops(FlopsLoss):  # type: ignore[misc]
        """FLOPS in which terms differ in cost; `active` is how many a document had last."""

        active = 0.0

        def compute_loss_from_embeddings(self, embeddings: Any) -> Any:
            self.active = float((embeddings > 0).sum()) / len(embeddings)
            return super().compute_loss_from_embeddings(embeddings * cost.to(embeddings.device).sqrt())

    class Free(FlopsLoss):  # type: ignore[misc]
        """Queries are looked up: there is nothing to make sparse."""

        def compute_loss_from_embeddings(self, embeddings: Any) -> Any:
            return torch.zeros((), device=embeddings.device)

    return SpladeLoss(
        model,
        Distillation(),
        document_regularizer_weight=1e-4,
        query_regularizer_weight=0.0,
        document_regularizer=Flops(model),
        query_regularizer=Free(model),
    )


def steering(loss: Any, terms: float) -> Any:
    """A callback in the place of the library's schedule: FLOPS grows and shrinks until documents have `terms` expansions."""
    from sentence_transformers.sparse_encoder.callbacks import SpladeRegularizerWeightSchedulerCallback

    class Steering(SpladeRegularizerWeightSchedulerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            pass

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            pass

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            done = (state.global_step - 1) / state.max_steps
            aim = terms * (1 + max(0.0, 1 - 2 * done))  # more at first: terms are tried before they are given up
            off = float(np.clip(loss.document_regularizer.active / aim - 1, -1, 1))
            loss.document_regularizer_weight = float(
                np.clip(loss.document_regularizer_weight * math.exp(0.05 * off), 1e-6, 10.0)
            )

        def on_log(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            state.log_history[-1] |= {
                "expansions": loss.document_regularizer.active,
                "strength": loss.document_regularizer_weight,
            }

    return Steering(loss)


def _csr(matrix: Any) -> Any:
    """A scipy CSR matrix as torch's."""
    torch = torch_module()
    parts = (
        torch.as_tensor(matrix.indptr).long(),
        torch.as_tensor(matrix.indices).long(),
        torch.as_tensor(matrix.data.astype(np.float32)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its CSR tensors beta; products with them are all that is used
        return torch.sparse_csr_tensor(*parts, matrix.shape, check_invariants=False)
