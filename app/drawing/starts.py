"""What stands where there is nothing to show yet, and how to begin."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing.controls import button, example_button
from app.drawing.html import el
from app.drawing.messages import empty, reading
from app.results.search import CollectionView


def without_documents(*, filling: bool, paused: bool = False, writes: bool = True) -> Markup:
    """A collection in which nothing is yet; `filling` says that documents are on their way, `paused` that they would be."""
    library = button("Go to the Library", "go", look="" if filling else "primary", page="library")
    if paused and not writes:
        return empty("document", "Adding documents is paused", reading("It can be resumed"))
    if paused:
        return empty("document", "Adding documents is paused", "Resume it on the Library page.", library)
    if not filling and not writes:
        return empty("document", "This collection is empty", reading("Documents are added"))
    if not filling:
        return empty("document", "This collection is empty", "Add documents on the Library page.", library)
    text = "They are shown here as soon as they are in."
    return el("div", empty("document", "Documents are being added", text, library), class_="is-filling")


def start(collections: Sequence[CollectionView], *, writes: bool) -> Markup:
    """What every page about a collection shows while none is chosen; `writes` says whether one can be made here."""
    if not writes:
        if collections:
            return empty("folder", "Choose a collection", "Pick one in the sidebar.")
        return empty("library", "There is no collection yet", reading("Documents are added"))
    if not collections:
        return empty(
            "library",
            "Start with a collection",
            "Triptych searches documents that you bring: BibTeX, RIS, JSONL, CSV, PDF, Markdown and more. They stay on this computer.",
            button("Add documents in the Library", "go", look="primary", glyph="plus", page="library"),
            example_button(),
        )
    return empty(
        "folder",
        "Choose a collection",
        "Pick one in the sidebar, or add another in the Library.",
        button("Go to the Library", "go", page="library"),
    )
