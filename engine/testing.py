"""What tests share: tiny deterministic fakes, and the contract that every component of a family must keep.

Third parties call the same contracts on their own components; each takes a specification and an empty folder and raises AssertionError.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.chunkers.base import Chunker
from engine.context import Context
from engine.encoders.base import Encoder
from engine.encoders.sparse import joined
from engine.feedback.base import QUERIES_NOTE, Feedback, NewQuery
from engine.fusers.base import CONTRIBUTIONS, Fuser
from engine.indexes.base import IndexSpec, OpenIndex
from engine.llm import ChatModel
from engine.metrics.base import Metric, mark, parse_metric
from engine.models.card import ModelCard
from engine.pipeline import PipelineSpec, Stage
from engine.rerankers.base import RERANK_NOTE, Reranker
from engine.retrievers.base import Retriever, document_scores
from engine.selectors.base import SELECTION_NOTE, Selector
from engine.types import (
    HITS,
    FloatRows,
    Ints,
    Mask,
    Progress,
    ProgressSink,
    Ranking,
    Snapshot,
    SparseRows,
    TokenRows,
    TopK,
    ignore_progress,
)

RECALL_SAMPLE = 100  # texts that an approximate index may ask for, to measure what it misses
SENTENCES = (
    "Neural retrieval of scientific papers",
    "Stemming and stop words in English retrieval",
    "Dense vectors encode the meaning of papers",
    "A graph of nearest neighbors answers quickly",
    "Inverted lists answer word queries exactly",
    "Scientific papers cite other scientific papers",
    "Calibration turns scores into probabilities",
    "Probabilities of relevance rank the papers",
)


class HashEncoder:
    """A dense encoder without a model: each word adds ±1 at a hashed place, rows are L2-normalized. Texts that share words are close.

    A text without words gives a zero row. `calls` counts the documents that were encoded.
    """

    def __init__(self, dimensions: int = 32, name: str = "hash") -> None:
        self.card = ModelCard(
            name=name,
            title="Hashed words",
            source="engine.testing",
            revision="1",
            licence="Apache-2.0",
            dimensions=dimensions,
            max_tokens=512,
            similarity="cosine",
            pooling="mean",
            files={},
        )
        self.fingerprint = f"{name}/{dimensions}"
        self.calls = 0

    def encode_queries(self, texts: Sequence[str]) -> FloatRows:
        """float32 [texts, dimensions]."""
        rows = np.zeros((len(texts), self.card.dimensions), np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                code = zlib.crc32(word.encode())
                row[code % len(row)] += 1 if code & (1 << 20) else -1
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, lengths, out=rows, where=lengths > 0)
        return rows

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> FloatRows:
        """float32 [texts, dimensions]."""
        progress(Progress("encode", len(texts), len(texts)))
        self.calls += len(texts)
        return self.encode_queries(texts)


class HashTokenEncoder:
    """An encoder for late interaction without a model: each word is a token whose vector depends on the word alone. `calls` counts documents."""

    def __init__(self, dimensions: int = 16, name: str = "hashed-tokens") -> None:
        fields = HashEncoder(dimensions, name).card.model_dump()
        self.card = ModelCard.model_validate(fields | {"family": "late", "pooling": "none"})
        self.fingerprint = f"{name}/{dimensions}"
        self.calls = 0
        self._words: dict[int, str] = {}

    def encode_queries(self, texts: Sequence[str]) -> TokenRows:
        """A vector for each word of each text."""
        words = [[token for token, _, _ in self.tokens(text, "query")] for text in texts]
        indptr = np.cumsum([0, *(len(of_text) for of_text in words)]).astype(np.int64)
        ids = np.array([self._number(word) for of_text in words for word in of_text], np.int32)
        rows = [np.random.default_rng(number).standard_normal(self.card.dimensions) for number in ids.tolist()]
        vectors = np.array(rows, np.float32).reshape(-1, self.card.dimensions)
        return TokenRows(indptr, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), ids)

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> TokenRows:
        """A vector for each word of each text."""
        progress(Progress("encode", len(texts), len(texts)))
        self.calls += len(texts)
        return self.encode_queries(texts)

    def tokens(self, text: str, role: str) -> list[tuple[str, int, int]]:
        """(word, start, end) of each word."""
        return [(found[0].lower(), found.start(), found.end()) for found in re.finditer(r"\w+", text)]

    def written(self, ids: Sequence[int]) -> list[str]:
        """The words with these numbers, as far as they were met."""
        return [self._words.get(int(number), "") for number in ids]

    def _number(self, word: str) -> int:
        number = zlib.crc32(word.encode()) % 30_000
        self._words[number] = word
        return number


class HashTermEncoder:
    """A sparse encoder without a model, for inference-free queries: each word is a term; a document also gets the singular of its plurals.

    In documents a word weighs 1 + ln(times), an added term 0.5; in queries a word weighs 1 and an eighth for each letter. `calls` counts documents.
    """

    def __init__(self, width: int = 5_000, name: str = "hashed-terms") -> None:
        fields = HashEncoder(width, name).card.model_dump()
        self.card = ModelCard.model_validate(
            fields | {"family": "sparse", "pooling": "none", "queries": "inference-free"}
        )
        self.fingerprint = f"{name}/{width}"
        self.query_weights = np.zeros(width, np.float32)
        self.calls = 0
        self._words: dict[int, str] = {}

    def encode_queries(self, texts: Sequence[str]) -> SparseRows:
        """The distinct words of each text."""
        terms = [np.unique(ids).astype(np.int32) for ids in self.literal_ids(texts)]
        return joined([(of_text, self.query_weights[of_text]) for of_text in terms], self.card.dimensions)

    def encode_documents(self, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> SparseRows:
        """The words of each text, and what is added to them."""
        progress(Progress("encode", len(texts), len(texts)))
        self.calls += len(texts)
        rows = []
        for text in texts:
            words = [word for word, _, _ in _words(text)]
            added = {word.removesuffix("s"): 0.5 for word in words if word.endswith("s")}
            rows.append(added | {word: 1 + math.log(words.count(word)) for word in words})
        return self._rows(rows)

    def literal_ids(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """The words of each text."""
        return [np.array([self._number(word) for word, _, _ in _words(text)], np.int64) for text in texts]

    def literal_places(self, text: str) -> list[tuple[int, int, int]]:
        """(term, start, end) of each word."""
        return [(self._number(word), start, end) for word, start, end in _words(text)]

    def terms(self, ids: Sequence[int]) -> list[str]:
        """The words with these numbers, as far as they were met."""
        return [self._words.get(int(number), "") for number in ids]

    def _number(self, word: str) -> int:
        number = zlib.crc32(word.encode()) % self.card.dimensions
        self._words[number] = word
        self.query_weights[number] = 1 + len(word) / 8
        return number

    def _rows(self, texts: Sequence[Mapping[str, float]]) -> SparseRows:
        rows = [sorted({self._number(word): weight for word, weight in text.items()}.items()) for text in texts]
        parts = [np.array(row, np.float64).reshape(-1, 2).T for row in rows]
        return joined([(t.astype(np.int32), w.astype(np.float32)) for t, w in parts], self.card.dimensions)


def _words(text: str) -> list[tuple[str, int, int]]:
    return [(found[0].lower(), found.start(), found.end()) for found in re.finditer(r"\w+", text)]


def fake_encoder(kind: str) -> Any:
    """The fake that gives the rows of an index of this kind."""
    fakes: dict[str, Any] = {"sparse": HashTermEncoder, "late": HashTokenEncoder}
    return fakes.get(kind, HashEncoder)()


class OverlapScorer:
    """A cross-encoder without a model: the score is the number of different words that query and text share, less a thousandth a word of the text.

    `pairs` counts what was scored.
    """

    def __init__(self) -> None:
        fields = HashEncoder(1, "overlap").card.model_dump()
        self.card = ModelCard.model_validate(fields | {"family": "cross", "pooling": "none"})
        self.fingerprint = "overlap"
        self.pairs = 0

    @property
    def passes(self) -> OverlapScorer:
        """Itself."""
        return self

    def batches(
        self, query: str, texts: Sequence[str], tokens: int = 0
    ) -> Generator[tuple[Ints, NDArray[np.float32]], None, None]:
        """Two texts at a time, in order."""
        asked = set(re.findall(r"\w+", query.lower()))
        for start in range(0, len(texts), 2):
            words = [re.findall(r"\w+", text.lower()) for text in texts[start : start + 2]]
            scores = [len(asked & set(found)) - len(found) / 1000 for found in words]
            yield np.arange(start, start + len(words)), np.array(scores, np.float32)

    def score(self, query: str, texts: Sequence[str], progress: ProgressSink = ignore_progress) -> NDArray[np.float32]:
        """float32 [texts]."""
        self.pairs += len(texts)
        progress(Progress("score", len(texts), len(texts), "pairs"))
        return np.concatenate([np.zeros(0, np.float32), *(scores for _, scores in self.batches(query, texts))])


class MemorySource:
    """Units held in a dictionary, number to text. `asked` counts the texts that were fetched."""

    def __init__(self, units: Mapping[int, str], encoder: Any = None) -> None:
        self.units = dict(sorted(units.items()))
        self._encoder = encoder or HashEncoder()
        self._scorer = OverlapScorer()
        self.asked = 0

    @property
    def numbers(self) -> Ints:
        """Ascending unit numbers."""
        return np.array(list(self.units), np.int64)

    def texts(self, numbers: Ints) -> list[str]:
        """The texts of these units, in this order."""
        self.asked += len(numbers)
        return [self.units[number] for number in numbers.tolist()]

    def encoder(self, model: str) -> Any:
        """The same encoder for every model name."""
        return self._encoder

    def scorer(self, model: str) -> Any:
        """The same cross-encoder for every model name."""
        return self._scorer


class MemoryResources:
    """One collection in memory, for running stages: each document is one passage, and document and passage numbers are the same.

    Indexes are built where a stage first asks for them, in subfolders of `folder`.
    """

    def __init__(self, texts: Mapping[str, str], folder: Path, encoder: Any = None) -> None:
        self._units = {3 * i + 1: text for i, text in enumerate(texts.values())}
        self._source = MemorySource(self._units, encoder)
        self._folder = folder
        self._open: dict[IndexSpec, OpenIndex] = {}
        self.chat: ChatModel | None = None
        numbers = self._source.numbers
        places = np.arange(len(numbers), dtype=np.int32)
        self.snapshot = Snapshot(
            "memory", 1, numbers, pl.Series("doc_id", list(texts), dtype=pl.String), numbers, places
        )

    def index(self, spec: IndexSpec) -> OpenIndex:
        """The index of this specification, built on first use."""
        if spec not in self._open:
            self._open[spec] = _built(spec, self._source, None, self._folder / str(len(self._open)))
        return self._open[spec]

    def row_docs(self, spec: IndexSpec) -> NDArray[np.int32]:
        """The position of each row's document; rows may be fewer than documents, never others."""
        return np.searchsorted(self.snapshot.doc_nos, self.index(spec).numbers).astype(np.int32)

    def encoder(self, model: str) -> Encoder[Any]:
        """The encoder that was given, whatever the model."""
        found: Encoder[Any] = self._source.encoder(model)
        return found

    def scorer(self, model: str) -> Any:
        """The same cross-encoder for every model name."""
        return self._source.scorer(model)

    def unit_text(self, spec: IndexSpec, row: int) -> str:
        """The text of one row."""
        return self._units[int(self.index(spec).numbers[row])]

    def texts(self, doc_ids: Sequence[str]) -> list[str]:
        """The texts of these documents; empty for one that was never given."""
        held = dict(zip(self.snapshot.doc_ids, self._units.values(), strict=True))
        return [held.get(doc_id, "") for doc_id in doc_ids]

    def language_model(self) -> ChatModel:
        """The one that a test has put here."""
        assert self.chat is not None
        return self.chat

    def passages(self, doc_ids: Sequence[str]) -> list[list[str]]:
        """Each document is its one passage."""
        return [[text] if text else [] for text in self.texts(doc_ids)]


