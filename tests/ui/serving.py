"""A real server on a thread, and the programs that ask it."""

from __future__ import annotations

import threading
import time
from typing import Any

import httpx

from app.ui.frame.site import site
from app.ui.web import server

UPLOAD = "/gradio_api/upload"
CALL = "/gradio_api/component_server"


class Running:
    """A server on a thread, and how to call the page's one function on it."""

    def __init__(self, services: Any, **options: Any) -> None:
        self.listener = server.listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        app = server.make_app(services, site(), **options)
        self.door = app.door
        self.server = server.http_server(app)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)
        self.address = f"http://127.0.0.1:{self.port}"
        self.client = self.program(self.door.token)

    def program(self, token: str = "") -> httpx.Client:
        """A program that asks, with a token or without."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.address, timeout=20, headers=headers)

    def component(self) -> int:
        config = self.client.get("/config").json()
        return next(part["id"] for part in config["components"] if part["type"] == "html")

    def call(self, payload: Any, client: httpx.Client | None = None, **options: Any) -> httpx.Response:
        body = {"data": payload, "component_id": self.component(), "session_hash": "s1", "fn_name": "call"}
        return (client or self.client).post(CALL, json=body, **options)

    def stop(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join(10)
        self.listener.close()
