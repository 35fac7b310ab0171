"""Recipe `sparse`: a head that gives documents weighted terms, and leaves queries to a look-up.

A document's weight of a term is BM25's weight of its literal occurrences, so that exact words never vanish, plus an expansion,
log(1 + relu(h(d)·e - θ)): d is the mean of the body's token states (its dense vector), e the term's vector, θ its threshold. Queries are counts
of terms times IDF (inference-free: Geng et al. 2024, arXiv:2411.04403).

Two stages. First the terms' vectors are learned so that the weighted sum of a query's terms points where the body's vector of the whole query
does: a bag of words that stands in for the query encoder. Then thresholds, vectors and h learn to rank as the teacher does
(engine/training/teacher.py), by KL divergence over a batch of documents drawn in neighborhoods, under FLOPS (Paria et al. 2020, ICLR), which
weighs against frequent terms as Geng et al. do and whose strength is steered towards the wanted number of terms.

Trials taught what is not here: with literal weights that learn too, or with terms expanded from single tokens, rankings got worse
(examples/training/README.md).

sentence-transformers' trainer is not used: it runs the body over raw text at every step, and scores a query against its own few candidates.
Here dense vectors are read from disk and a query costs a look-up, so every query of a batch is scored against every document of it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.training.batches import Trained, batches, learning_rate, of_owner, torch_module
from engine.training.states import TokenStates
from engine.training.teacher import K1, B, Queries, bm25_weights, counted, neighbors, standardized
from engine.training.vocabulary import Vocabulary
from engine.types import Ints, Progress, ProgressSink, ignore_progress

SHARPNESS = 20.0
"""What a cosine counts in the softmax of the first stage."""
BOOST = 4.0
"""How far above its threshold a document's strongest expansion starts, on average."""
LOGIT = 12.0
"""What a score, divided by the query's sum of weights, counts in the softmax at first; learned from there."""


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

        def forward(self, token_embeddings: Any, input_ids: Any) -> Any:
            """term_weights [1, V] of token_embeddings [1, tokens, dim] and input_ids [1, tokens]."""
            dense = functional.normalize(token_embeddings.mean(dim=1), dim=-1)
            weights = self.literal(input_ids[0])
            return weights.scatter_add(0, self.expandable, self.expansion(dense)[0]).unsqueeze(0)

    return SparseHead()