def sentences(count: int) -> dict[int, str]:
    """`count` units with gaps in their numbers and repeated words in their texts."""
    return {7 * i + 3: f"{SENTENCES[i % len(SENTENCES)]} topic{i % 5} item{i}" for i in range(count)}


def check_index(spec: IndexSpec, folder: Path, encoder: Any = None) -> None:
    """The contract of the indexes family: rows, filters, k, ties, incremental builds and refusals."""
    units = sentences(60)
    encoder = encoder or fake_encoder(spec.kind)
    source = MemorySource(units, encoder)
    index = _built(spec, source, None, folder / "full")
    np.testing.assert_array_equal(index.numbers, source.numbers)

    queries = query_rows(spec, source, ["scientific papers", "nearest neighbors graph"])
    found = index.search(queries, 5)
    _check_hits(found, 2, 5, np.ones(60, bool))
    everything = index.search(queries, 1_000)
    assert everything.rows.shape[1] == 60, "k above the number of rows gives every row a place, no more"
    np.testing.assert_array_equal(everything.rows[:, :5], found.rows)
    assert index.search(queries, 0).rows.shape == (2, 0)
    assert index.search(query_rows(spec, source, []), 5).rows.shape == (0, 5)

    for share in (0.0, 0.05, 0.5, 1.0):
        allowed = np.random.default_rng(3).random(60) < share
        filtered = index.search(queries, 7, allowed)
        _check_hits(filtered, 2, 7, allowed)
        for of_all, of_allowed in zip(everything.rows, filtered.rows, strict=True):
            expected = [row for row in of_all if row >= 0 and allowed[row]][:7]
            assert of_allowed[of_allowed >= 0].tolist() == expected, "a filter keeps the order of the rows that pass"

    changed = {number: text for number, text in units.items() if number % 4} | {
        10_000: "a new paper about scientific papers",
        10_007: "another one",
    }
    grown = MemorySource(changed, encoder)
    incremental = _built(spec, grown, index, folder / "incremental")
    assert spec.joint or grown.asked <= 2 + RECALL_SAMPLE, (
        "texts of units that the previous index holds are not asked for again"
    )
    full = _built(spec, MemorySource(changed, encoder), None, folder / "again")
    np.testing.assert_array_equal(incremental.numbers, sorted(changed))
    np.testing.assert_array_equal(incremental.search(queries, 9).rows, full.search(queries, 9).rows)
    np.testing.assert_array_equal(incremental.search(queries, 9).scores, full.search(queries, 9).scores)

    empty = _built(spec, MemorySource({}, encoder), None, folder / "empty")
    assert len(empty.numbers) == 0
    assert empty.search(queries, 5).rows.shape == (2, 0)
    refilled = _built(spec, source, empty, folder / "refilled")
    np.testing.assert_array_equal(refilled.search(queries, 5).rows, found.rows)
    alone = _built(spec, MemorySource({5: "scientific papers"}, encoder), None, folder / "alone")
    _check_hits(alone.search(queries, 3), 2, 1, np.ones(1, bool))
    assert type(spec).model_validate(spec.model_dump()) == spec


