"""What families that encode texts have in common, and what families that score pairs of texts do."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput
from engine.models.card import ModelCard
from engine.models.family import ModelFamily

if TYPE_CHECKING:
    from engine.encoders.base import Encoder
    from engine.encoders.cross import PairScorer
    from engine.encoders.tokens import TextTokenizer
    from engine.export.agreement import Agreement
    from engine.export.quantise.int8 import Sample

SAME = 1e-6
"""Rows that differ by less, relative to their size, are the same."""
CANDIDATES = 50
"""Of a query whose scoring is timed, and hits of BM25 that a reranker scores anew in the pipeline that it brings along."""


class Encoding(ModelFamily):
    """Models that turn each text into a row."""

    stage: ClassVar[str]
    """The retriever that searches with its models; "" where they bring no pipeline along."""

    @abstractmethod
    def points(self, card: ModelCard, rows: Any) -> list[NDArray[np.float32]]:
        """The vectors of each text, float32 [vectors, dim]. Raises BadInput on rows that hold none where there must be some."""

    def flat(self, rows: Any) -> NDArray[np.float32]:
        """All that the rows hold as vectors, float32 [n, dim], to be compared with those of another model."""
        return np.asarray(rows, np.float32)

    def try_out(self, model: Encoder[Any], texts: Sequence[str]) -> None:
        given = list(texts)
        documents, queries = model.encode_documents(given), model.encode_queries(given)
        if len(documents) != len(given) or len(queries) != len(given):
            raise BadInput(f"{model.card.name} does not give one row a text; it cannot be used.")
        for found in (documents, queries):
            self.refuse_useless(model.card, found)

    def refuse_useless(self, card: ModelCard, found: Any) -> None:
        """Raises BadInput on the rows of different texts that are not finite, zero, or all the same."""
        rows = self.points(card, found)
        every = np.concatenate([row.ravel() for row in rows]) if rows else np.zeros(0)
        if not np.isfinite(every).all():
            raise BadInput(f"{card.name} gives vectors that are not finite; it cannot be used.")
        if not every.any():
            raise BadInput(f"{card.name} gives nothing but zeros, for {len(found)} different texts; it cannot be used.")
        refuse_constant(card, [row.mean(axis=0) for row in rows if row.size], len(found))

    def rates(
        self, model: Encoder[Any], texts: Sequence[str], queries: Sequence[str], seconds: float
    ) -> tuple[float, float]:
        """See ModelFamily; queries one after the other."""
        documents = rate(lambda: model.encode_documents(texts), len(texts), seconds)
        model.encode_queries(queries[:1])
        times = []
        for query in queries:
            start = time.perf_counter()
            model.encode_queries([query])
            times.append(time.perf_counter() - start)
        return documents, 1 / median(times)

    def token_ids(
        self, tokenizer: TextTokenizer, card: ModelCard, query: str, texts: Sequence[str]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """See ModelFamily; as documents."""
        return [(ids, np.zeros_like(ids)) for ids in tokenizer.ids(texts, card.prompts.document)]

    def samples(self, tokenizer: TextTokenizer, card: ModelCard, texts: Sequence[str]) -> list[Sample]:
        """See ModelFamily; the texts as documents."""
        return [ids for ids, _ in self.token_ids(tokenizer, card, "", texts)]

    def agreement(self, one: Path, other: Path, texts: Sequence[str]) -> Agreement:
        """See ModelFamily; cosines of what documents and queries hold."""
        from engine.export.agreement import cosines

        encoders, given = [self.open(folder, "cpu") for folder in (one, other)], list(texts)
        both = [(encoder.encode_documents(given), encoder.encode_queries(given)) for encoder in encoders]
        return cosines(*(np.concatenate([self.flat(rows) for rows in pair]) for pair in both))

    def pipelines(self, model: str) -> tuple[tuple[str, str, str], ...]:
        """See ModelFamily; the model by itself, and merged with BM25."""
        if not self.stage:
            return ()
        stage = f"{self.stage}: {{model: {json.dumps(model)}, k: 1000}}\n"
        merged = f"- fuse:\n    inputs:\n    - bm25: {{k: 1000}}\n    - {stage}    method: {{rrf: {{k: 60}}}}\n- cutoff: {{k: 1000}}\n"
        return (
            (model, f"What {model} finds by itself.", f"- {stage}"),
            (f"BM25 + {model}", f"BM25 and {model}, merged by rank.", merged),
        )


class Scoring(ModelFamily):
    """Models that read a query and a document together and say in one number how well they go together."""

    scores_pairs: ClassVar[bool] = True
    unit: ClassVar[str] = "pairs"
    brief: ClassVar[str] = "pairs"
    stage: ClassVar[str]
    """The reranker that scores with its models; "" where they bring no pipeline along."""

    def row_kind(self, width: int) -> Any:
        raise BadInput(f"A model of the family {self.name!r} scores pairs of texts and gives no rows.")

    def try_out(self, model: PairScorer, texts: Sequence[str]) -> None:
        """See ModelFamily; the first text with each of the others."""
        scores = np.asarray(model.score(texts[0], texts[1:]))
        if scores.shape != (len(texts) - 1,) or not np.isfinite(scores).all():
            raise BadInput(f"{model.card.name} gives no finite score to a pair of texts; it cannot be used.")
        refuse_constant(model.card, [np.atleast_1d(score) for score in scores], len(scores))

    def rates(
        self, model: PairScorer, texts: Sequence[str], queries: Sequence[str], seconds: float
    ) -> tuple[float, float]:
        """See ModelFamily; queries with their candidates."""
        candidates = [texts[place % len(texts)] for place in range(CANDIDATES)]
        pairs = rate(lambda: model.score(queries[0], texts), len(texts), seconds)
        return pairs, rate(lambda: model.score(queries[1], candidates), 1, seconds)

    def token_ids(
        self, tokenizer: TextTokenizer, card: ModelCard, query: str, texts: Sequence[str]
    ) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        return tokenizer.pairs(query, texts, card.prompts.query, card.prompts.document)

    def samples(self, tokenizer: TextTokenizer, card: ModelCard, texts: Sequence[str]) -> list[Sample]:
        """See ModelFamily; each longer text with a shorter one."""
        from engine.export.cross import pairs_of

        queries, documents = pairs_of(texts)
        pairs = [tokenizer.pairs(queries[place % len(queries)], [text])[0] for place, text in enumerate(documents)]
        return [{"input_ids": ids, "token_type_ids": types} for ids, types in pairs]

    def agreement(self, one: Path, other: Path, texts: Sequence[str]) -> Agreement:
        """See ModelFamily; rank correlation of each query's scores."""
        from engine.export.agreement import rank_correlations
        from engine.export.cross import pairs_of

        queries, documents = pairs_of(list(texts))
        scorers = [self.open(folder, "cpu") for folder in (one, other)]
        scores = [np.array([scorer.score(query, documents) for query in queries]) for scorer in scorers]
        return rank_correlations(*scores)

    def pipelines(self, model: str) -> tuple[tuple[str, str, str], ...]:
        """See ModelFamily; the first hits of BM25, scored anew."""
        if not self.stage:
            return ()
        steps = (
            f"- bm25: {{k: {CANDIDATES}}}\n- {self.stage}: {{model: {json.dumps(model)}, candidates: {CANDIDATES}}}\n"
        )
        return ((f"BM25 → {model}", f"The first {CANDIDATES} hits of BM25, scored anew by {model}.", steps),)


def refuse_constant(card: ModelCard, rows: list[NDArray[Any]], count: int) -> None:
    """Raises BadInput where each of `count` different texts has the same row."""
    every = np.stack(rows).astype(np.float64)
    if np.abs(every - every[0]).max() <= SAME * max(1.0, float(np.abs(every).max())):
        raise BadInput(f"{card.name} gives the same for {count} different texts; it cannot tell texts apart.")


def rate(work: Callable[[], Any], count: int, seconds: float) -> float:
    """Things done a second: one untimed round, then whole rounds until `seconds` are over, the best of them."""
    work()
    best, until = 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < until:
        start = time.perf_counter()
        work()
        best = max(best, count / (time.perf_counter() - start))
    return best
