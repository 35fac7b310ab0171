"""BM25 by hand, against brute force, against bm25s, and on damaged files."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bm25s
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import BadInput, Cancelled, IndexNotReady, StorageFull, WorkspaceDamaged
from engine.indexes.bm25 import Bm25Index, Bm25OpenIndex, QueryTerm
from engine.indexes.stored import files
from engine.testing.contracts import MemorySource, sentences
from engine.types import Progress

WORDS = st.sampled_from(["apple", "berry", "cherry", "date", "elder", "the", "日本"])
TEXTS = st.lists(WORDS, max_size=8).map(" ".join)


def built(texts: dict[int, str], folder: Path, spec: Bm25Index | None = None) -> Bm25OpenIndex:
    folder.mkdir()
    spec = spec or Bm25Index()
    spec.build(MemorySource(texts), None, folder)
    return spec.open(folder)


@pytest.fixture
def small(tmp_path: Path) -> Bm25OpenIndex:
    return built(
        {2: "apples and apples with cherries, dates", 5: "cherries of elders", 9: "date the apple elder"},
        tmp_path / "small",
    )


def test_a_hand_computed_score(small: Bm25OpenIndex) -> None:
    """After stop words and stems: 4, 2 and 3 terms (mean 3); "apple" is in two of three rows, twice in the first."""
    idf = math.log(1 + 1.5 / 2.5)
    first = idf * 2 / (2 + 1.2 * (0.25 + 0.75 * 4 / 3))
    third = idf * 1 / (1 + 1.2 * (0.25 + 0.75 * 3 / 3))
    found = small.search(["the Apple!"], 3)
    assert found.rows.tolist() == [[0, 2, -1]]
    assert found.scores[0, :2].tolist() == pytest.approx([first, third], rel=1e-6)
    assert small.numbers.tolist() == [2, 5, 9]


def test_a_repeated_query_term_counts_twice(small: Bm25OpenIndex) -> None:
    np.testing.assert_allclose(
        small.scores("apple apple date"), 2 * small.scores("apple") + small.scores("date"), rtol=1e-6
    )


def test_weighted_terms_add_their_weighted_parts(small: Bm25OpenIndex) -> None:
    weighted = {"appl": 0.5, "elder": 2.0, "zebra": 9.0, "date": 0.0}
    expected = 0.5 * small.scores("apple") + 2 * small.scores("elder")
    np.testing.assert_allclose(small.scores_weighted(weighted), expected, rtol=1e-6)
    found = small.search_weighted([weighted, {}, {"zebra": 1.0}], 2)
    best = np.lexsort((np.arange(3), -expected))[:2]
    assert found.rows.tolist() == [best.tolist(), [-1, -1], [-1, -1]]
    masked = small.search_weighted([weighted], 2, np.array([True, False, False]))
    assert masked.rows.tolist() == [[0, -1]]
    for row in range(3):
        parts = small.contributions_weighted(weighted, row)
        assert sum(weight for _, weight in parts) == pytest.approx(expected[row], rel=1e-6)
    assert dict(small.contributions_weighted(weighted, 2)).keys() == {"appl", "elder"}


def test_a_query_is_the_weighted_search_of_its_counts(small: Bm25OpenIndex) -> None:
    np.testing.assert_array_equal(small.scores_weighted({"appl": 2, "date": 1}), small.scores("apple date apple"))


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_weights_that_make_no_score_are_refused(small: Bm25OpenIndex, weight: float) -> None:
    with pytest.raises(BadInput, match="0 or more"):
        small.search_weighted([{"appl": weight}], 1)


def test_the_weights_of_a_row_are_the_scores_of_its_terms(small: Bm25OpenIndex) -> None:
    weights = small.row_weights(0)
    assert weights == {term: pytest.approx(float(small.scores_weighted({term: 1})[0])) for term in small.row_terms(0)}
    assert list(weights.values()) == sorted(weights.values(), reverse=True)


@pytest.mark.parametrize("query", ["", "  ", "the of and", "zebra", "?!"])
def test_queries_without_a_known_term_have_no_hits(small: Bm25OpenIndex, query: str) -> None:
    assert small.search([query], 3).rows.tolist() == [[-1, -1, -1]]
    assert not small.scores(query).any()


def test_terms_and_row_terms(small: Bm25OpenIndex) -> None:
    assert small.terms("zebra apples, the apple") == [QueryTerm("zebra", 1, 0), QueryTerm("appl", 2, 2)]
    assert small.row_terms(0) == {"appl": 2, "cherri": 1, "date": 1}
    assert small.rows_with("elder") == 2


def test_contributions_are_exact(small: Bm25OpenIndex) -> None:
    query = "apple date apple zebra cherry"
    for row in range(3):
        parts = small.contributions(query, row)
        assert sum(weight for _, weight in parts) == pytest.approx(float(small.scores(query)[row]), rel=1e-6)
        assert [weight for _, weight in parts] == sorted((weight for _, weight in parts), reverse=True)
    assert [term for term, _ in small.contributions(query, 1)] == ["cherri"]
    assert small.contributions("date", 1) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    texts=st.lists(TEXTS, max_size=40),
    query=TEXTS,
    k=st.integers(0, 50),
    seed=st.integers(0, 9),
    k1=st.sampled_from([0.0, 0.9, 1.2, 2.0]),
    b=st.sampled_from([0.0, 0.4, 1.0]),
)
def test_equals_brute_force(
    tmp_path: Path, texts: list[str], query: str, k: int, seed: int, k1: float, b: float
) -> None:
    shutil.rmtree(tmp_path / "index", ignore_errors=True)
    index = built(dict(enumerate(texts)), tmp_path / "index", Bm25Index(analyzer="any", k1=k1, b=b))
    rows = [Counter(token.term for token in index.analyzer.tokens(text)) for text in texts]
    asked = Counter(token.term for token in index.analyzer.query_tokens(query))
    mean = sum(map(Counter.total, rows)) / max(len(rows), 1)
    scores = np.zeros(len(rows))
    for term, times in asked.items():
        frequency = sum(term in row for row in rows)
        idf = math.log(1 + (len(rows) - frequency + 0.5) / (frequency + 0.5))
        for i, row in enumerate(rows):
            if row[term]:
                scores[i] += times * idf * row[term] / (row[term] + k1 * (1 - b + b * row.total() / mean))
    np.testing.assert_allclose(index.scores(query), scores, rtol=1e-5)
    allowed = np.random.default_rng(seed).random(len(rows)) < 0.6
    found = index.search([query], k, allowed)
    own = index.scores(query)
    expected = sorted((i for i in range(len(rows)) if allowed[i] and own[i] > 0), key=lambda i: (-own[i], i))[:k]
    assert found.rows[0][found.rows[0] >= 0].tolist() == expected


@pytest.mark.parametrize("variant", ["lucene", "robertson", "atire"])
def test_scores_equal_bm25s(tmp_path: Path, variant: str) -> None:
    texts = list(sentences(200).values())
    index = built(dict(enumerate(texts)), tmp_path / "index", Bm25Index(variant=variant, k1=1.5, b=0.6))
    tokens = [[token.term for token in index.analyzer.tokens(text)] for text in texts]
    bare = bm25s.BM25(k1=1.5, b=0.6, method=variant)
    bare.index(tokens, show_progress=False)
    for query in ("scientific papers of retrieval", "topic3 item17 papers papers", "calibration"):
        terms = [token.term for token in index.analyzer.query_tokens(query)]
        np.testing.assert_allclose(index.scores(query), bare.get_scores(terms), rtol=1e-5, atol=1e-7)
        found = index.search([query], 10)
        np.testing.assert_allclose(
            found.scores[found.rows >= 0],
            bare.retrieve([terms], k=10, show_progress=False).scores[0][: (found.rows >= 0).sum()],
            rtol=1e-5,
        )


def test_a_second_build_gives_the_same_files(tmp_path: Path) -> None:
    spec = Bm25Index()
    before = {1: "apple banana zebra", 4: "only here quokka", 6: "cherry apple"}
    after = {1: "apple banana zebra", 6: "cherry apple", 8: "aardvark cherry", 9: ""}
    old = built(before, tmp_path / "old", spec)
    source = MemorySource(after)
    (tmp_path / "grown").mkdir()
    info = spec.build(source, old, tmp_path / "grown")
    assert (source.asked, info.details["reused"], info.details["analyzed"]) == (2, 2, 2)
    assert "quokka" not in spec.open(tmp_path / "grown").vocabulary
    built(after, tmp_path / "fresh", spec)
    for path in (tmp_path / "fresh").iterdir():
        assert path.read_bytes() == (tmp_path / "grown" / path.name).read_bytes(), path.name


def test_another_analyzer_shares_nothing(tmp_path: Path) -> None:
    old = built(sentences(9), tmp_path / "old", Bm25Index(analyzer="any"))
    source = MemorySource(sentences(9))
    (tmp_path / "new").mkdir()
    assert Bm25Index().build(source, old, tmp_path / "new").details["reused"] == 0


def test_one_row_and_stop_words_only(tmp_path: Path) -> None:
    assert built({3: "apple"}, tmp_path / "one").search(["apple"], 9).rows.tolist() == [[0]]
    empty = built({3: "the", 4: ""}, tmp_path / "none")
    assert empty.search(["the apple"], 9).rows.tolist() == [[-1, -1]]


def test_refusals(small: Bm25OpenIndex) -> None:
    with pytest.raises(BadInput, match="0 or more"):
        small.search(["apple"], -1)
    with pytest.raises(BadInput, match="3 booleans"):
        small.search(["apple"], 1, np.ones(2, bool))
    with pytest.raises(BadInput, match="list of query texts"):
        small.search("apple", 1)
    with pytest.raises(BadInput, match="list of query texts"):
        small.search([np.zeros(3)], 1)
    with pytest.raises(BadInput, match="Row 3"):
        small.contributions("apple", 3)
    source = MemorySource({})
    source.units = {5: "a", 2: "b"}
    with pytest.raises(BadInput, match="ascending"):
        Bm25Index().build(source, None, Path())


def test_eight_threads_get_the_same_answers(tmp_path: Path) -> None:
    index = built(sentences(3_000), tmp_path / "index")
    queries = [f"topic{i % 5} papers item{i}" for i in range(200)]
    expected = [index.search([query], 10).rows.tolist() for query in queries]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda query: index.search([query], 10).rows.tolist(), queries)) == expected


def test_cancelling_stops_the_build(tmp_path: Path) -> None:
    def cancel(step: Progress) -> None:
        if step.done >= 1_000:
            raise Cancelled("stopped")

    source = MemorySource(sentences(5_000))
    with pytest.raises(Cancelled):
        Bm25Index().build(source, None, tmp_path, cancel)
    assert source.asked == 1_000


def test_other_parameters_are_not_opened(small: Bm25OpenIndex, tmp_path: Path) -> None:
    with pytest.raises(IndexNotReady, match="Build it again"):
        Bm25Index(k1=0.9).open(tmp_path / "small")


def edit(folder: Path, name: str, change: object) -> None:
    values = np.load(folder / f"{name}.npy")
    change(values)
    np.save(folder / f"{name}.npy", values)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("numbers", lambda v: v.__setitem__(0, 99)),
        ("indptr", lambda v: v.__setitem__(1, v[2] + 1)),
        ("indptr", lambda v: v.__setitem__(-1, 1_000)),
        ("indptr", lambda v: v.__setitem__(0, -1)),
        ("rows", lambda v: v.__setitem__(0, 3)),
        ("rows", lambda v: v.__setitem__(0, -1)),
        ("rows", lambda v: v.__setitem__(slice(None), v[::-1].copy())),
        ("weights", lambda v: v.__setitem__(0, np.nan)),
        ("weights", lambda v: v.__setitem__(0, -1)),
        ("offsets", lambda v: v.__setitem__(1, 1_000)),
        ("tokens", lambda v: v.__setitem__(0, 77)),
        ("terms", lambda v: v.__setitem__(0, 255)),
        ("terms", lambda v: v.__setitem__(0, 10)),
    ],
)
def test_damaged_values_are_refused(small: Bm25OpenIndex, tmp_path: Path, name: str, change: object) -> None:
    edit(tmp_path / "small", name, change)
    with pytest.raises(WorkspaceDamaged, match="Build it again"):
        Bm25Index().open(tmp_path / "small")


@pytest.mark.parametrize("name", ["numbers.npy", "rows.npy", "weights.npy", "tokens.npy", "terms.npy", "info.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "short", "long", "header"])
def test_damaged_files_are_refused(small: Bm25OpenIndex, tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / "small" / name
    content = path.read_bytes()
    path.unlink()
    damages = {"empty": b"", "short": content[:-3], "long": content + b"}}}", "header": b"\x00" * 8 + content[8:]}
    if damage != "missing":
        path.write_bytes(damages[damage])
    with pytest.raises(WorkspaceDamaged, match=name):
        Bm25Index().open(tmp_path / "small")


def test_pickled_arrays_are_refused(small: Bm25OpenIndex, tmp_path: Path) -> None:
    np.save(tmp_path / "small" / "rows.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(WorkspaceDamaged, match=r"rows\.npy"):
        Bm25Index().open(tmp_path / "small")


def test_mixed_generations_are_refused(tmp_path: Path) -> None:
    built(sentences(20), tmp_path / "a")
    built(sentences(21), tmp_path / "b")
    shutil.copy(tmp_path / "b" / "rows.npy", tmp_path / "a" / "rows.npy")
    with pytest.raises(WorkspaceDamaged):
        Bm25Index().open(tmp_path / "a")


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StorageFull, match="Free some space"):
        Bm25Index().build(MemorySource(sentences(3)), None, tmp_path)


@pytest.mark.parametrize(("name", "expected"), [("cisi", 0.396), ("cacm", 0.486), ("npl", 0.436)])
def test_published_baseline_quality(shared_data: Path, tmp_path: Path, name: str, expected: float) -> None:
    """nDCG@10 of BM25 with stop words and Snowball stems on three judged collections."""
    import json

    def lines(file: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in (shared_data / name / file).read_text("utf-8").splitlines()]

    documents = lines("corpus.jsonl")
    grades: dict[str, dict[str, int]] = {}
    for line in (shared_data / name / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]:
        qid, doc_id, grade = line.split("\t")
        grades.setdefault(qid, {})[doc_id] = int(grade)
    texts = [f"{doc['title']}. {doc['text']}" if doc.get("title") else doc["text"] for doc in documents]
    index = built(dict(enumerate(texts)), tmp_path / name)
    queries = [query for query in lines("queries.jsonl") if query["_id"] in grades]
    values = []
    for query, rows in zip(queries, index.search([query["text"] for query in queries], 10).rows, strict=True):
        of_query = grades[query["_id"]]
        gains = [of_query.get(documents[row]["_id"], 0) if row >= 0 else 0 for row in rows]
        best = sorted(of_query.values(), reverse=True)[:10]
        discounted = [sum(gain / math.log2(rank + 2) for rank, gain in enumerate(line)) for line in (gains, best)]
        values.append(discounted[0] / discounted[1] if discounted[1] else 0.0)
    assert np.mean(values) == pytest.approx(expected, abs=0.0015)
