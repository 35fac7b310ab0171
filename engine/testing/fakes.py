"""Encoders and a cross-encoder without models: rows that follow from the words of a text alone."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.encoders.sparse import joined
from engine.models.card import ModelCard
from engine.types import (
    FloatRows,
    Ints,
    Progress,
    ProgressSink,
    SparseRows,
    TokenRows,
    ignore_progress,
)

SENTENCES = (
    "Neural retrieval of scientific papers",
    "Stemming and stop words in English retrieval",
    "Dense vectors encode the meaning of papers",
    "A graph of nearest neighbors answers quickly",
    "Inverted lists answer word queries exactly",
    "Scientific papers cite other scientific papers",
    "Calibration turns scores into probabilities",
    "Probabilities of relevance rank the papers",
)


class HashEncoder:
    """A dense encoder without a model: each word adds ±1 at a hashed place, rows are L2-normalized. Texts that share
    words are close.

    A text without words gives a zero row. `calls` counts the documents that were encoded.
    """

    def __init__(self, dimensions: int = 32, name: str = "hash") -> None:
        self.card = ModelCard(
            name=name,
            title="Hashed words",
            source="engine.testing.contracts",
            revision="1",
            licence="Apache-2.0",
            dimensions=dimensions,
            max_tokens=512,
            similarity="cosine",
            pooling="mean",
            files={},
        )
        self.fingerprint = f"{name}/{dimensions}"
        self.calls = 0

    def encode_queries(self, texts: Sequence[str]) -> FloatRows:
        """float32 [texts, dimensions]."""
        rows = np.zeros((len(texts), self.card.dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                code = zlib.crc32(word.encode())
                row[code % len(row)] += 1 if code & (1 << 20) else -1
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, lengths, out=rows, where=lengths > 0)
        return rows

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> FloatRows:
        """float32 [texts, dimensions]."""
        progress(Progress("encode", len(texts), len(texts)))
        self.calls += len(texts)
        return self.encode_queries(texts)


class HashTokenEncoder:
    """An encoder for late interaction without a model: each word is a token whose vector depends on the word alone.
    `calls` counts documents."""

    def __init__(self, dimensions: int = 16, name: str = "hashed-tokens") -> None:
        fields = HashEncoder(dimensions, name).card.model_dump()
        self.card = ModelCard.model_validate(fields | {"family": "late", "pooling": "none"})
        self.fingerprint = f"{name}/{dimensions}"
        self.calls = 0
        self._words: dict[int, str] = {}

    def encode_queries(self, texts: Sequence[str]) -> TokenRows:
        """A vector for each word of each text."""
        words = [[token for token, _, _ in self.tokens(text, "query")] for text in texts]
        indptr = np.cumsum([0, *(len(of_text) for of_text in words)]).astype(np.int64)
        ids = np.array([self._number(word) for of_text in words for word in of_text], np.int32)
        rows = [np.random.default_rng(number).standard_normal(self.card.dimensions) for number in ids.tolist()]
        vectors = np.array(rows, np.float32).reshape(-1, self.card.dimensions)
        return TokenRows(indptr, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), ids)

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> TokenRows:
        """A vector for each word of each text."""
        progress(Progress("encode", len(texts), len(texts)))
        self.calls += len(texts)
        return self.encode_queries(texts)

    def tokens(self, text: str, role: str) -> list[tuple[str, int, int]]:
        """(word, start, end) of each word."""
        return [(found[0].lower(), found.start(), found.end()) for found in re.finditer(r"\w+", text)]

    def written(self, ids: Sequence[int]) -> list[str]:
        """The words with these numbers, as far as they were met."""
        return [self._words.get(int(number), "") for number in ids]

    def _number(self, word: str) -> int:
        number = zlib.crc32(word.encode()) % 30_000
        self._words[number] = word
        return number


class HashTermEncoder:
    """A sparse encoder without a model, for inference-free queries: each word is a term; a document also gets the
    singular of its plurals.

    In documents a word weighs 1 + ln(times), an added term 0.5; in queries a word weighs 1 and an eighth for each
    letter. `calls` counts documents.
    """

    def __init__(self, width: int = 5_000, name: str = "hashed-terms") -> None:
        fields = HashEncoder(width, name).card.model_dump()
        self.card = ModelCard.model_validate(
            fields | {"family": "sparse", "pooling": "none", "queries": "inference-free"}
        )
        self.fingerprint = f"{name}/{width}"
        self.query_weights = np.zeros(width, np.float32)
        self.calls = 0
        self._words: dict[int, str] = {}

    def encode_queries(self, texts: Sequence[str]) -> SparseRows:
        """The distinct words of each text."""
        terms = [np.unique(ids).astype(np.int32) for ids in self.literal_ids(texts)]
        return joined([(of_text, self.query_weights[of_text]) for of_text in terms], self.card.dimensions)

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> SparseRows:
        """The words of each text, and what is added to them."""
        progress(Progress("encode", len(texts), len(texts)))
        self.calls += len(texts)
        rows = []
        for text in texts:
            words = [word for word, _, _ in _words(text)]
            added = {word.removesuffix("s"): 0.5 for word in words if word.endswith("s")}
            rows.append(added | {word: 1 + math.log(words.count(word)) for word in words})
        return self._rows(rows)

    def literal_ids(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """The words of each text."""
        return [np.array([self._number(word) for word, _, _ in _words(text)], np.int64) for text in texts]

    def literal_places(self, text: str) -> list[tuple[int, int, int]]:
        """(term, start, end) of each word."""
        return [(self._number(word), start, end) for word, start, end in _words(text)]

    def terms(self, ids: Sequence[int]) -> list[str]:
        """The words with these numbers, as far as they were met."""
        return [self._words.get(int(number), "") for number in ids]

    def _number(self, word: str) -> int:
        number = zlib.crc32(word.encode()) % self.card.dimensions
        self._words[number] = word
        self.query_weights[number] = 1 + len(word) / 8
        return number

    def _rows(self, texts: Sequence[Mapping[str, float]]) -> SparseRows:
        rows = [sorted({self._number(word): weight for word, weight in text.items()}.items()) for text in texts]
        parts = [np.array(row, np.float64).reshape(-1, 2).T for row in rows]
        return joined([(t.astype(np.int32), w.astype(np.float32)) for t, w in parts], self.card.dimensions)


def _words(text: str) -> list[tuple[str, int, int]]:
    return [(found[0].lower(), found.start(), found.end()) for found in re.finditer(r"\w+", text)]


def fake_encoder(kind: str) -> Any:
    """The fake that gives the rows of an index of this kind."""
    fakes: dict[str, Any] = {"sparse": HashTermEncoder, "late": HashTokenEncoder}
    return fakes.get(kind, HashEncoder)()


class OverlapScorer:
    """A cross-encoder without a model: the score is the number of different words that query and text share, less a
    thousandth a word of the text.

    `pairs` counts what was scored.
    """

    def __init__(self) -> None:
        fields = HashEncoder(1, "overlap").card.model_dump()
        self.card = ModelCard.model_validate(fields | {"family": "cross", "pooling": "none"})
        self.fingerprint = "overlap"
        self.pairs = 0

    @property
    def passes(self) -> OverlapScorer:
        """Itself."""
        return self

    def batches(
        self, query: str, texts: Sequence[str], tokens: int = 0, in_order: bool = True
    ) -> Generator[tuple[Ints, NDArray[np.float32]], None, None]:
        """Two texts at a time, in order."""
        asked = set(re.findall(r"\w+", query.lower()))
        for start in range(0, len(texts), 2):
            words = [re.findall(r"\w+", text.lower()) for text in texts[start : start + 2]]
            scores = [len(asked & set(found)) - len(found) / 1000 for found in words]
            yield np.arange(start, start + len(words)), np.array(scores, np.float32)

    def score(self, query: str, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> NDArray[np.float32]:
        """float32 [texts]."""
        self.pairs += len(texts)
        progress(Progress("score", len(texts), len(texts), "pairs"))
        return np.concatenate([np.zeros(0, np.float32), *(scores for _, scores in self.batches(query, texts))])
