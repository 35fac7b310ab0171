"""`server.json` in the workspace: where the server that runs on it can be reached, with its token, for other programs of the same user.

It is readable by its owner only from the moment it exists, replaced in one step, and removed when the server stops.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.workspace.creation import SERVER


@contextmanager
def announced(folder: Path, address: str, token: str) -> Iterator[str]:
    """The file is there within. Gives the reason in words where it could not be written, else an empty text."""
    told = {"address": address, "token": token, "pid": os.getpid()}
    problem = ""
    try:
        _write(folder / SERVER, json.dumps(told, indent=2) + "\n")
    except OSError as error:
        problem = f"{folder / SERVER} could not be written ({error.strerror}); other programs cannot find this server."
    try:
        yield problem
    finally:
        with suppress(OSError, ValueError):
            if json.loads((folder / SERVER).read_text(encoding="utf-8")) == told:  # not that of a later server
                (folder / SERVER).unlink()


def _write(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    # O_EXCL: neither a link nor a file that somebody else made is written to
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
        os.replace(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
