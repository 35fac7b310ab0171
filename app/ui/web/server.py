"""Serving the interface to whoever started it, and on the local network only when that was asked for with a password."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.drawing.icons import ui_assets
from app.ui.web.access import Access
from app.ui.web.announcement import announced
from app.ui.web.dispatch import Dispatcher, Site, Ui
from app.ui.web.door import PARAMETER, Door, new_token
from app.ui.web.guard import Guard, Public, Rules, host_name
from app.ui.web.passwords import Password
from app.ui.web.uploads import Uploads
from app.verbs.services import Services
from engine.errors import BadInput, ReadOnly

if TYPE_CHECKING:
    import uvicorn
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

FIRST_PORT = 7860
PORTS = 100
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
MAX_FILE = "2gb"
MAX_UPLOAD = 4 * 2**30


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a server is reached: by whoever started it, with the token, and by those who know the password (empty without any)."""

    own: str
    others: str = ""


def serve(
    services: Services,
    site: Site,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = False,
    *,
    lan: bool = False,
    password: Password | None = None,
    writable: bool = False,
    token: bool = True,
    public_url: str = "",
    on_ready: Callable[[Addresses], None] | None = None,
) -> None:
    """Serve until interrupted. `port` None takes 7860 or the next free one.

    Whoever started the server comes in by the token in its address; without `token` everyone on this computer does. Other hosts than this
    computer's own need `lan`, which needs a password, and shows the workspace to others for reading only unless `writable`. `public_url` is
    the address under which a proxy shows this server. Raises BadInput for an address that cannot be used.
    """
    check_address(host, lan=lan, password=password, token=token)
    public = public_address(public_url) if public_url else None
    door = Door(
        Access(write=not services.read_only),
        Access(write=writable and not services.read_only, server_paths=False) if lan else None,
        token=new_token() if token else "",
        password=password if lan else None,
        anywhere=public is not None,
    )
    listener = listen(host, port)
    bound = listener.getsockname()[1]
    app = make_app(services, site, host=host, door=door, public=public)
    addresses = _addresses(host, bound, door, public)
    reading = services.read_only  # the folder may be another's, and a server that writes may have its own file there
    keeping = contextlib.nullcontext("") if reading else announced(services.folder, _local(host, bound), door.token)
    with contextlib.suppress(KeyboardInterrupt), listener, keeping as problem:
        _say(addresses, door, problem)
        if on_ready is not None:
            on_ready(addresses)
        if open_browser:
            threading.Timer(0.5, webbrowser.open, [_with_token(_local(host, bound), door)]).start()
        http_server(app).run(sockets=[listener])


def http_server(app: ASGIApp) -> uvicorn.Server:
    """The HTTP server around the app. It takes no proxy's word on who is asking: on loopback anybody could be that proxy."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def _say(addresses: Addresses, door: Door, problem: str) -> None:
    lines = [f"Triptych is at {addresses.own}"]
    if addresses.others:
        lines.append(f"Other computers reach it at {addresses.others} with your password.")
    if not door.token:
        lines.append(
            "No token is asked for: every user and program of this computer can read the workspace, your files, and write."
        )
    for line in (*lines, *([problem] if problem else [])):
        print(line, file=sys.stderr, flush=True)


def _addresses(host: str, port: int, door: Door, public: Public | None) -> Addresses:
    shown = f"{public.scheme}://{public.netloc}" if public else _local(host, port)
    others = "" if door.password is None else shown if public else f"http://{_seen_from_outside(host)}:{port}"
    return Addresses(_with_token(shown, door), others)


def _with_token(address: str, door: Door) -> str:
    return f"{address}/?{PARAMETER}={door.token}" if door.token else address


def _local(host: str, port: int) -> str:
    """The server as this computer reaches it."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    return f"http://{bracketed(everywhere.get(host, host))}:{port}"


def _seen_from_outside(host: str) -> str:
    return _lan_address() if host in ("0.0.0.0", "::") else bracketed(host)  # noqa: S104 - compared, not bound


def bracketed(host: str) -> str:
    """A host as addresses write it: IPv6 in brackets."""
    return f"[{host.strip('[]')}]" if ":" in host else host


def check_address(host: str, *, lan: bool, password: Password | None, token: bool = True) -> None:
    """Refuse to serve beyond this computer by accident. Raises BadInput."""
    if lan and not token:
        raise BadInput(
            "Without a token everyone would be let in, so that is for this computer alone; leave the LAN option out."
        )
    if is_loopback(host):
        return
    if not lan:
        raise BadInput(
            f"{host!r} is reachable from other computers. Say so with the LAN option, and give a password; without them only 127.0.0.1 is served."
        )
    if password is None:
        raise BadInput("Serving other computers needs a password.")


def public_address(url: str) -> Public:
    """The address under which a proxy shows the server. Raises BadInput."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(host_name(parts.netloc)) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.path.strip("/") or parts.query or parts.fragment:
        raise BadInput(f"{url!r} is no public address; it is like https://papers.example.org, without a path.")
    return Public(parts.scheme, parts.netloc.lower())


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
    services: Services,
    site: Site,
    *,
    host: str = "127.0.0.1",
    door: Door | None = None,
    public: Public | None = None,
    **limits: Any,
) -> Guard:
    """The guarded ASGI app; without a door, one with a token of its own. `limits` go to the Dispatcher (running, waiting, patience);
    `max_upload` and `max_file` to the uploads. Raises ReadOnly where the door lets someone write what was opened for reading."""
    door = door or Door(Access(write=not services.read_only))
    write = door.owner.write or (door.guest is not None and door.guest.write)
    if write and services.read_only:
        raise ReadOnly("The workspace was opened for reading only.")
    max_upload, max_file = limits.pop("max_upload", MAX_UPLOAD), limits.pop("max_file", MAX_FILE)
    uploads = Uploads(services.folder, create=write)
    if write:
        uploads.sweep(services)
    dispatcher = Dispatcher(Ui(services, door.owner, uploads), site, **limits)

    async def made() -> ASGIApp:
        return _gradio_app(dispatcher, uploads, max_file)

    # Outside a running event loop Gradio opens loops of its own and never closes them; on a thread there is room for one.
    with ThreadPoolExecutor(1) as pool:
        app = pool.submit(lambda: asyncio.run(made())).result()
    hosts = LOOPBACK | ({host_name(public.netloc)} if public else set())
    if not is_loopback(host):
        hosts |= {bracketed(host.lower()), _lan_address(), socket.gethostname().lower()}
    return Guard(app, Rules(frozenset(hosts), max_upload if write else 0, public), door)


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


def _gradio_app(dispatcher: Dispatcher, uploads: Uploads, max_file: str | int) -> ASGIApp:
    with _settings(uploads):
        import gradio as gr
        from fastapi import FastAPI
        from starlette.staticfiles import StaticFiles

        from app.ui.web import theme
        from app.ui.web.build import build

        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        for asset in (*dispatcher.site.styles, *dispatcher.site.scripts):
            if asset.path.parent != ui_assets():  # another package's: of its folder only what it names is served
                app.add_route(f"{theme.FILES}/{asset.name}", _file(asset.path))
        app.mount(theme.FILES, StaticFiles(directory=Path(ui_assets())))
        gr.mount_gradio_app(
            app,
            build(dispatcher),
            path="/",
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
            head=theme.head(dispatcher.site),
        )
    return app


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        from starlette.responses import FileResponse

        return FileResponse(path)

    return answer


def _lan_address() -> str:
    """This computer's address on its network, found without sending anything."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
