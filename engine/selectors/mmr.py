"""Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998)."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from engine.pipeline.context import Context
from engine.retrievers.dense import DenseParameters
from engine.selectors.base import Selection, Selector, document_vectors
from engine.types import FloatRows


class Mmr(DenseParameters, Selector, name="mmr"):
    """Choose documents one by one, each for its relevance less its likeness to the likest one chosen before.

    Relevance is the incoming score, brought to 0 … 1 by the candidates' lowest and highest; likeness is the cosine of stored vectors.
    """

    relevance: float = Field(
        0.7, ge=0, le=1, description="The paper's lambda: 1 keeps the order of relevance, 0 looks at novelty only."
    )

    def label(self) -> str:
        return f"MMR {self.relevance:g}"

    def select(self, candidates: pl.DataFrame, ctx: Context) -> Selection:
        scores = candidates["score"].to_numpy()
        low, high = scores.min(), scores.max()
        relevance = (scores - low) / (high - low) if high > low else np.ones(len(scores))
        vectors = document_vectors(candidates["doc_id"], self.index_spec(), ctx)
        return maximal_marginal_relevance(relevance, vectors, self.relevance, self.k)


def maximal_marginal_relevance(relevance: NDArray[np.float64], vectors: FloatRows, balance: float, k: int) -> Selection:
    """Choose min(k, n) of n candidates by balance · relevance - (1 - balance) · (largest inner product with one chosen before).

    relevance: float64 [n]; vectors: float32 [n, dim]. Ties go to the earlier candidate. Columns: relevance, likeness (0 for the first), value.
    """
    likeness = np.zeros(len(relevance))
    open_to = np.ones(len(relevance), np.bool_)
    order: list[int] = []
    columns: dict[str, list[float]] = {"relevance": [], "likeness": [], "value": []}
    while len(order) < min(k, len(relevance)):
        value = np.where(open_to, balance * relevance - (1 - balance) * likeness, -np.inf)
        best = int(np.argmax(value))
        for name, values in (("relevance", relevance), ("likeness", likeness), ("value", value)):
            columns[name].append(float(values[best]))
        to_best = (vectors @ vectors[best]).astype(np.float64)
        likeness = np.maximum(likeness, to_best) if order else to_best
        open_to[best] = False
        order.append(best)
    return Selection(np.array(order, np.int64), columns)
