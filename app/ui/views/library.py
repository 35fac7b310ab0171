"""The Library page: adding documents, collections, indexes, and the space they take."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from app.results import CollectionView, IndexView, JobView, Preview, WorkspaceView
from app.ui import format
from app.ui.html import classes, el, join
from app.ui.icons import icon
from app.ui.views import jobs
from app.ui.views.controls import button, chip, icon_button, select
from app.ui.views.messages import empty, notices
from app.ui.views.shell import STATES

FIELDS = ("doc_id", "title", "text", "authors", "year", "venue", "url")
FIELD_NAMES = {
    "doc_id": "Id",
    "title": "Title",
    "text": "Text",
    "authors": "Authors",
    "year": "Year",
    "venue": "Venue",
    "url": "Link",
}
FORMATS = "BibTeX, RIS, nbib, JSONL, CSV, TSV, Parquet, XLSX, PDF, HTML, Markdown, text, ACL Anthology XML, arXiv JSON, BEIR folders"
DUPLICATES = (
    ("replace", "Replace the stored one"),
    ("keep", "Keep the stored one"),
    ("error", "Stop with an error"),
)
INDEX_STATES = {"ready": "Ready", "behind": "Behind", "absent": "Not built", "building": "Building"}


def page(view: WorkspaceView, chosen: CollectionView | None, listed: Sequence[JobView], *, paths: bool) -> Markup:
    """The whole page. `paths` says whether paths on the server may be typed."""
    return el(
        "div",
        notices(view.notices),
        None if view.read_only else el("section", add_section(view, chosen, paths=paths), class_="panel", id="lib-add", aria_label="Add documents"),
        el(
            "section",
            el("div", el("h2", "Jobs"), class_="panel-head"),
            el("div", jobs.table(listed, read_only=view.read_only), id="tp-jobs"),
            class_="panel",
            aria_label="Jobs",
        ),
        el("section", collections(view, chosen), class_="panel", id="lib-collections", aria_label="Collections"),
        el("section", indexes(chosen, read_only=view.read_only), class_="panel", id="lib-indexes", aria_label="Indexes") if chosen else None,
        class_="library",
    )


def head(view: WorkspaceView) -> Markup:
    """Title, the space on disk, and what can be done to the workspace."""
    documents = sum(item.documents for item in view.collections)
    used = view.bytes / (view.bytes + view.free_bytes) if view.bytes + view.free_bytes else 0.0
    return el(
        "div",
        el("h1", "Library"),
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
        None if view.read_only else button("New collection", "new-collection", glyph="plus"),
        class_="library-head",
    )


def add_section(view: WorkspaceView, chosen: CollectionView | None, *, paths: bool) -> Markup:
    """Drop zone and path field; the preview appears beneath."""
    names = [(item.name, item.name) for item in view.collections]
    return join(
        el("div", el("h2", "Add documents"), class_="panel-head"),
        el("div", id="lib-add-alert", class_="alerts"),
        el(
            "div",
            el(
                "label",
                icon("upload"),
                el("span", el("b", "Drop files here"), " or choose them"),
                el("small", FORMATS),
                el("input", type="file", multiple=True, class_="sr-only", data_upload=True, aria_label="Files to add"),
                class_="drop",
                data_drop=True,
            ),
            el(
                "form",
                el("label", "Or a file or folder on this computer", el("input", type="text", class_="input", data_field="path", placeholder="/home/you/papers/library.bib", autocomplete="off", spellcheck="false")),
                el("button", "Preview", type="submit", class_="btn"),
                class_="path-form",
                data_form=True,
                data_action="preview",
                data_alert="lib-add-alert",
            )
            if paths
            else None,
            class_="add-grid",
        ),
        el("div", id="lib-upload", data_keep=True),
        el("div", id="lib-preview"),
        el("datalist", [el("option", value=name) for name, _ in names], id="lib-names"),
        el("input", type="hidden", id="lib-target", value=chosen.name if chosen else ""),
    )


def preview(previews: Sequence[Preview], paths: Sequence[str], overrides: Mapping[str, str], target: str) -> Markup:
    """The first records as they will be read, the columns to map, and the decision to add them."""
    available = list(dict.fromkeys(name for item in previews for name in item.available))
    guesses = {guess.field: guess.column for item in previews for guess in item.guesses if guess.column}
    return el(
        "form",
        el("input", type="hidden", data_field="paths", value=json.dumps(list(paths))),
        [_preview(item) for item in previews],
        _mapping(available, guesses, overrides) if available else None,
        el(
            "div",
            el(
                "label",
                "Into the collection",
                el("input", type="text", class_="input", data_field="target", value=target, list="lib-names", placeholder="Name", autocomplete="off", dir="auto", required=True),
            ),
            el("label", "When an id is already there", select("duplicates", DUPLICATES, "replace", label="When an id is already there")),
            el("label", el("input", type="checkbox", data_field="index", checked=True), "Build the indexes afterwards", class_="check"),
            el("span", class_="grow"),
            button("Discard", "preview-discard", look="quiet"),
            el("button", icon("plus"), el("span", "Add to the collection"), type="submit", class_="btn btn-primary"),
            class_="add-foot",
        ),
        class_="preview",
        data_form=True,
        data_action="add",
        data_alert="lib-add-alert",
    )


def _preview(item: Preview) -> Markup:
    fields = [name for name in FIELDS if any(record.get(name) not in (None, "", (), []) for record in item.records)]
    table = el(
        "div",
        el(
            "table",
            el("thead", el("tr", [el("th", FIELD_NAMES[name], scope="col") for name in fields])),
            el("tbody", [el("tr", [el("td", _cell(record.get(name)), dir="auto", class_=f"f-{name}") for name in fields]) for record in item.records[:5]]),
            class_="table preview-table",
        ),
        class_="table-wrap",
    )
    skipped = [el("li", el("b", row.place), " ", row.reason) for row in item.rejected[:5]]
    return el(
        "div",
        el("div", icon("document"), el("strong", item.source.rsplit("/", 1)[-1] or item.source, dir="auto", title=item.source), chip(item.format), class_="preview-head"),
        table if fields and item.records else el("p", "No documents were found in it.", class_="muted"),
        el("ul", skipped, class_="skipped-list") if skipped else None,
        class_="preview-file",
    )


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(str(item) for item in value)
    return format.shorten("" if value is None else str(value), 140)


def _mapping(available: Sequence[str], guesses: Mapping[str, str], overrides: Mapping[str, str]) -> Markup:
    options = [("", "(none)"), *[(name, format.shorten(name, 40)) for name in available]]
    rows = [
        el(
            "label",
            FIELD_NAMES[name],
            select(f"column.{name}", options, overrides.get(name, guesses.get(name, "")), label=f"Column for {FIELD_NAMES[name]}", action="preview"),
        )
        for name in FIELDS
    ]
    return el("fieldset", el("legend", "Columns: which one feeds which field"), el("div", rows, class_="mapping"))


def collections(view: WorkspaceView, chosen: CollectionView | None) -> Markup:
    """All collections with their sizes; the chosen one is marked."""
    if not view.collections:
        return join(el("div", el("h2", "Collections"), class_="panel-head"), empty("library", "No collection yet", "Drop a file above: it makes its collection as it goes in."))
    rows = [_collection(item, view.read_only, chosen is not None and item.name == chosen.name) for item in view.collections]
    titles = ("Name", "Documents", "Passages", "Judged questions", "On disk", "State", "")
    return join(
        el("div", el("h2", "Collections"), class_="panel-head"),
        el(
            "div",
            el(
                "table",
                el("thead", el("tr", [el("th", title, scope="col", class_="num" if 0 < i < 5 else None) for i, title in enumerate(titles)])),
                el("tbody", rows),
                class_="table",
            ),
            class_="table-wrap",
        ),
    )


def _collection(item: CollectionView, read_only: bool, chosen: bool) -> Markup:
    tools = [] if read_only else [
        icon_button("Rename", "rename-collection", "edit", name=item.name),
        icon_button("Delete", "ask-delete-collection", "trash", name=item.name),
    ]
    return el(
        "tr",
        el("td", el("button", item.name, type="button", class_="cell-title", data_action="collection", data_name=item.name, dir="auto"), el("small", item.description, dir="auto") if item.description else None),
        el("td", format.count(item.documents), class_="num"),
        el("td", format.count(item.passages), class_="num"),
        el("td", format.count(item.judged_queries) if item.judged_queries else "–", class_="num"),
        el("td", format.size(item.bytes), class_="num"),
        el("td", el("span", class_=f"state s-{item.state}"), STATES.get(item.state, item.state)),
        el("td", icon_button("Search it", "search-collection", "search", name=item.name), tools, class_="cell-tools"),
        class_=classes("is-current" if chosen else ""),
        data_key=item.name,
    )


def indexes(chosen: CollectionView, *, read_only: bool) -> Markup:
    """The indexes of one collection: state, rows, size, measured recall."""
    build = button("Build or update", "index", glyph="stack", look="primary", name=chosen.name) if not read_only and chosen.documents else None
    header = el("div", el("h2", "Indexes of ", el("span", chosen.name, dir="auto")), el("span", class_="grow"), build, class_="panel-head")
    if not chosen.indexes:
        return join(header, el("p", "No index yet. Building them makes the collection searchable.", class_="muted"))
    titles = ("Index", "State", "Rows", "On disk", "Recall@10", "Built", "")
    rows = [_index(item, chosen.name, read_only) for item in chosen.indexes]
    return join(
        header,
        el(
            "div",
            el(
                "table",
                el("thead", el("tr", [el("th", title, scope="col", class_="num" if title in ("Rows", "On disk", "Recall@10") else None) for title in titles])),
                el("tbody", rows),
                class_="table",
            ),
            class_="table-wrap",
        ),
    )


def _index(item: IndexView, name: str, read_only: bool) -> Markup:
    behind = f", {format.plural(item.behind, 'row')} behind" if item.behind else ""
    recall = "–" if item.recall is None else f"{item.recall:.3f}"
    drop = None if read_only or item.state in ("absent", "building") else icon_button("Drop this index", "ask-drop-index", "trash", generation=item.generation_id, label=item.label, name=name)
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
        el("div", el("h2", "Something needs attention" if wrong else "Nothing is wrong"), el("button", icon("close"), type="button", class_="icon-btn", data_local="close-dialog", aria_label="Close"), class_="dialog-head"),
        el("ul", rows, class_="findings"),
    )
