"""The late index against brute force over the vectors that it stores; what it reuses, what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.errors import BadInput, IndexNotReady, WorkspaceDamaged
from engine.indexes import late
from engine.indexes.late import LateIndex, LateOpenIndex, measured_recall
from engine.indexes.stored.centroids import clusters_for
from engine.testing.contracts import HashEncoder, HashTokenEncoder, MemorySource
from engine.types import FloatRows, Progress, TokenRows

WORDS = [f"word{i}" for i in range(40)]


def texts(count: int, seed: int = 0) -> dict[int, str]:
    """Units of 0 to 12 words, with gaps in their numbers."""
    random = np.random.default_rng(seed)
    return {
        5 * i + 2: " ".join(random.choice(WORDS, int(random.integers(0, 13))).tolist()) or "only" for i in range(count)
    }


def built(folder: Path, units: dict[int, str], previous: LateOpenIndex | None = None, **spec: str) -> LateOpenIndex:
    folder.mkdir(parents=True, exist_ok=True)
    index = LateIndex.model_validate(spec)
    index.build(MemorySource(units, HashTokenEncoder()), previous, folder)
    return index.open(folder)


def queries(*asked: str) -> TokenRows:
    return HashTokenEncoder().encode_queries(asked)


def brute(index: LateOpenIndex, query: FloatRows) -> list[float]:
    wide = query.astype(np.float64)
    return [
        float((wide @ index.vectors(row).astype(np.float64).T).max(axis=1).sum()) for row in range(len(index.numbers))
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("late")


@pytest.fixture(scope="module")
def index(folder: Path) -> LateOpenIndex:
    return built(folder / "built", texts(300), structure="centroids")


def test_a_text_scores_one_for_each_query_word_that_it_holds(tmp_path: Path) -> None:
    index = built(tmp_path, {3: "red green blue", 7: "green", 9: "", 11: "red blue"})
    assert index.numbers.tolist() == [3, 7, 11], "a unit without tokens has no row"
    found = index.search(queries("green blue", "red", ""), 3)
    assert found.rows[0, 0] == 0
    assert found.scores[0, 0] == pytest.approx(2, abs=0.02), "two words found, each with itself"
    assert set(found.rows[1, :2].tolist()) == {0, 2}
    assert found.rows[2].tolist() == [-1, -1, -1], "a query without tokens finds nothing"
    assert index.search(queries("green"), 2).rows.tolist() == [[0, 1]], "ties go to the lower row"
    ids = {word: int(number) for word, number in zip(("red", "green"), queries("red green").ids, strict=True)}
    assert index.frequencies[ids["red"]] == 2
    assert int(index.frequencies.sum()) == 6
    assert index.token_ids(1).tolist() == [ids["green"]]


def test_exhaustive_search_is_brute_force(index: LateOpenIndex) -> None:
    asked = queries("word1 word7 word30", "word4", "word9 word9 unknown")
    found = index.search_exact(asked, 300)
    for i in range(3):
        scores = brute(index, asked.vectors[asked.indptr[i] : asked.indptr[i + 1]])
        np.testing.assert_allclose(found.scores[i], np.sort(scores)[::-1], atol=1e-6)
        np.testing.assert_allclose([scores[row] for row in found.rows[i]], found.scores[i], atol=1e-6)
        np.testing.assert_allclose(
            index.scores(asked.vectors[asked.indptr[i] : asked.indptr[i + 1]]), scores, atol=1e-5
        )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6),
    share=st.sampled_from([0.01, 0.3, 1.0]),
    k=st.integers(1, 40),
    candidates=st.integers(1, 400),
    seed=st.integers(0, 50),
)
def test_candidates_are_scored_exactly_and_pass_the_filter(
    index: LateOpenIndex, words: list[str], share: float, k: int, candidates: int, seed: int
) -> None:
    asked = queries(" ".join(words))
    allowed = np.random.default_rng(seed).random(300) < share
    found = index.search(asked, k, allowed, candidates)
    rows = found.rows[0][found.rows[0] >= 0]
    assert len(rows) == min(k, int(allowed.sum()))
    assert allowed[rows].all()
    scores = brute(index, asked.vectors)
    np.testing.assert_allclose(found.scores[0][: len(rows)], [scores[row] for row in rows], atol=1e-6)
    exact = index.search_exact(asked, k, allowed)
    if candidates >= allowed.sum():
        np.testing.assert_array_equal(found.rows, exact.rows)
    assert (found.scores <= exact.scores).all()


def test_the_lists_find_most_of_the_best_and_say_so(index: LateOpenIndex) -> None:
    assert index.structure == "centroids"
    asked = queries(*(" ".join(WORDS[i : i + 3]) for i in range(0, 36, 3)))
    some = index.search(asked, 10, candidates=60)
    exact = index.search_exact(asked, 10)
    shares = [np.isin(a, b).mean() for a, b in zip(exact.rows, some.rows, strict=True)]
    assert np.mean(shares) > 0.8
    assert measured_recall(index, asked) == 1.0, "300 rows are fewer than the candidates"


def test_measured_recall_counts_what_was_missed(index: LateOpenIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = queries("word3 word8", "word20")
    plain = index.search

    def losing(queries: TokenRows, k: int, allowed: None = None, candidates: int = 0) -> object:
        found = plain(queries, k, allowed, candidates or 1_000)
        if not candidates:
            found.rows[:, -4:], found.scores[:, -4:] = -1, -np.inf
        return found

    monkeypatch.setattr(index, "search", losing)
    assert measured_recall(index, asked, k=10) == 0.6


def test_auto_takes_centroids_only_where_there_are_many_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert built(tmp_path / "few", texts(30)).structure == "exact"
    monkeypatch.setattr(late, "AUTO_EXACT_TOKENS", 100)
    assert built(tmp_path / "many", texts(30)).structure == "centroids"
    assert built(tmp_path / "exact", texts(30), structure="exact").structure == "exact"
    assert [clusters_for(tokens) for tokens in (1, 2, 3, 1_000_000, 3_800_000)] == [1, 2, 3, 2048, 4096]


def test_the_lists_are_continued_and_trained_anew_when_much_has_changed(tmp_path: Path) -> None:
    units = texts(100)
    first = built(tmp_path / "first", units, structure="centroids")
    some = {number: text for number, text in units.items() if number % 4} | {900: "word1 word2 newword", 901: "word3"}
    second = built(tmp_path / "second", some, first, structure="centroids")
    np.testing.assert_array_equal(second.searcher.centroids.vectors, first.searcher.centroids.vectors)
    bounds, members = second.searcher.centroids.indptr, second.searcher.centroids.listed
    for row in range(len(second.numbers)):
        similarities = second.vectors(row) @ first.searcher.centroids.vectors.T
        listing = [c for c in range(len(bounds) - 1) if row in members[bounds[c] : bounds[c + 1]]]
        best = similarities.max(axis=1)
        np.testing.assert_allclose(similarities[:, listing].max(axis=1), best, atol=1e-5)
        assert (similarities[:, listing] > best[:, None] - 1e-5).any(axis=0).all(), "no list that no token asks for"
    third = built(tmp_path / "third", texts(400, 1) | units, second, structure="centroids")
    assert third.searcher.centroids.info.trained == third.info.tokens
    assert second.searcher.centroids.info.trained == first.info.tokens


def test_rows_of_the_previous_index_are_taken_byte_by_byte(tmp_path: Path) -> None:
    units = texts(50)
    first = built(tmp_path / "first", units)
    encoder = HashTokenEncoder()
    folder = tmp_path / "second"
    folder.mkdir()
    info = LateIndex().build(MemorySource(units | {999: "a new unit"}, encoder), first, folder)
    assert encoder.calls == 1
    assert (info.details["encoded"], info.details["reused"], info.details["tokens"]) == (1, 50, first.info.tokens + 3)
    second = LateIndex().open(folder)
    for name in ("codes", "scales", "ids"):
        np.testing.assert_array_equal(getattr(second.rows, name)[: first.info.tokens], getattr(first.rows, name))
    other = HashTokenEncoder(name="another")
    (tmp_path / "third").mkdir()
    LateIndex().build(MemorySource(units, other), first, tmp_path / "third")
    assert other.calls == 50, "vectors of another encoder are not reused"


def test_an_interrupted_build_goes_on_where_it_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.indexes.shards.SHARD", 10)
    encoder = HashTokenEncoder()

    def stop(step: Progress) -> None:
        if step.phase == "encode" and step.done >= 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LateIndex().build(MemorySource(texts(50), encoder), None, tmp_path, stop)
    assert encoder.calls == 20, "what was running when it stopped is not kept"
    LateIndex().build(MemorySource(texts(50), encoder), None, tmp_path)
    assert encoder.calls == 50
    assert len(LateIndex().open(tmp_path).numbers) == 50
    assert not (tmp_path / "partial").exists()


FILES = [
    "numbers.npy",
    "indptr.npy",
    "ids.npy",
    "scales.npy",
    "codes.npy",
    "frequencies.npy",
    "centroids.npy",
    "lists_indptr.npy",
    "lists_rows.npy",
    "info.json",
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["cut", "lose", "empty"])
def test_a_truncated_or_missing_file_is_noticed(name: str, harm: str, tmp_path: Path) -> None:
    built(tmp_path, texts(20), structure="centroids")
    path = tmp_path / name
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    elif harm == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    with pytest.raises(WorkspaceDamaged, match="Build it again"):
        LateIndex(structure="centroids").open(tmp_path)


@pytest.mark.parametrize("name", ["numbers.npy", "indptr.npy", "ids.npy", "scales.npy", *FILES[6:9]])
def test_bytes_that_would_lead_astray_are_noticed(name: str, tmp_path: Path) -> None:
    """A NaN among the numbers, bounds and places beyond the end."""
    built(tmp_path, texts(20), structure="centroids")
    raw = bytearray((tmp_path / name).read_bytes())
    raw[-8:] = b"\xff\xff\xff\x7f\xff\xff\xff\x7f" if name in ("ids.npy", "lists_rows.npy") else b"\xff" * 8
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(WorkspaceDamaged):
        LateIndex(structure="centroids").open(tmp_path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(name="ids.npy", at=22, bit=3)  # '<i4' becomes '<a4', a type that numpy gives up
@given(name=st.sampled_from(FILES), at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed_or_harmless(name: str, at: int, bit: int, folder: Path, index: LateOpenIndex) -> None:
    """Where it is not noticed, a search still answers with rows that exist and finite scores."""
    path = folder / "built" / name
    raw = path.read_bytes()
    flipped = bytearray(raw)
    flipped[at % len(raw)] ^= 1 << bit
    path.write_bytes(flipped)
    try:
        found = LateIndex(structure="centroids").open(folder / "built").search(queries("word1 word2"), 5, None, 20)
        assert ((found.rows >= 0) & (found.rows < 300)).all()
        assert np.isfinite(found.scores).all()
    except (WorkspaceDamaged, IndexNotReady):
        pass
    finally:
        path.write_bytes(raw)


def test_unusable_queries_are_refused(index: LateOpenIndex) -> None:
    ids, bounds = np.zeros(2, np.int32), np.array([0, 2])
    with pytest.raises(BadInput, match="float32 \\[tokens, 16\\]"):
        index.search(TokenRows(bounds, np.ones((2, 15), np.float32), ids), 5)
    with pytest.raises(BadInput, match="not numbers"):
        index.search(TokenRows(bounds, np.full((2, 16), np.nan, np.float32), ids), 5)
    with pytest.raises(BadInput, match="float32"):
        index.scores(np.ones((2, 15), np.float32))
    with pytest.raises(BadInput, match="booleans"):
        index.search(TokenRows(bounds, np.ones((2, 16), np.float32), ids), 5, np.ones(3, np.bool_))
    assert index.scores(np.empty((0, 16), np.float32)).max() == -np.inf


def test_other_models_and_other_parameters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a vector for each token"):
        LateIndex().build(MemorySource(texts(3), HashEncoder()), None, tmp_path)
    built(tmp_path / "built", texts(3))
    with pytest.raises(IndexNotReady, match="Build it again"):
        LateIndex(structure="exact").open(tmp_path / "built")
