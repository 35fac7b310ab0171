"""Dense search: exactness, recall of the graph, refusals, damaged files, interrupted and incremental builds."""

from __future__ import annotations

import builtins
import gc
import json
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import BadInput, Cancelled, IndexNotReady, MissingDependency, StorageFull, WorkspaceDamaged
from engine.indexes import dense
from engine.indexes.dense import DenseIndex, DenseOpenIndex, measured_recall
from engine.indexes.stored import hnsw
from engine.indexes.structures import hnsw as structure
from engine.testing.contracts import HashEncoder, MemorySource, sentences
from engine.types import FloatRows, Progress, ProgressSink, ignore_progress

EXACT = DenseIndex(structure="exact")
GRAPH = DenseIndex(structure="hnsw", ef_construction=100)


class GivenEncoder(HashEncoder):
    """Looks rows up: the text "17" is the row 17."""

    def __init__(self, rows: FloatRows) -> None:
        super().__init__(rows.shape[1], "given")
        self.rows = rows

    def encode_queries(self, texts: Sequence[str]) -> FloatRows:
        return self.rows[[int(text) for text in texts]]


def clustered(rows: int, dim: int = 24, seed: int = 0) -> FloatRows:
    """Unit vectors around 20 centers, which are the same for every seed."""
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((20, dim))
    vectors = centers[random.integers(0, 20, rows)] + 0.4 * random.standard_normal((rows, dim))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def source_of(rows: FloatRows, numbers: Sequence[int] | None = None) -> MemorySource:
    chosen = range(len(rows)) if numbers is None else numbers
    return MemorySource({number: str(number) for number in chosen}, GivenEncoder(rows))


def built(
    spec: DenseIndex, source: MemorySource, folder: Path, previous: Any = None, progress: ProgressSink = ignore_progress
) -> DenseOpenIndex:
    folder.mkdir()
    spec.build(source, previous, folder, progress)
    return spec.open(folder)


@pytest.fixture(scope="module")
def rows() -> FloatRows:
    return clustered(3_000)


@pytest.fixture(scope="module")
def graph(rows: FloatRows, tmp_path_factory: pytest.TempPathFactory) -> DenseOpenIndex:
    return built(GRAPH, source_of(rows), tmp_path_factory.mktemp("graph") / "index")


def test_rows_and_scores_by_hand(tmp_path: Path) -> None:
    given = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    index = built(EXACT, source_of(given), tmp_path / "index")
    found = index.search(np.array([[2, 0]], np.float32), 3)
    assert found.rows.tolist() == [[0, 2, 1]]
    np.testing.assert_allclose(found.scores, [[2, 1.2, 0]], rtol=1e-6)
    np.testing.assert_allclose(index.scores(np.array([2, 0], np.float32)), [2, 0, 1.2], rtol=1e-6)
    assert index.neighbours(0, 5).rows.tolist() == [[2, 1]]
    assert index.neighbours(1, 1).rows.tolist() == [[2]]
    assert index.recall == 1.0
    np.testing.assert_array_equal(index.rows, given)


def test_neighbours_leave_out_the_row_itself_among_copies(tmp_path: Path) -> None:
    index = built(EXACT, source_of(np.ones((6, 2), np.float32)), tmp_path / "index")
    assert index.neighbours(5, 3).rows.tolist() == [[0, 1, 2]]
    assert index.neighbours(1, 3).rows.tolist() == [[0, 2, 3]]


def test_zero_vectors_get_no_row_and_zero_queries_no_hits(tmp_path: Path) -> None:
    spec, source = DenseIndex(structure="hnsw"), MemorySource({1: "words", 2: "", 3: "more words"})
    folder = tmp_path / "index"
    folder.mkdir()
    info = spec.build(source, None, folder)
    assert (info.rows, info.details["skipped"]) == (2, 1)
    index = spec.open(folder)
    assert index.numbers.tolist() == [1, 3]
    queries = source.encoder("").encode_queries(["", "words"])
    assert index.search(queries, 2).rows.tolist() == [[-1, -1], [0, 1]]
    assert index.search_exact(queries, 2).rows.tolist() == [[-1, -1], [0, 1]]


