"""A graph of near neighbors for dense search (Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search", 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, Field

from engine.indexes.stored import hnsw
from engine.indexes.stored.files import described, positions
from engine.indexes.structures.base import Flat, Structure
from engine.kernels.dense import put_verified
from engine.kernels.topk import empty_hits
from engine.types import FloatRows, Mask, ProgressSink, TopK

EXACT_FILTERED_ROWS = 50_000  # with fewer passing rows than this, or than the share below, exact search beats the graph
EXACT_FILTERED_SHARE = 0.2
EFFORT = (
    256  # candidates that a graph search examines at least: recall over .99 on clustered vectors, for a millisecond
)


class Hnsw(Structure, name="hnsw"):
    """A graph over the vectors that a search walks: fast and approximate; what it finds is scored exactly."""

    rows: ClassVar[tuple[str, ...]] = ("dense",)
    stored: ClassVar[str] = "graph"
    M: int = Field(16, ge=4, le=64, description="links of a row; more cost memory and raise recall")
    ef_construction: int = Field(200, ge=8, le=2_000, description="effort of placing a row; more raises recall")

    def installed(self) -> str:
        return "" if hnsw.installed() else "hnswlib"

    def require(self) -> None:
        hnsw.require()

    def build(
        self, index: Flat, earlier: Flat | None, progress: ProgressSink
    ) -> tuple[BaseModel, dict[str, str | int | float]]:
        """See Structure. The previous graph is continued, when it was built alike and enough of it is alive."""
        saved = None
        if earlier is not None and earlier.how == self:
            graph: Walk = earlier.searcher
            saved = hnsw.extend(
                index.rows, index.numbers, index.folder, earlier.folder, graph.graph.info, earlier.numbers, progress
            )
        return saved or hnsw.build(index.rows, index.numbers, index.folder, self.M, self.ef_construction, progress), {}

    def open(self, index: Flat, about: Mapping[str, Any] | None) -> Walk:
        info = described(index.folder, hnsw.GraphInfo, about)
        return Walk(index, hnsw.Graph.open(index.folder, info, index.width))


@dataclass(frozen=True, slots=True)
class Walk:
    """A graph that is open for search from any thread."""

    index: Flat
    graph: hnsw.Graph

    @property
    def memory(self) -> int:
        return self.graph.info.bytes

    def search(self, queries: FloatRows, k: int, allowed: Mask | None, effort: int | None) -> TopK:
        """See OpenStructure; effort: candidates that are examined at least. A strict filter, or too few hits, turn the search exact."""
        index, rows = self.index, len(self.index.numbers)
        effort = EFFORT if effort is None else effort
        passing = rows if allowed is None else int(allowed.sum())
        candidates = max(effort, int(1.25 * k * rows / max(passing, 1)))
        strict = allowed is not None and passing < max(EXACT_FILTERED_ROWS, EXACT_FILTERED_SHARE * rows)
        exact = k == 0 or strict or candidates > max(effort, rows // 20) or not len(queries)
        labels = None if exact else self.graph.search(queries, candidates)
        if labels is None:
            found: TopK = index.search_exact(queries, k, allowed)
            return found
        found = TopK(*empty_hits(len(queries), k))
        places = positions(index.numbers, labels.ravel()).reshape(labels.shape)
        for i, (query, near) in enumerate(zip(queries, places, strict=True)):
            near = near[near >= 0] if allowed is None else near[(near >= 0) & allowed[near]]
            if not query.any():
                continue
            if len(near) >= min(k, passing):
                put_verified(found, i, index.rows, query, near)
            else:
                one = index.search_exact(queries[i : i + 1], k, allowed)
                found.rows[i], found.scores[i] = one.rows[0], one.scores[0]
        return found