def word_vectors(
    wanted: Any, targets: Any, documents: Any, owner: Ints, rows: Ints, settings: SparseSettings, progress: ProgressSink
) -> Any:
    """float32 [terms, dim]: vectors whose sums, weighted as the queries are, point where the body's vectors of whole queries do.

    wanted: CSR [queries, terms], the queries' weights; targets: their dense vectors [queries, dim]; documents: all documents' [n, dim];
    owner: the document of each query; rows: the queries to learn from. Loss: 1 - cosine, plus the divergence between the two softmaxes over
    the batch's documents and as many others.
    """
    torch = torch_module()
    functional = torch.nn.functional
    torch.manual_seed(settings.seed)
    bag = torch.nn.EmbeddingBag(wanted.shape[1], targets.shape[1], mode="sum", sparse=True)
    torch.nn.init.normal_(bag.weight, std=1e-3)
    optimizer = torch.optim.SparseAdam(bag.parameters(), lr=settings.word_rate)
    rng = np.random.default_rng(settings.seed)
    size = min(512, len(rows))
    total = settings.words * (len(rows) // size)
    for step in range(total):
        if step % (len(rows) // size) == 0:
            order = rng.permutation(rows)
        start = step % (len(rows) // size) * size
        chosen = order[start : start + size]
        part = wanted[chosen]
        offsets = torch.as_tensor(part.indptr[:-1]).long()
        sums = bag(torch.as_tensor(part.indices).long(), offsets, per_sample_weights=torch.as_tensor(part.data))
        made, aim = functional.normalize(sums, dim=1), targets[chosen]
        among = documents[np.concatenate([owner[chosen], rng.integers(len(documents), size=size)])]
        student = torch.log_softmax(SHARPNESS * made @ among.T, 1)
        teacher = torch.log_softmax(SHARPNESS * aim @ among.T, 1)
        loss = (1 - (made * aim).sum(1)).mean()
        loss = loss + functional.kl_div(student, teacher, log_target=True, reduction="batchmean")
        bag.zero_grad(set_to_none=True)
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = settings.word_rate * learning_rate(step, total)
        optimizer.step()
        progress(Progress("words", step + 1, total))
    return bag.weight.detach()


def start(head: Any, vectors: Any, dense: Any, terms: float) -> None:
    """Give the head the terms' vectors, and the threshold that `terms` terms a document pass on average; the strongest then weighs log(1 + BOOST)."""
    torch = torch_module()
    products = dense @ vectors.T
    threshold = products.flatten().topk(max(1, round(terms * len(products)))).values[-1]
    size = BOOST / float(torch.relu(products - threshold).amax(1).mean().clamp(min=1e-9))
    head.decoder.data.copy_(vectors * size)
    head.threshold.data.fill_(float(threshold) * size)


def train_sparse(
    vocabulary: Vocabulary,
    documents: TokenStates,
    queries: Queries,
    asked: TokenStates,
    positions: Ints,
    settings: SparseSettings,
    progress: ProgressSink = ignore_progress,
    check: Callable[[Any, int], None] | None = None,
) -> Trained:
    """Train a head on the documents at `positions` and the queries made of them (`asked`: the queries' pieces and dense vectors)."""
    torch = torch_module()
    functional = torch.nn.functional
    torch.manual_seed(settings.seed)
    counts = counted(vocabulary, documents.ids, documents.indptr)
    lexical = bm25_weights(counts, vocabulary.scale)
    wanted = counted(vocabulary, asked.ids, asked.indptr).multiply(vocabulary.idf[None, :]).tocsr()
    wanted_expansions = wanted[:, vocabulary.expandable].tocsr()
    sums = np.asarray(wanted.sum(1)).astype(np.float32)
    dense, asked_dense = torch.as_tensor(documents.dense), torch.as_tensor(asked.dense)
    head = sparse_head(vocabulary, dense.shape[1], float(counts.sum()) / max(1, len(documents)))
    rows = np.flatnonzero(np.isin(queries.owner, positions))
    owner = np.searchsorted(positions, queries.owner)
    vectors = word_vectors(wanted, asked_dense, dense[positions], owner, rows, settings, progress)
    sample = np.random.default_rng(settings.seed).permutation(positions)[:2000]
    start(head, vectors[torch.as_tensor(vocabulary.expandable)], dense[sample], settings.terms)
    queries_of = of_owner(queries.owner, len(documents))
    near = neighbors(documents.dense[positions], min(24, len(positions) - 1))
    size = min(settings.batch, len(positions))
    steps = max(1, round(settings.epochs * len(positions) / size))
    rng = np.random.default_rng(settings.seed)
    temperature = torch.nn.Parameter(torch.tensor(0.0))
    transform = [*head.inner.parameters(), *head.outer.parameters()]
    groups = [
        {"params": transform, "lr": settings.rate / 4},
        {"params": [head.decoder, head.threshold, temperature], "lr": settings.rate},
    ]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, steps))
    idf = torch.as_tensor(vocabulary.idf)
    common = idf.max() / idf[head.expandable].clamp(min=0.5)  # frequent terms cost more
    strength, log = 1e-4, []
    for step, chosen in enumerate(batches(near, positions, size, settings.near, steps, settings.seed)):
        these = np.concatenate([rng.permutation(queries_of(p))[:2] for p in chosen.tolist()])
        own = np.repeat(np.arange(size), [min(2, len(queries_of(p))) for p in chosen.tolist()])
        line = np.arange(len(these))
        exact = (wanted[these] @ lexical[chosen].T).toarray()
        similar = (asked_dense[these] @ dense[chosen].T).numpy()
        target = settings.dense_share * standardized(similar, own) + (1 - settings.dense_share) * standardized(
            exact, own
        )
        target *= settings.sharpness
        exact[line, own] *= np.where(rng.random(len(these)) < settings.hidden, 0.5, 1.0)
        apart = np.zeros_like(exact)
        apart[line, own] = np.where(rng.random(len(these)) < settings.others, -1e4, 0.0)
        expanded = head.expansion(dense[chosen])
        asking = _csr(wanted_expansions[these])
        scores = torch.as_tensor(exact) + torch.sparse.mm(asking, expanded.T)
        logits = scores / torch.as_tensor(sums[these]).clamp(min=1e-6) * LOGIT * temperature.exp() + torch.as_tensor(
            apart
        )
        divergence = functional.kl_div(
            torch.log_softmax(logits, 1),
            torch.log_softmax(torch.as_tensor(target + apart), 1),
            log_target=True,
            reduction="batchmean",
        )
        flops = ((expanded.mean(0) ** 2) * common).sum()
        loss = divergence + strength * flops
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        active = float((expanded > 0).sum()) / size
        aim = settings.terms * (
            1 + max(0.0, 1 - 2 * step / steps)
        )  # more at first: terms are tried before they are given up
        strength = float(np.clip(strength * math.exp(0.05 * float(np.clip(active / aim - 1, -1, 1))), 1e-6, 10.0))
        log.append({"step": step, "loss": float(divergence.detach()), "expansions": active, "strength": strength})
        progress(Progress("train", step + 1, steps))
        if check is not None:
            check(head, step)
    return Trained(head, log, asdict(settings))


def _csr(matrix: Any) -> Any:
    """A scipy CSR matrix as torch's."""
    torch = torch_module()
    parts = (
        torch.as_tensor(matrix.indptr).long(),
        torch.as_tensor(matrix.indices).long(),
        torch.as_tensor(matrix.data),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its CSR tensors beta; products with them are all that is used
        return torch.sparse_csr_tensor(*parts, matrix.shape, check_invariants=False)
