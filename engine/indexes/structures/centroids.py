"""Inverted lists of centroids for late interaction (PLAID; Santhanam et al., CIKM 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from engine.indexes.stored.centroids import CentroidInfo, Centroids
from engine.indexes.stored.files import described
from engine.indexes.structures.base import Flat, Structure
from engine.kernels.topk import best_rows, empty_hits
from engine.types import Mask, ProgressSink, TokenRows, TopK

CANDIDATES = 1_000


class CentroidLists(Structure, name="centroids"):
    """Candidates from inverted lists of centroids: fast and approximate; what they give is scored exactly."""

    rows: ClassVar[tuple[str, ...]] = ("late",)

    def build(
        self, index: Flat, earlier: Flat | None, progress: ProgressSink
    ) -> tuple[BaseModel, dict[str, str | int | float]]:
        """See Structure; the lists of the previous index are continued, if they still fit. details: centroids."""
        known: Lists | None = earlier.searcher if earlier is not None and earlier.how == self else None
        before = None if known is None else (known.index.numbers, known.centroids)
        saved = Centroids.build(index.numbers, index.rows, index.folder, before, progress)
        return saved, {"centroids": saved.clusters}

    def open(self, index: Flat, about: Mapping[str, Any] | None) -> Lists:
        info = described(index.folder, CentroidInfo, about)
        return Lists(index, Centroids(index.folder, info, len(index.numbers), index.width))


@dataclass(frozen=True, slots=True)
class Lists:
    """Lists that are open for search from any thread."""

    index: Flat
    centroids: Centroids

    @property
    def memory(self) -> int:
        return sum(part.nbytes for part in (self.centroids.vectors, self.centroids.indptr, self.centroids.listed))

    def search(self, queries: TokenRows, k: int, allowed: Mask | None, effort: int | None) -> TopK:
        """See OpenStructure; effort: rows (twice k at least) that are compared exactly; where no more than that pass the filter, all are."""
        index = self.index
        effort = max(CANDIDATES if effort is None else effort, 2 * k)
        if k == 0 or effort >= (len(index.numbers) if allowed is None else int(allowed.sum())):
            found: TopK = index.search_exact(queries, k, allowed)
            return found
        found = TopK(*empty_hits(len(queries), k))
        for i in range(len(queries)):
            query = queries.vectors[queries.indptr[i] : queries.indptr[i + 1]]
            if len(query):
                estimates = self.centroids.estimates(query)
                if allowed is not None:
                    estimates[~allowed] = -np.inf
                index.put_best(found, i, query, np.sort(best_rows(estimates, effort)))
        return found
