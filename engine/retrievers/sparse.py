"""Learned sparse retrieval: terms weighted by a model, in documents also terms that they do not hold (SPLADE; Formal et al., SIGIR 2021).

With an inference-free model (Geng et al., 2024) a query is its own words, each counting as much as it is rare.
"""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from engine.encoders.tokens import readable
from engine.errors import BadInput
from engine.indexes.sparse import SparseIndex, SparseOpenIndex, TermEncoder, term_encoder
from engine.pipeline.context import Context
from engine.pipeline.explanation import Evidence, ScoreExplanation, TermWeight
from engine.pipeline.stages import Stage
from engine.retrievers.base import Retriever, encoder_label
from engine.types import SparseRows, TopK

TERMS_NOTE = "query_terms"
"""The span's detail with what was searched for: a table (qid, term, weight), the heaviest term of each query first."""
MOST_PLACES = 200
"""Places of one term in an explanation; a term repeated more often keeps that many."""


class SparseParameters(Stage):
    """The parameters of every stage that reads a sparse index: they say which one."""

    evidence: ClassVar[Evidence] = "terms"
    model: str = Field("triptych-sparse", min_length=1, max_length=200, description="The encoder.")

    def index_spec(self) -> SparseIndex:
        return SparseIndex(model=self.model)

    def open_index(self, ctx: Context) -> SparseOpenIndex:
        """The open index. Raises IndexNotReady."""
        return cast(SparseOpenIndex, ctx.resources.index(self.index_spec()))


class Sparse(SparseParameters, Retriever, name="sparse"):
    """Words that a model weighs and adds: exact like words, and found by related ones, which can be read."""

    idf: Literal["auto", "collection", "model"] = Field(
        "auto",
        description="How rare a query's words are, for models that look queries up: as counted in this collection, or as the model learned it. "
        "auto: the model's own.",
    )

    def label(self) -> str:
        return encoder_label(self, self.model)

    @property
    def needs_match(self) -> bool:
        return True

    def top_rows(self, queries: pl.DataFrame, k: int, ctx: Context) -> TopK:
        rows = self.query_rows(queries["text"].to_list(), ctx)
        ctx.note(TERMS_NOTE, _table(queries["qid"].to_list(), rows, self._encoder(ctx)))
        return self.open_index(ctx).search(rows, k, ctx.allowed(self.index_spec()))

    def exact_scores(self, query: str, ctx: Context) -> NDArray[np.float32]:
        return self.open_index(ctx).scores(self.query_rows([query], ctx))

    def query_rows(self, texts: list[str], ctx: Context) -> SparseRows:
        """The weighted terms of queries as they are searched. Raises BadInput where `idf` does not go with the model."""
        rows = ctx.query_terms(self.model, texts)
        if self.idf != "collection":
            return rows
        learned = self._encoder(ctx).query_weights
        if learned is None:
            raise BadInput(
                f"The model {self.model!r} weighs the words of a query itself; idf: collection is for models that look queries up."
            )
        weights = rows.weights / learned[rows.terms] * self.open_index(ctx).idf[rows.terms]
        return SparseRows(rows.indptr, rows.terms, weights, rows.width)

    def explain_row(self, query: str, row: int, ctx: Context) -> ScoreExplanation:
        given = self.open_index(ctx).contributions(self.query_rows([query], ctx), row)
        encoder = self._encoder(ctx)
        places: dict[int, list[tuple[int, int]]] = {term: [] for term, _ in given}
        for term, start, end in encoder.literal_places(ctx.resources.unit_text(self.index_spec(), row)):
            if term in places and len(places[term]) < MOST_PLACES:
                places[term].append((start, end))
        weights = []
        for (term, weight), name in zip(given, readable(encoder.terms([term for term, _ in given])), strict=True):
            first, *rest = places[term] or [(-1, -1)]
            weights.append(TermWeight(name, weight, *first))
            weights.extend(TermWeight(name, 0.0, *place) for place in rest)
        added = [weight for term, weight in given if not places[term]]
        return ScoreExplanation(
            True, float(sum(weight for _, weight in given)), tuple(weights), _note(given, added), row
        )

    def _encoder(self, ctx: Context) -> TermEncoder:
        return term_encoder(ctx.resources.encoder(self.model))


def _note(given: list[tuple[int, float]], added: list[float]) -> str:
    exact = "Each term's weight in the query times its weight in this document; they sum to the score."
    if not added:
        return exact
    share = sum(added) / sum(weight for _, weight in given)
    terms = "1 term does" if len(added) == 1 else f"{len(added)} terms do"
    return f"{exact} {terms} not stand in the text: the model added them ({share:.0%} of the score)."


def _table(qids: list[str], rows: SparseRows, encoder: TermEncoder) -> pl.DataFrame:
    """(qid, term, weight), in order of the queries, then by falling weight."""
    distinct = np.unique(rows.terms)
    names = pl.Series(readable(encoder.terms(distinct.tolist())), dtype=pl.String)
    table = pl.DataFrame(
        {
            "query": np.repeat(np.arange(len(qids)), np.diff(rows.indptr)),
            "term": names.gather(np.searchsorted(distinct, rows.terms)),
            "weight": rows.weights,
        }
    ).sort("query", "weight", "term", descending=[False, True, False])
    qid = pl.Series("qid", qids, dtype=pl.String).gather(table["query"])
    return table.select(qid, "term", "weight")
