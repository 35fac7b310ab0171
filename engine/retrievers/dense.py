"""Dense retrieval: one vector a passage, compared by inner product (Karpukhin et al., EMNLP 2020)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from engine.context import Context
from engine.encoders.dense import DenseEncoder
from engine.indexes.dense import DenseIndex, DenseOpenIndex
from engine.pipeline import Stage
from engine.retrievers.base import Retriever, ScoreExplanation, TermWeight
from engine.types import TopK


class DenseParameters(Stage):
    """The parameters of every stage that reads a dense index: they say which one."""

    model: str = Field("all-MiniLM-L6-v2", min_length=1, max_length=200, description="The encoder.")
    structure: Literal["auto", "exact", "hnsw"] = Field(
        "auto", description="auto: exact while that is fast, HNSW beyond."
    )

    def index_spec(self) -> DenseIndex:
        return DenseIndex(model=self.model, structure=self.structure)

    def open_index(self, ctx: Context) -> DenseOpenIndex:
        """The open index. Raises IndexNotReady."""
        index = ctx.resources.index(self.index_spec())
        assert isinstance(index, DenseOpenIndex)
        return index


class Dense(DenseParameters, Retriever, name="dense"):
    """Meaning rather than words: the query's vector against every passage's vector."""

    def label(self) -> str:
        return self.model

    def top_rows(self, queries: pl.DataFrame, k: int, ctx: Context) -> TopK:
        vectors = ctx.query_vectors(self.model, queries["text"].to_list())
        return self.open_index(ctx).search(vectors, k, ctx.allowed_rows(self.index_spec()))

    def exact_scores(self, query: str, ctx: Context) -> NDArray[np.float32]:
        return self.open_index(ctx).scores(ctx.query_vectors(self.model, [query])[0])

    def explain_row(self, query: str, row: int, ctx: Context) -> ScoreExplanation:
        text = ctx.resources.unit_text(self.index_spec(), row)
        score = float(self.exact_scores(query, ctx)[row])
        encoder = ctx.resources.encoder(self.model)
        if not isinstance(encoder, DenseEncoder) or encoder.card.pooling != "mean":
            return ScoreExplanation(True, score, (), "This model's score does not split over tokens.", row)
        shares = encoder.token_attributions(query, text).tokens
        weights = tuple(TermWeight(share.token, share.contribution, share.start, share.end) for share in shares)
        note = (
            "The vector is the mean of its token vectors, so the cosine splits exactly over the passage's tokens "
            "(each token has already seen its context)."
        )
        return ScoreExplanation(True, score, weights, note, row)
