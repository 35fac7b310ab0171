"""Dense encoder: one float32 vector per text, computed by ONNX Runtime from a model folder with a card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.encoders.pooling import POOLINGS, normalize
from engine.encoders.runner import Runner, TokenIds
from engine.errors import BadInput
from engine.models.card import ModelCard
from engine.types import FloatRows, Ints, ProgressSink, ignore_progress


@dataclass(frozen=True, slots=True)
class TokenShare:
    """What one token adds to the score. start, end: its characters in the text; equal for special tokens and for the prompt's."""

    token: str
    start: int
    end: int
    contribution: float


@dataclass(frozen=True, slots=True)
class Attribution:
    """A score (cosine or dot product) as the exact sum of its tokens' contributions."""

    score: float
    tokens: tuple[TokenShare, ...]


class DenseEncoder:
    """Vectors of texts; safe to use from many threads at once. Open one with `DenseEncoder.load`."""

    def __init__(self, runner: Runner) -> None:
        """runner: of a graph whose output is token states, float32 [batch, tokens, dimensions]."""
        self.runner = runner.open()
        self.card = runner.card
        self.fingerprint = runner.card.fingerprint
        self.provider = runner.provider
        self.warnings = runner.warnings
        self.threads = runner.threads

    @classmethod
    def load(cls, folder: Path, provider: str = "auto", threads: int | None = None) -> DenseEncoder:
        """Open the model in `folder`, its files verified against the card.

        provider: auto, cpu, cuda, directml or coreml; threads: CPU threads used by one call, default all cores.
        Raises WorkspaceDamaged on missing, altered or unreadable files, BadInput on an unknown provider.
        """
        return cls(Runner.load(folder, provider, threads))

    def encode_queries(self, texts: Sequence[str]) -> FloatRows:
        """float32 [n, dimensions], unit length where the card says cosine. A text without any token becomes a zero row."""
        return self.runner.read(texts, "query", self.read_documents(texts))

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> FloatRows:
        """float32 [n, dimensions], unit length where the card says cosine. A text without any token becomes a zero row.

        `progress` hears Progress("encode", done, n) several times a second; what it raises stops all threads and is passed on.
        """
        return self.runner.read(texts, "document", self.read_documents(texts), progress)

    def read_documents(self, texts: Sequence[str]) -> PooledReading:
        """An empty reading of these texts, for a pass that several encoders share."""
        return PooledReading(self.card, texts)

    def dropped_tokens(self, texts: Sequence[str], role: str = "query") -> Ints:
        """int64 [n]: how many tokens of each text lie beyond the model's limit and are ignored; role is "query" or "document"."""
        return self.runner.dropped(texts, role)

    def token_attributions(self, query: str, text: str) -> Attribution:
        """The score of the pair, split exactly over the document's tokens: q·h_t / (n·|mean|), or q·h_t / n for dot products.

        Raises BadInput unless the model pools by the mean, the only pooling under which the split is exact.
        """
        if self.card.pooling != "mean":
            raise BadInput(
                f"Model {self.card.name!r} pools by {self.card.pooling!r}; scores split over tokens only under mean pooling."
            )
        prompt = self.card.prompts.document
        encoding = self.runner.tokenizer.encode(text, prompt)
        if not encoding.ids:
            return Attribution(0.0, ())
        vector = self.encode_queries([query])[0]
        states = self.runner.run([np.asarray(encoding.ids, dtype=np.int64)])[0]
        length = np.linalg.norm(states.mean(axis=0)) if self.card.similarity == "cosine" else 1.0
        shares = (states @ vector) / (len(states) * length) if length > 0 else np.zeros(len(states), dtype=np.float32)
        spans = [(max(0, start - len(prompt)), max(0, end - len(prompt))) for start, end in encoding.offsets]
        tokens = tuple(
            TokenShare(token, *span, float(share))
            for token, span, share in zip(encoding.tokens, spans, shares, strict=True)
        )
        return Attribution(float(shares.sum()), tokens)


class PooledReading:
    """Token states pooled to one vector a text."""

    def __init__(self, card: ModelCard, texts: Sequence[str]) -> None:
        self._card = card
        self._texts = texts
        self._rows = np.zeros((len(texts), card.dimensions), dtype=np.float32)

    def take(self, positions: Ints, ids: list[TokenIds], output: NDArray[np.float32]) -> None:
        """See Reading; `output` holds token states, float32 [batch, longest, dimensions]."""
        pooled = POOLINGS[self._card.pooling](output, np.array([len(one) for one in ids], dtype=np.int64))
        rows = pooled.astype(np.float32, copy=False)
        self._rows[positions] = normalize(rows) if self._card.similarity == "cosine" else rows

    def rows(self) -> FloatRows:
        """See Reading; float32 [texts, dimensions]."""
        bad = np.flatnonzero(~np.isfinite(self._rows).all(axis=1))
        if len(bad):
            raise BadInput(
                f"Model {self._card.name!r} produced a vector that is not finite for {len(bad)} texts, the first {self._texts[bad[0]][:80]!r}; "
                "try the CPU provider, or another model."
            )
        return self._rows
