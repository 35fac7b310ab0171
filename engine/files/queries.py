"""Queries in files: BEIR `queries.jsonl`, TREC topics, `qid<TAB>text`, `query: …, answer: …`, and plain lines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.errors import BadInput
from engine.files.lines import Mistakes, numbered_lines, shown
from engine.types import Query

_PAIR = re.compile(r"\s*query\s*:\s*(.*?)\s*(?:,\s*answer\s*:\s*(.*?)\s*)?", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<\s*(/?)\s*(top|num|title|desc|narr|dom|con|fac|def)\s*>", re.IGNORECASE)
_LABELS = re.compile(r"\s*(?:number|topic|description|narrative|title)\s*:", re.IGNORECASE)


def read_queries(path: Path, form: str = "auto") -> tuple[tuple[Query, ...], str]:
    """The queries of a file, or of a BEIR folder, and the form they had. Raises BadInput with the lines that are wrong.

    Where the form has no ids, the line number is the id. An answer goes into the metadata as `answer`.
    """
    if form != "auto" and form not in FORMS:
        raise BadInput(f"There is no form of queries called {form!r}. Known: {', '.join(FORMS)}.")
    if path.is_dir():
        if not (path / "queries.jsonl").is_file():
            raise BadInput(f"{path} holds no queries.jsonl; name a file of queries, or a BEIR folder.")
        path, form = path / "queries.jsonl", "beir"
    lines = [(number, line) for number, line in numbered_lines(path) if line.strip()]
    if not lines:
        raise BadInput(f"{path.name} holds no queries.")
    chosen = _guess([line for _, line in lines[:20]]) if form == "auto" else form
    mistakes = Mistakes(path.name)
    found = FORMS[chosen](lines, mistakes)
    seen: dict[str, str] = {}
    for query in found:
        if query.qid in seen:
            mistakes.add(int(query.place), f"the query id {shown(query.qid)} already stands in line {seen[query.qid]}")
        if not query.qid or not query.text.strip():
            mistakes.add(int(query.place), "the query has no id or no text")
        seen.setdefault(query.qid, query.place)
    mistakes.settle()
    if not found:
        raise BadInput(f"{path.name} holds no queries.")
    return tuple(Query(q.qid, q.text, q.metadata, f"{path.name} line {q.place}") for q in found), chosen


def _guess(head: Sequence[str]) -> str:
    if head[0].lstrip().startswith("{"):
        return "beir"
    if any(re.match(r"\s*<top>", line, re.IGNORECASE) for line in head):
        return "trec"
    if all(re.match(r"\s*query\s*:", line, re.IGNORECASE) for line in head):
        return "answers"
    return "tsv" if all(re.fullmatch(r"[^\t ]+\t[^\t]+", line) for line in head) else "lines"


def _beir(lines: Sequence[tuple[int, str]], mistakes: Mistakes) -> list[Query]:
    found = []
    for number, line in lines:
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError):
            mistakes.add(number, "is not JSON")
            continue
        if (
            not isinstance(row, dict)
            or not isinstance(row.get("text"), str)
            or not isinstance(row.get("_id"), str | int)
        ):
            mistakes.add(number, 'is not an object with "_id" and "text"')
            continue
        further = {key: value for key, value in row.items() if key not in ("_id", "text", "metadata")}
        metadata = row.get("metadata")
        found.append(
            Query(str(row["_id"]), row["text"], further | (metadata if isinstance(metadata, dict) else {}), str(number))
        )
    return found


def _tsv(lines: Sequence[tuple[int, str]], mistakes: Mistakes) -> list[Query]:
    found = []
    for number, line in lines:
        qid, tab, text = line.partition("\t")
        if not tab:
            mistakes.add(number, "has no tab between id and text")
        else:
            found.append(Query(qid.strip(), text.strip(), {}, str(number)))
    return found


def _answers(lines: Sequence[tuple[int, str]], mistakes: Mistakes) -> list[Query]:
    found = []
    for number, line in lines:
        match = _PAIR.fullmatch(line)
        if match is None:
            mistakes.add(number, "is not of the form `query: …, answer: …`")
        else:
            found.append(Query(str(number), match[1], {"answer": match[2]} if match[2] else {}, str(number)))
    return found


def _plain(lines: Sequence[tuple[int, str]], mistakes: Mistakes) -> list[Query]:
    return [Query(str(number), line.strip(), {}, str(number)) for number, line in lines]


def _topics(lines: Sequence[tuple[int, str]], mistakes: Mistakes) -> list[Query]:
    """TREC topics as they were written over the years: tags that are closed, or that end where the next one begins."""
    found: list[Query] = []
    fields: dict[str, str] = {}
    opened, current = 0, ""
    for number, line in [*lines, (0, "</top>")]:
        at = 0
        for tag in _TAG.finditer(line):
            fields[current] = f"{fields.get(current, '')} {line[at : tag.start()]}"
            at, closing, name = tag.end(), bool(tag[1]), tag[2].lower()
            if name == "top":
                if opened:
                    found += _topic(fields, opened, mistakes)
                fields, current, opened = {}, "", 0 if closing else number
            else:
                current = "" if closing else name
        fields[current] = f"{fields.get(current, '')} {line[at:]}"
    return found


def _topic(fields: dict[str, str], line: int, mistakes: Mistakes) -> list[Query]:
    clean = {name: " ".join(_LABELS.sub("", text, count=1).split()) for name, text in fields.items() if name}
    if not clean.get("num") or not (clean.get("title") or clean.get("desc")):
        mistakes.add(line, "the topic has no <num>, or neither <title> nor <desc>")
        return []
    text = clean.get("title") or clean["desc"]
    further = {name: clean[name] for name in ("desc", "narr") if clean.get(name) and clean[name] != text}
    return [Query(clean["num"], text, further, str(line))]


FORMS: dict[str, Callable[[Sequence[tuple[int, str]], Mistakes], list[Query]]] = {
    "beir": _beir,
    "trec": _topics,
    "tsv": _tsv,
    "answers": _answers,
    "lines": _plain,
}


def write_queries(queries: Sequence[Query], form: str = "beir") -> str:
    """The text of a file of queries as BEIR JSON lines or tab-separated. Raises BadInput on another form."""
    if form == "beir":
        rows = ({"_id": q.qid, "text": q.text} | ({"metadata": q.metadata} if q.metadata else {}) for q in queries)
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if form == "tsv":
        return "".join(f"{' '.join(q.qid.split())}\t{' '.join(q.text.split())}\n" for q in queries)
    raise BadInput(f"Queries are written as beir or tsv; got {form!r}.")
