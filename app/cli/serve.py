"""`triptych demo` and `ui`: the interface in the browser."""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.base import Run, command, printable
from app.cli.progress import follow
from app.drawing.format import plural
from engine.errors import BadInput, NotFound
from engine.system import ending

if TYPE_CHECKING:
    from app.results.search import CollectionView
    from app.ui.web.passwords import Password
    from app.ui.web.server import Addresses
    from app.verbs.services import Services

PASSWORD = "TRIPTYCH_PASSWORD"  # noqa: S105 - the name of a variable

PortOption = Annotated[int | None, typer.Option(min=1, max=65535, help="The port; else 7860 or the next free one.")]
BrowserOption = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the address in the browser.")]
TokenOption = Annotated[
    bool,
    typer.Option(
        "--token/--no-token",
        help="The address opens with a token that only you see; without one, every user and program of this computer gets in.",
    ),
]


PLACE = 10
"""Among the groups of the help."""


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    command(app)(demo)
    command(app)(ui)


def demo(
    run: Run,
    port: PortOption = None,
    browser: BrowserOption = True,
    serve: Annotated[
        bool, typer.Option("--serve/--no-serve", help="Without serving, only the example collection is made ready.")
    ] = True,
    token: TokenOption = True,
) -> None:
    """Open the workbench with the example collection: added and indexed once, then found ready.

    Example: triptych demo --port 8000
    """
    from app.verbs.example import EXAMPLE

    with run.writing() as services:
        added = prepare(run, services)
        ready = services.collection(EXAMPLE)
        if not serve:
            run.emit(ready, lambda out: _ready(out, ready, added))
            return
        _serve(run, services, port=port, open_browser=browser, token=token)


def ui(
    run: Run,
    host: Annotated[
        str, typer.Option(help="The address to listen on. Others than this computer's own need --lan.")
    ] = "127.0.0.1",
    port: PortOption = None,
    browser: BrowserOption = True,
    read_only: Annotated[bool, typer.Option("--read-only", help="Open the workspace for reading only.")] = False,
    lan: Annotated[
        bool,
        typer.Option(
            "--lan",
            help=f"Let other computers connect, with the password in {PASSWORD} or asked for; they may only read.",
        ),
    ] = False,
    writable: Annotated[
        bool, typer.Option("--writable", help="With --lan: let them change the workspace as well.")
    ] = False,
    token: TokenOption = True,
    public_url: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="The address under which a proxy of yours shows this server, like https://papers.example.org.",
        ),
    ] = "",
) -> None:
    """Open the workbench in the browser. Ctrl-C stops it; jobs that run go on next time.

    Example: triptych ui --workspace ~/papers --port 8000
    """
    if writable and not lan:
        raise BadInput(
            "--writable goes with --lan; on this computer the workspace is writable anyway, unless --read-only."
        )
    password = _password(run) if lan else None
    with run.reading() if read_only else run.writing() as services:
        _serve(
            run,
            services,
            host=host,
            port=port,
            open_browser=browser,
            lan=lan,
            password=password,
            writable=writable,
            token=token,
            public_url=public_url,
        )


def prepare(run: Run, services: Services) -> bool:
    """Make the example collection and pipelines ready; true where documents had to be added."""
    from app.verbs.example import EXAMPLE

    for job in [job for job in services.jobs() if job.collection == EXAMPLE][:1]:
        if job.status in ("paused", "failed"):
            services.resume(job.job_id)
        if job.status not in ("done", "cancelled"):  # an earlier start was cut off
            follow(run, services, job.job_id)
    services.save_example_pipelines()
    try:
        state, documents = services.collection(EXAMPLE).state, services.collection(EXAMPLE).documents
    except NotFound:
        state, documents = "empty", 0
    if state == "empty":
        run.notify(f"Adding the example collection {EXAMPLE!r} to {services.folder}")
        follow(run, services, services.add_example())
    elif state != "ready":
        follow(run, services, services.index(EXAMPLE))
    return not documents


def _serve(run: Run, services: Services, **options: Any) -> None:
    from app.ui.frame.site import site
    from app.ui.web.server import serve

    logging.disable(logging.NOTSET)  # the page names faults by their reference in this log, with --json as well

    closing = threading.Event()
    warming = threading.Thread(target=services.warm, args=(closing.is_set,), name="warm")

    def ready(addresses: Addresses) -> None:
        warming.start()
        run.notify(f"Workspace: {services.folder}", "Ctrl-C stops it.")
        if run.as_json:
            told = {"address": addresses.own, "workspace": services.folder, "pid": os.getpid()}
            run.emit(told | ({"others": addresses.others} if addresses.others else {}), lambda out: None)
            sys.stdout.flush()

    try:
        serve(services, site(), on_ready=ready, **options)
    finally:
        closing.set()
        if warming.ident is not None:
            warming.join(ending.patience(30))  # it must not use a workspace that is being closed


def _password(run: Run) -> Password:
    """The hash of the password that is set or typed; the text is kept nowhere, and no child process inherits it."""
    from app.ui.web.passwords import Password

    given = os.environ.pop(PASSWORD, "")
    if given:
        return Password.of(given)
    if run.as_json or not sys.stdin.isatty():
        raise BadInput(f"Serving other computers needs a password; set {PASSWORD}.")
    return Password.of(str(typer.prompt("Password for other computers", hide_input=True, confirmation_prompt=True)))


def _ready(out: Any, view: CollectionView, added: bool) -> None:
    out.print(
        printable(f"{view.name}: {plural(view.documents, 'document')}, {'added and indexed' if added else 'ready'}.")
    )
