"""What every measure is given, and how its name is read: hits against judgments as flat arrays,
`Name(parameter=value)@cutoff`.

Order and ties are those of trec_eval: score descending as a 32-bit float, then document id descending by its UTF-8
bytes; a rank that came with a run is never trusted.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from engine.component import Component, discover, first_problem
from engine.errors import BadInput

Floats = NDArray[np.float64]
Ints32 = NDArray[np.int32]
MAX_CUTOFF = 100_000
ALIASES = {"map": "AP", "mrr": "RR", "recall": "R", "precision": "P"}
_NOTATION = re.compile(r"([A-Za-z]+)(?:\(([^()]*)\))?(?:@(\d{1,9}))?")


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """Hits and judgments of `queries` queries. Rows stand by query; hits best first, judgments by rating descending.

    query, position (from 1), rating, judged: int32, int32, int32, bool [hits]; `rating` is 0 where there is no
    judgment. judged_query, judged_rating: int32 [judgments].
    """

    queries: int
    query: Ints32
    position: Ints32
    rating: Ints32
    judged: NDArray[np.bool_]
    judged_query: Ints32
    judged_rating: Ints32

    def count(self, rows: NDArray[np.bool_]) -> Floats:
        """float64 [queries]: how many of a query's hits are in `rows` (bool [hits])."""
        return np.bincount(self.query[rows], minlength=self.queries).astype(np.float64)

    def total(self, rows: NDArray[np.bool_], weights: Floats) -> Floats:
        """float64 [queries]: the sum over `rows` of `weights` (float64 [hits])."""
        return np.bincount(self.query[rows], weights[rows], minlength=self.queries).astype(np.float64)

    def so_far(self, rows: NDArray[np.bool_]) -> Floats:
        """float64 [hits]: how many of `rows` stand at this hit or above it in its query."""
        before = np.concatenate([[0], np.cumsum(rows)])
        start = np.searchsorted(self.query, np.arange(self.queries))
        counted: Floats = (before[1:] - before[start[self.query]]).astype(np.float64)
        return counted

    def condensed(self) -> Marked:
        """Without the hits that nobody judged: those below move up (Sakai, SIGIR 2007). As in trec_eval, a negative
        rating is no judgment here."""
        kept = self.judged & (self.rating >= 0)
        query = self.query[kept]
        start = np.searchsorted(query, np.arange(self.queries))
        position = (np.arange(len(query)) - start[query] + 1).astype(np.int32)
        return replace(
            self, query=query, position=position, rating=self.rating[kept], judged=np.ones(len(query), np.bool_)
        )

    def known(self, rel: int) -> Floats:
        """float64 [queries]: how many documents are judged `rel` or better, retrieved or not."""
        return np.bincount(self.judged_query[self.judged_rating >= rel], minlength=self.queries).astype(np.float64)


def mark(qids: Sequence[str], hits: pl.DataFrame, judgments: pl.DataFrame) -> Marked:
    """Hits (qid, doc_id, score) and judgments (qid, doc_id, rating), pairs unique in each, of the queries `qids` in
    this order."""
    order = pl.DataFrame({"qid": list(qids)}, schema={"qid": pl.String}).with_row_index("query")
    rated = judgments.select("qid", "doc_id", pl.col("rating").cast(pl.Int32)).join(order, on="qid", how="inner")
    found = (
        hits.select("qid", "doc_id", pl.col("score").cast(pl.Float32))
        .join(order, on="qid", how="inner")
        .join(rated.select("query", "doc_id", "rating"), on=["query", "doc_id"], how="left")
        .sort("query", "score", "doc_id", descending=[False, True, True])
    )
    rated = rated.sort("query", "rating", descending=[False, True])
    query = found["query"].to_numpy().astype(np.int32)
    start = np.searchsorted(query, np.arange(len(order)))
    return Marked(
        queries=len(order),
        query=query,
        position=(np.arange(len(query)) - start[query] + 1).astype(np.int32),
        rating=found["rating"].fill_null(0).to_numpy().astype(np.int32),
        judged=found["rating"].is_not_null().to_numpy(),
        judged_query=rated["query"].to_numpy().astype(np.int32),
        judged_rating=rated["rating"].to_numpy().astype(np.int32),
    )