@pytest.mark.parametrize(
    "queries",
    [
        np.ones((1, 23), np.float32),
        np.ones((1, 25), np.float32),
        np.ones(24, np.float32),
        np.full((1, 24), np.nan, np.float32),
        np.full((1, 24), np.inf, np.float32),
        np.full((1, 24), 1e300),
        np.ones((1, 24), np.int64),
        np.array([["a"] * 24]),
    ],
    ids=["narrow", "wide", "flat", "nan", "inf", "overflow", "integers", "text"],
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_unusable_queries_never_reach_native_code(graph: DenseOpenIndex, queries: Any) -> None:
    for search in (graph.search, graph.search_exact):
        with pytest.raises(BadInput, match="uery vector"):
            search(queries, 3)


def test_refusals(graph: DenseOpenIndex, rows: FloatRows) -> None:
    with pytest.raises(BadInput, match="0 or more"):
        graph.search(rows[:1], -1)
    with pytest.raises(BadInput, match="3000 booleans"):
        graph.search(rows[:1], 1, np.ones(3, bool))
    with pytest.raises(BadInput, match="Row 3000"):
        graph.neighbours(3_000, 1)
    with pytest.raises(ValueError, match="dimension 24"):
        graph.searcher.graph.search(np.ones((1, 23), np.float32), 1)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_an_encoder_that_returns_no_numbers_is_refused(tmp_path: Path, broken: float) -> None:
    given = clustered(30)
    given[7, 3] = broken
    with pytest.raises(BadInput, match="given returned values that are not numbers"):
        built(EXACT, source_of(given), tmp_path / "index")


def test_an_encoder_of_another_width_is_refused(tmp_path: Path) -> None:
    source = source_of(clustered(30))
    source.encoder("").rows = clustered(30, 25)
    with pytest.raises(BadInput, match=r"\(30, 25\) instead of \(30, 24\)"):
        built(EXACT, source, tmp_path / "index")


def test_the_graph_finds_nearly_everything(graph: DenseOpenIndex, rows: FloatRows) -> None:
    assert graph.structure == "hnsw"
    assert graph.recall >= 0.95
    queries = clustered(200, seed=1)
    found, exact = graph.search(queries, 10), graph.search_exact(queries, 10)
    shared = [len(set(a) & set(b)) for a, b in zip(found.rows.tolist(), exact.rows.tolist(), strict=True)]
    assert np.mean(shared) / 10 == measured_recall(graph, queries) >= 0.95
    same = found.rows == exact.rows
    np.testing.assert_array_equal(found.scores[same], exact.scores[same])


def test_measured_recall_counts_what_is_missed(
    graph: DenseOpenIndex, rows: FloatRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = DenseOpenIndex.search

    def forgetful(self: DenseOpenIndex, queries: FloatRows, k: int) -> Any:
        found = search(self, queries, k)
        found.scores[:, 7:] = -np.inf
        return found

    assert measured_recall(graph, rows[:50]) > 0.95
    monkeypatch.setattr(DenseOpenIndex, "search", forgetful)
    assert measured_recall(graph, rows[:50]) <= 0.7


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("k", [1, 10, 100])
def test_filtered_graph_search_fills_every_place(
    graph: DenseOpenIndex, share: float, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structure, "EXACT_FILTERED_ROWS", 0)
    allowed = np.random.default_rng(5).random(3_000) < share
    queries = clustered(20, seed=2)
    found, exact = graph.search(queries, k, allowed), graph.search_exact(queries, k, allowed)
    assert ((found.rows >= 0).sum(axis=1) == min(k, allowed.sum())).all()
    assert allowed[found.rows[found.rows >= 0]].all()
    for hits, best in zip(found.rows.tolist(), exact.rows.tolist(), strict=True):
        assert len(set(hits) & set(best)) >= 0.9 * len(set(best))


def test_a_filter_against_the_query_still_fills_every_place(
    graph: DenseOpenIndex, rows: FloatRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph's candidates all fail the filter: the search must turn exact."""
    monkeypatch.setattr(structure, "EXACT_FILTERED_ROWS", 0)
    allowed = graph.scores(rows[0]) < 0.2
    assert allowed.mean() > 0.5
    found = graph.search(rows[:1], 10, allowed, effort=64)
    np.testing.assert_array_equal(found.rows, graph.search_exact(rows[:1], 10, allowed).rows)


@pytest.mark.parametrize("k", [0, 1, 129, 2_999, 3_000, 9_999])
def test_any_k(graph: DenseOpenIndex, rows: FloatRows, k: int) -> None:
    found = graph.search(rows[:2], k)
    assert found.rows.shape == (2, min(k, 3_000))
    assert (found.rows >= 0).all()


def test_one_row_and_copies_in_a_graph(tmp_path: Path) -> None:
    alone = built(GRAPH, source_of(clustered(1)), tmp_path / "alone")
    assert alone.search(clustered(1), 5).rows.tolist() == [[0]]
    copies = built(GRAPH, source_of(np.ones((500, 4), np.float32)), tmp_path / "copies")
    assert copies.search(np.ones((1, 4), np.float32), 500).rows[0].tolist() == list(range(500))


def test_eight_threads_get_the_same_answers(graph: DenseOpenIndex) -> None:
    queries = clustered(400, seed=3)
    allowed = np.random.default_rng(0).random(3_000) < 0.5

    def search(i: int) -> list[list[int]]:
        return graph.search(queries[i : i + 1], 5 + i % 40, allowed if i % 3 == 0 else None).rows.tolist()

    expected = [search(i) for i in range(400)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(search, range(400))) == expected


@pytest.mark.parametrize("spec", [EXACT, GRAPH], ids=["exact", "hnsw"])
def test_incremental_equals_full(spec: DenseIndex, rows: FloatRows, tmp_path: Path) -> None:
    """Removed, kept and added units over two generations; kept ones are not encoded again."""
    index: DenseOpenIndex | None = None
    for step, numbers in enumerate((range(0, 2_000), range(200, 2_400), range(300, 3_000))):
        source = source_of(rows, numbers)
        index = built(spec, source, tmp_path / str(step), index)
        assert source.encoder("").calls == (2_000, 400, 600)[step]
    full = built(spec, source_of(rows, range(300, 3_000)), tmp_path / "full")
    assert index is not None
    np.testing.assert_array_equal(index.numbers, full.numbers)
    np.testing.assert_array_equal(index.rows, full.rows)
    queries = clustered(100, seed=4)
    np.testing.assert_array_equal(index.search_exact(queries, 10).rows, full.search_exact(queries, 10).rows)
    assert measured_recall(index, queries) >= 0.95
    assert (index.search(queries, 2_700).rows >= 0).all()
    if spec is EXACT:
        for path in (tmp_path / "full").iterdir():
            assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()
    else:
        assert (index.searcher.graph.info.elements, index.searcher.graph.info.deleted) == (3_000, 300)


def test_a_mostly_dead_graph_is_built_anew(graph: DenseOpenIndex, rows: FloatRows, tmp_path: Path) -> None:
    index = built(GRAPH, source_of(rows, range(1_000, 3_000)), tmp_path / "index", graph)
    saved = index.searcher.graph.info
    assert (saved.elements, saved.deleted) == (2_000, 0)


def test_a_unit_that_returns_is_found(rows: FloatRows, tmp_path: Path) -> None:
    first = built(GRAPH, source_of(rows, range(500)), tmp_path / "1")
    without = built(GRAPH, source_of(rows, range(1, 500)), tmp_path / "2", first)
    again = built(GRAPH, source_of(rows, range(500)), tmp_path / "3", without)
    assert again.search(rows[:1], 1).rows.tolist() == [[0]]


def test_other_links_or_another_encoder_start_anew(graph: DenseOpenIndex, rows: FloatRows, tmp_path: Path) -> None:
    wider = GRAPH.model_copy(update={"M": 12})
    source = source_of(rows, range(1, 3_000))
    index = built(wider, source, tmp_path / "wider", graph)
    assert source.encoder("").calls == 0
    assert index.searcher.graph.info.elements == 2_999
    source = source_of(rows)
    source.encoder("").fingerprint = "another"
    built(GRAPH, source, tmp_path / "another", graph)
    assert source.encoder("").calls == 3_000


def test_an_interrupted_build_resumes(tmp_path: Path) -> None:
    """The second attempt encodes only what the first did not finish; a damaged shard counts as not encoded."""
    given = clustered(5_000)

    def cancel(step: Progress) -> None:
        if step.phase == "encode" and step.done > 4_000:
            raise Cancelled("stopped")

    source = source_of(given)
    folder = tmp_path / "index"
    with pytest.raises(Cancelled):
        built(EXACT, source, folder, progress=cancel)
    assert source.encoder("").calls == 4_000
    shards = sorted((folder / "partial").rglob("*.vectors.npy"))
    assert len(shards) == 2
    shards[0].write_bytes(shards[0].read_bytes()[:-4])
    numbers = [number for number in range(5_000) if number % 100]
    again = source_of(given, numbers)
    info = EXACT.build(again, None, folder)
    assert again.encoder("").calls == 1_980 + 990
    assert info.rows == 4_950
    assert not (folder / "partial").exists()
    np.testing.assert_array_equal(EXACT.open(folder).rows, given[numbers])


def test_progress_counts_texts(tmp_path: Path) -> None:
    steps: list[Progress] = []
    built(EXACT, MemorySource(sentences(2_500)), tmp_path / "index", progress=steps.append)
    encoded = [(step.done, step.total) for step in steps if step.phase == "encode"]
    assert encoded == sorted(encoded)
    assert (encoded[0], encoded[-1]) == ((0, 2_500), (2_500, 2_500))


def test_auto_follows_the_size_and_the_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, source = DenseIndex(), MemorySource(sentences(40))
    assert built(spec, source, tmp_path / "small").structure == "exact"
    monkeypatch.setattr(dense, "AUTO_EXACT_ROWS", 39)
    assert built(spec, source, tmp_path / "large").structure == "hnsw"
    imported = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name == "hnswlib":
            raise ImportError(name)
        return imported(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(hnsw, "find_spec", lambda name: None)
    (tmp_path / "bare").mkdir()
    details = spec.build(source, None, tmp_path / "bare").details
    assert details["structure"] == "exact"
    assert "pip install hnswlib" in str(details["note"])
    assert spec.open(tmp_path / "bare").structure == "exact"
    with pytest.raises(MissingDependency, match="pip install hnswlib"):
        built(DenseIndex(structure="hnsw"), source, tmp_path / "asked")
    with pytest.raises(MissingDependency, match="pip install hnswlib"):
        spec.open(tmp_path / "large")


def test_other_parameters_are_not_opened(tmp_path: Path) -> None:
    built(EXACT, MemorySource(sentences(5)), tmp_path / "index")
    with pytest.raises(IndexNotReady, match="Build it again"):
        DenseIndex(structure="exact", model="other").open(tmp_path / "index")


@pytest.mark.parametrize("name", ["numbers.npy", "vectors.npy", "graph.bin", "info.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "short", "long", "flipped"])
def test_damaged_files_are_refused(tmp_path: Path, name: str, damage: str) -> None:
    """Before native code reads them. A flipped bit inside a vector changes an answer, not memory: manifests cover it."""
    index = built(GRAPH, MemorySource(sentences(50)), tmp_path / "index")
    path = index.folder / name
    content = path.read_bytes()
    path.unlink()
    flipped = bytes([content[0] ^ 1]) + content[1:]
    damages = {"empty": b"", "short": content[:-3], "long": content + b"}}}", "flipped": flipped}
    if damage != "missing":
        path.write_bytes(damages[damage])
    with pytest.raises(WorkspaceDamaged, match=name):
        GRAPH.open(tmp_path / "index")


def test_every_byte_of_a_graph_is_checked(tmp_path: Path) -> None:
    built(GRAPH, MemorySource(sentences(50)), tmp_path / "index")
    path = tmp_path / "index" / "graph.bin"
    content = path.read_bytes()
    for at in range(0, len(content), 97):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x80]) + content[at + 1 :])
        with pytest.raises(WorkspaceDamaged, match=r"graph\.bin"):
            GRAPH.open(tmp_path / "index")


def test_a_stored_nan_is_named(tmp_path: Path) -> None:
    index = built(EXACT, MemorySource(sentences(50)), tmp_path / "index")
    values = np.array(index.rows)
    values[3, 3] = np.nan
    np.save(tmp_path / "index" / "vectors.npy", values)
    with pytest.raises(WorkspaceDamaged, match=r"vectors\.npy"):
        EXACT.open(tmp_path / "index").search(values[:1], 5)


def test_a_graph_cut_by_a_full_disk_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """hnswlib says nothing when it cannot write everything; the size tells."""
    module = hnsw.require()

    class Cut(module.Index):  # type: ignore[name-defined,misc]
        def save_index(self, path: str) -> None:
            super().save_index(path)
            with Path(path).open("r+b") as file:
                file.truncate(1_000)

    monkeypatch.setattr(module, "Index", Cut)
    # In this process, where the library can be replaced.
    monkeypatch.setattr(hnsw.child, "run", lambda what, request, *_: hnsw.build_task(request, ignore_progress))
    with pytest.raises(StorageFull, match="Free some space"):
        built(GRAPH, MemorySource(sentences(50)), tmp_path / "index")


def test_descriptions_of_earlier_programs_are_read(tmp_path: Path) -> None:
    """They say `graph: null` where search is exact, and hold what a graph file must be under `graph`."""
    built(EXACT, MemorySource(sentences(5)), tmp_path / "exact")
    path = tmp_path / "exact" / "info.json"
    said = json.loads(path.read_text())
    assert said["spec"] == {
        "unit": "passage", "model": "all-MiniLM-L6-v2", "structure": "exact", "M": 16, "ef_construction": 200,
    }  # fmt: skip
    path.write_text(json.dumps(said | {"graph": None}))
    assert EXACT.open(tmp_path / "exact").structure == "exact"
    built(GRAPH, MemorySource(sentences(50)), tmp_path / "graph")
    said = json.loads((tmp_path / "graph" / "info.json").read_text())
    assert set(said["graph"]) == {"elements", "deleted", "bytes", "crc32"}
    path = tmp_path / "graph" / "info.json"
    path.write_text(json.dumps({**said, "grahp": said["graph"], "graph": None}))
    with pytest.raises(WorkspaceDamaged, match=r"grahp, which is no structure"):
        GRAPH.open(tmp_path / "graph")


def test_an_index_that_nobody_holds_lets_go_at_once(tmp_path: Path) -> None:
    """Not when the collector comes by: a graph takes as much memory as its vectors."""
    index = built(GRAPH, MemorySource(sentences(50)), tmp_path / "graph")
    held = weakref.ref(index)
    gc.disable()
    try:
        del index
        assert held() is None
    finally:
        gc.enable()


def test_a_structure_may_be_written_with_parameters(tmp_path: Path) -> None:
    spec = DenseIndex.model_validate({"structure": {"hnsw": {"M": 8, "ef_construction": 50}}})
    index = built(spec, MemorySource(sentences(50)), tmp_path / "graph")
    assert (index.structure, index.how.M) == ("hnsw", 8)
    assert spec.model_dump(mode="json")["structure"] == {"hnsw": {"M": 8, "ef_construction": 50}}
    assert DenseIndex.model_validate(spec.model_dump(mode="json")) == spec
    with pytest.raises(ValueError, match="Input should be 'auto', 'exact' or 'hnsw'"):
        DenseIndex.model_validate({"structure": {"centroids": {}}})
