"""The Models page of the Library: find, get, convert and delete models."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from app.drawing import jobs as job_views
from app.results.search import JobView
from app.ui.frame import common, frame, registry, shell
from app.ui.frame.page import Jobs, Regions
from app.ui.pages.models import view as views
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Args, Reply
from app.ui.web.session import UiState
from app.verbs.models import STATES, chosen, named
from engine.errors import NotFound
from engine.jobs.base import kind_of
from engine.models.family import families

ACTIVE = ("queued", "running", "paused", "interrupted")
FILTERS = ("kind", "where", "find")
SHOWN_JOBS = 2
VIEW = ("view", "models")
"""The option of the Library's address that shows its models."""


def main(ui: Ui, state: UiState) -> Markup:
    """The whole page."""
    known = ui.services.models()
    kind, where, find = _filters(state)
    return views.page(
        known, chosen(known, family=kind, state=where, text=find), jobs(ui), kind, where, find,
        read_only=not ui.access.write, paths=ui.access.server_paths,
    )  # fmt: skip


def jobs(ui: Ui) -> tuple[JobView, ...]:
    """The jobs about models that run or wait, and the last ones that ended."""
    listed = [job for job in ui.services.jobs(common.JOBS_SHOWN) if VIEW in kind_of(job.kind).address.items()]
    ended = [job for job in listed if job.status not in ACTIVE][:SHOWN_JOBS]
    return tuple(job for job in listed if job.status in ACTIVE or job in ended)


def poll(ui: Ui, state: UiState, known: Jobs) -> Regions:
    """How the jobs stand."""
    return {"tp-jobs": job_views.table(jobs(ui), read_only=not ui.access.write)}


def around(ui: Ui, state: UiState) -> Regions:
    """What changes when a job about models has moved on."""
    regions: Regions = {
        "md-jobs": views.job_panel(jobs(ui), read_only=not ui.access.write),
        "md-catalogue": _catalogue(ui, state),
    }
    if state.panel == "model":
        try:
            regions["tp-side"] = pane(ui, state)
        except NotFound:  # deleted meanwhile
            regions["tp-side"] = None
    return regions


def _queued(ui: Ui, state: UiState) -> Regions:
    """The page with a new job. The line of running jobs is drawn first: a job that ends meanwhile is on it, so its end will be noticed."""
    line = shell.jobs_line(ui.services.jobs(common.JOBS_SHOWN))
    return {"tp-jobline": line, **around(ui, state)}


def pane(ui: Ui, state: UiState) -> Markup:
    """The side pane of one model."""
    return views.pane(ui.services.model(state.subject), read_only=not ui.access.write)


def _filters(state: UiState) -> tuple[str, str, str]:
    kind, where = state.option("kind"), state.option("where")
    return kind if kind in families() else "", where if where in STATES else "", state.option("find")[:100]


def _catalogue(ui: Ui, state: UiState) -> Markup:
    known = ui.services.models()
    kind, where, find = _filters(state)
    found = chosen(known, family=kind, state=where, text=find)
    return views.catalogue(known, found, kind, where, find, read_only=not ui.access.write)


def switch(ui: Ui, state: UiState, args: Args) -> Reply:
    """Documents or models."""
    asked = args.text("view")
    view = asked if asked in {one.view for one in registry.views(state.page)} else ""
    return frame.show(ui, state.with_(panel="", subject="", document="").with_options(view=view), push=True)


def narrow(ui: Ui, state: UiState, args: Args) -> Reply:
    """One of the filters, or none of them."""
    what = args.text("what")
    if what == "all":
        state = state.with_options(kind="", where="", find="")
    elif what in FILTERS:
        state = state.with_options(**{what: args.text("value", 100).strip()})
    return Reply({"md-catalogue": _catalogue(ui, state)}, state=state)


def show(ui: Ui, state: UiState, args: Args) -> Reply:
    """One model, in the side pane."""
    state = state.with_(panel="model", subject=args.text("name"), document="")
    return Reply({"tp-side": pane(ui, state)}, state=state)


def _options(ui: Ui, args: Args) -> dict[str, Any]:
    """What the form says; a server for others never reads folders."""
    return {
        "name": args.text("name", 100).strip(),
        "quantise": args.text("quantise", 10),
        "replace": args.flag("replace"),
        "force": args.flag("force"),
        "local": None if ui.access.server_paths else False,
    }


def plan(ui: Ui, state: UiState, args: Args) -> Reply:
    """What adding a model would do."""
    source = args.text("source", 4096).strip()
    options = _options(ui, args)
    if "value" in args:
        options["quantise"] = args.text("value", 10)
    if not options["name"] and not options["replace"]:
        options["name"] = ui.services.free_model_name(source, **options)
    planned = ui.services.plan_model(source, **options)
    form = views.planned(planned, source, options["quantise"], replace=options["replace"])
    return Reply({"md-plan": form, "md-alert": None}, focus="#md-plan .btn-primary")


def discard(ui: Ui, state: UiState, args: Args) -> Reply:
    """No, not that one."""
    return Reply({"md-plan": None, "md-alert": None})


def add(ui: Ui, state: UiState, args: Args) -> Reply:
    """Queue it."""
    ui.services.add_model(args.text("source", 4096).strip(), **_options(ui, args))
    return Reply({**_queued(ui, state), "md-plan": None, "md-alert": None}, poll=True, say="Queued")


def ask_delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Are you sure? Says what goes with it."""
    view = named(ui.services.models(), args.text("name"))
    used = ", ".join(f"“{name}”" for name in view.used_by)
    text = f"“{view.name}” takes {views.size(view)} on this disk. It can be added again." + (
        f" The indexes of {used} were built with it and are deleted too." if used else ""
    )
    return Reply(
        dialog=shell.ask_dialog(
            "Delete this model?",
            text,
            "model-delete",
            "Delete",
            danger=True,
            name=view.name,
            force="true" if used else "",
        )
    )


def delete(ui: Ui, state: UiState, args: Args) -> Reply:
    """Delete a model, and with `force` the indexes that it made."""
    ui.services.remove_model(args.text("name"), force=args.flag("force"))
    if state.panel == "model" and state.subject == args.text("name"):
        state = state.with_(panel="", subject="")
    regions = {"tp-side": None, **_queued(ui, state)} if not state.panel else _queued(ui, state)
    return Reply(regions, state=state, close_dialog=True, poll=True, say="Queued")


def bench(ui: Ui, state: UiState, args: Args) -> Reply:
    """Queue the measuring of one model."""
    ui.services.bench_model(args.text("name"))
    return Reply(_queued(ui, state), poll=True, say="Queued")


ACTIONS = {
    "library-view": Action(switch),
    "model-filter": Action(narrow),
    "model": Action(show),
    "model-plan": Action(plan, writes=True, slow=True),
    "model-plan-discard": Action(discard),
    "model-add": Action(add, writes=True),
    "model-bench": Action(bench, writes=True),
    "ask-model-delete": Action(ask_delete, writes=True),
    "model-delete": Action(delete, writes=True),
}