class Metric(Component, family="metrics"):
    """A measure of effectiveness. A subclass is one measure in one file; its name is the one used in the notation."""

    cut: ClassVar[Literal["never", "may", "must"]] = "may"
    """Whether the notation takes `@k`."""
    words: ClassVar[str] = ""
    """What it tells, for somebody who chooses among them."""
    cutoff: int | None = Field(None, ge=1, le=MAX_CUTOFF, description="Only the first k hits count; written `@k`.")

    @abstractmethod
    def values(self, marked: Marked) -> Floats:
        """float64 [queries], 0 where a query has no hits or no relevant document."""

    def label(self) -> str:
        """The notation; `parse_metric` gives back an equal measure."""
        given = self.model_dump(exclude={"cutoff"}, exclude_defaults=True)
        inside = ", ".join(f"{key}={value}" for key, value in given.items())
        return self.name + (f"({inside})" if inside else "") + (f"@{self.cutoff}" if self.cutoff else "")

    def within(self, marked: Marked) -> NDArray[np.bool_]:
        """bool [hits]: above the cut-off."""
        return marked.position <= (self.cutoff or np.iinfo(np.int32).max)

    def condensed_form(self) -> Metric | None:
        """The same measure on condensed lists; None where there is no such form, or this is it."""
        return None


class RelevanceMetric(Metric):
    """A measure that divides judged documents into relevant and not."""

    rel: int = Field(1, ge=-100, le=1000, description="The lowest rating that counts as relevant.")

    def relevant(self, marked: Marked) -> NDArray[np.bool_]:
        """bool [hits]: judged relevant."""
        return marked.judged & (marked.rating >= self.rel)


class CondensableMetric(Metric):
    """A measure that can pass over unjudged documents as if they had not been found, which suits judgments with gaps
    (Sakai, SIGIR 2007)."""

    judged_only: bool = Field(False, description="Leave out what nobody judged, so that the hits below it move up.")

    def values(self, marked: Marked) -> Floats:
        return self.values_of(marked.condensed() if self.judged_only else marked)

    @abstractmethod
    def values_of(self, marked: Marked) -> Floats:
        """`values`, of lists that are condensed already where they should be."""

    def condensed_form(self) -> Metric | None:
        return None if self.judged_only else self.model_copy(update={"judged_only": True})


def parse_metric(text: str) -> Metric:
    """The measure written as `nDCG@10`. Raises BadInput that names what is wrong and what is known."""
    match = _NOTATION.fullmatch(text.strip())
    if match is None:
        raise BadInput(f"{text!r} is not a metric. Write for example nDCG@10, AP, R@100 or P(rel=2)@5.")
    written, inside, cutoff = match.groups()
    known = {name.lower(): cls for name, cls in discover("metrics").items()}
    cls = known.get(ALIASES.get(written.lower(), written).lower())
    if cls is None or not issubclass(cls, Metric):
        raise BadInput(f"There is no metric called {written!r}. Known: {', '.join(discover('metrics'))}.")
    if cutoff and cls.cut == "never":
        raise BadInput(f"{cls.name} has no cut-off; write {cls.name} without @{cutoff}.")
    if not cutoff and cls.cut == "must":
        raise BadInput(f"{cls.name} needs a cut-off: {cls.name}@10.")
    parameters: dict[str, object] = {"cutoff": int(cutoff)} if cutoff else {}
    for pair in (inside or "").split(","):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not key and not equals:
            continue
        if key not in cls.model_fields or key == "cutoff" or not value:
            takes = [name for name in cls.model_fields if name != "cutoff"]
            raise BadInput(f"{text!r}: {cls.name} takes {' and '.join(takes) or 'no parameter'}, written NAME=VALUE.")
        parameters[key] = value.strip("'\"")
    try:
        return cls.model_validate(parameters)
    except ValidationError as error:
        raise BadInput(f"{text!r}: {first_problem(error)}") from None


def share(part: Floats, whole: Floats) -> Floats:
    """part / whole, 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