def query_rows(spec: IndexSpec, source: MemorySource, texts: list[str]) -> Any:
    """The queries in the form that this kind of index takes."""
    if spec.kind == "cur":  # mixtures of its questions
        rows = [np.random.default_rng(len(text)).normal(size=spec.queries) for text in texts]  # type: ignore[attr-defined]
        return np.array(rows, np.float32).reshape(len(texts), spec.queries)  # type: ignore[attr-defined]
    return texts if spec.kind == "bm25" else source.encoder("").encode_queries(texts)


def _built(spec: IndexSpec, source: MemorySource, previous: OpenIndex | None, folder: Path) -> OpenIndex:
    folder.mkdir(parents=True)
    steps: list[Progress] = []
    info = spec.build(source, previous, folder, steps.append)
    assert steps, "a build reports progress"
    index = spec.open(folder)
    assert (info.rows, info.fingerprint) == (len(index.numbers), index.fingerprint)
    return index


def _check_hits(found: TopK, queries: int, width: int, allowed: Mask) -> None:
    """Shapes and types, descending scores, ties by row, no row twice or against the filter."""
    assert found.rows.shape == found.scores.shape == (queries, width)
    assert (str(found.rows.dtype), str(found.scores.dtype)) == ("int64", "float32")
    for rows, scores in zip(found.rows.tolist(), found.scores.tolist(), strict=True):
        hits = [(score, row) for row, score in zip(rows, scores, strict=True) if row >= 0]
        assert hits == sorted(hits, key=lambda hit: (-hit[0], hit[1]))
        assert len({row for _, row in hits}) == len(hits)
        assert all(allowed[row] for _, row in hits)
        assert rows[len(hits) :] == [-1] * (width - len(hits)), "missing hits stand last"
        assert all(score == -np.inf for score in scores[len(hits) :])


