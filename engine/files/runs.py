"""TREC run files: `qid Q0 docid rank score tag`."""

from __future__ import annotations

import math
import re
from pathlib import Path

import polars as pl

from engine.errors import BadInput
from engine.files.lines import Mistakes, numbered_lines, shown

RUN = pl.Schema({"qid": pl.String, "doc_id": pl.String, "score": pl.Float64})
_GAP = re.compile(r"[ \t]+")
_UNSAFE = re.compile(r"\s")


def read_run(path: Path) -> tuple[pl.DataFrame, str]:
    """(qid, doc_id, score) and the tag of a run file; the ranks in it are not read. Raises BadInput with the lines that are wrong."""
    mistakes = Mistakes(path.name)
    rows: list[tuple[str, str, float]] = []
    seen: dict[tuple[str, str], int] = {}
    tag = ""
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        cells = _GAP.split(line.strip(" \t"))
        if len(cells) != 6:
            mistakes.add(number, f"has {len(cells)} columns; `qid Q0 docid rank score tag` has 6")
            continue
        qid, _, doc_id, _, written, tag = cells
        score = _number(written)
        first = seen.setdefault((qid, doc_id), number)
        if score is None:
            mistakes.add(number, f"the score {shown(written)} is not a number")
        elif first != number:
            mistakes.add(number, f"the document {shown(doc_id)} of query {shown(qid)} already stands in line {first}")
        else:
            rows.append((qid, doc_id, score))
    mistakes.settle()
    if not rows:
        raise BadInput(f"{path.name} holds no hits; a run file has lines `qid Q0 docid rank score tag`.")
    return pl.DataFrame(rows, schema=RUN, orient="row"), tag


def _number(text: str) -> float | None:
    """A finite number, or None. "1_0" and other forms that only Python reads are none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None


def write_run(hits: pl.DataFrame, tag: str) -> str:
    """The text of a run file of (qid, doc_id, score): scores in full, ranks as trec_eval finds them. Raises BadInput on ids with white space."""
    for column in ("qid", "doc_id"):
        wrong = hits.filter(pl.col(column).str.contains(r"\s") | (pl.col(column) == ""))
        if len(wrong):
            raise BadInput(
                f"The id {wrong[column][0]!r} is empty or holds white space, which a TREC run file cannot carry."
            )
    name = _UNSAFE.sub("-", tag.strip()) or "run"
    order = hits.select("qid").unique(maintain_order=True).with_row_index("query")
    ranked = (
        hits.join(order, on="qid")
        .with_columns(key=pl.col("score").cast(pl.Float32))
        .sort("query", "key", "doc_id", descending=[False, True, True])
        .with_columns(rank=pl.int_range(1, pl.len() + 1).over("query"))
    )
    rows = ranked.select("qid", "doc_id", "rank", "score").iter_rows()
    return "".join(f"{qid} Q0 {doc_id} {rank} {score!r} {name}\n" for qid, doc_id, rank, score in rows)
