"""How far a reader has come in its source, in bytes: the percentage of a job that reads one file of many thousand documents.

Readers that take a file piece by piece have it watched where they open it; those that load it whole do not, and their position is not known.
"""

from __future__ import annotations

import os
from typing import Protocol


class Stream(Protocol):
    """What is asked of a file that is watched."""

    @property
    def closed(self) -> bool: ...

    def tell(self) -> int: ...

    def fileno(self) -> int: ...


class Position:
    """The place in the source that is being read. One thread reads at a time, in a process of its own."""

    def __init__(self) -> None:
        self._before = 0
        self._file: Stream | None = None
        self._size = 0

    def restart(self) -> None:
        """Another source begins."""
        self._before, self._file = 0, None

    def watch(self, file: Stream) -> None:
        """The source's next file was opened; the one before, if any, is done with."""
        self._before, self._file = self.bytes(), file
        self._size = os.fstat(file.fileno()).st_size

    def bytes(self) -> int:
        """Bytes that were taken from the source's files; 0 where none of them is watched."""
        if self._file is None:
            return self._before
        return self._before + (self._size if self._file.closed else self._file.tell())


POSITION = Position()
