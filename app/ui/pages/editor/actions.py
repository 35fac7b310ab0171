"""The pipeline editor in the side pane: a form and its YAML, both ways."""

from __future__ import annotations

import io
from typing import Any

from markupsafe import Markup

from app.drawing import schema_form
from app.drawing.html import el
from app.results.search import PipelineView
from app.ui.frame import frame, shell
from app.ui.pages.editor import view as pipelines
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Download, Reply
from app.ui.web.session import UiState
from engine.errors import BadInput, TriptychError

MAX_YAML = 64_000


def pane(ui: Ui, state: UiState) -> Markup:
    """The editor on one pipeline; the page's own where none was chosen."""
    names = ui.services.pipelines()
    wanted = state.subject or (state.columns[-1] if state.page == "compare" and state.columns else state.pipeline)
    view = next((item for item in names if item.name == wanted), names[0])
    schema = ui.services.schema()
    spec = schema_form.normal(schema, _data(view.yaml))
    return pipelines.editor(names, view, schema, spec, "", saved=True, read_only=not ui.access.write)


def choose(ui: Ui, state: UiState, args: Args) -> Reply:
    """Another pipeline to edit."""
    state = state.with_(panel="editor", subject=args.text("value"), document="")
    return Reply({"tp-side": pane(ui, state)}, state=state)


def change(ui: Ui, state: UiState, args: Args) -> Reply:
    """An edit in the form: applied to the pipeline in the YAML, which is then written anew."""
    schema = ui.services.schema()
    view = ui.services.check_pipeline(_raw(args))
    spec = schema_form.normal(schema, _data(view.yaml))
    spec = schema_form.edit(
        schema, spec, args.text("op"), schema_form.parse_path(args.text("path", 4000)), args.text("value", 4000)
    )
    try:
        checked = ui.services.check_pipeline(_write(spec))
    except TriptychError as error:
        problem = PipelineView(view.name, 0, _write(spec), "")
        return _answer(schema, spec, problem, str(error), yaml=True)
    return _answer(schema, schema_form.normal(schema, _data(checked.yaml)), checked, "", yaml=True)


def typed(ui: Ui, state: UiState, args: Args) -> Reply:
    """The YAML was typed: the form follows, the text is left alone."""
    text = _raw(args)
    schema = ui.services.schema()
    try:
        view = ui.services.check_pipeline(text)
    except TriptychError as error:
        return Reply({"tp-editor-status": pipelines.status(PipelineView("", 0, text, ""), str(error))})
    return _answer(schema, schema_form.normal(schema, _data(view.yaml)), view, "", yaml=False)


def _answer(schema: dict[str, Any], spec: dict[str, Any], view: PipelineView, problem: str, *, yaml: bool) -> Reply:
    regions: dict[str, Markup | None] = {
        "tp-editor-status": pipelines.status(view, problem),
        "tp-editor-form": pipelines.form(schema, spec),
    }
    if yaml:
        regions["tp-yaml"] = el("textarea", view.yaml)
    return Reply(regions)


def save(ui: Ui, state: UiState, args: Args) -> Reply:
    """Save under a name; the lists of pipelines on the page follow."""
    name = " ".join(args.text("name").split())
    view = ui.services.save_pipeline(name, _raw(args))
    state = state.with_(panel="editor", subject=view.name)
    regions = {**frame.page_regions(ui, state), "tp-side": pane(ui, state)}
    regions["tp-editor-status"] = pipelines.status(view, "", done=f"Saved “{view.name}”: ")
    return Reply(regions, state=state, say=f"Saved {view.name}")


def export(ui: Ui, state: UiState, args: Args) -> Reply:
    """The YAML as a file."""
    view = ui.services.check_pipeline(_raw(args))
    stem = "".join(c if c.isalnum() else "-" for c in args.text("name", 80)).strip("-").lower() or "pipeline"
    return Reply(download=Download(f"{stem}.yaml", "application/yaml", view.yaml))


def ask_delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Are you sure?"""
    name = args.text("name")
    question = f"“{name}” is forgotten. Links that name it will say that it is missing."
    return Reply(
        dialog=shell.ask_dialog("Delete this pipeline?", question, "pipeline-delete", "Delete", danger=True, name=name)
    )


def delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Forget a saved pipeline."""
    name = args.text("name")
    ui.services.delete_pipeline(name)
    left = tuple(column for column in state.columns if column != name)
    reply = frame.show(
        ui, state.with_(subject="", columns=left, pipeline="" if state.pipeline == name else state.pipeline)
    )
    reply.close_dialog = True
    return reply


def _raw(args: Args) -> str:
    return args.long_text("yaml", MAX_YAML)


def _data(yaml: str) -> dict[str, Any]:
    """The plain data of YAML that the engine has checked and written."""
    from ruamel.yaml import YAML

    data = YAML(typ="safe", pure=True).load(yaml)
    if not isinstance(data, dict):
        raise BadInput("A pipeline file holds `name:` and `pipeline:`.")
    return data


def _write(spec: dict[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    out = io.StringIO()
    yaml.dump(spec, out)
    return out.getvalue()


ACTIONS = {
    "editor": Action(choose),
    "editor-edit": Action(change, replaces=True),
    "editor-yaml": Action(typed, replaces=True, quiet=True),
    "pipeline-save": Action(save, writes=True),
    "pipeline-export": Action(export),
    "ask-delete-pipeline": Action(ask_delete, writes=True),
    "pipeline-delete": Action(delete, writes=True),
}
