"""Tables for spreadsheets: CSV text in which no cell, and no part of one, begins a formula. Every CSV that the program gives is written here."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet may take for the beginning of a formula, the full-width forms included."""

_SIGNS = "=+\\-@＝＋－＠"
_BEGINS = rf"(?:^(?=[\"']*[{_SIGNS}\t\r\n])|(?<=[;\t\r\n])(?=[\"']*[{_SIGNS}]))"
"""A place before a formula: at the beginning of a cell, or within it behind what ends a cell or a row for a spreadsheet that divides at
semicolons or tabs, as it does in many languages; quotation marks within a cell protect nothing there."""
_GUARD = re.compile(_BEGINS)
_GUARDED = re.compile(_BEGINS + "'")


def guarded(text: str) -> str:
    """A cell that no spreadsheet runs: an apostrophe goes before what may begin a formula. `unguarded` gives back every text as it was."""
    return _GUARD.sub("'", text)


def unguarded(text: str) -> str:
    """A cell without the apostrophes of `guarded`."""
    return _GUARDED.sub("", text)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]], end: str = "\r\n") -> str:
    """CSV with a header. Texts are guarded, numbers stay numbers, and None is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=end)
    writer.writerow([_cell(value) for value in header])
    writer.writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    return guarded(value) if isinstance(value, str) else value
