"""What the areas share: the engine, and turning stored rows into what is shown."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from app.results.search import Card, FoundBy, Piece
from engine.errors import BadInput, ReadOnly
from engine.explain.snippets import snippet

if TYPE_CHECKING:
    from engine.serving.engine import Engine
    from engine.workspace.workspace import Collection

MAX_QUERY_CHARS = 2_000
MAX_K = 1_000
MAX_OFFSET = 1_000_000_000
MAX_TITLE = 1_000


REFUSED = "The workspace is open for reading only here; changes are made where it was opened for writing."

P = ParamSpec("P")
T = TypeVar("T")


def writes(verb: Callable[P, T]) -> Callable[P, T]:
    """Declares that a verb changes the workspace. Where it is open for reading only, the verb raises ReadOnly before it does anything."""

    @functools.wraps(verb)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        if args[0].read_only:  # type: ignore[attr-defined]  # the first argument of a verb is its Verbs
            raise ReadOnly(REFUSED)
        return verb(*args, **kwargs)

    checked.writes = True  # type: ignore[attr-defined]
    return checked


def keeps(verb: Callable[P, T]) -> Callable[P, T]:
    """Declares that a verb finds something and keeps it, but for readers only finds it: it looks at `read_only` itself."""
    verb.keeps = True  # type: ignore[attr-defined]
    return verb


class Verbs:
    """Base of the areas."""

    engine: Engine
    folder: Path
    read_only: bool

    def _collection(self, name: str) -> Collection:
        return self.engine.workspace.collection(name)

    def _cards(self, collection_id: str, hits: Sequence[tuple[str, int, float]]) -> tuple[Card, ...]:
        """Cards for (doc_id, rank, score) hits without a query, in their order."""
        deck = Deck(self.engine, collection_id)
        deck.fetch([hit[0] for hit in hits])
        return deck.cards(hits)


class Deck:
    """The cards of one request: every document is fetched, and its snippet cut, once however many columns show it."""

    def __init__(
        self, engine: Engine, collection_id: str, query: str = "", ratings: Mapping[str, int] | None = None
    ) -> None:
        self._engine = engine
        self._collection_id = collection_id
        self._query = query
        self._ratings = ratings or {}
        self._rows: dict[str, dict[str, Any]] = {}
        self._snippets: dict[tuple[str, str], tuple[Piece, ...]] = {}
        self._short = frozenset(engine.workspace.shortlist(collection_id)["doc_id"])

    def fetch(self, doc_ids: Iterable[str]) -> None:
        """Read the documents that are not here yet, in one go."""
        wanted = [doc_id for doc_id in dict.fromkeys(doc_ids) if doc_id not in self._rows]
        if wanted:
            rows = self._engine.workspace.documents.fetch(self._collection_id, wanted)
            self._rows |= {row["doc_id"]: row for row in rows.iter_rows(named=True)}

    def cards(
        self,
        hits: Iterable[tuple[str, int, float]],
        analyzer: str = "english",
        found_by: Mapping[str, tuple[FoundBy, ...]] | None = None,
        probabilities: Mapping[str, float] | None = None,
    ) -> tuple[Card, ...]:
        """Cards for (doc_id, rank, score) hits in their order; documents that went away meanwhile are left out."""
        return tuple(
            Card(
                doc_id=doc_id,
                title=shown_title(row["title"]),
                authors=tuple(row["authors"] or ()),
                year=row["year"],
                venue=row["venue"],
                url=row["url"],
                source=row["source"],
                snippet=self._snippet(doc_id, row["text"], analyzer),
                rank=rank,
                score=score,
                found_by=(found_by or {}).get(doc_id, ()),
                shortlisted=doc_id in self._short,
                rating=self._ratings.get(doc_id),
                probability=(probabilities or {}).get(doc_id),
            )
            for doc_id, rank, score in hits
            if (row := self._rows.get(doc_id)) is not None
        )

    def _snippet(self, doc_id: str, text: str, analyzer: str) -> tuple[Piece, ...]:
        from engine.indexes.analyzers import analyzer as named

        key = (doc_id, analyzer)
        if key not in self._snippets:
            pieces = snippet(text, self._query, named(analyzer))
            self._snippets[key] = tuple(Piece(piece, "lexical" if hit else "") for piece, hit in pieces)
        return self._snippets[key]


def shown_title(title: str) -> str:
    """A title as lists show it: cut where it is longer than any real one."""
    return title if len(title) <= MAX_TITLE else title[: MAX_TITLE - 1] + "…"


def checked_query(query: str) -> tuple[str, tuple[str, ...]]:
    """The query as it is run, and notices about what was changed."""
    text = " ".join(str(query).replace("\x00", " ").split())
    text = text.encode("utf-8", "ignore").decode()
    if len(text) <= MAX_QUERY_CHARS:
        return text, ()
    return text[:MAX_QUERY_CHARS], (
        f"The query has {len(text):,} characters; the first {MAX_QUERY_CHARS:,} were used.",
    )


def checked_k(k: int, most: int = MAX_K) -> int:
    """k as a number from 1 to `most`. Raises BadInput."""
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= most:
        raise BadInput(f"k is {k!r}; it must be a whole number from 1 to {most:,}.")
    return k


def checked_offset(offset: int) -> int:
    """Where a page begins; before the first hit is the first. Raises BadInput."""
    if isinstance(offset, bool) or not isinstance(offset, int) or offset > MAX_OFFSET:
        raise BadInput(f"The offset is {offset!r}; it must be a whole number up to {MAX_OFFSET:,}.")
    return max(0, offset)


def checked_filters(filters: Mapping[str, Any] | None) -> dict[str, Any]:
    """Filters without the empty ones. Raises BadInput on a form that is not a list of values."""
    checked: dict[str, Any] = {}
    if filters is not None and not isinstance(filters, Mapping):
        raise BadInput("Filters are given as fields with lists of values.")
    for name, values in (filters or {}).items():
        if not isinstance(values, list | tuple):
            raise BadInput(f"The filter {name!r} needs a list of values.")
        if not values:
            continue
        checked[str(name)] = tuple(values) if name == "year" else [str(v) for v in values]
    return checked
