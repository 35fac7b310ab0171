"""Judged collections as plain lists, parsed in a few lines so that a benchmark depends on nothing it measures."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

CACHE = Path.home() / ".cache" / "triptych-bench"
MIN_ABSTRACT = 200  # characters


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents (title + ". " + text), queries and judgments of one collection; judgments: qid -> doc_id -> grade."""

    name: str
    rows: list[tuple[str, str, str]]
    """(id, title, text) of each document."""
    docs: list[str]
    qids: list[str]
    queries: list[str]
    qrels: dict[str, dict[str, int]]

    @property
    def doc_ids(self) -> list[str]:
        """The documents' ids, in the order of `docs`."""
        return [row[0] for row in self.rows]

    @property
    def digest(self) -> str:
        """Identifies the exact texts, so that cached vectors of other texts are never used."""
        return hashlib.sha256(json.dumps([self.docs, self.queries]).encode()).hexdigest()[:16]


def shared_folder() -> Path:
    """The folder of the benchmark data: $TRIPTYCH_SHARED, or `shared` beside the repository."""
    beside = Path(__file__).resolve().parents[3] / "shared"
    folder = Path(os.environ.get("TRIPTYCH_SHARED", beside))
    if not (folder / "data").is_dir():
        raise SystemExit(f"No benchmark data under {folder}; set TRIPTYCH_SHARED to the folder that contains data/.")
    return folder


def load(name: str) -> Corpus:
    """The collection `name`: a BEIR folder under data/, or acl-litsearch over the Anthology's abstracts."""
    data = shared_folder() / "data"
    if name == "acl-litsearch":
        return read_beir(data / name, name, _anthology(data / "acl-anthology" / "xml"))
    return read_beir(data / name, name)


def read_beir(folder: Path, name: str, rows: list[tuple[str, str, str]] | None = None) -> Corpus:
    """A BEIR folder with its judged questions; rows: the documents, where they are not in the folder."""
    rows = _beir(folder / "corpus.jsonl") if rows is None else rows
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text("utf-8").splitlines() if line]
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]:
        qid, doc_id, grade = line.split("\t")
        qrels.setdefault(qid, {})[doc_id] = int(grade)
    judged = [query for query in queries if query["_id"] in qrels]
    texts = [f"{title}. {text}" if title else text for _, title, text in rows]
    return Corpus(name, rows, texts, [q["_id"] for q in judged], [q["text"] for q in judged], qrels)


def _beir(path: Path) -> list[tuple[str, str, str]]:
    documents = (json.loads(line) for line in path.read_text("utf-8").splitlines() if line)
    return [(doc["_id"], doc.get("title", ""), doc["text"]) for doc in documents]


def _anthology(folder: Path) -> list[tuple[str, str, str]]:
    rows = {}
    for path in sorted(folder.glob("*.xml")):
        root = ElementTree.parse(path).getroot()
        for volume in root.iter("volume"):
            for paper in volume.iter("paper"):
                abstract = _text(paper.find("abstract"))
                if len(abstract) >= MIN_ABSTRACT:
                    doc_id = _anthology_id(root.get("id", ""), volume.get("id", ""), paper.get("id", ""))
                    rows[doc_id] = (doc_id, _text(paper.find("title")), abstract)
    return list(rows.values())


def _anthology_id(collection: str, volume: str, paper: str) -> str:
    if collection[0].isdigit():
        return f"{collection}-{volume}.{paper}"
    two_digits = collection[0] == "W" or collection == "C69" or (collection == "D19" and int(volume) >= 5)
    return f"{collection}-{int(volume):02d}{int(paper):02d}" if two_digits else f"{collection}-{volume}{int(paper):03d}"


def _text(element: ElementTree.Element | None) -> str:
    return "" if element is None else " ".join("".join(element.itertext()).split())
