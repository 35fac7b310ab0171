"""A stand-in for the services with rich synthetic data: for views, and for states that are hard to bring about for real."""

from __future__ import annotations

import copy
import re
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fake_calibration import CALIBRATED, CALIBRATING, FakeCalibrations
from fake_evaluation import EVALUATING, FakeEvaluations
from fake_judging import FakeJudging
from fake_models import FakeModels
from fake_stages import FakeStages

from app.results.search import (
    Agreement,
    Attribution,
    Calibrated,
    Card,
    CollectionView,
    Column,
    ColumnGuess,
    ColumnHit,
    CompareResult,
    DocumentView,
    Explanation,
    Facet,
    FacetValue,
    FoundBy,
    IndexView,
    JobView,
    Ledger,
    LedgerEntry,
    LedgerRow,
    Piece,
    PipelineView,
    Preview,
    RejectionView,
    SearchResult,
    StageTime,
    WhyNot,
    WorkspaceView,
)
from engine.errors import BadInput, IndexNotReady, NotFound

HOSTILE = "<img src=x onerror=alert(1)>${alert(1)}[x](javascript:alert(1))<script>alert(1)</script>"
TOPICS = (
    "dense retrieval",
    "query expansion",
    "learned sparse representations",
    "late interaction",
    "score calibration",
    "cross-encoder reranking",
    "relevance feedback",
    "approximate nearest neighbor search",
    "rank fusion",
    "test collections",
)
SHAPES = (
    "On {} for scientific literature",
    "A reproducibility study of {}",
    "Efficient {} with compressed indexes",
    "{} without labels: an empirical comparison",
    "Towards robust {} under domain shift",
    "How much does {} help? Evidence from twelve collections",
    "Revisiting {} in the light of large encoders",
)
VENUES = ("SIGIR", "ECIR", "CIKM", "ACL", "EMNLP", "TOIS", "Information Processing & Management")
PEOPLE = (
    "Ada Lindqvist",
    "Marco Ferrari",
    "Yuki Tanaka",
    "Priya Raman",
    "Thomas Okafor",
    "Elena Petrova",
    "Noah Cohen",
    "Mei-Ling Chen",
)
SPECIAL = (
    (
        "cjk",
        "基于预训练语言模型的稠密检索方法研究与中文文献搜索系统评测",
        "本文研究稠密检索在中文科技文献上的效果。retrieval dense 实验结果表明,混合方法优于单一方法。",
    ),
    (
        "arabic",
        "استرجاع المعلومات الكثيف للأدبيات العلمية العربية",
        "ندرس dense retrieval للنصوص العربية ونقارنه بالطرق المعجمية التقليدية.",
    ),
    (
        "long",
        "A very long title that goes on and on about dense retrieval, " * 4 + "and finally stops",
        "Dense retrieval. " * 400,
    ),
    (
        "hostile",
        HOSTILE,
        f"dense retrieval {HOSTILE} and an external image ![x](https://evil.example/x.png) <iframe src=https://evil.example>",
    ),
    ("untitled", "", "A dense document about retrieval that has no title at all."),
)


@dataclass(frozen=True)
class Paper:
    doc_id: str
    title: str
    text: str
    authors: tuple[str, ...]
    year: int | None
    venue: str
    url: str
    topic: str


