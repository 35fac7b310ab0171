"""Late interaction: every query token looks for its best match among a text's tokens (ColBERT; Khattab and Zaharia, SIGIR 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from engine.encoders.late import TokenEncoder
from engine.errors import BadInput
from engine.indexes.late import LateIndex, LateOpenIndex, vectors_of
from engine.indexes.structures.centroids import CANDIDATES
from engine.kernels.maxsim import matches
from engine.models.catalogue import DEFAULT_LATE
from engine.pipeline.context import Context
from engine.pipeline.explanation import Evidence, ScoreExplanation, TermWeight
from engine.pipeline.stages import Stage
from engine.retrievers.base import Retriever, encoder_label
from engine.types import FloatRows, TopK

NOTE = (
    "Each token of the query counts the similarity of its best match among the text's tokens; the similarities sum to the score. "
    "Tokens have seen their context, and the query's special tokens count, too."
)


class LateParameters(Stage):
    """The parameters of every stage that reads token vectors: they say which."""

    evidence: ClassVar[Evidence] = "tokens"
    model: str = Field(
        DEFAULT_LATE, min_length=1, max_length=200, description="The encoder; one that gives a vector for each token."
    )

    def index_spec(self) -> LateIndex:
        return LateIndex(model=self.model)

    def open_index(self, ctx: Context) -> LateOpenIndex:
        """The open index. Raises IndexNotReady."""
        return cast(LateOpenIndex, ctx.resources.index(self.index_spec()))

    def encoder(self, ctx: Context) -> TokenEncoder:
        """The encoder of queries and texts. Raises BadInput for a model of another family."""
        encoder = ctx.resources.encoder(self.model)
        if not isinstance(encoder, TokenEncoder):
            raise BadInput(
                f"Model {self.model!r} gives one row a text; late interaction needs a vector for each token."
            )
        return encoder

    def query_vectors(self, query: str, ctx: Context) -> FloatRows:
        """The token vectors of one query, float32 [query tokens, dim]."""
        return vectors_of(ctx.query_tokens(self.model, [query]), 0)

    def explain_row(self, query: str, row: int, ctx: Context) -> ScoreExplanation:
        """Why this row of the index scores as it does for the query."""
        names = [name for name, _ in named(query, self.encoder(ctx).tokens(query, "query"))]
        return self.explained(self.query_vectors(query, ctx), names, row, NOTE, ctx)

    def explained(
        self, vectors: FloatRows, names: Sequence[str], row: int, note: str, ctx: Context
    ) -> ScoreExplanation:
        """The score of a row split over the query's vectors, named one by one: "query → document" at the document's token."""
        index = self.open_index(ctx)
        if not len(vectors):
            return ScoreExplanation(True, 0.0, (), "The query has no tokens.", row)
        text = ctx.resources.unit_text(self.index_spec(), row)
        told = named(text, self.encoder(ctx).tokens(text, "document"))
        places, similarities = matches(vectors, index.vectors(row))
        weights = []
        for name, place, similarity in zip(names, places.tolist(), similarities.tolist(), strict=True):
            word, (start, end) = told[place] if place < len(told) else ("?", (-1, -1))
            weights.append(TermWeight(f"{name} → {word}", similarity, *((start, end) if start < end else (-1, -1))))
        return ScoreExplanation(True, float(similarities.sum()), tuple(weights), note, row)


class Late(LateParameters, Retriever, name="late"):
    """Meaning token by token: the best match of each query token, summed; finds what one vector for a whole text blurs."""

    candidates: int = Field(
        CANDIDATES,
        ge=1,
        le=1_000_000,
        description="How many texts of a large index are compared exactly, twice k at least; more find more of the exact best and take longer.",
    )

    def label(self) -> str:
        return encoder_label(self, self.model)

    def top_rows(self, queries: pl.DataFrame, k: int, ctx: Context) -> TopK:
        vectors = ctx.query_tokens(self.model, queries["text"].to_list())
        return self.open_index(ctx).search(vectors, k, ctx.allowed(self.index_spec()), self.candidates)

    def exact_scores(self, query: str, ctx: Context) -> NDArray[np.float32]:
        return self.open_index(ctx).scores(self.query_vectors(query, ctx))


def named(text: str, tokens: Sequence[tuple[str, int, int]]) -> list[tuple[str, tuple[int, int]]]:
    """What to call each token, and its characters: the whole word around a piece of one, since "##ing" says nothing to a reader."""
    return [
        (text[slice(*_word(text, start, end))] if start < end else token, (start, end)) for token, start, end in tokens
    ]


def _word(text: str, start: int, end: int) -> tuple[int, int]:
    """The run of letters and digits around a span; the span itself where it is no part of a word."""
    if not text[start:end].isalnum():
        return start, end
    while start > 0 and text[start - 1].isalnum():
        start -= 1
    while end < len(text) and text[end].isalnum():
        end += 1
    return start, end
