"""The pages of the workbench, driven without a browser."""

from __future__ import annotations

from typing import Any

from fakes import FakeServices

from app.ui.frame.site import site
from app.ui.web.dispatch import Access, Dispatcher, Ui
from app.ui.web.session import UiState
from app.ui.web.uploads import Uploads


class Page:
    """A page without a browser: keeps the address, like the script does."""

    def __init__(self, services: FakeServices, access: Access | None = None, **line: Any) -> None:
        self.services = services
        self.uploads = Uploads(services.folder)
        self.dispatcher = Dispatcher(Ui(services, access or Access(), self.uploads), site(), **line)  # type: ignore[arg-type]
        self.state = UiState()

    def call(self, action: str, /, **args: Any) -> dict[str, Any]:
        reply = self.dispatcher.call({"action": action, "url": "?" + self.state.to_query(), "args": args})
        if reply["url"] is not None:
            self.state = UiState.from_query(reply["url"])
        return reply
