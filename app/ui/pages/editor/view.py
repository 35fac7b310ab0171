"""The pipeline editor: a form read off the schema, and the YAML beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from app.drawing import schema_form
from app.drawing.controls import button, icon_button
from app.drawing.html import el, join
from app.drawing.icons import icon
from app.drawing.ledger import bar
from app.drawing.messages import error_box
from app.drawing.schema_form import Field, Node, Path, Slot
from app.results.search import PipelineView


def editor(
    names: Sequence[PipelineView],
    view: PipelineView,
    schema: dict[str, Any],
    spec: dict[str, Any] | None,
    problem: str,
    *,
    saved: bool,
    read_only: bool,
) -> Markup:
    """The whole pane. `spec` is None where the YAML cannot be read; then only the YAML is shown."""
    picker = el(
        "select",
        [el("option", item.name, value=item.name, selected=item.name == view.name) for item in names],
        class_="select",
        data_field="subject",
        data_change="editor",
        aria_label="Pipeline to edit",
        autocomplete="off",
    )
    return join(
        bar("Pipelines", picker),
        el(
            "form",
            el("div", status(view, problem), id="tp-editor-status"),
            el(
                "div",
                el("div", form(schema, spec) if spec is not None else None, id="tp-editor-form", class_="editor-form"),
                _yaml(view),
                class_="editor-grid",
            ),
            _foot(view, saved=saved, read_only=read_only),
            class_="reader-scroll editor",
            data_form=True,
            data_action="pipeline-save",
            data_alert="tp-editor-status",
            data_scroll="editor",
        ),
    )


def _yaml(view: PipelineView) -> Markup:
    return el(
        "label",
        "YAML",
        el(
            "textarea",
            view.yaml,
            class_="yaml",
            id="tp-yaml",
            data_field="yaml",
            data_input="editor-yaml",
            spellcheck="false",
            rows=max(12, min(30, view.yaml.count("\n") + 2)),
            wrap="off",
        ),
        class_="editor-yaml",
    )


def _foot(view: PipelineView, *, saved: bool, read_only: bool) -> Markup:
    """The name, and what can be done with the pipeline."""
    name = el(
        "input",
        type="text",
        class_="input",
        data_field="name",
        value=view.name,
        autocomplete="off",
        dir="auto",
        maxlength=120,
    )
    return el(
        "div",
        el("label", "Name", name),
        None if read_only else el("button", icon("save"), el("span", "Save"), type="submit", class_="btn btn-primary"),
        button("Export YAML", "pipeline-export", glyph="download"),
        None
        if read_only or not saved
        else button("Delete", "ask-delete-pipeline", glyph="trash", look="quiet", name=view.name),
        class_="editor-foot",
    )


def status(view: PipelineView, problem: str, *, done: str = "") -> Markup:
    """What the pipeline does, or what is wrong with it. `done` says what has just been done with it."""
    if problem:
        return error_box("BadInput", problem)
    return el("p", icon("check"), el("span", el("b", done) if done else None, view.summary), class_="editor-ok")


def form(schema: dict[str, Any], spec: dict[str, Any]) -> Markup:
    """The fields of a specification in the form of `schema_form.normal`."""
    return _slot(schema, schema_form.root(schema, spec))


def _json(path: Path) -> str:
    return json.dumps(list(path), ensure_ascii=False)


def _slot(schema: dict[str, Any], slot: Slot) -> Markup:
    many = schema_form.sequences(schema, slot.family)
    nodes = [
        _node(schema, node, slot.family, i if many else None, len(slot.components))
        for i, node in enumerate(slot.components)
    ]
    adder = _adder(schema, slot.family, slot.path, "Add a stage") if many else None
    remove = (
        icon_button(f"Remove {slot.title.lower()}", "editor-edit", "close", op="remove", path=_json(slot.path))
        if slot.removable
        else None
    )
    return el(
        "div",
        el("div", slot.title, remove, class_="slot-title"),
        nodes,
        adder,
        class_="slot",
        data_key=_json(slot.path),
    )


def _adder(schema: dict[str, Any], family: str, path: Path, label: str) -> Markup:
    names = schema_form.choices(schema, family)
    return el(
        "select",
        el("option", f"+ {label}…", value="", selected=True),
        [el("option", name, value=name) for name in names],
        class_="select adder",
        data_change="editor-edit",
        data_op="add",
        data_path=_json(path),
        aria_label=label,
        autocomplete="off",
    )


def _node(schema: dict[str, Any], node: Node, family: str, index: int | None, total: int) -> Markup:
    chooser = el(
        "select",
        [el("option", name, value=name, selected=name == node.name) for name in schema_form.choices(schema, family)],
        class_="select node-name",
        data_change="editor-edit",
        data_op="replace",
        data_path=_json(node.path),
        aria_label="Component",
        title=node.description,
        autocomplete="off",
    )
    tools = (
        []
        if index is None
        else [
            icon_button("Move up", "editor-edit", "up", op="up", path=_json(node.path)) if index else None,
            icon_button("Move down", "editor-edit", "down", op="down", path=_json(node.path))
            if index < total - 1
            else None,
            icon_button("Remove this stage", "editor-edit", "trash", op="remove", path=_json(node.path))
            if total > 1
            else None,
        ]
    )
    inner = [_slot(schema, slot) for slot in node.slots]
    adders = [_adder(schema, "stage", path, f"Add to {title.lower()}") for path, title, _ in node.lists]
    return el(
        "div",
        el("div", chooser, el("span", class_="grow"), tools, class_="node-head"),
        el("div", [_field(field) for field in node.fields], class_="node-fields") if node.fields else None,
        el("div", inner, adders, class_="node-slots") if inner or adders else None,
        class_="node",
        data_key=_json(node.path) + node.name,
    )


def _field(field: Field) -> Markup:
    common = {
        "data_change": "editor-edit",
        "data_op": "set",
        "data_path": _json(field.path),
        "autocomplete": "off",
        "aria_label": field.title,
    }
    text = schema_form.show(field)
    if field.kind == "choice":
        options = [el("option", item, value=item, selected=item == text) for item in field.choices]
        control = el(
            "select",
            el("option", "(default)", value="", selected=not text) if field.nullable else None,
            options,
            class_="select",
            **common,
        )
    elif field.kind == "boolean":
        control = el("input", type="checkbox", checked=text == "true", **common)
    elif field.kind in ("integer", "number"):
        step = "1" if field.kind == "integer" else "any"
        control = el(
            "input", type="number", class_="input", value=text, min=field.low, max=field.high, step=step, **common
        )
    else:
        control = el("input", type="text", class_="input", value=text, spellcheck="false", **common)
    return el("label", el("span", field.title), control, class_="node-field", title=field.description or None)
