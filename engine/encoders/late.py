"""Late-interaction encoder: one vector a token, for MaxSim (ColBERT; Khattab and Zaharia, SIGIR 2020), from a model folder with a card."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.encoders.base import Encoder
from engine.encoders.pooling import normalize
from engine.encoders.runner import Head, Runner, TokenIds, body_folder
from engine.encoders.tokens import TextTokenizer
from engine.errors import BadInput, WorkspaceDamaged
from engine.models.card import TOKENIZER_FILE, ModelCard, read_card
from engine.models.verify import verify_files
from engine.types import FloatRows, Ints, ProgressSink, TokenRows, ignore_progress

VECTORS = "token_vectors"
MASKS = ("[MASK]", "<mask>")


class Token(NamedTuple):
    """A token that has a vector. start, end: its characters in the text; equal for special tokens, markers and padding."""

    token: str
    start: int
    end: int


@runtime_checkable
class TokenEncoder(Encoder[TokenRows], Protocol):
    """What late interaction asks of an encoder: rows of token vectors, and the tokens behind them."""

    def tokens(self, text: str, role: str) -> Sequence[tuple[str, int, int]]:
        """(token, start, end) behind each vector of one text, in the same order; role is "query" or "document"."""
        ...

    def written(self, ids: Sequence[int]) -> list[str]:
        """The tokens with these numbers in the vocabulary."""
        ...


class LateEncoder:
    """Token vectors of texts; safe to use from many threads at once. Open one with `LateEncoder.load`."""

    def __init__(self, card: ModelCard, runner: Runner, query_tokenizer: TextTokenizer, head: Head | None) -> None:
        """runner: of the model itself, or where there is a `head`, of the body whose token states it reads."""
        self.card = card
        self.fingerprint = card.fingerprint
        self.runner = runner.open()
        self.provider = runner.provider
        self.warnings = runner.warnings
        self.threads = runner.threads
        self._head = head
        self._queries = query_tokenizer
        self._mask = _mask_token(card, query_tokenizer)
        known = [query_tokenizer.number(mark) for mark in string.punctuation]
        self._skipped = np.array(
            [number for number in known if number is not None] if card.skipped_tokens == "punctuation" else [], np.int64
        )

    @classmethod
    def load(cls, folder: Path, provider: str = "auto", threads: int | None = None) -> LateEncoder:
        """Open the model in `folder` and the body that its card names, their files verified against the cards.

        provider: auto, cpu, cuda, directml or coreml; threads: CPU threads used by one call, default all cores.
        Raises WorkspaceDamaged on missing, altered or unreadable files, BadInput on an unknown provider or body.
        """
        card = read_card(folder)
        home = folder
        head = None
        if card.body:
            verify_files(folder, card)
            home = body_folder(folder, card)
            head = Head(folder, card, VECTORS, axes=3)
        runner = Runner.load(home, provider, threads, **({"reader": card} if card.body else {"outputs": (VECTORS,)}))
        queries = TextTokenizer.load(home / TOKENIZER_FILE, card.max_query_tokens or card.max_tokens)
        for tokenizer, prompt in ((runner.tokenizer, card.prompts.document), (queries, card.prompts.query)):
            tokenizer.keep_whole(prompt)
        return cls(card, runner, queries, head)

    def encode_queries(self, texts: Sequence[str]) -> TokenRows:
        """The vectors of every query; padded with mask tokens where the card says so. A text without any token has none."""
        reading = TokenReading(self.card, texts, self._head, np.empty(0, np.int64))
        if self._mask is None:
            self.runner.each(texts, self._query_ids, reading.take)
            return reading.rows()
        for position, ids in enumerate(self._query_ids(texts)):
            if len(ids):
                padded = self._padded(ids)
                reading.take(np.array([position]), [padded], self.runner.run([padded], [len(ids)]))
        return reading.rows()

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> TokenRows:
        """The vectors of every text's tokens, without those that the card skips. A text without any token has none.

        `progress` hears Progress("encode", done, n) several times a second; what it raises stops all threads and is passed on.
        """
        return self.runner.read(texts, "document", self.read_documents(texts), progress)

    def read_documents(self, texts: Sequence[str]) -> TokenReading:
        """An empty reading of these texts, for a pass that several encoders share."""
        return TokenReading(self.card, texts, self._head, self._skipped)

    def tokens(self, text: str, role: str) -> list[Token]:
        """The tokens behind the vectors of one text, in the same order; role is "query" or "document"."""
        prompt = self.runner.prompt(role)
        encoding = (self._queries if role == "query" else self.runner.tokenizer).encode(text, prompt)
        spans = [(max(0, start - len(prompt)), max(0, end - len(prompt))) for start, end in encoding.offsets]
        found = [Token(token, *span) for token, span in zip(encoding.tokens, spans, strict=True)]
        if role == "query" and self._mask is not None and found:
            padding = len(self._padded(np.asarray(encoding.ids, np.int64))) - len(found)
            return found + [Token(self._queries.written([self._mask])[0], 0, 0)] * padding
        if role == "query":
            return found
        kept = ~np.isin(np.asarray(encoding.ids, np.int64), self._skipped)
        return [token for token, keep in zip(found, kept.tolist(), strict=True) if keep]

    def written(self, ids: Sequence[int]) -> list[str]:
        """The tokens with these ids."""
        return self._queries.written(ids)

    def dropped_tokens(self, texts: Sequence[str], role: str = "query") -> Ints:
        """int64 [n]: how many tokens of each text lie beyond the model's limit and are ignored; role is "query" or "document"."""
        tokenizer = self._queries if role == "query" else self.runner.tokenizer
        return tokenizer.dropped(texts, self.runner.prompt(role))

    def _query_ids(self, texts: Sequence[str]) -> list[TokenIds]:
        return self._queries.ids(texts, self.card.prompts.query)

    def _padded(self, ids: TokenIds) -> TokenIds:
        """A query's ids, filled up with the mask token; other tokens do not attend to those, but they get vectors and so weigh the query."""
        assert self._mask is not None
        missing = (self.card.max_query_tokens or 0) - len(ids)
        return np.concatenate([ids, np.full(max(0, missing), self._mask, np.int64)])


