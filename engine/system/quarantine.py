"""`quarantine/` in a workspace: what was found and does not belong is moved there, never deleted on the spot.

Files that may be somebody's (a foreign write-ahead log, a damaged one) stay for good. Folders that are surely this
program's debris are written down in `moved.jsonl` before they are moved, and deleted a week later; what is not written
down there is never touched.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from engine.system import belongings
from engine.system.permissions import private_folder, private_opener, tighten, tighten_tree

FOLDER = "quarantine"
LEDGER = "moved.jsonl"
KEPT_DAYS = 7
STAMPED = re.compile(r"\d{8}-\d{6}-\d{6}-")
_OURS = re.compile(STAMPED.pattern + r"(tmp-)?[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Moved:
    """A folder of ours in quarantine: its name there, where it was, and when it was moved (seconds since 1970)."""

    name: str
    origin: str
    at: float


class Quarantine:
    """The quarantine of one workspace; it exists once something is in it."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self.folder = workspace / FOLDER

    def keep(self, path: Path, *, copy: bool = False) -> Path:
        """Move (or copy) something here for good, under a name with the time; returns the new path. A link is moved as
        a link. Raises OSError."""
        target = self._target(path)
        if copy:
            try:
                shutil.copyfile(path, target)
            except OSError:
                target.unlink(missing_ok=True)
                raise
            tighten(target)
        else:
            os.replace(path, target)
        return target

    def take(self, path: Path) -> Path | None:
        """Move a folder that this program made here, to be deleted after `KEPT_DAYS`; None where it cannot be moved,
        and then stays.

        Where the disk is too full to write that down, it is moved all the same, and never deleted.
        """
        if not (belongings.is_folder(path) and belongings.is_within(path, self._workspace)):
            return None
        try:
            target = self._target(path)
            with suppress(OSError):
                self._write("a", [Moved(target.name, path.relative_to(self._workspace).as_posix(), time.time())])
            os.replace(path, target)
        except OSError:
            return None
        tighten_tree(target)
        return target

    def moved(self) -> list[Moved]:
        """What is written down, oldest first; unreadable lines are left out."""
        if not belongings.is_file(self.folder / LEDGER):
            return []
        found = []
        with suppress(OSError):
            for line in (self.folder / LEDGER).read_text("utf-8", errors="replace").splitlines():
                with suppress(ValueError, KeyError, TypeError):
                    raw = json.loads(line)
                    found.append(Moved(str(raw["name"]), str(raw["origin"]), float(raw["at"])))
        return found

    def expire(self) -> list[str]:
        """Delete the folders of ours that were moved here long enough ago; returns their names."""
        entries, gone = self.moved(), []
        if not belongings.is_within(self.folder, self._workspace):
            return []
        for entry in entries:
            old = entry.at < time.time() - KEPT_DAYS * 86_400
            ours = _OURS.fullmatch(entry.name) and belongings.is_folder(self.folder / entry.name)
            if old and ours and belongings.delete_folder(self.folder / entry.name, self._workspace):
                gone.append(entry.name)
        left = [entry for entry in entries if os.path.lexists(self.folder / entry.name)]
        if len(left) < len(entries):
            with suppress(OSError):
                self._write("w", left)
        return gone

    def contents(self) -> list[str]:
        """The names of what is here."""
        return sorted(path.name for path in self.folder.glob("*") if path.name not in (LEDGER, f"{LEDGER}.new"))

    def _target(self, path: Path) -> Path:
        private_folder(self.folder)
        return self.folder / f"{datetime.now().strftime('%Y%m%d-%H%M%S-%f')}-{path.name}"

    def _write(self, mode: str, entries: list[Moved]) -> None:
        text = "".join(json.dumps(asdict(entry)) + "\n" for entry in entries)
        path = self.folder / LEDGER
        goal = path if mode == "a" else path.with_name(f"{LEDGER}.new")
        with open(goal, mode, encoding="utf-8", opener=private_opener) as file:
            file.write(text)
        if goal != path:
            os.replace(goal, path)
