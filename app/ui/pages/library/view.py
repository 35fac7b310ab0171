"""The Library page: adding documents, collections, indexes, and the space they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from app.drawing import format, jobs
from app.drawing.controls import button, cell_title, example_button, icon_button, panel_head, switch
from app.drawing.html import classes, el, join
from app.drawing.icons import icon
from app.drawing.messages import empty, notices, reading
from app.drawing.tables import table
from app.results.search import CollectionView, IndexView, JobView, WorkspaceView
from app.ui.frame.shell import STATES
from app.ui.pages.library import adding

INDEX_STATES = {
    "ready": "Ready",
    "behind": "Behind",
    "absent": "Not built",
    "building": "Building",
    "damaged": "Damaged",
}


def page(view: WorkspaceView, chosen: CollectionView | None, listed: Sequence[JobView], *, paths: bool) -> Markup:
    """The whole page. `paths` says whether paths on the server may be typed."""
    return el(
        "div",
        notices(view.notices),
        None
        if view.read_only
        else el(
            "section",
            adding.section(view, paths=paths),
            class_="panel",
            id="lib-add",
            aria_label="Add documents",
        ),
        el(
            "section",
            panel_head("Jobs"),
            el("div", jobs.table(listed, read_only=view.read_only), id="tp-jobs"),
            class_="panel",
            aria_label="Jobs",
        ),
        el("section", collections(view, chosen), class_="panel", id="lib-collections", aria_label="Collections"),
        el(
            "section",
            indexes(chosen, read_only=view.read_only) if chosen else None,
            class_="panel",
            id="lib-indexes",
            aria_label="Indexes",
        ),
        class_="library",
    )


def head(view: WorkspaceView, views: Mapping[str, str], shown: str) -> Markup:
    """Title, the choice between documents and what else the Library can show, the space on disk, and what can be done to the workspace."""
    documents = sum(item.documents for item in view.collections)
    used = view.bytes / (view.bytes + view.free_bytes) if view.bytes + view.free_bytes else 0.0
    return el(
        "div",
        el("h1", "Library"),
        switch("What the Library shows", "library-view", "view", views, shown),
        el(
            "span",
            f"{format.plural(len(view.collections), 'collection')}, {format.plural(documents, 'document')}",
            class_="muted",
        ),
        el("span", class_="grow"),
        el(
            "span",
            el("span", el("i", style=f"width:{max(1.0, 100 * used):.1f}%"), class_="meter"),
            f"{format.size(view.bytes)} used, {format.size(view.free_bytes)} free",
            class_="disk",
            title=view.folder,
        ),
        button("Check the workspace", "doctor", glyph="check"),
        None if view.read_only or shown != "documents" else button("New collection", "new-collection", glyph="plus"),
        class_="library-head",
    )


def collections(view: WorkspaceView, chosen: CollectionView | None) -> Markup:
    """All collections with their sizes; the chosen one is marked."""
    if not view.collections:
        return join(
            panel_head("Collections"),
            empty(
                "library",
                "No collection yet",
                reading("Documents are added")
                if view.read_only
                else "Drop a file above: it makes its collection as it goes in.",
                None if view.read_only else example_button(),
            ),
        )
    rows = [
        _collection(item, view.read_only, chosen is not None and item.name == chosen.name) for item in view.collections
    ]
    numbers = ("Documents", "Passages", "Judged questions", "On disk")
    return join(panel_head("Collections"), table(("Name", *numbers, "State", ""), rows, numbers=numbers))


def _collection(item: CollectionView, read_only: bool, chosen: bool) -> Markup:
    tools = (
        []
        if read_only
        else [
            icon_button("Rename or describe", "ask-edit-collection", "edit", name=item.name),
            icon_button("Delete", "ask-delete-collection", "trash", name=item.name),
        ]
    )
    return el(
        "tr",
        el(
            "td",
            cell_title(item.name, "collection", name=item.name),
            el("small", item.description, dir="auto") if item.description else None,
        ),
        el("td", format.count(item.documents), class_="num"),
        el("td", format.count(item.passages), class_="num"),
        el("td", format.count(item.judged_queries) if item.judged_queries else "–", class_="num"),
        el("td", format.size(item.bytes), class_="num"),
        el("td", el("span", class_=f"state s-{item.state}"), STATES.get(item.state, item.state), class_="nowrap"),
        el("td", icon_button("Search it", "search-collection", "search", name=item.name), tools, class_="cell-tools"),
        class_=classes("is-current" if chosen else ""),
        data_key=item.name,
    )


def indexes(chosen: CollectionView, *, read_only: bool) -> Markup:
    """The indexes of one collection: state, rows, size, measured recall."""
    build = (
        button("Build or update", "index", glyph="stack", look="primary", name=chosen.name)
        if not read_only and chosen.documents
        else None
    )
    header = panel_head(["Indexes of ", el("span", chosen.name, dir="auto")], build)
    if not chosen.indexes:
        text = (
            "They are built as soon as the documents are in."
            if chosen.state == "indexing"
            else "Adding documents is paused. Resume it, and they are built afterwards."
            if chosen.state == "paused"
            else "No index yet. Building one makes the collection searchable."
            if chosen.documents
            else "No index yet. Add documents first."
        )
        return join(header, el("p", text, class_="muted"))
    numbers = ("Rows", "On disk", "Recall@10")
    rows = [_index(item, chosen.name, read_only) for item in chosen.indexes]
    return join(header, table(("Index", "State", *numbers, "Built", ""), rows, numbers=numbers))


def _index(item: IndexView, name: str, read_only: bool) -> Markup:
    behind = f", {format.plural(item.behind, 'row')} behind" if item.behind and item.state == "behind" else ""
    recall = "–" if item.recall is None else f"{item.recall:.3f}"
    drop = (
        None
        if read_only or item.state in ("absent", "building")
        else icon_button(
            "Drop this index", "ask-drop-index", "trash", generation=item.generation_id, label=item.label, name=name
        )
    )
    return el(
        "tr",
        el("td", item.label, el("small", item.note) if item.note else None),
        el("td", el("span", class_=f"state s-{item.state}"), INDEX_STATES.get(item.state, item.state), behind),
        el("td", format.count(item.rows), class_="num"),
        el("td", format.size(item.bytes) if item.bytes else "–", class_="num"),
        el("td", recall, class_="num", title="Measured against exact search when the index was built"),
        el("td", item.built_at.replace("T", " ")[:16], class_="muted"),
        el("td", drop, class_="cell-tools"),
        data_key=item.generation_id or item.label,
    )


def findings(found: Sequence[tuple[str, str, str]]) -> Markup:
    """What the workspace check says: (level, what, remedy), what needs doing first."""
    order = {"error": 0, "warning": 1, "note": 2, "ok": 3}
    wrong = any(level in ("error", "warning") for level, _, _ in found)
    rows = [
        el(
            "li",
            icon("check" if level == "ok" else "info" if level == "note" else "warning"),
            el("div", el("span", what, dir="auto"), el("p", remedy, class_="muted", dir="auto") if remedy else None),
            class_=f"finding finding-{level}",
        )
        for level, what, remedy in sorted(found, key=lambda item: order.get(item[0], 0))
    ]
    return join(
        el(
            "div",
            el("h2", "Something needs attention" if wrong else "Nothing is wrong"),
            el(
                "button", icon("close"), type="button", class_="icon-btn", data_local="close-dialog", aria_label="Close"
            ),
            class_="dialog-head",
        ),
        el("ul", rows, class_="findings"),
    )
