"""What a head learns from: queries made of the documents themselves, and a teacher who knows BM25 and dense vectors.

The teacher is heterogeneous, as in Geng et al. (2024, "Towards Competitive Search Relevance For Inference-Free Learned Sparse Retrievers"):
each family's scores of a query are brought to mean 0 and deviation 1 over the candidates, then added with weights.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from engine.indexes.analyzers import ENGLISH_STOP_WORDS
from engine.training.corpus import TrainingTexts, refuse_questions
from engine.training.states import TokenStates
from engine.training.vocabulary import Vocabulary
from engine.types import FloatRows, Ints

K1, B = 1.2, 0.75
FRAGMENT = 0.5
"""What a match of a word's later piece ("##ization") counts beside that of its first."""
ASKED = (
    "papers about {}",
    "Are there any studies of {}?",
    "What is known about {}?",
    "I am looking for work on {}.",
    "Which methods have been proposed for {}?",
    "How is {} done?",
    "approaches to {}",
    "research concerned with {}, and its results",
)
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9])")


@dataclass(frozen=True, slots=True)
class Queries:
    """Queries made of documents: texts, and the position of the document each was made from (int64 [n])."""

    texts: list[str]
    owner: Ints


def training_queries(texts: TrainingTexts, positions: Sequence[int], seed: int) -> Queries:
    """Four queries of each document at `positions`: its title, a sentence, two sentences, some of its words; a quarter are worded as requests.

    Raises BadInput where one is a question of a query set.
    """
    rng = np.random.default_rng(seed)
    made: list[str] = []
    for position in positions:
        title, text = texts.titles[position], texts.texts[position]
        sentences = [one for one in _SENTENCES.split(text) if len(one.split()) > 4] or [text]
        one = sentences[rng.integers(len(sentences))]
        start = int(rng.integers(max(1, len(sentences) - 1)))
        words = list(dict.fromkeys(re.findall(r"[A-Za-z][A-Za-z-]+", f"{title} {text}")))
        words = [word for word in words if word.lower() not in ENGLISH_STOP_WORDS]
        few = np.sort(rng.permutation(len(words))[: rng.integers(3, 10)])
        four = [
            title.rstrip(". "),
            one,
            " ".join(sentences[start : start + 2]),
            " ".join(words[i] for i in few) or title,
        ]
        for query in four:
            asked = ASKED[rng.integers(len(ASKED))].format(query.rstrip(".?! ")) if rng.random() < 0.25 else query
            made.append(asked[:1000])
    refuse_questions(made, texts)
    return Queries(made, np.repeat(np.asarray(positions, np.int64), 4))


def counted(vocabulary: Vocabulary, ids: NDArray[np.int32], indptr: Ints) -> sparse.csr_matrix:
    """float32 [n, V]: how often each term occurs in each text (piece numbers in CSR); ignored pieces are left out."""
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    terms = vocabulary.term[ids]
    kept = terms >= 0
    shape = (len(indptr) - 1, len(vocabulary.term))
    return sparse.csr_matrix((np.ones(int(kept.sum()), np.float32), (rows[kept], terms[kept])), shape=shape)


def bm25_weights(counts: sparse.csr_matrix, scale: NDArray[np.float32]) -> sparse.csr_matrix:
    """BM25's weight of each term in each document, before IDF: (k1 + 1) tf / (tf + k1 (1 - b + b·length / mean length)), times the term's `scale`."""
    weights = counts.tocsr(copy=True)
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(weights.indptr))
    norm = K1 * (1 - B + B * lengths[rows] / max(float(lengths.mean()), 1e-9))
    weights.data = (weights.data * (K1 + 1) / (weights.data + norm) * scale[weights.indices]).astype(np.float32)
    return weights


@dataclass(frozen=True, slots=True, eq=False)
class Opinions:
    """What BM25 and dense vectors say of queries and documents.

    wanted: float32 CSR [queries, V], what each query asks for: counts times IDF; counts: float32 CSR [documents, V]; lexical: float32 CSR
    [documents, V], the literal weights; asking, dense: float32 [queries, dim] and [documents, dim], unit vectors.
    """

    wanted: sparse.csr_matrix
    counts: sparse.csr_matrix
    lexical: sparse.csr_matrix
    asking: FloatRows
    dense: FloatRows

    @classmethod
    def of(cls, vocabulary: Vocabulary, asked: TokenStates, documents: TokenStates) -> Opinions:
        """Of queries and documents whose pieces and dense vectors are known."""
        wanted = counted(vocabulary, asked.ids, asked.indptr).multiply(vocabulary.idf[None, :]).tocsr()
        counts = counted(vocabulary, documents.ids, documents.indptr)
        return cls(wanted, counts, bm25_weights(counts, vocabulary.scale), asked.dense, documents.dense)

    def scores(self, queries: Ints, documents: Ints) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """float32 [queries, documents] by BM25, and by the cosine of dense vectors; both arguments are positions."""
        exact: NDArray[np.float32] = (self.wanted[queries] @ self.lexical[documents].T).toarray()
        return exact, self.asking[queries] @ self.dense[documents].T


def neighbors(vectors: FloatRows, count: int, block: int = 2048) -> Ints:
    """int64 [n, count]: the nearest other rows by dot product, in no order."""
    found = np.empty((len(vectors), count), np.int64)
    for start in range(0, len(vectors), block):
        scores = vectors[start : start + block] @ vectors.T
        rows = np.arange(len(scores))
        scores[rows, start + rows] = -np.inf
        found[start : start + block] = np.argpartition(-scores, count, axis=1)[:, :count]
    return found


def standardized(scores: NDArray[np.float32], own: Ints | None = None) -> NDArray[np.float32]:
    """Each row at mean 0 and deviation 1, both taken without the column `own` of each row; a row of equal scores becomes zeros."""
    others = np.ones(scores.shape, dtype=np.bool_)
    if own is not None:
        others[np.arange(len(scores)), own] = False
    mean = scores.mean(axis=1, keepdims=True, where=others)
    spread = scores.std(axis=1, keepdims=True, where=others)
    centered: NDArray[np.float32] = (scores - mean) / np.where(spread > 0, spread, 1.0)
    return centered.astype(np.float32)
