"""What the areas share: the engine, and turning stored rows into what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.results import Card, FoundBy, Piece
from engine.errors import BadInput
from engine.snippets import snippet

if TYPE_CHECKING:
    from engine.engine import Engine
    from engine.workspace import Collection

MAX_QUERY_CHARS = 2_000
MAX_K = 1_000


class Verbs:
    """Base of the areas."""

    engine: Engine
    folder: Path
    read_only: bool

    def _collection(self, name: str) -> Collection:
        return self.engine.workspace.collection(name)

    def _cards(
        self,
        collection_id: str,
        hits: Sequence[tuple[str, int, float]],
        query: str = "",
        analyzer: str = "english",
        found_by: Mapping[str, tuple[FoundBy, ...]] | None = None,
        ratings: Mapping[str, int] | None = None,
    ) -> tuple[Card, ...]:
        """Cards for (doc_id, rank, score) hits in their order; documents that went away meanwhile are left out."""
        from engine.indexes.analyzers import analyzer as named

        documents = self.engine.workspace.documents
        rows = {row["doc_id"]: row for row in documents.fetch(collection_id, [hit[0] for hit in hits]).iter_rows(named=True)}
        short = set(self.engine.workspace.shortlist(collection_id)["doc_id"])
        words = named(analyzer)
        return tuple(
            Card(
                doc_id=doc_id,
                title=row["title"],
                authors=tuple(row["authors"] or ()),
                year=row["year"],
                venue=row["venue"],
                url=row["url"],
                source=row["source"],
                snippet=tuple(Piece(text, "lexical" if hit else "") for text, hit in snippet(row["text"], query, words)),
                rank=rank,
                score=score,
                found_by=(found_by or {}).get(doc_id, ()),
                shortlisted=doc_id in short,
                rating=(ratings or {}).get(doc_id),
            )
            for doc_id, rank, score in hits
            if (row := rows.get(doc_id)) is not None
        )


def checked_query(query: str) -> tuple[str, tuple[str, ...]]:
    """The query as it is run, and notices about what was changed."""
    text = " ".join(str(query).replace("\x00", " ").split())
    text = text.encode("utf-8", "ignore").decode()
    if len(text) <= MAX_QUERY_CHARS:
        return text, ()
    return text[:MAX_QUERY_CHARS], (f"The query has {len(text):,} characters; the first {MAX_QUERY_CHARS:,} were used.",)


def checked_k(k: int, most: int = MAX_K) -> int:
    """k as a number from 1 to `most`. Raises BadInput."""
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= most:
        raise BadInput(f"k is {k!r}; it must be a whole number from 1 to {most:,}.")
    return k


def checked_filters(filters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Filters without the empty ones. Raises BadInput on a form that is not a list of values."""
    checked: dict[str, Any] = {}
    for name, values in (filters or {}).items():
        if not isinstance(values, list | tuple):
            raise BadInput(f"The filter {name!r} needs a list of values.")
        if not values:
            continue
        checked[str(name)] = tuple(values) if name == "year" else [str(v) for v in values]
    return checked
