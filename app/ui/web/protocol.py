"""What passes between the page and the server: checked arguments in, replaced regions out."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from app.ui.web.session import MAX_NAME, UiState, plain, whole
from engine.errors import BadInput

MAX_PATHS = 1_000


@dataclass(frozen=True, slots=True)
class Download:
    """Text, or else bytes, that the browser saves as a file."""

    name: str
    mime: str
    text: str = ""
    data: bytes | None = None

    def as_json(self) -> dict[str, Any]:
        """The form in which it travels; bytes go as base64."""
        if self.data is None:
            return {"name": self.name, "mime": self.mime, "text": self.text}
        return {"name": self.name, "mime": self.mime, "base64": b64encode(self.data).decode("ascii")}


@dataclass(slots=True)
class Reply:
    """What changes on the page. Regions are element ids; None empties one. `state` becomes the address."""

    regions: dict[str, Markup | None] = field(default_factory=dict)
    state: UiState | None = None
    push: bool = False
    """A new entry in the browser's history, rather than a change of the present one."""
    dialog: Markup | None = None
    close_dialog: bool = False
    download: Download | None = None
    focus: str = ""
    say: str = ""
    """Read out by screen readers."""
    poll: bool = False
    """Jobs are running: ask again in a moment."""

    def as_json(self) -> dict[str, Any]:
        """The form in which it travels."""
        download = self.download
        return {
            "regions": {key: str(value) if value is not None else "" for key, value in self.regions.items()},
            "url": None if self.state is None else "?" + self.state.to_query(),
            "push": self.push,
            "dialog": None if self.dialog is None else str(self.dialog),
            "closeDialog": self.close_dialog,
            "download": None if download is None else download.as_json(),
            "focus": self.focus,
            "say": self.say,
            "poll": self.poll,
        }


class Args:
    """Values from the page. Nothing here is trusted: types, lengths and ranges are checked on the way out."""

    def __init__(self, values: Any) -> None:
        self._values: Mapping[str, Any] = values if isinstance(values, dict) else {}

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str, most: int = MAX_NAME, default: str = "") -> str:
        """A string of at most `most` characters, cut where it is longer."""
        value = self._values.get(name)
        return plain(value, most) if isinstance(value, str) else default

    def long_text(self, name: str, most: int) -> str:
        """A string as it is, for texts in which nothing may be cut. Raises BadInput where it is longer."""
        value = self._values.get(name, "")
        if not isinstance(value, str) or len(value) > most:
            raise BadInput(f"The text is longer than {most:,} characters.")
        return value.encode("utf-8", "replace").decode("utf-8")

    def whole(self, name: str, low: int, high: int, default: int) -> int:
        """A whole number within bounds."""
        return whole(self._values.get(name), low, high, default)

    def flag(self, name: str) -> bool:
        """A checkbox."""
        return self._values.get(name) in (True, "true", "on", "1")

    def named(self, prefix: str) -> dict[str, str]:
        """The fields whose names begin with a prefix, without it and without empty ones."""
        found = {}
        for key, value in list(self._values.items())[:200]:
            if isinstance(key, str) and key.startswith(prefix) and isinstance(value, str) and value:
                found[plain(key.removeprefix(prefix), MAX_NAME)] = plain(value, MAX_NAME)
        return found

    def paths(self, name: str) -> tuple[str, ...]:
        """A JSON list of file names. Raises BadInput."""
        value = self._values.get(name)
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                value = None
        if (
            not isinstance(value, list)
            or not value
            or len(value) > MAX_PATHS
            or not all(isinstance(item, str) and _is_path(item) for item in value)
        ):
            raise BadInput(f"Choose between 1 and {MAX_PATHS:,} files.")
        return tuple(value)


def _is_path(text: str) -> bool:
    """Whether a text can be the name of a file: no NUL, no half of a character."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return len(text) <= 4096 and "\x00" not in text
