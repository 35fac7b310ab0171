"""ColBERT-PRF (Wang, Macdonald, Tonellotto and Ounis, "Pseudo-Relevance Feedback for Multiple Representation Dense Retrieval", ICTIR 2021)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.feedback.base import Example, Feedback, NewQuery
from engine.indexes.late import LateOpenIndex
from engine.kernels.kmeans import kmeans
from engine.pipeline.context import Context
from engine.pipeline.explanation import ScoreExplanation
from engine.retrievers.late import LateParameters, named
from engine.types import FloatRows, Ints, Ranking, TokenRows, TopK


class ColbertPrf(LateParameters, Feedback, name="colbert_prf"):
    """Add the rarest themes of the first hits to a late-interaction query: clusters of their token vectors, weighed by how rare their word is.

    A document stands for itself by the passage nearest to the query. The word of a cluster is the token of these documents nearest to its
    center (the paper asks the whole collection), and its rarity ln((N + 1) / (n + 1)) for n of N texts with that token.
    """

    documents: int = Field(3, ge=1, le=100, description="How many of the first hits are taken as relevant.")
    clusters: int = Field(24, ge=1, le=200, description="How many clusters their token vectors are put into.")
    expansions: int = Field(
        10, ge=1, le=200, description="How many cluster centers, those of the rarest words, are added."
    )
    beta: float = Field(
        0.1,
        ge=0,
        le=10,
        description="How much an added center weighs, times its rarity; a query token weighs 1. The paper's 1 stands beside the 32 tokens "
        "that ColBERT pads a query to; the bundled model pads nothing.",
    )

    def label(self) -> str:
        return "ColBERT-PRF"

    def run(self, ranking: Ranking, ctx: Context) -> Ranking:
        texts = [text for text in ranking.queries["text"] if text.strip()]
        ctx.query_tokens(self.model, texts)  # all at once is faster
        return super().run(ranking, ctx)

    def new_query(self, query: str, examples: Sequence[Example], ctx: Context) -> NewQuery:
        vectors = self.query_vectors(query, ctx)
        encoder = self.encoder(ctx)
        names = tuple(name for name, _ in named(query, encoder.tokens(query, "query")))
        index = self.open_index(ctx)
        best = [_nearest(vectors, index, example.rows) for example in examples] if len(vectors) else []
        if not best:
            return NewQuery(1.0, {}, parts=vectors, names=names)
        ids = np.concatenate([index.token_ids(row) for row in best])
        centers, words, owners = _clustered(np.concatenate([index.vectors(row) for row in best]), ids, self.clusters)
        rarity = np.log((len(index.numbers) + 1) / (index.frequencies[words] + 1))
        chosen = np.lexsort((words, -rarity))[: self.expansions]
        chosen = chosen[rarity[chosen] > 0]
        weights = self.beta * rarity[chosen]
        chosen, weights = chosen[weights > 0], weights[weights > 0]
        written = encoder.written(words[chosen].tolist())
        parts = np.concatenate([vectors, (weights[:, None] * centers[chosen]).astype(np.float32)])
        return NewQuery(
            1.0,
            _shares(
                [example.doc_id for example in examples], [len(index.token_ids(row)) for row in best], owners, chosen
            ),
            terms=_summed(written, weights.tolist()),
            parts=parts,
            names=(*names, *written),
        )

    def top_rows(self, queries: Sequence[NewQuery], k: int, ctx: Context) -> TopK:
        found = [_parts(query) for query in queries]
        indptr = np.cumsum([0, *(len(parts) for parts in found)]).astype(np.int64)
        rows = TokenRows(indptr, np.concatenate(found), np.zeros(int(indptr[-1]), np.int32))
        return self.open_index(ctx).search(rows, k, ctx.allowed(self.index_spec()))

    def exact_scores(self, query: NewQuery, ctx: Context) -> NDArray[np.float32]:
        return self.open_index(ctx).scores(_parts(query))

    def explain_row(self, query: NewQuery, row: int, ctx: Context) -> ScoreExplanation:  # type: ignore[override]
        note = (
            f"The query's tokens, and {len(query.terms)} words of {len(query.documents)} documents, each standing for a cluster of their "
            "token vectors and weighed by how rare it is. Each counts its weight times its best match in the text; they sum to the score."
        )
        return self.explained(_parts(query), query.names, row, note, ctx)


def _parts(query: NewQuery) -> FloatRows:
    assert query.parts is not None
    return query.parts


def _nearest(vectors: FloatRows, index: LateOpenIndex, rows: Ints) -> int:
    """The row that scores best for the query."""
    return int(rows[np.argmax(index.scores(vectors, rows))])


def _clustered(vectors: FloatRows, ids: NDArray[np.int32], clusters: int) -> tuple[FloatRows, NDArray[np.int32], Ints]:
    """Centers float32 [clusters, dim], the id of the member nearest to each (the first among equals), and the cluster of each vector."""
    owners = kmeans(vectors, clusters)
    count = int(owners.max()) + 1
    centers = np.stack([vectors[owners == cluster].mean(axis=0) for cluster in range(count)])
    similarity = vectors @ centers.T
    nearest = [int(np.argmax(np.where(owners == cluster, similarity[:, cluster], -np.inf))) for cluster in range(count)]
    return centers, ids[nearest], owners


def _shares(doc_ids: Sequence[str], lengths: Sequence[int], owners: Ints, chosen: Ints) -> dict[str, float]:
    """The share of each document's tokens among those in the chosen clusters; equal shares where nothing was chosen."""
    taken = np.isin(owners, chosen)
    counts = [int(part.sum()) for part in np.split(taken, np.cumsum(lengths)[:-1])]
    total = sum(counts)
    return {doc: count / total if total else 1 / len(doc_ids) for doc, count in zip(doc_ids, counts, strict=True)}


def _summed(words: Sequence[str], weights: Sequence[float]) -> dict[str, float]:
    """The weight of each word, largest first; several clusters may stand around the same word."""
    sums: dict[str, float] = {}
    for word, weight in zip(words, weights, strict=True):
        sums[word] = sums.get(word, 0.0) + weight
    return dict(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0])))
