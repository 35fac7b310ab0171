"""Adding documents: where they come from, how they will be read, where they go."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from app.drawing import format
from app.drawing.controls import button, chip, drop_zone, panel_head, select
from app.drawing.html import el, join
from app.drawing.icons import icon
from app.drawing.tables import table
from app.results.search import Preview, WorkspaceView

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
    ("replace", "The last one counts"),
    ("keep", "The first one counts"),
    ("error", "The first one counts, others are reported as skipped"),
)


def section(view: WorkspaceView, *, paths: bool) -> Markup:
    """Drop zone and path field; the preview appears beneath."""
    names = [(item.name, item.name) for item in view.collections]
    return join(
        panel_head("Add documents"),
        el("div", id="lib-add-alert", class_="alerts"),
        el(
            "div",
            drop_zone("preview", FORMATS, label="Files to add", line="lib-upload", alert="lib-add-alert"),
            el(
                "form",
                el(
                    "label",
                    "Or a file or folder on this computer",
                    el(
                        "input",
                        type="text",
                        class_="input",
                        data_field="path",
                        placeholder="/home/you/papers/library.bib",
                        autocomplete="off",
                        spellcheck="false",
                    ),
                ),
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
    )


def preview(previews: Sequence[Preview], paths: Sequence[str], overrides: Mapping[str, str], target: str) -> Markup:
    """The first records as they will be read, the columns to map, and the decision to add them."""
    available = list(dict.fromkeys(name for item in previews for name in item.available))
    guesses: dict[str, list[str]] = {}
    for guess in (guess for item in previews for guess in item.guesses):
        if guess.column and guess.column not in guesses.setdefault(guess.field, []):
            guesses[guess.field].append(guess.column)
    discard = button("Discard", "preview-discard", look="quiet")
    sources = el("input", type="hidden", data_field="paths", value=json.dumps(list(paths)))
    if not any(item.format for item in previews):  # nothing of it can be read
        nothing = el("p", "There is nothing here that can be added.", class_="muted")
        foot = el("div", nothing, el("span", class_="grow"), discard, class_="add-foot")
        return el("div", sources, [_preview(item) for item in previews], foot, class_="preview", data_form=True)
    return el(
        "form",
        sources,
        [_preview(item) for item in previews],
        _mapping(available, guesses, overrides, _tabular(previews)) if available else None,
        el(
            "div",
            el(
                "label",
                "Into the collection",
                el(
                    "input",
                    type="text",
                    class_="input",
                    data_field="target",
                    value=target,
                    list="lib-names",
                    placeholder="Name",
                    autocomplete="off",
                    dir="auto",
                    required=True,
                ),
            ),
            el(
                "label",
                "When an id is already there",
                select("duplicates", DUPLICATES, "replace", label="When an id comes twice in these files"),
            ),
            el(
                "label",
                el("input", type="checkbox", data_field="index", checked=True),
                "Build the indexes afterwards",
                class_="check",
            ),
            el("span", class_="grow"),
            discard,
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
    rows = [
        el("tr", [el("td", _cell(record.get(name)), dir="auto", class_=f"f-{name}") for name in fields])
        for record in item.records[:5]
    ]
    skipped = [el("li", el("b", row.place), " ", row.reason) for row in item.rejected[:5]]
    return el(
        "div",
        el(
            "div",
            icon("document"),
            el("strong", item.source.rsplit("/", 1)[-1] or item.source, dir="auto", title=item.source),
            chip(item.format) if item.format else None,
            class_="preview-head",
        ),
        table([FIELD_NAMES[name] for name in fields], rows, look="preview-table")
        if fields and rows
        else el("p", "No documents were found in it.", class_="muted")
        if item.format
        else None,
        el("ul", skipped, class_="skipped-list") if skipped else None,
        class_="preview-file",
    )


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(str(item) for item in value)
    return format.shorten("" if value is None else str(value), 140)


def _found(name: str, guesses: Mapping[str, Sequence[str]], overrides: Mapping[str, str]) -> str:
    """What a field is read from when nothing is chosen for it."""
    if name in overrides:
        return "(as found)"
    return " or ".join(format.shorten(column, 40) for column in guesses.get(name, ())) or "(none)"


def _tabular(previews: Sequence[Preview]) -> str:
    """The files with columns, where others came with them."""
    names = [item.source.rsplit("/", 1)[-1] for item in previews if item.available]
    if len(names) == len(previews):
        return ""
    return f" of {', '.join(names[:3])}" + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _mapping(
    available: Sequence[str], guesses: Mapping[str, Sequence[str]], overrides: Mapping[str, str], of: str
) -> Markup:
    """One choice per field. What is left to Triptych is not sent, so that every file keeps the columns found in it."""
    columns = [(name, format.shorten(name, 40)) for name in available]
    rows = [
        el(
            "label",
            FIELD_NAMES[name],
            select(
                f"column.{name}",
                [("", _found(name, guesses, overrides)), *columns],
                overrides.get(name, ""),
                label=f"Column for {FIELD_NAMES[name]}",
                action="preview",
            ),
        )
        for name in FIELDS
    ]
    return el(
        "fieldset",
        el("legend", f"Columns{of}: which one feeds which field", dir="auto"),
        el("div", rows, class_="mapping"),
    )
