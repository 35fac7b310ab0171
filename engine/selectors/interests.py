"""Interests: clusters of the candidates, each given places in proportion to its size.

The mixture of clusters is that of kNN-Embed (El-Kishky et al., 2022); the places are given by PM-1 (Dang and Croft, SIGIR 2012), that is
by Sainte-Laguë's divisors.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from pydantic import Field

from engine.kernels.kmeans import kmeans
from engine.pipeline.context import Context
from engine.retrievers.dense import DenseParameters
from engine.selectors.base import Selection, Selector, document_vectors
from engine.types import Ints


class Interests(DenseParameters, Selector, name="interests"):
    """Cluster the candidates by their stored vectors and take turns between the clusters, the larger more often.

    Inside a cluster the incoming order stays. Candidates without a vector are a cluster of their own. Any first part of the list is
    proportionate.
    """

    interests: int = Field(5, ge=1, le=50, description="Into how many clusters the candidates are divided at most.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Where k-means starts; the same seed gives the same clusters.")

    def label(self) -> str:
        return f"{self.interests} interests"

    def select(self, candidates: pl.DataFrame, ctx: Context) -> Selection:
        vectors = document_vectors(candidates["doc_id"], self.index_spec(), ctx)
        labels = np.full(len(candidates), -1, np.int64)
        known = vectors.any(axis=1)
        labels[known] = kmeans(vectors[known], self.interests, self.seed)
        order = take_turns(labels, self.k)
        return Selection(order, {"interest": labels[order]})


def take_turns(labels: Ints, k: int) -> Ints:
    """int64 [min(k, n)]: places of n candidates, given best first with their cluster numbers, in Sainte-Laguë's order.

    Each turn goes to the cluster with the largest size / (2 · taken + 1) that has candidates left; ties to the one whose next is earlier.
    """
    members = {int(label): np.flatnonzero(labels == label).tolist() for label in np.unique(labels)}
    taken = dict.fromkeys(members, 0)
    order: list[int] = []
    while len(order) < min(k, len(labels)):
        left = [label for label, places in members.items() if taken[label] < len(places)]
        turn = min(left, key=lambda c: (-len(members[c]) / (2 * taken[c] + 1), members[c][taken[c]]))
        order.append(members[turn][taken[turn]])
        taken[turn] += 1
    return np.array(order, np.int64)
