"""Training text: the documents of a collection, without those that are set aside for measuring, and never a test's question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import BadInput, NotFound

if TYPE_CHECKING:
    from engine.workspace.workspace import Workspace

FEWEST = 8
"""Documents below which there is nothing to learn from."""


@dataclass(frozen=True, slots=True)
class TrainingTexts:
    """Documents to train on, in the order of their ids. The lists are aligned.

    units: what is indexed of each, title + ". " + text; excluded: how many documents of the collection were left out;
    short: how many had no title or too little text; questions: the texts, folded, of every query set of the workspace, which no training
    query may equal.
    """

    doc_ids: list[str]
    titles: list[str]
    texts: list[str]
    excluded: int
    short: int
    questions: frozenset[str]

    def __len__(self) -> int:
        return len(self.doc_ids)

    @property
    def units(self) -> list[str]:
        """Title + ". " + text of each document, as the indexes read it."""
        return [f"{title}. {text}" for title, text in zip(self.titles, self.texts, strict=True)]


def read_ids(path: Path) -> tuple[str, ...]:
    """The document ids of a file, one a line; blank lines are skipped. Raises BadInput where it cannot be read or has none."""
    try:
        ids = tuple(line.strip() for line in path.read_text("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as a list of document ids ({error}); give one id a line.") from error
    if not ids:
        raise BadInput(f"{path} names no documents; give one id a line, or leave the option out.")
    return ids


def training_texts(
    workspace: Workspace, collection: str, exclude: Sequence[str] = (), *, min_characters: int = 200
) -> TrainingTexts:
    """The documents of a collection that have a title and `min_characters` of text, less the excluded ones.

    A document whose title equals that of an excluded one is left out too: it is the same paper under another id.
    Raises NotFound (no such collection); BadInput where ids are excluded but none of them is in the collection (the wrong list, or the
    wrong form of ids), and where fewer than 8 documents are left.
    """
    stored = workspace.collection(collection)
    documents = workspace.documents
    ids = sorted(documents.snapshot(stored.collection_id).doc_ids.to_list())
    banned = frozenset(exclude)
    if banned and banned.isdisjoint(ids):
        raise BadInput(
            f"None of the {len(banned):,} excluded ids is in the collection {collection!r}; give the list that belongs to it."
        )
    rows = documents.fetch(stored.collection_id, ids).select("doc_id", "title", "text")
    if len(rows) != len(ids):
        raise NotFound(f"The collection {collection!r} changed while it was read; try again.")
    banned_titles = {fold(title) for doc_id, title, _ in rows.iter_rows() if doc_id in banned} - {""}
    kept, excluded, short = [], 0, 0
    for doc_id, title, text in rows.iter_rows():
        if doc_id in banned or fold(title) in banned_titles:
            excluded += 1
        elif not fold(title) or len(text) < min_characters:
            short += 1
        else:
            kept.append((doc_id, title, text))
    if len(kept) < FEWEST:
        raise BadInput(
            f"The collection {collection!r} leaves {len(kept)} documents with a title and {min_characters} characters of text, "
            f"after {excluded:,} were excluded; training needs {FEWEST} or more."
        )
    questions = frozenset(
        fold(text) for any_ in workspace.collections() for text in documents.all_queries(any_.collection_id)["text"]
    )
    doc_ids, titles, bodies = ([row[i] for row in kept] for i in range(3))
    texts = TrainingTexts(doc_ids, titles, bodies, excluded, short, questions)
    refuse_excluded(texts.doc_ids, banned)
    return texts


def refuse_excluded(doc_ids: Iterable[str], exclude: Iterable[str]) -> None:
    """Raise BadInput where a document that is about to be trained on is one of those set aside."""
    both = sorted(set(doc_ids) & set(exclude))
    if both:
        raise BadInput(f"{len(both):,} excluded documents are among those to train on, the first {both[0]!r}.")


def refuse_questions(queries: Iterable[str], texts: TrainingTexts) -> None:
    """Raise BadInput where a training query equals a question of one of the workspace's query sets, but for case and punctuation."""
    for query in queries:
        if fold(query) in texts.questions:
            raise BadInput(
                f"The training query {query[:80]!r} is a question of one of the workspace's query sets, which only measure; "
                "exclude the document that it comes from."
            )


def held_out(texts: TrainingTexts, count: int, seed: int) -> tuple[list[int], list[int]]:
    """Positions to train on and `count` positions to develop on, drawn with the seed; both ascending. Raises BadInput where too few are left."""
    if not 0 <= count <= len(texts) - FEWEST:
        raise BadInput(f"{count:,} of {len(texts):,} documents cannot be held out; leave {FEWEST} or more to train on.")
    chosen = np.random.default_rng(seed).permutation(len(texts))[:count]
    kept = np.setdiff1d(np.arange(len(texts)), chosen)
    return kept.tolist(), np.sort(chosen).tolist()


def fold(text: str) -> str:
    """Lower case, letters and digits only, words one space apart: what stays the same when a text is typed again."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())
