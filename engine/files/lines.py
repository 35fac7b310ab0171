"""Line-numbered reading of small text files: what is wrong is told with file and line, and nothing is taken from a file with mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.errors import BadInput
from engine.readers.base import ReaderOptions
from engine.readers.textfile import open_text

MAX_LINE = 1_000_000
_SHOWN = 5


class Mistakes:
    """Gathers what is wrong with the lines of a file; `settle` raises them together."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._found: list[str] = []
        self._count = 0

    def add(self, line: int, what: str) -> None:
        """Remember one; the first few are shown."""
        self._count += 1
        if len(self._found) < _SHOWN:
            self._found.append(f"line {line}: {what}")

    def settle(self) -> None:
        """Raise BadInput if there were any."""
        if self._count:
            more = f"; and {self._count - len(self._found):,} more" if self._count > len(self._found) else ""
            raise BadInput(
                f"{self._name}: {'; '.join(self._found)}{more}. Nothing was taken from it; mend these lines."
            )


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, line without its end) of a text file in the encoding it gives away. Raises BadInput on a missing file or a line without end."""
    try:
        with open_text(path, ReaderOptions()) as file:
            number = 0
            while line := file.readline(MAX_LINE + 1):
                number += 1
                if len(line) > MAX_LINE:
                    raise BadInput(f"{path.name}: line {number}: has more than {MAX_LINE:,} characters.")
                yield number, line.rstrip("\r\n").removeprefix("\ufeff" if number == 1 else "")
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist. Check the spelling.") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder; name a file.") from None


def shown(text: str) -> str:
    """A quoted excerpt for a message."""
    return repr(text if len(text) <= 60 else text[:57] + "…")