def papers(count: int = 70) -> list[Paper]:
    made = []
    for i in range(count):
        topic = TOPICS[i % len(TOPICS)]
        title = SHAPES[i % len(SHAPES)].format(topic)
        text = (
            f"We study {topic} on collections of scientific abstracts. Earlier work on retrieval assumed exact term matching, which "
            f"misses paraphrases; dense encoders close this gap but lose rare names and numbers.\n\nOur experiments with {topic} "
            f"compare {i + 3} configurations under the same budget. The best combines lexical and dense evidence, and its gain over "
            "BM25 is significant after correction for multiple comparisons."
        )
        authors = tuple(PEOPLE[(i * 3 + j) % len(PEOPLE)] for j in range(1 + i % 5))
        made.append(
            Paper(
                f"paper-{i:03d}",
                title[0].upper() + title[1:],
                text,
                authors,
                1994 + (i * i) % 31,
                VENUES[i % len(VENUES)],
                f"https://example.org/papers/{i}",
                topic,
            )
        )
    made += [
        Paper(
            key,
            title,
            text,
            ("Fatima al-Zahra", "王小明"),
            2021,
            VENUES[0],
            "javascript:alert(1)" if key == "hostile" else "10.1145/3397271",
            "special",
        )
        for key, title, text in SPECIAL
    ]
    return made


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "pipeline": {"$ref": "#/$defs/stage"}},
    "$defs": {
        "bm25": {
            "description": "Exact words, weighted by rarity.",
            "properties": {
                "k": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": 1000,
                    "default": 100,
                    "title": "K",
                    "description": "How many.",
                },
                "k1": {"type": "number", "minimum": 0, "default": 1.2, "title": "K1"},
                "analyzer": {"enum": ["english", "any"], "default": "english", "title": "Analyzer", "type": "string"},
            },
        },
        "dense": {
            "description": "Meaning.",
            "properties": {
                "model": {"type": "string", "default": "all-MiniLM-L6-v2", "title": "Model"},
                "exact": {"type": "boolean", "default": False, "title": "Exact"},
                "ef": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None, "title": "Ef"},
            },
        },
        "fuse": {
            "description": "Merge lists.",
            "properties": {
                "inputs": {"type": "array", "items": {"$ref": "#/$defs/stage"}, "minItems": 2, "title": "Inputs"},
                "method": {"$ref": "#/$defs/fuser", "description": "How."},
            },
            "required": ["inputs"],
        },
        "cutoff": {"properties": {"k": {"type": "integer", "default": 100, "minimum": 1, "title": "K"}}},
        "rrf": {
            "properties": {
                "k": {"type": "integer", "default": 60, "minimum": 0, "title": "K"},
                "weights": {"type": "array", "items": {"type": "number"}, "default": [], "title": "Weights"},
            }
        },
        "wsum": {
            "properties": {
                "norm": {"enum": ["min-max", "z-score"], "default": "min-max", "title": "Norm", "type": "string"}
            }
        },
        "fuser": {"anyOf": [{"properties": {name: {"$ref": f"#/$defs/{name}"}}} for name in ("rrf", "wsum")]},
        "stage": {
            "anyOf": [
                *({"properties": {name: {"$ref": f"#/$defs/{name}"}}} for name in ("bm25", "dense", "fuse", "cutoff")),
                {"type": "array", "items": {"$ref": "#/$defs/stage"}},
            ]
        },
    },
}

YAML = {
    "BM25": "name: BM25\npipeline:\n- bm25: {k: 100}\n",
    "Dense": "name: Dense\npipeline:\n- dense: {model: all-MiniLM-L6-v2}\n",
    "Hybrid": "name: Hybrid\npipeline:\n- fuse:\n    inputs:\n    - - bm25: {k: 100}\n    - - dense: {model: all-MiniLM-L6-v2}\n    method:\n      rrf: {k: 60, weights: []}\n- cutoff: {k: 100}\n",
    "Not built": "name: Not built\npipeline:\n- dense: {model: other}\n",
    "Dense, platt": "name: Dense, platt\npipeline:\n- dense: {model: all-MiniLM-L6-v2}\n- platt: {slope: 1.0, intercept: 0.0, threshold: 0.3}\n",
}
SUMMARIES = {
    "BM25": "BM25",
    "Dense": "all-MiniLM-L6-v2",
    "Hybrid": "BM25 + all-MiniLM-L6-v2, fused by rrf",
    "Not built": "other",
    "Dense, platt": "all-MiniLM-L6-v2 → platt",
}


