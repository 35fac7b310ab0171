"""Judgments in files: TREC qrels (`qid 0 docid rel`), BEIR (`query-id`, `corpus-id`, `score`), and `query,docid,rating` CSV.

CSV is what people open in spreadsheets: cells that would run as a formula there are written with an apostrophe before them, which reading
takes away again. TREC and BEIR files hold every id as it is.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from engine.errors import BadInput
from engine.files.lines import Mistakes, numbered_lines, shown
from engine.files.sheets import csv_text, unguarded
from engine.types import Judgment

FORMS = ("trec", "beir", "csv")
MOST = 2**31 - 1
_GAP = re.compile(r"[ \t]+")


@dataclass(frozen=True, slots=True)
class JudgmentFile:
    """What a file holds. `by_text`: its first column may be the words of a query instead of an id, as in `query,docid,rating`."""

    judgments: tuple[Judgment, ...]
    form: str
    by_text: bool


def read_judgments(path: Path, form: str = "auto") -> JudgmentFile:
    """Read a file of judgments, or the `qrels` of a BEIR folder. Raises BadInput with the lines that are wrong."""
    if form != "auto" and form not in FORMS:
        raise BadInput(f"There is no form of judgments called {form!r}. Known: {', '.join(FORMS)}.")
    if path.is_dir():
        files = sorted((path / "qrels").glob("*.tsv"))
        if not files:
            raise BadInput(f"{path} holds no qrels/*.tsv; name a file of judgments, or a BEIR folder.")
        return JudgmentFile(tuple(j for file in files for j in _read(file, "beir")), "beir", False)
    chosen = _guess(path) if form == "auto" else form
    return JudgmentFile(tuple(_read(path, chosen)), chosen, chosen == "csv")


def _guess(path: Path) -> str:
    first = next((line for _, line in numbered_lines(path) if line.strip()), "")
    if "\t" in first and len(first.split("\t")) == 3:
        return "beir"
    return "csv" if "," in first and len(_GAP.split(first.strip())) != 4 else "trec"


def _read(path: Path, form: str) -> list[Judgment]:
    mistakes = Mistakes(path.name)
    found: list[Judgment] = []
    seen: dict[tuple[str, str], int] = {}
    for number, cells in _CELLS[form](path, mistakes):
        qid, doc_id, written = cells
        rating = _rating(written)
        first = seen.setdefault((qid, doc_id), number)
        if not qid or not doc_id:
            mistakes.add(number, "the query or the document is empty")
        elif rating is None:
            mistakes.add(number, f"the rating {shown(written)} is not a whole number")
        elif first != number:
            mistakes.add(
                number, f"the document {shown(doc_id)} of query {shown(qid)} was already judged in line {first}"
            )
        else:
            found.append(Judgment(qid, doc_id, rating, f"{path.name} line {number}"))
    mistakes.settle()
    if not found:
        raise BadInput(f"{path.name} holds no judgments.")
    return found


def _rating(text: str) -> int | None:
    """A whole number, "2.0" included."""
    if not re.fullmatch(r"\s*[+-]?\d{1,10}(\.0*)?\s*", text):
        return None
    value = int(float(text))
    return value if abs(value) <= MOST else None


def _trec(path: Path, mistakes: Mistakes) -> Iterator[tuple[int, tuple[str, str, str]]]:
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        cells = _GAP.split(line.strip(" \t"))
        if len(cells) == 4:
            yield number, (cells[0], cells[2], cells[3])
        else:
            mistakes.add(number, f"has {len(cells)} columns; `qid 0 docid rel` has 4")


def _beir(path: Path, mistakes: Mistakes) -> Iterator[tuple[int, tuple[str, str, str]]]:
    for number, line in numbered_lines(path):
        cells = [cell.strip() for cell in line.split("\t")]
        if not line.strip() or (number == 1 and cells[0] == "query-id"):
            continue
        if len(cells) == 3:
            yield number, (cells[0], cells[1], cells[2])
        else:
            mistakes.add(
                number, f"has {len(cells)} columns; query id, document id and score are expected, with tabs between"
            )


def _csv(path: Path, mistakes: Mistakes) -> Iterator[tuple[int, tuple[str, str, str]]]:
    places = (0, 1, 2)
    reader = csv.reader((line + "\n" for _, line in numbered_lines(path)), strict=True)
    first = True
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            mistakes.add(number, f"is not CSV: {error}")
            return
        named = [cell.strip().lower() for cell in cells]
        if first and {"query", "docid", "rating"} <= set(named):
            places = (named.index("query"), named.index("docid"), named.index("rating"))
        elif cells and len(cells) > max(places):
            query, document, rating = (cells[i].strip() for i in places)
            yield number, (unguarded(query), unguarded(document), rating)
        elif cells:
            mistakes.add(number, f"has {len(cells)} columns; query, docid and rating are expected")
        first = False


_CELLS: dict[str, Callable[[Path, Mistakes], Iterator[tuple[int, tuple[str, str, str]]]]] = {
    "trec": _trec,
    "beir": _beir,
    "csv": _csv,
}


def write_judgments(judgments: pl.DataFrame, form: str, texts: dict[str, str] | None = None) -> str:
    """The text of a file of judgments (qid, doc_id, rating); in CSV a query stands as its text where `texts` knows it. Raises BadInput."""
    if form not in FORMS:
        raise BadInput(f"There is no form of judgments called {form!r}. Known: {', '.join(FORMS)}.")
    rows: Sequence[tuple[str, str, int]] = list(judgments.select("qid", "doc_id", "rating").iter_rows())
    if form == "csv":
        named = texts or {}
        cells = ((named.get(qid, qid), doc_id, rating) for qid, doc_id, rating in rows)
        return csv_text(("query", "docid", "rating"), cells, "\n")
    unsafe = re.compile(r"\s" if form == "trec" else r"[\t\r\n]")
    for qid, doc_id, _ in rows:
        for name in (qid, doc_id):
            if unsafe.search(name) or not name:
                raise BadInput(
                    f"The id {name!r} is empty or holds white space, which this form cannot carry; export as csv."
                )
    if form == "beir":
        return "query-id\tcorpus-id\tscore\n" + "".join(f"{q}\t{d}\t{r}\n" for q, d, r in rows)
    return "".join(f"{q} 0 {d} {r}\n" for q, d, r in rows)
