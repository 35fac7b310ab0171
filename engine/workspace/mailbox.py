"""A mailbox in the workspace's folder, through which other shells of the same user see and cancel the jobs of the
process that owns it.

control/state.json          the owner's unfinished jobs, written anew when one changes
control/request-<id>.json   what another process asks: {"pid": the owner it is meant for, "verb", "job_id"}
control/answer-<id>.json    what the owner says to it: {"status"} or {"error"}

The folder is 0700, its files 0600; files of other users, links and large files are not read. What names another owner
is stale, and cleared.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.errors import BadInput, TriptychError
from engine.system import locking

FOLDER, STATE = "control", "state.json"
MAX_BYTES = 1_000_000
ANSWER_SECONDS = 5.0
_POLL = 0.05
_LETTER = re.compile(r"(request|answer)-([0-9a-f]{32})\.json")
_OURS = re.compile(r"(state\.json|(request|answer)-[0-9a-f]{32}\.json)(\.[0-9a-f]{32})?")


class Mailbox:
    """The owner's side. Nothing is written before there is a job to tell of, and nothing is left after `close`."""

    def __init__(self, workspace: Path) -> None:
        self._folder = workspace / FOLDER
        self._told: Sequence[Mapping[str, Any]] = ()

    @property
    def told(self) -> bool:
        """Whether there are jobs that others could ask about."""
        return bool(self._told)

    def clean(self) -> None:
        """Remove what an earlier owner left: files of this mailbox that are this user's, and the folder once it is
        empty."""
        for path in _listed(self._folder):
            if _OURS.fullmatch(path.name) and _is_own(path):
                with suppress(OSError):
                    path.unlink()
        with suppress(OSError):
            self._folder.rmdir()

    def publish(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """Tell of the unfinished jobs, where they are not those that were told of last. Raises OSError."""
        if jobs == self._told:
            return
        if jobs:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if not _is_own(self._folder, folder=True):
                raise PermissionError(f"{self._folder} is not a folder of this user")
            self._folder.chmod(0o700)
        if jobs or (self._folder / STATE).exists():
            _write(self._folder / STATE, {"pid": os.getpid(), "jobs": list(jobs)})
        self._told = jobs

    def serve(self, answer: Callable[[str, str], str]) -> None:
        """Answer what was asked since: `answer(verb, job_id)` gives a status, or raises TriptychError, whose message is
        passed on."""
        for path in _listed(self._folder):
            match = _LETTER.fullmatch(path.name)
            if match is None or match[1] != "request":
                continue
            asked = _read(path)
            with suppress(OSError):
                path.unlink()
            if asked is None or asked.get("pid") != os.getpid():
                continue
            try:
                told = {"status": answer(str(asked.get("verb")), str(asked.get("job_id")))}
            except TriptychError as error:
                told = {"error": str(error)}
            with suppress(OSError):
                _write(self._folder / f"answer-{match[2]}.json", told)

    def close(self) -> None:
        """Take everything away."""
        self._told = ()
        self.clean()


def unfinished(workspace: Path) -> list[dict[str, Any]] | None:
    """The unfinished jobs of the process that owns the workspace; None where it tells nothing."""
    told = _read(workspace / FOLDER / STATE)
    owner = locking.holder(workspace)
    if told is None or owner is None or told.get("pid") != owner[0]:
        return None
    jobs = told.get("jobs")
    return [job for job in jobs if isinstance(job, dict)] if isinstance(jobs, list) else None


def ask(workspace: Path, verb: str, job_id: str, seconds: float = ANSWER_SECONDS) -> str:
    """Ask the owner; returns the job's status. Raises BadInput with what the owner says, TriptychError where it says
    nothing in time."""
    owner = locking.holder(workspace)
    pid = owner[0] if owner is not None else 0
    key = uuid.uuid4().hex
    request, answer = (workspace / FOLDER / f"{kind}-{key}.json" for kind in ("request", "answer"))
    try:
        _write(request, {"pid": pid, "verb": verb, "job_id": job_id})
    except OSError as error:
        raise TriptychError(f"The process {pid} cannot be asked: {error.strerror or error}.") from error
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            told = _read(answer)
            if told is not None:
                if "error" in told:
                    raise BadInput(str(told["error"]))
                return str(told.get("status"))
            time.sleep(_POLL)
    finally:
        for path in (request, answer):
            path.unlink(missing_ok=True)
    raise TriptychError(f"The process {pid}, which has the workspace open, did not answer within {seconds:.0f} s.")


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir()) if _is_own(folder, folder=True) else []
    except OSError:
        return []


def _is_own(path: Path, *, folder: bool = False) -> bool:
    """Whether it is a plain file (or a folder) of this user, not a link."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return _plain(found, folder)


def _plain(found: os.stat_result, folder: bool = False) -> bool:
    kind = stat.S_ISDIR(found.st_mode) if folder else stat.S_ISREG(found.st_mode)
    return kind and (not hasattr(os, "getuid") or found.st_uid == os.getuid())


def _read(path: Path) -> dict[str, Any] | None:
    """A small JSON object that this user wrote; None otherwise."""
    if not _is_own(path.parent, folder=True):
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            data = file.read(MAX_BYTES + 1) if _plain(found) and found.st_size <= MAX_BYTES else b""
        told = json.loads(data)
    except (OSError, ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """At once or not at all, for this user only."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(aside, flags, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(aside, path)