class TokenReading:
    """Token vectors of texts, collected while a runner passes over them; tokens whose ids are `skipped` are left out."""

    def __init__(self, card: ModelCard, texts: Sequence[str], head: Head | None, skipped: Ints) -> None:
        self._card = card
        self._texts = texts
        self._head = head
        self._skipped = skipped
        self._found: dict[int, tuple[TokenIds, FloatRows]] = {}

    def take(self, positions: Ints, ids: list[TokenIds], output: NDArray[np.float32]) -> None:
        """See Reading; `output` holds token vectors, or the token states that the head reads, float32 [batch, longest, dim]."""
        for position, of_text, states in zip(positions.tolist(), ids, output, strict=True):
            real = states[: len(of_text)]
            vectors = real if self._head is None else self._head.run(of_text, real)
            kept = ~np.isin(of_text, self._skipped)
            rows = vectors[kept].astype(np.float32)  # a copy: what the graph returned must not be kept alive by it
            unit = normalize(rows) if self._card.similarity == "cosine" else rows
            self._found[position] = (of_text[kept], unit)

    def rows(self) -> TokenRows:
        lengths = np.zeros(len(self._texts), np.int64)
        for position, (ids, _) in self._found.items():
            lengths[position] = len(ids)
        in_order = [self._found[position] for position in sorted(self._found)]
        vectors = np.concatenate([np.empty((0, self._card.dimensions), np.float32), *(rows for _, rows in in_order)])
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            text = self._texts[int(np.searchsorted(indptr, bad[0], side="right")) - 1]
            raise BadInput(
                f"Model {self._card.name!r} produced a token vector that is not finite, first for {text[:80]!r}; "
                "try the CPU provider, or another model."
            )
        ids = np.concatenate([np.empty(0, np.int64), *(ids for ids, _ in in_order)])
        return TokenRows(indptr, vectors, ids.astype(np.int32))


def _mask_token(card: ModelCard, tokenizer: TextTokenizer) -> int | None:
    """What queries are padded with; None where they are not. Raises WorkspaceDamaged where the tokenizer lacks it."""
    if card.query_padding == "none":
        return None
    found = next((number for mask in MASKS if (number := tokenizer.number(mask)) is not None), None)
    if found is None or card.max_query_tokens is None:
        raise WorkspaceDamaged(
            f"Model {card.name!r} pads queries with mask tokens, but its tokenizer has none or its card no max_query_tokens; install it again."
        )
    return found