def check_fuser(method: Fuser) -> None:
    """The contract of the fusers family: the union, finite contributions, nulls for absence, queries apart, empty lists."""

    def hits(*rows: tuple[str, str, float]) -> pl.DataFrame:
        scored = pl.DataFrame(rows, schema={"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}, orient="row")
        return Ranking.of([("p", "one"), ("q", "two")]).with_hits(scored).hits

    left = hits(("p", "a", 3.0), ("p", "b", 2.0), ("q", "a", 1.0))
    right = hits(("p", "b", 0.9), ("p", "c", -0.5))
    table = method.contributions([left, right])
    assert table.schema == CONTRIBUTIONS
    pairs = table.select("qid", "doc_id").unique().sort("qid", "doc_id").rows()
    assert pairs == [("p", "a"), ("p", "b"), ("p", "c"), ("q", "a")], "every document of any list, and no other"
    assert len(table) == 2 * len(pairs), "one row for each document and list"
    assert table["contribution"].is_finite().all()
    absent = table.filter(pl.col("raw").is_null()).select("qid", "doc_id", "input").sort("qid", "doc_id").rows()
    assert absent == [("p", "a", 1), ("p", "c", 0), ("q", "a", 1)]
    assert table.filter(pl.col("raw").is_null() != pl.col("rank").is_null()).is_empty()
    alone = method.contributions([left.filter(qid="q"), right.filter(qid="q")])
    together = table.filter(qid="q")
    assert alone.sort("input").equals(together.sort("input")), "a query's fusion does not depend on other queries"
    empty = pl.DataFrame(schema=HITS)
    assert method.contributions([empty, empty]).is_empty()
    assert set(method.contributions([left, empty])["doc_id"]) == {"a", "b"}
    assert method.formula()
    assert type(method).model_validate(method.model_dump()) == method


def check_retriever(retriever: Retriever, folder: Path, encoder: Any = None) -> None:
    """The contract of the retrievers family: best documents first, k, filters, empty queries, exact scores and explanations that agree."""
    texts = {f"d{i}": text for i, text in enumerate(sentences(40).values())}
    encoder = encoder or fake_encoder(retriever.index_spec().kind)
    resources = MemoryResources(texts, folder, encoder)
    queries = Ranking.of([("1", "scientific papers"), ("2", "nearest neighbors graph"), ("3", "   ")])
    asked = retriever.model_copy(update={"k": 6})
    found, span = Context(resources).execute(asked, queries)
    assert found.queries.equals(queries.queries)
    assert found.hits.schema == HITS
    assert set(found.hits["qid"]) == {"1", "2"}, "an empty query finds nothing"
    assert found.hits["rank"].max() == 6
    assert span.returned == len(found.hits)

    for qid, text in (("1", "scientific papers"), ("2", "nearest neighbors graph")):
        scores, rows = asked.score_documents(text, Context(resources))
        order = sorted(range(40), key=lambda d: (-scores[d], f"d{d}"))
        best = [(f"d{d}", scores[d]) for d in order if not (asked.needs_match and scores[d] <= 0)][:6]
        got = list(found.hits.filter(qid=qid).select("doc_id", "score").iter_rows())
        np.testing.assert_allclose([score for _, score in got], [score for _, score in best], rtol=1e-4, atol=1e-5)
        first = int(got[0][0][1:])
        told = asked.explain_row(text, int(rows[first]), Context(resources))
        assert abs(told.score - got[0][1]) < 1e-3, "the explanation is of the score that was given"
        if told.exact and told.weights:
            assert abs(sum(w.weight for w in told.weights) - told.score) < 1e-3, "an exact explanation adds up"

    allowed = np.arange(40) % 3 == 0
    filtered, _ = Context(resources, allowed).execute(asked, queries)
    assert len(filtered.hits)
    assert all(int(doc_id[1:]) % 3 == 0 for doc_id in filtered.hits["doc_id"])
    nothing, _ = Context(resources, np.zeros(40, bool)).execute(asked, queries)
    assert nothing.hits.is_empty()
    check_stage(asked)


def check_feedback(feedback: Feedback, folder: Path, encoder: Any = None) -> None:
    """The contract of the feedback family: it searches the whole index with a query that it shows and can explain; filters, k, empty queries."""
    texts = {f"d{i}": text for i, text in enumerate(sentences(40).values())}
    encoder = encoder or fake_encoder(feedback.index_spec().kind)
    resources = MemoryResources(texts, folder, encoder)
    asked = feedback.model_copy(update={"k": 6, "documents": 3})
    queries = Ranking.of([("1", "scientific papers"), ("2", "nearest neighbors graph"), ("3", "   ")])
    first = pl.DataFrame(
        [("1", "d0", 3.0), ("1", "d5", 2.0), ("1", "d7", 1.0), ("1", "d11", 0.5), ("1", "gone", 0.1)],
        schema={"qid": pl.String, "doc_id": pl.String, "score": pl.Float64},
        orient="row",
    )
    context = Context(resources)
    found, span = context.execute(asked, queries.with_hits(first))
    assert found.queries.equals(queries.queries)
    assert found.hits.schema == HITS
    assert set(found.hits["qid"]) == {"1", "2"}, "a query without hits is searched as it is, an empty one finds nothing"
    assert found.hits["rank"].max() == 6
    searched: dict[str, NewQuery] = span.details[QUERIES_NOTE]
    assert set(searched) == {"1", "2"}
    assert list(searched["1"].documents) == ["d0", "d5", "d7"], "as many of the first hits as it was told, best first"
    assert (searched["2"].documents, searched["2"].original) == ({}, 1)
    assert list(searched["1"].terms.values()) == sorted(searched["1"].terms.values(), reverse=True)

    for qid, query in searched.items():
        row_scores = asked.exact_scores(query, context)
        scores, rows = document_scores(asked.index_spec(), row_scores, context)
        order = sorted(range(40), key=lambda d, s=scores: (-s[d], f"d{d}"))  # type: ignore[misc]
        best = [scores[d] for d in order if not (asked.needs_match and scores[d] <= 0)][:6]
        got = list(found.hits.filter(qid=qid).select("doc_id", "score").iter_rows())
        np.testing.assert_allclose([score for _, score in got], best, rtol=1e-4, atol=1e-5)
        told = asked.explain_row(query, int(rows[int(got[0][0][1:])]), context)
        assert abs(told.score - got[0][1]) < 1e-3, "the explanation is of the score that was given"
        if told.exact and told.weights:
            assert abs(sum(w.weight for w in told.weights) - told.score) < 1e-3, "an exact explanation adds up"

    allowed = np.arange(40) % 3 == 0
    filtered, _ = Context(resources, allowed).execute(asked, queries.with_hits(first))
    assert {int(doc_id[1:]) % 3 for doc_id in filtered.hits["doc_id"]} == {0}
    nothing, _ = Context(MemoryResources({}, folder / "empty", encoder)).execute(asked, queries)
    assert nothing.hits.is_empty()
    check_stage(asked)


def check_selector(selector: Selector, folder: Path, encoder: Any = None) -> None:
    """The contract of the selectors family: some of the first hits, each once, the same every time; the table in the trace tells which."""
    texts = {f"d{i}": text for i, text in enumerate(sentences(40).values())}
    resources = MemoryResources(texts, folder, encoder)
    asked = selector.model_copy(update={"k": 6, "candidates": 10})
    rows = [(qid, f"d{(i * step) % 40}", 20.0 - i) for qid, step in (("1", 3), ("2", 7)) for i in range(12)]
    hits = pl.DataFrame(rows, schema={"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}, orient="row")
    ranking = Ranking.of([("1", "one"), ("2", "two"), ("3", "three")]).with_hits(hits)
    found, span = Context(resources).execute(asked, ranking)
    again, _ = Context(resources).execute(asked, ranking)
    assert found.hits.equals(again.hits), "equal runs give equal lists"
    assert found.queries.equals(ranking.queries)
    assert found.hits.schema == HITS
    assert set(found.hits["qid"]) == {"1", "2"}
    table = span.details[SELECTION_NOTE]
    assert table.select("qid", "doc_id", "rank").equals(found.hits.select("qid", "doc_id", "rank"))
    for qid in ("1", "2"):
        chosen = found.hits.filter(qid=qid)["doc_id"].to_list()
        assert len(chosen) == 6
        assert set(chosen) <= set(ranking.top(10).hits.filter(qid=qid)["doc_id"]), "nothing but the candidates"
        received = dict(ranking.hits.filter(qid=qid).select("doc_id", "rank").iter_rows())
        assert table.filter(qid=qid)["received"].to_list() == [received[doc_id] for doc_id in chosen]
        alone = Ranking.of([(qid, "text")]).with_hits(hits.filter(qid=qid))
        told = Context(resources).execute(asked, alone)[0].hits["doc_id"].to_list()
        assert told == chosen, "a query's selection does not depend on other queries"
    all_of_them = selector.model_copy(update={"k": 12, "candidates": 12})
    assert len(Context(resources).execute(all_of_them, ranking)[0].hits) == 24
    unknown = Ranking.of([("1", "one")]).with_hits(hits.filter(qid="1").with_columns(doc_id="x" + pl.col("doc_id")))
    assert len(Context(resources).execute(asked, unknown)[0].hits) == 6, (
        "hits that the index does not hold stay candidates"
    )
    assert Context(resources).execute(asked, Ranking.of([("1", "one")]))[0].hits.is_empty()
    check_stage(asked)


def check_reranker(reranker: Reranker, folder: Path, encoder: Any = None) -> None:
    """The contract of the rerankers family: a permutation of the hits, candidates first, the table in the trace that tells why; budgets; filters."""
    texts = {f"d{i}": text for i, text in enumerate(sentences(40).values())}
    resources = MemoryResources(texts, folder, encoder)
    asked = reranker.model_copy(update={"candidates": 10, "budget_ms": None})
    rows = [(qid, f"d{(i * step) % 40}", 20.0 - i) for qid, step in (("1", 3), ("2", 7), ("3", 1)) for i in range(12)]
    hits = pl.DataFrame(rows, schema={"qid": pl.String, "doc_id": pl.String, "score": pl.Float64}, orient="row")
    ranking = Ranking.of([("1", "scientific papers"), ("2", "nearest neighbors graph"), ("3", "  ")]).with_hits(hits)
    found, span = Context(resources).execute(asked, ranking)
    again, _ = Context(resources).execute(asked, ranking)
    assert found.hits.equals(again.hits), "equal runs give equal lists"
    assert found.hits.schema == HITS
    table = span.details[RERANK_NOTE]
    assert table.select("qid", "doc_id", "rank").equals(found.hits.select("qid", "doc_id", "rank"))
    for qid in ("1", "2"):
        before, after = ranking.hits.filter(qid=qid), found.hits.filter(qid=qid)
        assert sorted(after["doc_id"]) == sorted(before["doc_id"]), "nothing is added or lost"
        assert set(after["doc_id"][:10]) == set(before["doc_id"][:10]), "candidates stay before the others"
        assert after["doc_id"][10:].to_list() == before["doc_id"][10:].to_list(), "the others keep their order"
        assert after["score"].is_sorted(descending=True)
        told = table.filter(qid=qid)
        assert dict(told.select("doc_id", "received").iter_rows()) == dict(before.select("doc_id", "rank").iter_rows())
        scored = told.filter(pl.col("score").is_not_null())
        assert len(scored) == 10, "without a budget, every candidate has a score"
        np.testing.assert_array_equal(scored["score"].to_numpy(), after["score"].to_numpy()[:10])
        alone = Ranking.of([(qid, dict(ranking.queries.iter_rows())[qid])]).with_hits(hits.filter(qid=qid))
        assert Context(resources).execute(asked, alone)[0].hits["doc_id"].to_list() == after["doc_id"].to_list()
        listed, query = before.sort("rank"), dict(ranking.queries.iter_rows())[qid]
        pairs = asked.pair_scores(query, listed, Context(resources))
        if pairs is not None:
            few = asked.score(query, listed.head(4), Context(resources))
            made = asked.among(pairs[:4], listed.head(4))
            np.testing.assert_allclose(made, few, rtol=1e-5, err_msg="scores of pairs do not depend on the others")
    assert found.hits.filter(qid="3").equals(ranking.hits.filter(qid="3")), "a blank query orders nothing anew"
    hurried, _ = Context(resources).execute(asked.model_copy(update={"budget_ms": 0}), ranking)
    assert hurried.hits.equals(ranking.hits), "without time, the list stays as it was"
    assert Context(resources).execute(asked, Ranking.of([("1", "one")]))[0].hits.is_empty()
    check_stage(asked)


def check_stage(stage: Stage) -> None:
    """What every stage keeps: an equal copy after YAML, a hash, a label, and a description of every parameter."""
    spec = PipelineSpec(pipeline=stage)
    again = PipelineSpec.from_yaml(spec.to_yaml())
    assert again == spec
    assert hash(again) == hash(spec)
    assert stage.label()
    for name, about in type(stage).model_fields.items():
        assert about.description, f"{stage.name}.{name} has no description"


def check_metric(metric: Metric) -> None:
    """The contract of the metrics family: one value a query from 0 to 1, 0 without hits, better for a better order, a notation that reads back."""
    qids = ["good", "bad", "empty"]
    judgments = pl.DataFrame({"qid": qids, "doc_id": ["a"] * 3, "rating": [1] * 3})
    judgments = pl.concat([judgments, judgments.with_columns(doc_id=pl.lit("b"), rating=pl.lit(0, pl.Int64))])
    hits = pl.DataFrame(
        [("good", "a", 9.0), ("good", "b", 1.0), ("bad", "a", 1.0), ("bad", "b", 9.0), ("stranger", "a", 9.0)],
        schema=["qid", "doc_id", "score"],
        orient="row",
    )
    found = metric.values(mark(qids, hits, judgments))
    assert (str(found.dtype), found.shape) == ("float64", (3,))
    assert ((found >= 0) & (found <= 1)).all()
    good, bad, empty = found.tolist()
    assert good >= bad >= empty == 0.0
    alone = metric.values(mark(["good"], hits, judgments))
    assert alone.tolist() == [good], "a query's value does not depend on other queries"
    assert metric.values(mark([], hits, judgments)).shape == (0,)
    assert parse_metric(metric.label()) == metric
    assert all(about.description for about in type(metric).model_fields.values())
    assert type(metric).model_validate(metric.model_dump()) == metric


def check_chunker(chunker: Chunker) -> None:
    """The contract of the chunkers family: ordered spans inside the text that leave out nothing but white space."""
    texts = ["", "One short sentence.", "A sentence about retrieval. " * 400, "x" * 5_000, "没有空格的句子。" * 300]
    titles = ["Title", "", "A title", "", "标题"]
    split = chunker.split_many(titles, texts)
    assert len(split) == len(texts)
    assert split[0] == [], "a blank text has no passages"
    assert len(split[1]) == 1, "a short text is one passage"
    for text, spans in zip(texts, split, strict=True):
        assert all(0 <= start < end <= len(text) for start, end in spans)
        assert spans == sorted(spans)
        covered = np.zeros(len(text), bool)
        for start, end in spans:
            covered[start:end] = True
        assert all(text[i].isspace() for i in np.flatnonzero(~covered))
    assert chunker.split(titles[2], texts[2]) == split[2], "a text is split the same alone and among others"


def check_encoder(encoder: Encoder[Any]) -> None:
    """The contract of dense encoders: a row a text in order, finite, of the card's width, independent of its neighbors; progress is heard."""
    texts = ["Neural retrieval", "", "Cooking onion soup slowly " * 40, "信息检索"]
    rows = encoder.encode_documents(texts)
    assert rows.shape == (4, encoder.card.dimensions)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    for text, row in zip(texts, rows, strict=True):
        np.testing.assert_array_equal(encoder.encode_documents([text])[0], row)
    assert encoder.encode_queries(["a", "b", "c"]).shape == (3, encoder.card.dimensions)
    assert encoder.encode_documents([]).shape == (0, encoder.card.dimensions)
    if encoder.card.similarity == "cosine":
        np.testing.assert_allclose(np.linalg.norm(rows[[0, 2, 3]], axis=1), 1, atol=1e-5)
    heard: list[Progress] = []
    encoder.encode_documents(texts, heard.append)
    assert heard
    assert heard[-1].total == 4
    assert encoder.fingerprint
