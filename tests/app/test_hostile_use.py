"""The verbs under values, moments and numbers of callers that nobody asked for, over a real workspace."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.verbs.base import MAX_TITLE
from app.verbs.services import Services
from engine.errors import BadInput, IndexNotReady, NotFound, ReadOnly
from engine.types import Record

BUILT_IN = ("BM25", "Dense", "Hybrid", "Hybrid, by score")
WORDS = ("sparse", "dense", "fusion", "onion", "bread", "token", "weight", "vector", "query", "passage")
HALF = "\ud800"


def papers(count: int) -> list[Record]:
    return [
        Record(
            f"p{n}",
            f"{WORDS[n % 10]} {WORDS[(n // 10) % 10]} study {n}",
            f"We relate {WORDS[(3 * n) % 10]} to {WORDS[(7 * n + 1) % 10]}.",
            year=2000 + n % 20,
            venue=f"Venue {n % 3}",
            metadata={"a/b": n % 2, "group": f"g{n % 4}"},
        )
        for n in range(count)
    ]


def fill(services: Services, name: str, records: list[Record]) -> None:
    services.create_collection(name)
    workspace = services.engine.workspace
    workspace.documents.upsert(workspace.collection(name).collection_id, records, "test")
    assert services.wait(services.index(name), 120).status == "done"


def label(value: object) -> str:
    """The name of a case: short and plain, whatever it holds."""
    return ascii(value)[:40] if isinstance(value, dict | list) else ""


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """For tests that change nothing but what they made."""
    with Services(tmp_path_factory.mktemp("workspace")) as opened:
        fill(opened, "papers", papers(60))
        yield opened


def ids(services: Services, query: str, pipeline: str, **options: Any) -> list[str]:
    return [card.doc_id for card in services.search("papers", query, pipeline, limit=100, **options).cards]


# queries


@pytest.mark.parametrize("query", ["", "   ", "\u200b", "the of and", "zzzxqw", "😀🎉", "!?", HALF, "\x00"])
def test_a_query_without_a_known_word_ranks_nothing_lexically(services: Services, query: str) -> None:
    compared = services.compare("papers", query, ["BM25", "Hybrid"])
    assert compared.columns[0].hits == ()
    assert not any(column.error for column in compared.columns)
    lexical = services.ledger("papers", query, "Hybrid")
    assert lexical is not None
    assert all(row.entries[0].rank is None for row in lexical.rows if len(row.entries) > 1)


@pytest.mark.parametrize("query", ["word " * 10_000, "x" * 100_000, "é" * 3_000, "😀" * 3_000])
@pytest.mark.parametrize("pipeline", BUILT_IN)
def test_endless_queries_are_cut_with_a_notice_on_every_route(services: Services, query: str, pipeline: str) -> None:
    assert "the first 2,000 were used" in services.search("papers", query, pipeline).notices[0]
    assert "the first 2,000 were used" in services.compare("papers", query, [pipeline, "BM25"]).notices[0]
    services.document("papers", "p1", query=query, pipeline=pipeline)


@pytest.mark.parametrize("pipeline", ["Dense", "Hybrid"])
def test_more_hits_than_documents_are_all_documents(services: Services, pipeline: str) -> None:
    assert sorted(ids(services, "sparse vectors", pipeline, k=1000)) == sorted(f"p{n}" for n in range(60))


def test_a_page_beyond_the_end_is_empty_and_one_before_the_beginning_is_the_first(services: Services) -> None:
    assert ids(services, "sparse", "BM25", offset=10**9) == []
    assert ids(services, "", "BM25", offset=10**9) == []
    assert ids(services, "sparse", "BM25", offset=-7) == ids(services, "sparse", "BM25")
    for odd in (10**30, "x", None, 1.5, True):
        for query in ("sparse", ""):
            with pytest.raises(BadInput, match="offset"):
                services.search("papers", query, "BM25", offset=odd)  # type: ignore[arg-type]


# filters


@pytest.mark.parametrize(
    "filters",
    [
        {"year": ["x"]},
        {"year": ["x", None]},
        {"year": [1, 2, 3]},
        {"year": [10**400, None]},
        {"year": {"min": 2000}},
        {"venue": "Venue 1"},
        {"venue": [HALF]},
        {f"metadata.{HALF}": ["x"]},
        {"metadata.": ["x"]},
        {"doc_id": ["p1"]},
        {"venue; DROP TABLE documents": ["x"]},
        [1],
    ],
    ids=label,
)
def test_filters_that_are_none_are_refused_with_their_reason(services: Services, filters: Any) -> None:
    for query in ("sparse", ""):
        with pytest.raises(BadInput):
            services.search("papers", query, "BM25", filters=filters)
    assert services.collection("papers").documents == 60


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        ({"year": [None, None]}, lambda p: True),
        ({"year": ["2004.5", "2.01e3"]}, lambda p: 2005 <= p.year <= 2010),
        ({"year": [2012, 2011]}, lambda p: False),
        ({"year": []}, lambda p: True),
        ({"metadata.a/b": [1]}, lambda p: p.metadata["a/b"] == 1),
        ({"metadata.a": ["1"]}, lambda p: False),
        ({"metadata.\x00": ["1"]}, lambda p: False),
        ({"venue": ["Venue 1", "Nowhere"], "metadata.group": ["g2"]}, lambda p: (p.venue, p.metadata["group"]) == ("Venue 1", "g2")),
        ({"venue": ["' OR 1=1 --"]}, lambda p: False),
    ],
    ids=label,
)  # fmt: skip
def test_odd_filters_keep_what_they_say_on_every_route(
    services: Services, filters: dict[str, Any], kept: Callable[[Record], bool]
) -> None:
    expected = {paper.doc_id for paper in papers(60) if kept(paper)}
    browsed = services.search("papers", "", "BM25", filters=filters, limit=100)
    assert {card.doc_id for card in browsed.cards} == expected
    assert browsed.total == len(expected)
    for pipeline in ("Dense", "Hybrid"):
        assert set(ids(services, "sparse vectors", pipeline, filters=filters)) == expected
    columns = services.compare("papers", "sparse vectors", ["BM25", "Dense"], filters=filters).columns
    assert {hit.card.doc_id for column in columns for hit in column.hits} <= expected
    if not expected:
        (told,) = services.why_not("papers", "sparse", ["BM25"], "p0", filters=filters)
        assert told.verdict == "filtered"


def test_documents_that_go_while_a_filter_runs_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Services(tmp_path) as opened:
        opened.create_collection("papers")
        documents = opened.engine.workspace.documents
        key = opened.engine.workspace.collection("papers").collection_id
        documents.upsert(key, papers(6), "test")
        take = documents.filter

        def delete_after(collection_id: str, filters: Any) -> Any:
            found = take(collection_id, filters)
            documents.delete(key, ["p3", "p5"])
            return found

        monkeypatch.setattr(documents, "filter", delete_after)
        result = opened.search("papers", "", "BM25", filters={"year": [None, None]})
        assert {card.doc_id for card in result.cards} == {"p0", "p1", "p2", "p4"}


# names and values


@pytest.mark.parametrize("name", ["../x", "a/b", "CON", ".hidden", "'; drop table documents; --", "😀", "x" * 200])
def test_a_collection_of_any_printable_name_works_and_leaves_no_trace_outside(services: Services, name: str) -> None:
    before = sorted(path.name for path in services.folder.parent.iterdir())
    fill(services, name, papers(2))
    assert {card.doc_id for card in services.search(name, "study", "BM25").cards} == {"p0", "p1"}
    assert sorted(path.name for path in services.folder.parent.iterdir()) == before
    assert not [path for path in services.folder.rglob("*") if path.name == name.rsplit("/", 1)[-1]]
    services.delete_collection(name)
    with pytest.raises(NotFound):
        services.collection(name)


@pytest.mark.parametrize("name", ["", " ", "a\x00b", "x" * 300, "a\nb", HALF, "\u202eabc"])
def test_unusable_names_are_refused_by_every_verb_that_makes_one(services: Services, name: str, tmp_path: Path) -> None:
    source = tmp_path / "one.jsonl"
    source.write_text("{}")
    known = [collection.name for collection in services.collections()]
    for make in (
        lambda: services.create_collection(name),
        lambda: services.rename_collection("papers", name),
        lambda: services.add([str(source)], name),
    ):
        with pytest.raises(BadInput):
            make()
    assert [collection.name for collection in services.collections()] == known


def test_a_name_is_taken_once(services: Services) -> None:
    for taken in ("papers", "  papers "):
        with pytest.raises(BadInput, match="already a collection 'papers'"):
            services.create_collection(taken)


@pytest.mark.parametrize(
    "path", ["", "a\x00b", "x" * 5_000, "/" + "x" * 300, "~nobody-of-this-name/x", f"/tmp/{HALF}", "/nowhere/at/all"]
)
def test_paths_that_cannot_be_read_are_refused_before_anything_is_queued(
    services: Services, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = len(services.jobs())
    for ask in (lambda: services.add([path or "none"], "papers"), lambda: services.preview([path or "none"])):
        with pytest.raises(BadInput) as caught:
            ask()
        str(caught.value).encode()  # can be printed anywhere
    assert len(services.jobs()) == before


def test_ids_that_nothing_has_are_unknown_and_ids_that_nothing_can_have_are_refused(services: Services) -> None:
    for odd, error in ((HALF, BadInput), ("../x", NotFound), ("a\x00b", NotFound), ("x" * 100_000, NotFound)):
        for ask in (
            lambda odd=odd: services.document("papers", odd),
            lambda odd=odd: services.shortlist_add("papers", odd),
            lambda odd=odd: services.job(odd),
            lambda odd=odd: services.cancel(odd),
        ):
            with pytest.raises(error):
                ask()


def test_documents_of_odd_texts_are_stored_found_and_exported(services: Services, tmp_path: Path) -> None:
    rows = [
        {"id": "emoji", "title": "😀😀", "text": "👩‍👩‍👧‍👦🎉"},
        {"id": "long", "title": "T" * 1_000_000, "text": "about quokkas"},
        {"id": "blank", "title": " ", "text": "\n"},
        {"id": "unseen", "title": "\u200b", "text": "\ufeff"},
        {"id": "=1+1", "title": "=HYPERLINK(1)", "text": "quokkas"},
    ]
    source = tmp_path / "odd.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows))
    job = services.wait(services.add([str(source)], "odd"), 120)
    assert (job.status, job.counts["added"], job.counts["rejected"]) == ("done", 3, 2)
    assert {row.reason for row in services.rejections(job.job_id)} == {"empty: it has neither a title nor a text"}
    found = {card.doc_id: card for card in services.search("odd", "quokkas", "BM25").cards}
    assert set(found) == {"long", "=1+1"}
    assert len(found["long"].title) == MAX_TITLE
    assert {card.doc_id for card in services.search("odd", "😀", "Dense").cards} == {"emoji", "long", "=1+1"}
    assert len(services.document("odd", "long").title) == 1_000_000
    services.shortlist_add("odd", "=1+1")
    assert "'=HYPERLINK(1)" in services.export_shortlist("odd", "csv")
    services.delete_collection("odd")


# at the same time


def test_twenty_searches_at_once_answer_as_one_after_the_other(services: Services) -> None:
    asked = [(f"{WORDS[n % 10]} {WORDS[(n * 3 + 1) % 10]}", BUILT_IN[n % 4], {"venue": [f"Venue {n % 3}"]}) for n in range(20)]  # fmt: skip

    def answer(query: str, pipeline: str, filters: dict[str, Any]) -> Any:
        result = services.search("papers", query, pipeline, filters=filters)
        compared = services.compare("papers", query, BUILT_IN[:3])
        return (
            [(card.doc_id, card.rank, card.score, card.title, card.snippet) for card in result.cards],
            result.facets,
            [[(hit.card.doc_id, hit.card.score, hit.movement) for hit in column.hits] for column in compared.columns],
        )

    alone = [answer(*one) for one in asked]
    gate = threading.Barrier(20)

    def together(one: tuple[str, str, dict[str, Any]]) -> Any:
        gate.wait(30)
        return answer(*one)

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(together, asked)) == alone
    assert len({str(one) for one in alone}) == 20


def test_searching_while_documents_come_and_go(tmp_path: Path) -> None:
    """Nobody meets a fault, a deleted document is gone at once, and what stays is always found."""
    with Services(tmp_path / "workspace") as opened:
        fill(opened, "papers", papers(40))
        faults: list[BaseException] = []
        stop = threading.Event()

        def ask(n: int) -> None:
            while not stop.is_set():
                try:
                    assert "p0" in ids(opened, "sparse study", ("Hybrid", "BM25", "Dense")[n % 3])
                    ids(opened, "", "BM25", filters={"venue": ["Venue 0"]})
                    opened.document("papers", "p0", query="sparse", pipeline="Hybrid")
                except BaseException as error:
                    faults.append(error)
                    return

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(3):
                source = tmp_path / f"{turn}.jsonl"
                source.write_text("\n".join(json.dumps({"id": f"n{i}", "title": f"study {turn}"}) for i in range(20)))
                job_id = opened.add([str(source)], "papers")
                if turn % 3 == 2:
                    opened.cancel(job_id)
                for n in range(5):
                    opened.delete_documents("papers", [f"p{1 + 5 * turn + n}"])
                    assert f"p{1 + 5 * turn + n}" not in ids(opened, "study", "Hybrid")
                assert opened.wait(job_id, 60).status in ("done", "cancelled")
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        assert faults == []
        assert opened.wait(opened.index("papers"), 60).status == "done"
        titles = {
            card.title for card in opened.search("papers", "study", "BM25", limit=100).cards if card.doc_id[0] == "n"
        }
        assert len(titles) == 1  # every re-added document holds what was added last
        assert not list(opened.folder.glob("tmp-*"))


@pytest.mark.parametrize("paused", [False, True])
def test_a_collection_is_deleted_under_its_job(tmp_path: Path, paused: bool) -> None:
    source = tmp_path / "many.jsonl"
    source.write_text("\n".join(json.dumps({"id": str(i), "title": f"study {i}"}) for i in range(2_000)))
    with Services(tmp_path / "workspace") as opened:
        job_id = opened.add([str(source)], "doomed")
        if paused:
            opened.pause(job_id)
        opened.delete_collection("doomed")
        assert opened.job(job_id).status in ("cancelled", "done")
        with pytest.raises(BadInput, match="only paused"):
            opened.resume(job_id)
        assert opened.collections() == ()
        assert not list(opened.folder.glob("tmp-*"))
        assert not list((opened.folder / "indexes").glob("*"))
        assert {finding.level for finding in opened.doctor()} <= {"ok", "note"}


def test_a_failed_job_of_a_deleted_collection_says_so_when_resumed(tmp_path: Path) -> None:
    source = tmp_path / "bad.jsonl"
    source.write_text("{nope\n")
    with Services(tmp_path / "workspace") as opened:
        job_id = opened.add([str(source)], "doomed")
        assert opened.wait(job_id, 60).status == "failed"
        opened.delete_collection("doomed")
        source.write_text('{"id": "1", "title": "x"}\n')
        opened.resume(job_id)
        assert opened.wait(job_id, 60).error == "The collection to add to was deleted."
        assert opened.collections() == ()


# not ready, not writable


def test_a_pipeline_whose_index_is_missing_names_the_remedy_and_harms_no_other(tmp_path: Path) -> None:
    with Services(tmp_path) as opened:
        fill(opened, "papers", papers(5))
        dense = next(index for index in opened.collection("papers").indexes if index.kind == "dense")
        opened.drop_index("papers", dense.generation_id)
        with pytest.raises(IndexNotReady, match="Build it in the Library"):
            opened.search("papers", "sparse", "Hybrid")
        columns = opened.compare("papers", "sparse", ["BM25", "Hybrid"]).columns
        assert [bool(column.error) for column in columns] == [False, True]
        assert columns[0].total == len(ids(opened, "sparse", "BM25")) > 0
        with pytest.raises(IndexNotReady):
            opened.more_like_this("papers", "p1")
        assert opened.document("papers", "p1").neighbours == ()


def test_a_saved_pipeline_that_cannot_be_read_says_so_and_harms_no_other(tmp_path: Path) -> None:
    with Services(tmp_path) as opened:
        fill(opened, "papers", papers(5))
        gone = "name: Gone\npipeline:\n- stage_of_an_uninstalled_package: {}\n"
        opened.engine.workspace.save_pipeline("Gone", gone)
        assert opened.search("papers", "sparse", "BM25").total > 0
        shown = {view.name: view for view in opened.pipelines()}["Gone"]
        assert shown.yaml == gone
        assert "no stage called 'stage_of_an_uninstalled_package'" in shown.summary
        assert opened.pipeline("Gone") == shown
        with pytest.raises(BadInput, match=r"'Gone' cannot be read: .* Mend it in the editor, or delete it"):
            opened.search("papers", "sparse", "Gone")
        opened.delete_pipeline("Gone")
        assert "Gone" not in {view.name for view in opened.pipelines()}


def test_scores_without_bounds_are_refused(tmp_path: Path) -> None:
    with Services(tmp_path) as opened:
        fill(opened, "papers", papers(5))
        method = "{comb_sum: {statistics: [[0, 1.0e-320], [0, 1]]}}"
        opened.save_pipeline("Huge", f"pipeline:\n- fuse: {{inputs: [bm25, dense], method: {method}}}\n")
        with pytest.raises(BadInput, match=r"comb_sum: the weights or statistics .* choose smaller ones"):
            opened.search("papers", "sparse onion bread", "Huge")


def test_a_workspace_opened_for_reading_reads_everything_and_writes_nothing(tmp_path: Path) -> None:
    source = tmp_path / "one.jsonl"
    source.write_text('{"id": "1", "title": "x"}\n')
    folder = tmp_path / "workspace"
    with Services(folder) as opened:
        fill(opened, "papers", papers(10))
        opened.save_pipeline("mine", "pipeline: [bm25]")
        opened.shortlist_add("papers", "p1")
        index = opened.collection("papers").indexes[0].generation_id
        job_id = opened.jobs()[0].job_id
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}
    with Services(folder, read_only=True) as reading:
        assert reading.search("papers", "sparse", "Hybrid").cards
        assert reading.compare("papers", "sparse", ["BM25", "mine"]).columns[1].hits
        assert reading.document("papers", "p1", query="sparse", pipeline="Hybrid").shortlisted
        assert [card.doc_id for card in reading.shortlist("papers")] == ["p1"]
        assert reading.export_shortlist("papers", "ris").startswith("TY")
        assert reading.preview([str(source)])[0].records[0]["doc_id"] == "1"
        assert reading.job(job_id).status == "done"
        assert reading.workspace().read_only
        writes: list[Callable[[], Any]] = [
            lambda: reading.add([str(source)], "papers"),
            lambda: reading.add([str(source)], "new"),
            lambda: reading.index("papers"),
            lambda: reading.create_collection("new"),
            lambda: reading.rename_collection("papers", "new"),
            lambda: reading.delete_collection("papers"),
            lambda: reading.delete_documents("papers", ["p1"]),
            lambda: reading.shortlist_add("papers", "p2"),
            lambda: reading.shortlist_remove("papers", "p1"),
            lambda: reading.save_pipeline("other", "pipeline: [bm25]"),
            lambda: reading.delete_pipeline("mine"),
            lambda: reading.drop_index("papers", index),
        ]
        for write in writes:
            with pytest.raises(ReadOnly, match="open for reading only"):
                write()
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("k", [0, -1, 10**9, 10**30, True, 1.5, "3", None])
def test_a_number_of_hits_that_is_none_is_refused_on_every_route(services: Services, k: Any) -> None:
    for ask in (
        lambda: services.search("papers", "sparse", "BM25", k=k),
        lambda: services.compare("papers", "sparse", ["BM25"], k=k),
        lambda: services.ledger("papers", "sparse", "Hybrid", k=k),
    ):
        with pytest.raises(BadInput, match="k is"):
            ask()


def test_more_hits_than_documents_that_are_left_are_those_that_are_left(tmp_path: Path) -> None:
    with Services(tmp_path) as opened:
        fill(opened, "papers", papers(12))
        documents = opened.engine.workspace.documents
        documents.delete(opened.engine.workspace.collection("papers").collection_id, [f"p{n}" for n in range(9)])
        for pipeline in ("Dense", "Hybrid"):
            found = opened.search("papers", "sparse vectors", pipeline, k=50, limit=50)
            assert sorted(card.doc_id for card in found.cards) == ["p10", "p11", "p9"]
