"""Tables as files: CSV, Parquet, Markdown and LaTeX."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import polars as pl

from app.verbs.exporting import tex
from engine.errors import BadInput
from engine.files.sheets import csv_text


def table_bytes(table: pl.DataFrame, form: str) -> bytes:
    """A table of texts and numbers in one of FORMS; missing values are empty. Raises BadInput on another form."""
    if form not in FORMS:
        raise BadInput(f"A table is written as {', '.join(FORMS)}; got {form!r}.")
    return FORMS[form](table)


def _csv(table: pl.DataFrame) -> bytes:
    """Numbers in full; texts that a spreadsheet would run as a formula begin with an apostrophe."""
    return csv_text(table.columns, table.iter_rows(), "\n").encode()


def _parquet(table: pl.DataFrame) -> bytes:
    out = io.BytesIO()
    table.write_parquet(out)
    return out.getvalue()


def _markdown(table: pl.DataFrame) -> bytes:
    def cell(value: Any) -> str:
        return _rounded(value).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")

    heads = [cell(name) for name in table.columns]
    rules = [("---:" if dtype.is_numeric() else "---") for dtype in table.dtypes]
    rows = [heads, rules, *([cell(value) for value in row] for row in table.iter_rows())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows).encode()


def _latex(table: pl.DataFrame) -> bytes:
    columns = "".join("r" if dtype.is_numeric() else "l" for dtype in table.dtypes)

    def line(values: Any) -> str:
        return " & ".join(tex(_rounded(value)) for value in values) + r" \\"

    body = [line(table.columns), r"\hline", *(line(row) for row in table.iter_rows())]
    return "\n".join([rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}", ""]).encode()


def _rounded(value: Any) -> str:
    """As a person reads it: four decimals, one line."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return f"{value:.4f}" if isinstance(value, float) else " ".join(str(value).split())


FORMS: dict[str, Callable[[pl.DataFrame], bytes]] = {
    "csv": _csv,
    "parquet": _parquet,
    "markdown": _markdown,
    "latex": _latex,
}
