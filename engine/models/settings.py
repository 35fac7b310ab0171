"""The configuration files of an original model, which anybody may have written: read with limits, and every problem named with its file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from engine.errors import BadInput

MOST_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Stage:
    """An entry of modules.json. kind: the last part of its class's name; path: its folder, which is in that of the model."""

    kind: str
    path: str


def table(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file. Raises BadInput on what is damaged, too large, nested too deeply or no object."""
    found = _parsed(path)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _damaged(path, "is not a JSON object")
    return found


def stages(folder: Path) -> list[Stage] | None:
    """The entries of modules.json; None where there is no such file. Raises BadInput on one that is damaged, or leads out of the folder."""
    path = folder / "modules.json"
    found = _parsed(path)
    if found is None:
        return None
    if not isinstance(found, list):
        raise _damaged(path, "is not a JSON list")
    return [_stage(path, entry) for entry in found]


def refuse_links_out(folder: Path) -> None:
    """Raises BadInput where a link in a model's folder leads out of it: what it leads to was not offered as a part of the model.

    In the cache of the hub's own library all files are links to its folder `blobs`, and count as being inside.
    """
    root = folder.resolve()
    cached = root.parent.name == "snapshots" and root.parent.parent.name.startswith("models--")
    allowed = root.parent.parent if cached else root
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not _target(path).is_relative_to(allowed):
            raise BadInput(
                f"{path} is a link that leads out of the model's folder, so nothing was read. Put the file itself there, or remove the link."
            )


def _target(link: Path) -> Path:
    try:
        return link.resolve()
    except (OSError, RuntimeError):
        return Path()  # a link that leads back to itself leads nowhere inside


def _stage(path: Path, entry: Any) -> Stage:
    if not isinstance(entry, dict):
        raise _damaged(path, "has an entry that is not a JSON object")
    kind, place = entry.get("type", ""), entry.get("path", "")
    if not isinstance(kind, str) or not isinstance(place, str) or "\0" in place:
        raise _damaged(path, "has an entry whose type or path is not a text")
    parts = PurePosixPath(place.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or any(":" in part for part in parts.parts):
        raise _damaged(path, f"names the folder {place[:100]!r}, which is not in that of the model")
    return Stage(kind.rpartition(".")[2], place)


def _parsed(path: Path) -> Any:
    """What a JSON file holds; None where there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from None
    if len(data) > MOST_BYTES:
        raise _damaged(path, f"has more than {MOST_BYTES:,} bytes")
    try:
        return json.loads(data)
    except RecursionError:
        raise _damaged(path, "is nested too deeply") from None
    except ValueError as error:
        raise _damaged(path, f"is not JSON ({str(error)[:200]})") from None


def _damaged(path: Path, why: str) -> BadInput:
    return BadInput(f"{path} {why}, so the model cannot be used. Fetch it again, or ask its makers.")
