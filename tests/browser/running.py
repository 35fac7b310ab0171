"""A server on a thread."""

from __future__ import annotations

import threading
import time
from typing import Any
from urllib.parse import urlsplit

from app.ui.frame.site import site
from app.ui.web import server

# Asks a question as Enter does; milliseconds until the answer is on the page and drawn.
REPAINT = """(words) => new Promise((done) => {
  const query = document.querySelector('#tp-query');
  query.value = words;
  const start = performance.now();
  const timer = setInterval(() => {
    if (!location.search.includes(words.replaceAll(' ', '+'))) return;
    clearInterval(timer);
    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
  }, 2);
  query.form.requestSubmit();
})"""


TOKENS: dict[str, str] = {}
"""The token of every server that was started, by host and port."""


def entrance(address: str) -> str:
    """An address with the token of its server, as it is opened first; another one stays as it is."""
    parts = urlsplit(address)
    token = TOKENS.get(parts.netloc)
    query = "&".join(filter(None, (token and f"token={token}", parts.query)))
    return parts._replace(path=parts.path or "/", query=query).geturl()


class Running:
    """Serves services, real or fake, at `address` until stopped."""

    def __init__(self, services: Any) -> None:
        self.services = services
        app = server.make_app(services, site())
        self.listener = server.listen("127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        TOKENS[urlsplit(self.address).netloc] = app.door.token
        self.server = server.http_server(app)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]}, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.listener.close()
