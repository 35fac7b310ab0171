"""The texts that rerankers read: of documents and of their passages, in the order asked, also when some are gone."""

from __future__ import annotations

from collections.abc import Sequence

from engine.serving.engine import Engine
from engine.types import Record
from engine.workspace.workspace import Collection, Workspace


class Halves:
    """Cuts every text in two; the space between belongs to neither."""

    def split_many(self, titles: Sequence[str], texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        return [[(0, text.index(" ")), (text.index(" ") + 1, len(text))] if " " in text else [] for text in texts]


def test_texts_and_passages_in_the_order_asked(engine: Engine, workspace: Workspace, papers: Collection) -> None:
    records = [
        Record("a", "One", "alpha beta🤦"),
        Record("b", "", "gamma delta"),
        Record("c", "Only a title", ""),
        Record("d", "Gone", "soon deleted"),
    ]
    workspace.documents.upsert(papers.collection_id, records, "f", chunker=Halves())
    searcher = engine.searcher(papers.collection_id)
    workspace.documents.delete(papers.collection_id, ["d"])
    asked = ["c", "a", "d", "b", "never there", "a"]
    assert searcher.texts(asked) == ["Only a title", "One. alpha beta🤦", "", "gamma delta", "", "One. alpha beta🤦"]
    assert searcher.passages(asked) == [
        ["Only a title"],
        ["One. alpha", "One. beta🤦"],
        [],
        ["gamma", "delta"],
        [],
        ["One. alpha", "One. beta🤦"],
    ]
    assert searcher.texts([]) == []
    assert searcher.passages([]) == []