class FakeServices(FakeCalibrations, FakeEvaluations, FakeJudging, FakeModels, FakeStages):
    """The verbs of `app.verbs.services.Services` over an in-memory collection."""

    def __init__(self, folder: Path, *, read_only: bool = False, empty: bool = False) -> None:
        self.folder = folder
        self.read_only = read_only
        self.papers = {} if empty else {paper.doc_id: paper for paper in papers()}
        self.names = [] if empty else ["Retrieval papers", "CISI", "日本語の論文"]
        self.described: dict[str, str] = {}
        self.kept: list[str] = []
        self.saved = dict(YAML)
        self.calls = threading.local()

    def for_reading(self) -> FakeServices:
        reading = copy.copy(self)
        reading.read_only = True
        return reading

    # collections
    def workspace(self) -> WorkspaceView:
        return WorkspaceView(str(self.folder), 48_300_000, 61_000_000_000, self.read_only, self.collections(), ())

    def collections(self) -> tuple[CollectionView, ...]:
        return tuple(self._view(name) for name in self.names)

    def _view(self, name: str) -> CollectionView:
        if name != "Retrieval papers":
            return CollectionView(
                name,
                self.described.get(name, ""),
                1460 if name == "CISI" else 0,
                1522,
                "2026-05-02",
                4_100_000,
                (),
                76 if name == "CISI" else 0,
                "unindexed" if name == "CISI" else "empty",
            )
        indexes = (
            IndexView("g1", "bm25", "BM25 · english", 75, 310_000, "2026-05-02T10:11:12", "ready", 0, None, ""),
            IndexView(
                "g2",
                "dense",
                "Dense · all-MiniLM-L6-v2",
                71,
                1_240_000,
                "2026-05-02T10:12:40",
                "behind",
                4,
                0.994,
                "hnsw",
            ),
            IndexView("", "dense", "Dense · other", 0, 0, "", "absent", 75, None),
        )
        return CollectionView(name, "Seventy-five papers", 75, 81, "2026-05-02", 1_550_000, indexes, 3, "behind")

    def collection(self, name: str) -> CollectionView:
        if name not in self.names:
            raise NotFound(f"There is no collection called {name!r}. Known: {', '.join(self.names)}.")
        return self._view(name)

    def create_collection(self, name: str, description: str = "") -> CollectionView:
        if not name:
            raise BadInput("A collection needs a name.")
        self.names.append(name)
        self.described[name] = description
        return self._view(name)

    def describe_collection(self, name: str, description: str) -> CollectionView:
        self.collection(name)
        self.described[name] = description
        return self._view(name)

    def rename_collection(self, name: str, new: str) -> CollectionView:
        self.collection(name)
        self.names[self.names.index(name)] = new
        self.described[new] = self.described.pop(name, "")
        return self._view(new)

    def delete_collection(self, name: str) -> None:
        self.collection(name)
        self.names.remove(name)

    # library
    def preview(self, paths: Sequence[str], columns: Mapping[str, str] | None = None) -> tuple[Preview, ...]:
        records = tuple(
            {
                "doc_id": p.doc_id,
                "title": p.title,
                "text": p.text,
                "authors": list(p.authors),
                "year": p.year,
                "venue": p.venue,
            }
            for p in papers(4)
        )
        guesses = tuple(
            ColumnGuess(*pair)
            for pair in (("doc_id", "id"), ("title", "title"), ("text", "abstract"), ("year", "date"))
        )
        rejected = (RejectionView(f"{paths[0]} row 7", "The year is 'n.d.'", '{"id": "x7"}'),)
        return (Preview("CSV", paths[0], guesses, ("id", "title", "abstract", "date", "extra"), records, rejected),)

    def add(self, paths: Sequence[str], collection: str, **options: Any) -> str:
        return "job-1"

    def add_example(self) -> str:
        self.names = ["Retrieval papers"]
        self.papers = {paper.doc_id: paper for paper in papers()}
        return "job-1"

    def index(self, collection: str, specs: Any = None) -> str:
        return "job-2"

    def drop_index(self, collection: str, generation_id: str) -> None:
        self.collection(collection)

    def jobs(self, limit: int = 50) -> tuple[JobView, ...]:
        if not self.papers:
            return ()
        counts = {"added": 7210, "changed": 12, "duplicate": 3, "rejected": 60}
        return (
            JobView(
                "job-1",
                "add",
                "Retrieval papers",
                "Add anthology.bib",
                "running",
                "encode",
                7222,
                23_100,
                "documents",
                141.2,
                112.0,
                counts,
                "",
                "2026-05-02T10:00:00",
                "",
            ),
            JobView(
                "job-0",
                "add",
                "CISI",
                "Add cisi",
                "paused",
                "read",
                400,
                None,
                "documents",
                None,
                None,
                {"added": 400},
                "",
                "2026-05-02T09:00:00",
                "",
            ),
            JobView(
                "job-f",
                "add",
                "CISI",
                "Add broken.parquet",
                "failed",
                "read",
                0,
                None,
                "documents",
                None,
                None,
                {},
                "broken.parquet is truncated: its footer is missing. Save it again and add it.",
                "",
                "2026-05-02T08:00:00",
            ),
            JobView(
                "job-d",
                "add",
                "CISI",
                "Add notes",
                "done",
                "",
                40,
                40,
                "documents",
                None,
                None,
                {"added": 38, "rejected": 2},
                "",
                "",
                "2026-05-01T18:20:00",
            ),
        )

    def job(self, job_id: str) -> JobView:
        found = [job for job in (*self.jobs(), *EVALUATING, CALIBRATING, CALIBRATED) if job.job_id == job_id]
        if not found:
            raise NotFound(f"There is no job {job_id!r}.")
        return found[0]

    def pause(self, job_id: str) -> None:
        self.job(job_id)

    resume = cancel = pause

    def rejections(self, job_id: str, offset: int = 0, limit: int = 100) -> tuple[RejectionView, ...]:
        rows = [
            RejectionView(
                f"anthology.bib line {40 * i}",
                "This entry has no title and no abstract.",
                f"@misc{{key{i}, note = {{{HOSTILE}}}}}",
            )
            for i in range(60)
        ]
        return tuple(rows[offset : offset + limit])

    def doctor(self) -> list[Any]:
        return []

    # pipelines
    def pipelines(self) -> tuple[PipelineView, ...]:
        return tuple(
            PipelineView(name, i % 4, yaml, SUMMARIES.get(name, ""), reranks=name == "Hybrid")
            for i, (name, yaml) in enumerate(self.saved.items())
        )

    def pipeline(self, name: str) -> PipelineView:
        found = [view for view in self.pipelines() if view.name == name]
        if not found:
            raise NotFound(f"There is no pipeline called {name!r}.")
        return found[0]

    def check_pipeline(self, yaml: str) -> PipelineView:
        if "pipeline" not in yaml:
            raise BadInput("Line 1: a pipeline file holds `name:` and `pipeline:`.")
        return PipelineView("", 0, yaml, "checked")

    def save_pipeline(self, name: str, yaml: str) -> PipelineView:
        if not name:
            raise BadInput("A pipeline needs a name.")
        self.saved[name] = yaml
        return self.pipeline(name)

    def delete_pipeline(self, name: str) -> None:
        self.pipeline(name)
        del self.saved[name]

    def schema(self) -> dict[str, Any]:
        return SCHEMA

    # search
    def _scores(self, query: str, kind: str) -> list[tuple[str, float]]:
        words = set(tokens(query))
        scored = []
        for paper in self.papers.values():
            if kind == "Dense":
                closeness = len(words & set(tokens(paper.topic + paper.title))) / (1 + len(words))
                score = closeness + (zlib.crc32(f"{paper.doc_id}{query}".encode()) % 1000) / 2500
            else:
                score = sum(tokens(paper.title + " " + paper.text).count(word) for word in words) / (
                    1 + len(paper.text) / 900
                )
            if score > 0:
                scored.append((paper.doc_id, float(score)))
        return sorted(scored, key=lambda pair: (-pair[1], pair[0]))

    def _ranking(self, query: str, pipeline: str) -> tuple[list[tuple[str, float]], dict[str, tuple[FoundBy, ...]]]:
        if pipeline == "Not built":
            raise IndexNotReady(
                "The index 'Dense · other' is not built yet. Build it in the Library, or with `triptych index`."
            )
        if pipeline not in self.saved:
            raise NotFound(f"There is no pipeline called {pipeline!r}.")
        kinds = {"BM25": ["BM25"], "Dense": ["Dense"], "Dense, platt": ["Dense"]}.get(pipeline, ["BM25", "Dense"])
        lists = {kind: self._scores(query, kind) for kind in kinds}
        found: dict[str, tuple[FoundBy, ...]] = {}
        fused: dict[str, float] = {}
        for kind, hits in lists.items():
            for rank, (doc_id, score) in enumerate(hits, 1):
                found[doc_id] = (*found.get(doc_id, ()), FoundBy(kind, rank, score))
                fused[doc_id] = fused.get(doc_id, 0.0) + 1 / (60 + rank)
        ranking = lists[kinds[0]] if len(kinds) == 1 else sorted(fused.items(), key=lambda pair: (-pair[1], pair[0]))
        return ranking, found

    def _card(self, doc_id: str, rank: int, score: float, query: str = "", found: tuple[FoundBy, ...] = ()) -> Card:
        paper = self.papers[doc_id]
        words = set(tokens(query))
        runs = re.split(r"(\W+)", paper.text[:280])
        marked = [
            Piece(
                run,
                "lexical"
                if run.lower() in words
                else "semantic"
                if run in ("paraphrases", "encoders") and words
                else "",
            )
            for run in runs
            if run
        ]
        return Card(
            doc_id,
            paper.title,
            paper.authors,
            paper.year,
            paper.venue,
            paper.url,
            "papers.bib",
            tuple(marked),
            rank,
            score,
            found,
            doc_id in self.kept,
            {"paper-000": 2, "paper-010": 0}.get(doc_id) if query else None,
        )

    def _calibrated(
        self, pipeline: str, query: str, hits: list[tuple[str, float]], most: int
    ) -> tuple[list[tuple[str, float]], Calibrated | None]:
        """What the calibrated pipeline keeps: 0.8, 0.72, 0.64 … from the first hit on, a tenth of that for cakes; from 0.3 on."""
        if pipeline != "Dense, platt" or not query:
            return hits, None
        level = 0.08 if "cake" in query else 0.8
        said = [(doc_id, max(0.01, level * (1 - i / 10))) for i, (doc_id, _) in enumerate(hits)]
        kept = [pair for pair in said if pair[1] >= 0.3]
        below = enumerate(said[len(kept) :][:most], len(kept) + 1)
        dropped = tuple(replace(self._card(d, rank, p, query), probability=p) for rank, (d, p) in below)
        relevant = tuple(p for doc_id, p in said if doc_id == "paper-000")
        return kept, Calibrated("platt", 0.3, tuple(p for _, p in said), relevant, dropped)

    def _filtered(self, hits: list[tuple[str, float]], filters: Mapping[str, Any] | None) -> list[tuple[str, float]]:
        kept = []
        for doc_id, score in hits:
            paper = self.papers[doc_id]
            years, venues = (filters or {}).get("year"), (filters or {}).get("venue")
            if years and not (paper.year and years[0] <= paper.year <= years[1]):
                continue
            if venues and paper.venue not in venues:
                continue
            kept.append((doc_id, score))
        return kept

    def search(
        self,
        collection: str,
        query: str,
        pipeline: str,
        *,
        k: int = 100,
        offset: int = 0,
        limit: int = 20,
        filters: Mapping[str, Any] | None = None,
        wide: Sequence[str] = (),
    ) -> SearchResult:
        self.collection(collection)
        text = query.strip()
        notices = ("The query was longer than 2,000 characters; the rest was ignored.",) if len(text) > 2000 else ()
        if text:
            hits, found = self._ranking(text, pipeline)
        else:
            hits, found = [(doc_id, 0.0) for doc_id in self.papers], {}
        hits = self._filtered(hits, filters)[: k if text else None]
        hits, calibrated = self._calibrated(pipeline, text, hits, 20)
        cards = tuple(
            replace(self._card(d, offset + i + 1, s, text, found.get(d, ())), probability=s if calibrated else None)
            for i, (d, s) in enumerate(hits[offset : offset + limit])
        )
        suggestions = () if text else tuple(text for _, text in self.questions(collection))
        return SearchResult(
            collection,
            text,
            self.pipeline(pipeline),
            k,
            offset,
            len(hits),
            cards,
            self._facets(hits, filters),
            self._stages(pipeline),
            4.2,
            notices,
            suggestions,
            calibrated,
        )

    def _facets(self, hits: list[tuple[str, float]], filters: Mapping[str, Any] | None) -> tuple[Facet, ...]:
        def counted(get: Any) -> dict[str, int]:
            counts: dict[str, int] = {}
            for doc_id, _ in hits:
                value = str(get(self.papers[doc_id]))
                counts[value] = counts.get(value, 0) + 1
            return counts

        chosen = filters or {}
        years = tuple(FacetValue(v, n, False) for v, n in sorted(counted(lambda p: p.year).items()))
        venues = tuple(
            FacetValue(v, n, v in chosen.get("venue", ()))
            for v, n in sorted(counted(lambda p: p.venue).items(), key=lambda pair: -pair[1])
        )
        topics = tuple(
            FacetValue(v, n, False)
            for v, n in sorted(counted(lambda p: p.topic).items(), key=lambda pair: -pair[1])[:6]
        )
        return (
            (Facet("year", "Year", years), Facet("venue", "Venue", venues), Facet("metadata.topic", "Topic", topics, 5))
            if hits
            else ()
        )

    def _stages(self, pipeline: str, cached: bool = False) -> tuple[StageTime, ...]:
        bm25 = StageTime("0", "BM25", 1.1, 1, 62, cached)
        dense = StageTime("1", "all-MiniLM-L6-v2", 6.3, 1, 75, cached)
        if pipeline in ("BM25", "Dense"):
            return (bm25,) if pipeline == "BM25" else (dense,)
        return (
            replace(bm25, cached=True),
            replace(dense, cached=True),
            StageTime("2", "fuse (rrf)", 0.8, 137, 75),
            StageTime("3", "top 100", 0.1, 75, 75),
        )

    def compare(
        self,
        collection: str,
        query: str,
        pipelines: Sequence[str],
        *,
        k: int = 10,
        filters: Mapping[str, Any] | None = None,
    ) -> CompareResult:
        self.collection(collection)
        columns: list[Column] = []
        for slot, name in enumerate(pipelines):
            view = PipelineView(name, slot, self.saved.get(name, ""), SUMMARIES.get(name, name))
            try:
                hits, found = self._ranking(query, name)
            except (IndexNotReady, NotFound) as error:
                columns.append(Column(view, (), (), 0.4, 0, str(error), type(error).__name__))
                continue
            hits = self._filtered(hits, filters)
            room = max(0, k - len(self._calibrated(name, query, hits, 0)[0]))
            hits, calibrated = self._calibrated(name, query, hits, room)
            left = [hit.card.doc_id for hit in columns[-1].hits] if columns else []
            shown = []
            for i, (doc_id, score) in enumerate(hits[:k]):
                movement = left.index(doc_id) - i if doc_id in left else None
                shown.append(
                    ColumnHit(
                        replace(
                            self._card(doc_id, i + 1, score, query, found.get(doc_id, ())),
                            probability=score if calibrated else None,
                        ),
                        movement if columns else None,
                        bool(columns) and doc_id not in left,
                    )
                )
            columns.append(
                Column(
                    view,
                    tuple(shown),
                    self._stages(name),
                    {"BM25": 1.4, "Dense": 6.6}.get(name, 1.2),
                    len(hits),
                    calibrated=calibrated,
                )
            )
        pairs = []
        for i, a in enumerate(columns):
            for j in range(i + 1, len(columns)):
                one, other = ({hit.card.doc_id for hit in column.hits} for column in (a, columns[j]))
                if not a.error and not columns[j].error and one | other:
                    pairs.append(
                        Agreement(
                            i,
                            j,
                            len(one & other) / len(one | other),
                            0.9 * len(one & other) / len(one | other),
                            len(one & other),
                        )
                    )
        return CompareResult(collection, query, k, tuple(columns), tuple(pairs), 9.7, "dense" in query, ())

    def ledger(
        self, collection: str, query: str, pipeline: str, *, k: int = 10, filters: Mapping[str, Any] | None = None
    ) -> Ledger | None:
        if pipeline in ("BM25", "Dense", "Not built"):
            return None
        hits, found = self._ranking(query, pipeline)
        rows = []
        for rank, (doc_id, score) in enumerate(hits[:k], 1):
            by = {item.label: item for item in found[doc_id]}
            entries = tuple(
                LedgerEntry(by[kind].rank, by[kind].score, 1 / (60 + by[kind].rank), 1 / (60 + by[kind].rank))
                if kind in by
                else LedgerEntry(None, None, None, 0.0)
                for kind in ("BM25", "Dense")
            )
            rows.append(LedgerRow(doc_id, self.papers[doc_id].title, rank, score, entries))
        return Ledger(pipeline, "rrf", "Σ 1 / (60 + rank)", ("BM25", "Dense"), tuple(rows))

    def report_comparison(
        self, collection: str, query: str, pipelines: Sequence[str], *, k: int = 10, filters: Any = None
    ) -> bytes:
        if not query.strip():
            raise BadInput("Ask something first; the report is of one query.")
        return b"<!doctype html><title>Comparison</title>"

    def why_not(
        self,
        collection: str,
        query: str,
        pipelines: Sequence[str],
        doc_id: str,
        *,
        k: int = 10,
        filters: Mapping[str, Any] | None = None,
    ) -> tuple[WhyNot, ...]:
        verdicts = ("below_cutoff", "no_shared_term", "shown", "missed_by_ann")
        return tuple(
            WhyNot(
                name,
                i,
                verdicts[i % 4],
                f"{doc_id} is at rank {17 + i}, below the cut-off of {k}.",
                (("BM25", "rank 17, score 3.2"), ("Dense", "rank 214, score 0.31")),
            )
            for i, name in enumerate(pipelines)
        )

    # reading
    def document(
        self, collection: str, doc_id: str, *, query: str = "", pipeline: str = "", filters: Any = None
    ) -> DocumentView:
        paper = self.papers.get(doc_id)
        if paper is None:
            raise NotFound(f"There is no document {doc_id!r} in {collection!r}; it may have been deleted.")
        explanations = self._explained(paper, query, pipeline) if query else ()
        metadata = (
            ("topic", paper.topic),
            ("doi", "10.1145/3397271.3401075"),
            ("note", HOSTILE if doc_id == "hostile" else "camera-ready"),
        )
        half = len(paper.text) // 2
        return DocumentView(
            doc_id,
            paper.title,
            paper.text,
            paper.authors,
            paper.year,
            paper.venue,
            paper.url,
            "papers.bib",
            metadata,
            ((0, half), (half, len(paper.text))),
            doc_id in self.kept,
            self.more_like_this(collection, doc_id, k=6),
            explanations,
        )

    def _explained(self, paper: Paper, query: str, pipeline: str) -> tuple[Explanation, ...]:
        shift = len(paper.title) + 2 if paper.title else 0
        lexical = [
            Attribution(m.group().lower(), 1.7, m.start() + shift, m.end() + shift)
            for word in dict.fromkeys(tokens(query))
            if (m := re.search(rf"\b{re.escape(word)}\b", paper.text, re.I))
        ]
        semantic = [
            Attribution(word, weight, at + shift, at + len(word) + shift)
            for word, weight in (("paraphrases", 0.21), ("encoders", 0.18), ("abstracts", 0.12), ("budget", -0.03))
            if (at := paper.text.find(word)) >= 0
        ]
        exact = Explanation("BM25", "bm25", True, sum(a.weight for a in lexical), 3, tuple(lexical), "", "lexical")
        close = Explanation(
            "all-MiniLM-L6-v2",
            "dense",
            False,
            0.71,
            None,
            tuple(semantic),
            "Cosine lost when each token is left out; the parts do not add up to it.",
            "semantic",
        )
        return (exact,) if pipeline == "BM25" else (close,) if pipeline == "Dense" else (exact, close)

    def more_like_this(self, collection: str, doc_id: str, *, k: int = 10) -> tuple[Card, ...]:
        if doc_id not in self.papers:
            raise NotFound(f"There is no document {doc_id!r}.")
        near = [p for p in self.papers.values() if p.topic == self.papers[doc_id].topic and p.doc_id != doc_id]
        return tuple(self._card(p.doc_id, i + 1, 0.9 - i / 50) for i, p in enumerate(near[:k]))

    def find_documents(self, collection: str, text: str, limit: int = 20) -> tuple[tuple[str, str], ...]:
        return tuple((p.doc_id, p.title) for p in self.papers.values() if text.lower() in (p.title + p.doc_id).lower())[
            :limit
        ]

    def questions(self, collection: str) -> tuple[tuple[str, str], ...]:
        if collection != "Retrieval papers":
            return ()
        return tuple(
            (str(i), text)
            for i, text in enumerate(
                (
                    "dense retrieval for scientific literature",
                    "does query expansion help dense encoders?",
                    "how to calibrate scores of a reranker",
                )
            )
        )

    def delete_documents(self, collection: str, doc_ids: list[str]) -> int:
        return sum(self.papers.pop(doc_id, None) is not None for doc_id in doc_ids)

    def shortlist(self, collection: str) -> tuple[Card, ...]:
        return tuple(self._card(doc_id, i + 1, 0.0) for i, doc_id in enumerate(self.kept))

    def shortlist_add(self, collection: str, doc_id: str) -> None:
        if doc_id not in self.papers:
            raise NotFound(f"There is no document {doc_id!r}.")
        if doc_id not in self.kept:
            self.kept.append(doc_id)

    def shortlist_remove(self, collection: str, doc_id: str) -> None:
        if doc_id in self.kept:
            self.kept.remove(doc_id)

    def export_shortlist(self, collection: str, form: str) -> str:
        if form not in ("bibtex", "ris", "csv"):
            raise BadInput(f"A shortlist is exported as bibtex, ris, csv; got {form!r}.")
        return "\n".join(self.kept)
