"""The Models page of the Library: what is here, what could be, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from app.drawing import format, jobs
from app.drawing.controls import button, cell_title, chip, icon_button, panel_head, select, switch
from app.drawing.html import Child, el, join, link, prose
from app.drawing.icons import icon
from app.drawing.ledger import bar
from app.drawing.messages import empty, error_box
from app.drawing.tables import head, table
from app.results.models import ModelPlan, ModelView
from app.results.search import JobView
from engine.models.family import families, family_of

WHERE = {"": "All", "bundled": "Bundled", "here": "Added", "available": "Available"}
STATES = {
    "bundled": "Bundled",
    "here": "Added",
    "available": "Available",
    "adding": "Being added",
    "damaged": "Damaged",
}
DOTS = {"bundled": "ready", "here": "ready", "available": "absent", "adding": "building", "damaged": "failed"}
PRECISIONS = (
    ("", "Its own graph, else int8"),
    ("int8", "Convert to int8"),
    ("int4", "Convert to int4"),
    ("fp16", "Convert to float16, for GPUs"),
    ("none", "Float32, unchanged"),
)


def page(
    models: Sequence[ModelView],
    shown: Sequence[ModelView],
    listed: Sequence[JobView],
    kind: str,
    where: str,
    find: str,
    *,
    read_only: bool,
    paths: bool,
) -> Markup:
    """The whole page. `paths` says whether folders on the server may be named."""
    return el(
        "div",
        None if read_only else el("section", adding(paths=paths), class_="panel", aria_label="Add a model"),
        el("section", job_panel(listed, read_only=read_only), class_="panel", id="md-jobs", aria_label="Jobs"),
        el(
            "section",
            catalogue(models, shown, kind, where, find, read_only=read_only),
            class_="panel",
            id="md-catalogue",
            aria_label="Models",
        ),
        class_="library",
    )


def job_panel(listed: Sequence[JobView], *, read_only: bool) -> Markup | None:
    """The jobs that concern models; nothing where there are none."""
    if not listed:
        return None
    return join(
        panel_head("Jobs"),
        el("div", jobs.table(listed, read_only=read_only), id="tp-jobs"),
    )


def adding(*, paths: bool) -> Markup:
    """From the hub or from a folder; what would happen appears beneath."""
    what = "A repository of the model hub" + (", or a folder on this computer" if paths else "")
    return join(
        panel_head("Add a model"),
        el("div", id="md-alert", class_="alerts"),
        el(
            "form",
            el(
                "label",
                what,
                el(
                    "input",
                    type="text",
                    class_="input",
                    data_field="source",
                    placeholder="OWNER/NAME" + (", or /home/you/my-model" if paths else ""),
                    autocomplete="off",
                    spellcheck="false",
                    maxlength=500,
                ),
            ),
            el("button", icon("search"), el("span", "Look it up"), type="submit", class_="btn"),
            class_="path-form",
            data_form=True,
            data_action="model-plan",
            data_alert="md-alert",
        ),
        el("div", id="md-plan"),
    )


def planned(plan: ModelPlan, source: str, precision: str, *, replace: bool) -> Markup:
    """What adding a model would do, and the decision to do it."""
    how = {
        "copy": "It is a finished model folder, and is copied as it is.",
        "graph": "It has an ONNX graph of its own, which is used as it is.",
        "round": "The weights of its ONNX graph are rounded here, and the result is compared with the graph as it is.",
        "convert": "Its weights are converted here, and the result is compared with the original.",
    }.get(plan.how, "")
    place = link(f"https://huggingface.co/{plan.source}", plan.source) if plan.revision else plan.source
    precisions = [(value, words) for value, words in PRECISIONS if value in ("", *family_of(plan.family).precisions)]
    facts: tuple[tuple[str, Child], ...] = (
        ("From", place),
        ("Kind", _kind(plan.family)),
        ("License", plan.licence if plan.licence != "unknown" else "not stated"),
        (
            "To read" if not plan.revision else "Download",
            f"{format.size(plan.bytes)}, {format.plural(len(plan.files), 'file')}",
        ),
        ("Then", how),
    )
    return el(
        "form",
        el("dl", [[el("dt", term), el("dd", said, dir="auto")] for term, said in facts], class_="details"),
        [error_box("MissingDependency", note) for note in plan.notes],
        _unfaithful() if plan.how in ("round", "convert") and plan.ready else None,
        el("input", type="hidden", data_field="source", value=source),
        el("input", type="hidden", data_field="replace", value="true" if replace else ""),
        el(
            "div",
            el(
                "label",
                "Name here",
                el("input", type="text", class_="input", data_field="name", value=plan.name, autocomplete="off", spellcheck="false", maxlength=100),
            ),
            el("label", "Weights", select("quantise", precisions, precision, label="Weights", action="model-plan")),
            el("span", class_="grow"),
            button("Leave it", "model-plan-discard", look="quiet"),
            el(
                "button", icon("download"), el("span", "Replace it" if replace else "Add it"), type="submit", class_="btn btn-primary",
                disabled=not plan.ready,
            ),
            class_="row md-decide",
        ),
        class_="md-planned",
        data_form=True,
        data_action="model-add",
        data_alert="md-alert",
    )  # fmt: skip


def _unfaithful() -> Markup:
    """What happens where a conversion changes too much."""
    words = "Keep it even if its results differ from the original's"
    return el("div", el("label", el("input", type="checkbox", data_field="force"), words, class_="check"), class_="row")


def catalogue(
    models: Sequence[ModelView], shown: Sequence[ModelView], kind: str, where: str, find: str, *, read_only: bool
) -> Markup:
    """Filters, and the table of what passes them."""
    return join(
        el("div", el("h2", "Models"), el("span", _counted(models), class_="muted"), class_="panel-head"),
        el(
            "div",
            switch("Kind", "model-filter", "value", {"": "All kinds"} | {name: family.title for name, family in families().items()}, kind, what="kind"),
            switch("Where", "model-filter", "value", WHERE, where, what="where"),
            el(
                "input",
                type="search",
                class_="input",
                value=find,
                placeholder="Name, license…",
                aria_label="Find a model by name, license or language",
                data_input="model-filter",
                data_what="find",
                autocomplete="off",
                spellcheck="false",
                maxlength=100,
            ),
            class_="row md-filters",
        ),
        _table(shown, read_only=read_only)
        if shown
        else empty("search", "No model like that", "Nothing here or in the catalogue passes these filters.", button("Show all", "model-filter", what="all", value="")),
    )  # fmt: skip


def _counted(models: Sequence[ModelView]) -> str:
    here = [view for view in models if view.state in ("bundled", "here")]
    return f"{len(here)} here, {sum(view.state == 'available' for view in models)} more to be had"


def _table(shown: Sequence[ModelView], *, read_only: bool) -> Markup:
    wide = [head(title, num=True, class_="md-wide") for title in ("Dimensions", "Tokens")]
    middle = (head("License", class_="md-mid"), head("Speed here", num=True, class_="md-mid"))
    heads = ("Model", "State", "Kind", *wide, "Size", *middle, "")
    return table(heads, [_row(view, read_only) for view in shown], numbers=("Size",), look="md-table")


def _row(view: ModelView, read_only: bool) -> Markup:
    family = family_of(view.family)
    below = view.note if view.state == "damaged" else view.hub if view.state != "bundled" else view.architecture
    return el(
        "tr",
        el(
            "td",
            cell_title(view.name, "model", name=view.name),
            el("small", prose(below or view.source), dir="auto"),
            class_="md-name",
        ),
        el("td", el("span", class_=f"state s-{DOTS.get(view.state, '')}"), STATES.get(view.state, view.state), class_="md-state"),
        el("td", family.title, title=family.about) if view.state != "damaged" else el("td"),
        el("td", _dimensions(view), class_="num md-wide"),
        el("td", f"{view.max_tokens:,}" if view.max_tokens else "–", class_="num md-wide"),
        el("td", size(view), class_="num"),
        el("td", view.licence or "–", chip("gated", "warn") if view.gated else None, class_="md-mid"),
        el("td", _speed(view), class_="num md-mid"),
        el("td", [] if read_only else _tools(view), class_="cell-tools"),
        data_key=f"{view.state}-{view.name}",
    )  # fmt: skip


def _kind(name: str) -> str:
    family = family_of(name)
    return f"{family.title}: {family.about.lower()}"


def _dimensions(view: ModelView) -> str:
    if family_of(view.family).scores_pairs or not view.dimensions:
        return "–"
    return f"{view.dimensions:,}"


def size(view: ModelView) -> str:
    """What a model takes on the disk, or about what would be downloaded."""
    if view.bytes:
        return format.size(view.bytes)
    return f"≈ {format.size(view.download_megabytes * 1_000_000)}" if view.download_megabytes else "–"


def _speed(view: ModelView) -> str:
    if view.speed is None:
        return "–"
    return f"{view.speed.documents_per_second:,.0f} {family_of(view.family).brief}/s"


def _tools(view: ModelView) -> list[Markup]:
    tools = []
    if view.state in ("bundled", "here"):
        tools.append(icon_button("Measure its speed", "model-bench", "clock", name=view.name))
    if view.state == "available" and view.runs:
        tools.append(icon_button("Get it", "model-plan", "download", source=view.name, alert="md-alert"))
    if view.state == "here":
        tools.append(icon_button("Delete", "ask-model-delete", "trash", name=view.name))
    if view.state == "damaged":
        tools.append(icon_button("Delete", "ask-model-delete", "trash", name=view.name))
    return tools


def pane(view: ModelView, *, read_only: bool) -> Markup:
    """Everything that is known about a model, beside the table."""
    speed, family = view.speed, family_of(view.family)
    rows: tuple[tuple[str, Child], ...] = (
        ("State", STATES.get(view.state, view.state)),
        ("Kind", _kind(view.family) if view.state != "damaged" else ""),
        ("Hub", link(f"https://huggingface.co/{view.hub}", view.hub) if view.hub else ""),
        ("From", prose(f"{view.source} {view.revision}".strip()) if view.state != "available" else ""),
        ("Architecture", view.architecture),
        ("Languages", ", ".join(view.languages)),
        ("License", view.licence),
        ("Parameters", f"{view.parameters / 1e6:,.0f} million" if view.parameters else ""),
        ("Size", size(view) if size(view) != "–" else ""),
        ("Weights", view.quantisation if view.quantisation != "none" else "float32"),
        ("Dimensions", _dimensions(view) if not family.scores_pairs else ""),
        ("May be cut to", ", ".join(f"{value:,}" for value in view.matryoshka)),
        ("Longest text", f"{view.max_tokens:,} tokens" if view.max_tokens else ""),
        ("Compared by", view.similarity if not family.scores_pairs else ""),
        ("Pooling", view.pooling),
        ("Queries", view.queries if family.looks_up else ""),
        ("Before a query", el("code", view.prompt_query) if view.prompt_query else ""),
        ("Before a document", el("code", view.prompt_document) if view.prompt_document else ""),
        ("Fingerprint", el("code", view.fingerprint[:16], title=view.fingerprint) if view.fingerprint else ""),
    )
    measured: tuple[tuple[str, Child], ...] = tuple((label, said) for label, said in view.measured)
    if speed is not None:
        fast = f"{speed.documents_per_second:,.0f} {family.unit}/s"
        fast += f", {speed.queries_per_second:,.0f} queries/s" if not family.scores_pairs else ""
        fast += f", {speed.share:.0%} of the peak" if speed.share is not None else ""
        measured = (
            ("Speed here", f"{fast} on {speed.provider}, {speed.measured_at[:16].replace('T', ' ')}"),
            *measured,
        )
    return join(
        bar("Model"),
        el(
            "div",
            el("h2", view.name, class_="md-title", dir="auto"),
            error_box("WorkspaceDamaged", view.note) if view.state == "damaged" else None,
            None if read_only else el("div", _actions(view), class_="row md-actions"),
            _details(rows),
            _section("Measured", _details(measured) if measured else None),
            _section("Pipelines that use it", _chips(view.pipelines)),
            _section("Collections indexed with it", _chips(view.used_by)),
            _section("Note", el("p", view.note, dir="auto") if view.note and view.state != "damaged" else None),
            _section(
                "Code",
                el("p", "Its repository comes with Python code, which is never run here.")
                if view.custom_code
                else None,
            ),
            _section("Trained on", el("p", view.training_data, dir="auto") if view.training_data else None),
            _section("Cite", el("p", view.citation, dir="auto") if view.citation else None),
            class_="reader-scroll md-pane",
            data_scroll=f"model-{view.name}",
        ),
    )


def _actions(view: ModelView) -> list[Markup]:
    made = []
    if view.state == "available" and view.runs:
        made.append(button("Get it…", "model-plan", glyph="download", look="primary", source=view.name))
    if view.state in ("bundled", "here"):
        made.append(button("Measure its speed", "model-bench", glyph="clock", name=view.name))
    if view.state == "here" and view.hub:
        made.append(button("Convert anew…", "model-plan", glyph="stack", source=view.name, replace="true"))
    if view.state in ("here", "damaged"):
        made.append(button("Delete", "ask-model-delete", glyph="trash", look="quiet", name=view.name))
    return made


def _details(rows: Sequence[tuple[str, Child]]) -> Markup:
    return el("dl", [[el("dt", term), el("dd", said, dir="auto")] for term, said in rows if said], class_="details")


def _section(title: str, *content: Child) -> Markup | None:
    return el("section", el("h3", title), *content, class_="md-section") if any(content) else None


def _chips(names: Sequence[str]) -> Markup | None:
    return el("div", [chip(name) for name in names], class_="row") if names else None
