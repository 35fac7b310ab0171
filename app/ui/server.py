"""Serving the interface on this computer, and on the local network only when that was asked for with a password."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.services import Services
from app.ui.dispatch import Access, Dispatcher, Ui
from app.ui.guard import Guard, Rules
from app.ui.icons import ui_assets
from app.ui.uploads import Uploads
from engine.errors import BadInput, ReadOnly

if TYPE_CHECKING:
    from starlette.types import ASGIApp

FIRST_PORT = 7860
PORTS = 100
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
MAX_FILE = "2gb"
MAX_UPLOAD = 4 * 2**30
MIN_PASSWORD = 8
USER = "triptych"


def serve(
    services: Services,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = False,
    *,
    lan: bool = False,
    password: str = "",
    writable: bool | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until interrupted. `port` None takes 7860 or the next free one.

    Other hosts than this computer's own need `lan`, which needs a password, and shows the workspace for reading only unless `writable`.
    Raises BadInput for an address that cannot be used.
    """
    import uvicorn

    check_address(host, lan=lan, password=password)
    own = is_loopback(host)
    write = (own if writable is None else writable) and not services.read_only
    listener = listen(host, port)
    app = make_app(services, host=host, password=password, access=Access(write=write, server_paths=own))
    address = f"http://{host if own else _lan_address()}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    print(
        f"Triptych is at {address}" + ("" if own else f" (user {USER!r}, your password)"), file=sys.stderr, flush=True
    )
    if on_ready is not None:
        on_ready(address)
    if open_browser:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    with contextlib.suppress(KeyboardInterrupt), listener:
        server.run(sockets=[listener])


def check_address(host: str, *, lan: bool, password: str) -> None:
    """Refuse to serve beyond this computer by accident. Raises BadInput."""
    if is_loopback(host):
        return
    if not lan:
        raise BadInput(
            f"{host!r} is reachable from other computers. Say so with the LAN option, and give a password; without them only 127.0.0.1 is served."
        )
    if len(password) < MIN_PASSWORD:
        raise BadInput(f"Serving other computers needs a password of at least {MIN_PASSWORD} characters.")


def is_loopback(host: str) -> bool:
    """Whether only this computer can reach a host name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int | None) -> socket.socket:
    """A listening socket on the port, or on 7860 or the next free one. Raises BadInput when it is taken."""
    ports = range(FIRST_PORT, FIRST_PORT + PORTS) if port is None else (port,)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in ports:
        listener = socket.socket(family, socket.SOCK_STREAM)
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host.strip("[]"), candidate))
        except (OSError, OverflowError):
            listener.close()
            continue
        listener.listen(128)
        return listener
    wanted = f"port {port}" if port is not None else f"any port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1}"
    raise BadInput(f"Cannot listen on {host} at {wanted}: it is in use or not allowed. Choose another with --port.")


def make_app(
    services: Services, *, host: str = "127.0.0.1", password: str = "", access: Access | None = None, **limits: Any
) -> ASGIApp:
    """The guarded ASGI app. `limits` go to the Dispatcher (running, waiting, patience); `max_upload` and `max_file` to the uploads."""
    access = access or Access(write=not services.read_only)
    if access.write and services.read_only:
        raise ReadOnly("The workspace was opened for reading only.")
    max_upload, max_file = limits.pop("max_upload", MAX_UPLOAD), limits.pop("max_file", MAX_FILE)
    uploads = Uploads(services.folder, create=access.write)
    if access.write:
        uploads.sweep(services)
    dispatcher = Dispatcher(Ui(services, access, uploads), _actions(), **limits)

    async def made() -> ASGIApp:
        return _gradio_app(dispatcher, uploads, password, max_file)

    # Outside a running event loop Gradio opens loops of its own and never closes them; on a thread there is room for one.
    with ThreadPoolExecutor(1) as pool:
        app = pool.submit(lambda: asyncio.run(made())).result()
    hosts = LOOPBACK if is_loopback(host) else LOOPBACK | {host.lower(), _lan_address(), socket.gethostname().lower()}
    return Guard(app, Rules(frozenset(hosts), max_upload if access.write else 0))


def _actions() -> Any:
    from app.ui.pages.frame import ALL

    return ALL


@contextlib.contextmanager
def _settings(uploads: Uploads) -> Iterator[None]:
    """The environment that Gradio reads while it is imported and mounted: no telemetry, no sharing, no hub, uploads in our folder."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "True"
    before = {name: os.environ.get(name) for name in ("GRADIO_TEMP_DIR", "HF_HUB_OFFLINE")}
    os.environ["HF_HUB_OFFLINE"] = "1"  # read once, at import; whether models may be downloaded is for the user to say
    if uploads.root.is_dir():
        os.environ["GRADIO_TEMP_DIR"] = str(uploads.root)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _gradio_app(dispatcher: Dispatcher, uploads: Uploads, password: str, max_file: str | int) -> ASGIApp:
    with _settings(uploads):
        import gradio as gr
        from fastapi import FastAPI
        from starlette.staticfiles import StaticFiles

        from app.ui import theme
        from app.ui.build import build

        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        app.mount(theme.FILES, StaticFiles(directory=Path(ui_assets())))
        gr.mount_gradio_app(
            app,
            build(dispatcher),
            path="/",
            auth=[(USER, password)] if password else None,
            auth_message="Triptych" if password else None,
            allowed_paths=[],
            max_file_size=max_file,
            show_error=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            run_history=False,
            enable_monitoring=False,
            footer_links=[],
            theme=theme.theme(),
            head=theme.head(),
        )
    return app


def _lan_address() -> str:
    """This computer's address on its network, found without sending anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
