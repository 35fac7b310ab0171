"""A short text log beside the database that says what each committed write did.

DuckDB opens with fewer rows, and without a word, when its write-ahead log was cut or removed. This log is written after
every commit, so that on the next open the database's own count of writes can be compared with it, and what is missing
can be named.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from engine.system.permissions import private_opener

LOG_NAME, NEW_LOG_NAME = "writes.log", "writes.new"
_KEPT, _MOST = 200, 2_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One committed write, or the end of a run that closed in order (`clean`)."""

    seq: int
    what: str
    clean: bool = False


class WriteLog:
    """Best effort by design: losing a line costs a sentence in a report, never data."""

    def __init__(self, folder: Path, name: str = LOG_NAME) -> None:
        self._path = folder / name
        self._lines = 0

    def entries(self) -> list[Entry]:
        """All readable lines, oldest first; a torn last line is skipped."""
        try:
            lines = self._path.read_text("utf-8", errors="replace").splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):
                raw = json.loads(line)
                found.append(Entry(int(raw["seq"]), str(raw["what"]), bool(raw.get("clean", False))))
        self._lines = len(found)
        return found

    def append(self, entry: Entry) -> None:
        """Add one line; keeps the file short."""
        with suppress(OSError):
            if self._lines >= _MOST:
                self.rewrite(self.entries()[-_KEPT:])
            with open(self._path, "a", encoding="utf-8", opener=private_opener) as file:
                file.write(self._line(entry))
            self._lines += 1

    def rewrite(self, entries: list[Entry]) -> None:
        """Replace the file by these lines, whole or not at all."""
        with suppress(OSError):
            fresh = self._path.with_name(NEW_LOG_NAME)
            with open(fresh, "w", encoding="utf-8", opener=private_opener) as file:
                file.write("".join(map(self._line, entries)))
            os.replace(fresh, self._path)
            self._lines = len(entries)

    @staticmethod
    def _line(entry: Entry) -> str:
        return json.dumps({"seq": entry.seq, "what": entry.what, "clean": entry.clean}, ensure_ascii=True) + "\n"
