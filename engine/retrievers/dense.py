"""Dense retrieval: one vector a passage, compared by inner product (Karpukhin et al., EMNLP 2020)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field

from engine.encoders.dense import DenseEncoder
from engine.indexes.base import VectorIndex
from engine.indexes.dense import DenseIndex
from engine.indexes.structures.base import IN_DATA, Named, Structure
from engine.pipeline.context import Context, no_hits
from engine.pipeline.explanation import Evidence, ScoreExplanation, TermWeight
from engine.pipeline.stages import Stage
from engine.retrievers.base import MAX_K, Retriever, encoder_label
from engine.types import Ranking, TopK

CANDIDATES = 3
"""How many times k documents are looked at where the best passage does not decide."""


class DenseParameters(Stage):
    """The parameters of every stage that reads a dense index: they say which one."""

    evidence: ClassVar[Evidence] = "semantic"
    model: str = Field("all-MiniLM-L6-v2", min_length=1, max_length=200, description="The encoder.")
    structure: Annotated[str | Structure, Named("dense"), IN_DATA] = Field(
        "auto", description="auto: exact while that is fast, HNSW beyond."
    )

    def index_spec(self) -> DenseIndex:
        return DenseIndex(model=self.model, structure=self.structure)

    def open_index(self, ctx: Context) -> VectorIndex:
        """The open index. Raises IndexNotReady."""
        return cast(VectorIndex, ctx.resources.index(self.index_spec()))


class Dense(DenseParameters, Retriever, name="dense"):
    """Meaning rather than words: the query's vector against every passage's vector."""

    passages: Literal["max", "mean"] = Field(
        "max",
        description="How a long document is scored: by its best passage, or by the mean of all of them "
        f"(of the {CANDIDATES} × k documents with the best passages).",
    )

    def label(self) -> str:
        return encoder_label(self, self.model)

    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        if self.passages == "max":
            return super().run(ranking, ctx)
        wider = self.model_copy(update={"passages": "max", "k": min(MAX_K, CANDIDATES * self.k)})
        found = Retriever.run(wider, ranking, ctx).hits.partition_by("qid", as_dict=True)
        scored = [no_hits()]
        for qid, text in ranking.searched().iter_rows():
            if (qid,) in found:
                means, _ = self.score_documents(text, ctx)
                doc_ids = found[(qid,)]["doc_id"]
                at = ctx.snapshot.doc_ids.is_in(doc_ids.implode()).arg_true()
                names = ctx.snapshot.doc_ids.gather(at)
                scored.append(pl.DataFrame({"qid": [qid] * len(at), "doc_id": names, "score": means[at.to_numpy()]}))
        return ranking.with_hits(pl.concat(scored)).top(self.k)

    def score_documents(self, query: str, ctx: Context) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        best, rows = super().score_documents(query, ctx)
        if self.passages == "max":
            return best, rows
        docs = ctx.resources.row_docs(self.index_spec())
        live = docs >= 0
        count = np.bincount(docs[live], minlength=len(best))
        total = np.bincount(docs[live], self.exact_scores(query, ctx)[live], minlength=len(best))
        return np.where(count > 0, total / np.maximum(count, 1), -np.inf), rows

    def top_rows(self, queries: pl.DataFrame, k: int, ctx: Context) -> TopK:
        vectors = ctx.query_vectors(self.model, queries["text"].to_list())
        return self.open_index(ctx).search(vectors, k, ctx.allowed(self.index_spec()))

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
        if self.passages == "mean":
            note = f"The tokens of the best passage, which scores {score:.4g}; the document scores the mean over all of its passages."
            return ScoreExplanation(False, score, weights, note, row)
        note = (
            "The vector is the mean of its token vectors, so the cosine splits exactly over the passage's tokens "
            "(each token has already seen its context)."
        )
        return ScoreExplanation(True, score, weights, note, row)
