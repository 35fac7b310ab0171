"""Sparse encoder: weights of vocabulary terms, so that a document is found by words that it does not hold (SPLADE; Formal et al., SIGIR 2021).

Two kinds of models: a graph of its own over texts, or a head over the token states of another bundled model. Two kinds of queries: encoded by the
model, or inference-free (Geng et al., "Towards Competitive Search Relevance for Inference-Free Learned Sparse Retrievers", 2024), where a query
is its distinct tokens, each with a fixed weight, and costs microseconds. Where such a model counts several tokens as one term ("parse",
"parsing"), the file query_terms.npy says what each token stands for, and a query that repeats a term asks for it that many times.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.encoders.runner import Head, Runner, TokenIds, body_folder
from engine.encoders.tokens import TextTokenizer
from engine.errors import BadInput, WorkspaceDamaged
from engine.models.card import ModelCard, read_card
from engine.models.verify import verify_files
from engine.types import Ints, ProgressSink, SparseRows, ignore_progress

QUERY_WEIGHTS = "query_weights.npy"
QUERY_TERMS = "query_terms.npy"
OUTPUT = "term_weights"
LOGITS = "logits"
"""What a masked language model gives: [batch, tokens, dimensions], of which the card says that the largest count."""


class SparseEncoder:
    """Term weights of texts; safe to use from many threads at once. Open one with `SparseEncoder.load`."""

    def __init__(
        self,
        card: ModelCard,
        runner: Runner,
        head: Head | None,
        query_weights: NDArray[np.float32] | None,
        query_terms: NDArray[np.int32] | None = None,
    ) -> None:
        """runner: of the model's own graph, or of the body that `head` reads; query_weights: float32 [dimensions], for inference-free queries.

        query_terms: int32 [dimensions], the term that each token counts as, -1 for none; without it, each token is a term.
        """
        self.card = card
        self.fingerprint = card.fingerprint
        self.runner = runner
        self.query_weights = query_weights
        self.query_terms = query_terms
        self._head = head

    @classmethod
    def load(cls, folder: Path, provider: str = "auto", threads: int | None = None) -> SparseEncoder:
        """Open the model in `folder`, its files (and its body's) verified against the card.

        The graph that reads texts is opened when it first runs: inference-free queries do without. provider and threads as for a DenseEncoder.
        Raises WorkspaceDamaged on missing, altered or unreadable files, BadInput on an unknown provider or a missing body.
        """
        card = read_card(folder)
        verify_files(folder, card)
        if card.body:
            runner = Runner.load(body_folder(folder, card), provider, threads, reader=card)
            head = Head(folder, card, OUTPUT, axes=2)
        elif card.pooling == "max":
            runner, head = Runner.load(folder, provider, threads, outputs=(LOGITS,), axes=3), None
        else:
            runner, head = Runner.load(folder, provider, threads, outputs=(OUTPUT,), axes=2), None
        if card.queries != "inference-free":
            return cls(card, runner, head, None)
        terms = _load_query_terms(folder, card) if QUERY_TERMS in card.files else None
        return cls(card, runner, head, _load_query_weights(folder, card), terms)

    def encode_queries(self, texts: Sequence[str]) -> SparseRows:
        """The weighted terms of each query; none for a text without tokens.

        Inference-free: the distinct tokens of the text with their weights, those of weight 0 left out; where several tokens count as one term,
        its weight is multiplied by how often the text asks for it.
        """
        if self.query_weights is None:
            return self.runner.read(texts, "query", self.read_documents(texts))
        rows = []
        for ids in self._tokenizer.plain_ids(texts, self.runner.prompt("query")):
            terms, times = np.unique(self._counted_as(ids[: self.card.max_query_tokens]), return_counts=True)
            weights = self.query_weights[terms]
            if self.query_terms is not None:
                weights = weights * times.astype(np.float32)
            rows.append((terms[weights > 0].astype(np.int32), weights[weights > 0]))
        return joined(rows, self.card.dimensions)

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> SparseRows:
        """The weighted terms of each document; none for a text without tokens. `progress` as for a DenseEncoder."""
        return self.runner.read(texts, "document", self.read_documents(texts), progress)

    def read_documents(self, texts: Sequence[str]) -> TermReading:
        """An empty reading of these texts, for a pass that several encoders share."""
        return TermReading(self.card, self._head, texts)

    def literal_ids(self, texts: Sequence[str]) -> list[TokenIds]:
        """The terms that stand in each text itself, int64 [tokens] in order, without special tokens, as far as the model reads."""
        return [self._counted_as(ids) for ids in self._tokenizer.plain_ids(texts)]

    def literal_places(self, text: str) -> list[tuple[int, int, int]]:
        """(term, start, end) of each term that `literal_ids` gives; start and end are characters in the text."""
        places = self._tokenizer.places(text)
        if self.query_terms is None:
            return places
        terms = self.query_terms
        return [(int(terms[token]), start, end) for token, start, end in places if terms[token] >= 0]

    def terms(self, ids: Sequence[int]) -> list[str]:
        """The vocabulary's strings of these terms, such as "retrieval" or "##ing" (a piece within a word)."""
        return self._tokenizer.strings(ids)

    def dropped_tokens(self, texts: Sequence[str], role: str = "query") -> Ints:
        """int64 [n]: how many tokens of each text lie beyond the model's limit and are ignored; role is "query" or "document"."""
        return self.runner.dropped(texts, role)

    def _counted_as(self, ids: TokenIds) -> TokenIds:
        """The terms that tokens stand for, in their order; those that stand for none are left out."""
        if self.query_terms is None:
            return ids
        terms = self.query_terms[ids].astype(np.int64)
        return terms[terms >= 0]

    @property
    def _tokenizer(self) -> TextTokenizer:
        return self.runner.tokenizer


class TermReading:
    """Graph outputs, kept as the terms that weigh something."""

    def __init__(self, card: ModelCard, head: Head | None, texts: Sequence[str]) -> None:
        self._card = card
        self._head = head
        self._texts = texts
        nothing = (np.empty(0, np.int32), np.empty(0, np.float32))
        self._found: list[tuple[NDArray[np.int32], NDArray[np.float32]]] = [nothing] * len(texts)

    def take(self, positions: Ints, ids: list[TokenIds], output: NDArray[np.float32]) -> None:
        """See Reading; `output` holds token states [batch, longest, dim] where there is a head, else logits of tokens or weights of texts."""
        for position, tokens, one in zip(positions.tolist(), ids, output, strict=True):
            weights = one
            if self._head is not None:
                weights = self._of_states(tokens, one[: len(tokens)])
            elif self._card.pooling == "max":
                weights = np.log1p(np.maximum(one[: len(tokens)].max(axis=0), 0))
            if weights.shape != (self._card.dimensions,):
                raise BadInput(
                    f"Model {self._card.name!r} gave {weights.shape} weights instead of {self._card.dimensions}; install it again."
                )
            terms = np.flatnonzero(weights)  # what is not a number, or below 0, is kept for `rows` to find
            self._found[position] = (terms.astype(np.int32), weights[terms].astype(np.float32))

    def _of_states(self, tokens: TokenIds, states: NDArray[np.float32]) -> NDArray[np.float32]:
        assert self._head is not None
        if not np.isfinite(states).all():  # the graph's rectifier would turn NaN into 0
            return np.full(self._card.dimensions, np.nan, np.float32)
        return self._head.run(tokens, states)

    def rows(self) -> SparseRows:
        rows = joined(self._found, self._card.dimensions)
        bad = np.flatnonzero(~(np.isfinite(rows.weights) & (rows.weights > 0)))
        if len(bad):
            text = self._texts[int(np.searchsorted(rows.indptr, bad[0], side="right")) - 1]
            raise BadInput(
                f"Model {self._card.name!r} gave a term a weight that is negative or not finite, first for the text {text[:80]!r}; "
                "try the CPU provider, or another model."
            )
        return rows


def joined(rows: Sequence[tuple[NDArray[np.int32], NDArray[np.float32]]], width: int) -> SparseRows:
    """Rows from the ascending terms and the weights of each."""
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(terms) for terms, _ in rows], out=indptr[1:])
    terms = np.concatenate([np.empty(0, np.int32), *(terms for terms, _ in rows)])
    weights = np.concatenate([np.empty(0, np.float32), *(weights for _, weights in rows)])
    return SparseRows(indptr, terms, weights, width)


def _load_table(path: Path) -> NDArray[Any]:
    try:
        table: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise WorkspaceDamaged(f"{path} cannot be read ({error}); install the model again.") from error
    return table


def _load_query_terms(folder: Path, card: ModelCard) -> NDArray[np.int32]:
    path = folder / QUERY_TERMS
    terms = _load_table(path)
    usable = terms.shape == (card.dimensions,) and terms.dtype == np.int32
    if not usable or (terms < -1).any() or (terms >= card.dimensions).any():
        raise WorkspaceDamaged(f"{path} does not hold {card.dimensions} terms, int32; install the model again.")
    return terms


def _load_query_weights(folder: Path, card: ModelCard) -> NDArray[np.float32]:
    path = folder / QUERY_WEIGHTS
    weights = _load_table(path)
    usable = weights.shape == (card.dimensions,) and weights.dtype == np.float32
    if not usable or not np.isfinite(weights).all() or (weights < 0).any():
        raise WorkspaceDamaged(
            f"{path} does not hold {card.dimensions} weights of 0 or more, float32; install the model again."
        )
    return np.asarray(weights)
