"""Listwise reranking by an embedding model (E²Rank; Liu et al., "Your Text Embedding can also be an Effective and Efficient Listwise Reranker", 2025).

The query and the first hits are written into one text; its vector is a query that has seen the list, and candidates are ranked by their
stored vectors against it. The ranking itself serves as pseudo-relevance feedback, at the price of encoding one text.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from engine.pipeline.context import Context
from engine.rerankers.base import Reranker
from engine.rerankers.language import shortened
from engine.retrievers.dense import DenseParameters
from engine.selectors.base import document_vectors


class E2Rank(DenseParameters, Reranker, name="e2rank"):
    """Rank the first hits by a vector of the query together with the best of them.

    Models that were trained for it read long lists; others get the query first, so that what they cut off is the end of the list.
    """

    candidates: int = Field(100, ge=1, le=1_000, description="How many of the first hits are scored anew.")
    documents: int = Field(5, ge=1, le=50, description="How many of them are written beside the query.")
    words: int = Field(30, ge=1, le=1_000, description="How many words of each.")

    def label(self) -> str:
        return f"e2rank · {self.model}"

    def score(self, query: str, candidates: pl.DataFrame, ctx: Context) -> NDArray[np.float64]:
        doc_ids = candidates["doc_id"]
        texts = ctx.resources.texts(doc_ids.head(self.documents).to_list())
        listed = " ".join(f"[{n}] {shortened(text, self.words)}" for n, text in enumerate(texts, start=1))
        vector = ctx.query_vectors(self.model, [f"{query} {listed}"])[0].astype(np.float64)
        vectors = document_vectors(doc_ids, self.index_spec(), ctx).astype(np.float64)
        scores = vectors @ vector
        return np.where(np.any(vectors != 0, axis=1), scores, np.nan)
