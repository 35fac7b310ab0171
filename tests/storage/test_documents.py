"""Documents: what an upsert counts and keeps, numbers that never come back, and what every reading method returns."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import BadInput, NotFound
from engine.types import Judgment, Query, Record
from engine.workspace.records import content_hash


class ThirdsChunker:
    """Cuts every text into three equal parts; `texts` counts what it was asked."""

    def __init__(self) -> None:
        self.texts = 0

    def split_many(self, titles, texts):
        self.texts += len(texts)
        return [[(i * len(t) // 3, (i + 1) * len(t) // 3) for i in range(3)] if t else [] for t in texts]


def counts(result):
    return result.added, result.changed, result.unchanged, result.duplicate, len(result.rejected)


def test_content_hash_is_sha256_of_canonical_json():
    record = Record("a", "T", "é", ("X",), 1999, "V", "u", {"b": 1, "a": [2]})
    text = '["T","é",["X"],1999,"V","u"]' + '{"a":[2],"b":1}'
    assert content_hash(record) == hashlib.sha256(text.encode()).hexdigest()
    assert content_hash(
        Record("other", "T", "é", ("X",), 1999, "V", "u", {"a": [2], "b": 1}, "elsewhere")
    ) == content_hash(record)


def test_added_changed_unchanged(workspace, papers, make):
    store, cid = workspace.documents, papers.collection_id
    assert counts(store.upsert(cid, [make(1), make(2), make(3)], "one")) == (3, 0, 0, 0, 0)
    first = store.snapshot(cid)
    assert counts(store.upsert(cid, [make(1), make(2, title="New"), make(4)], "two")) == (1, 1, 1, 0, 0)
    second = store.snapshot(cid)
    assert (first.doc_nos.tolist(), first.doc_ids.to_list()) == ([1, 2, 3], ["d1", "d2", "d3"])
    assert (second.doc_nos.tolist(), second.doc_ids.to_list()) == ([1, 3, 4, 5], ["d1", "d3", "d2", "d4"])
    assert second.revision == first.revision + 1
    assert store.fetch(cid, ["d2", "d1"])[["title", "source"]].rows() == [("New", "two"), ("Title 1", "one")]


def test_an_unchanged_batch_changes_nothing_at_all(workspace, papers, make):
    store, cid = workspace.documents, papers.collection_id
    store.upsert(cid, [make(1)], "f")
    before = store.snapshot(cid)
    assert counts(store.upsert(cid, [make(1)], "g")) == (0, 0, 1, 0, 0)
    assert store.snapshot(cid) is before


def test_changed_document_loses_its_old_passages(workspace, papers, make):
    store, cid, chunker = workspace.documents, papers.collection_id, ThirdsChunker()
    store.upsert(cid, [make(1, text="aaabbbccc"), make(2, text="dddeeefff")], "f", chunker=chunker)
    old = store.snapshot(cid)
    assert store.unit_texts(cid, "passage", old.passage_nos[[5, 0]]) == ["Title 2. fff", "Title 1. aaa"]
    store.upsert(cid, [make(1, text="xyz"), make(2, text="dddeeefff")], "f", chunker=chunker)
    new = store.snapshot(cid)
    assert chunker.texts == 3, "an unchanged document is not split again"
    assert set(new.passage_nos) & set(old.passage_nos[:3]) == set()
    assert new.passage_nos.tolist() == [4, 5, 6, 7, 8, 9]
    assert new.passage_docs.tolist() == [0, 0, 0, 1, 1, 1]
    assert workspace.query("SELECT count(*) AS n FROM passages").item() == 6
    with pytest.raises(NotFound, match="1 of 2 passages"):
        store.unit_texts(cid, "passage", np.array([1, 4]))


def test_deleted_document_is_gone_after_reopening(tmp_path, make):
    from engine.workspace.workspace import Workspace

    with Workspace.open(tmp_path) as workspace:
        cid = workspace.create_collection("c").collection_id
        workspace.documents.upsert(cid, [make(1), make(2)], "f")
        assert workspace.documents.delete(cid, ["d1", "d1", "unknown"]) == 1
    with Workspace.open(tmp_path) as workspace:
        store = workspace.documents
        assert store.snapshot(cid).doc_ids.to_list() == ["d2"]
        assert store.fetch(cid, ["d1", "d2"])["doc_id"].to_list() == ["d2"]
        assert store.positions(cid, ["d1", "d2"]).tolist() == [-1, 0]
        assert len(store.passages(cid, np.array([1, 2]))) == 1
        assert store.filter(cid, {}).tolist() == [2]
        assert store.list(cid)["doc_id"].to_list() == ["d2"]
        assert counts(store.upsert(cid, [make(1)], "f")) == (1, 0, 0, 0, 0)
        assert store.snapshot(cid).doc_nos.tolist() == [2, 3], "numbers are never given twice"


@pytest.mark.parametrize(
    ("policy", "expected", "title", "reasons"),
    [
        ("replace", (2, 0, 0, 2, 0), "third", []),
        ("keep", (2, 0, 0, 2, 0), "first", []),
        ("error", (2, 0, 0, 0, 2), "first", ["p2", "p3"]),
    ],
)
def test_duplicates_within_a_batch(workspace, papers, make, policy, expected, title, reasons):
    batch = [
        make(1, title="first", place="p1"),
        make(1, title="second", place="p2"),
        make(2),
        make(1, title="third", place="p3"),
    ]
    result = workspace.documents.upsert(papers.collection_id, batch, "f", duplicates=policy)
    assert counts(result) == expected
    assert [rejected.place for rejected in result.rejected] == reasons
    assert all("occurs more than once" in rejected.reason for rejected in result.rejected)
    assert workspace.documents.fetch(papers.collection_id, ["d1"])["title"].item() == title


@pytest.mark.parametrize(
    ("policy", "expected", "title"),
    [
        ("replace", (1, 0, 0, 2, 0), "again"),
        ("keep", (1, 0, 0, 2, 0), "Title 1"),
        ("error", (1, 0, 0, 0, 2), "Title 1"),
    ],
)
def test_duplicates_across_batches_of_one_job(workspace, papers, make, policy, expected, title):
    store, cid = workspace.documents, papers.collection_id
    store.upsert(cid, [make(1, title="from an earlier job"), make(2)], "f")
    assert counts(store.upsert(cid, [make(1), make(2)], "f", duplicates=policy, job_id="j")) == (0, 1, 1, 0, 0)
    assert (
        counts(store.upsert(cid, [make(1, title="again"), make(2), make(3)], "g", duplicates=policy, job_id="j"))
        == expected
    )
    assert store.fetch(cid, ["d1"])["title"].item() == title
    assert counts(store.upsert(cid, [make(2)], "g", duplicates=policy, job_id="another")) == (0, 0, 1, 0, 0)


def test_unusable_records_are_rejected_with_their_place(workspace, papers, make):
    bad = [
        make(1, doc_id=""), make(2, doc_id="x" * 1_001), make(3, doc_id="a\nb"), make(4, title=" ", text="\n"), make(5, text="a\x00b"),
        make(6, text="\ud800"), make(7, metadata={"x": float("nan")}), make(8, metadata={"x": {1, 2}}), make(9, year=10**9),
    ]  # fmt: skip
    result = workspace.documents.upsert(papers.collection_id, [*bad, make(10)], "f")
    assert counts(result) == (1, 0, 0, 0, 9)
    assert [rejected.place for rejected in result.rejected] == [f"file line {n}" for n in range(1, 10)]
    assert "empty" in result.rejected[3].reason
    assert "surrogate" in result.rejected[5].reason
    assert workspace.documents.snapshot(papers.collection_id).doc_ids.to_list() == ["d10"]


def test_unknown_collection_and_policy(workspace, papers, make):
    with pytest.raises(NotFound):
        workspace.documents.upsert("nope", [make(1)], "f")
    with pytest.raises(BadInput):
        workspace.documents.upsert(papers.collection_id, [make(1)], "f", duplicates="first")
    assert counts(workspace.documents.upsert(papers.collection_id, [], "f")) == (0, 0, 0, 0, 0)


def test_fetch_returns_what_was_stored(workspace, papers, make):
    original = make(7, title="A \u202b title", text="x" * 100_000 + " 🤦 é")
    workspace.documents.upsert(papers.collection_id, [make(1), original], "f")
    row = workspace.documents.fetch(papers.collection_id, ["d7", "missing", "d7"]).row(0, named=True)
    assert {name: row[name] for name in ("doc_id", "title", "text", "year", "venue", "url", "source")} == {
        "doc_id": "d7", "title": original.title, "text": original.text, "year": 2007, "venue": "Venue 1", "url": original.url, "source": "f",
    }  # fmt: skip
    assert row["authors"] == list(original.authors)
    assert json.loads(row["metadata"]) == original.metadata
    assert workspace.documents.fetch(papers.collection_id, []).columns == list(row)


def test_passage_offsets_count_characters_not_bytes(workspace, papers, make):
    text = "é🤦🏼x日本"
    workspace.documents.upsert(papers.collection_id, [make(1, title="", text=text)], "f", chunker=ThirdsChunker())
    snapshot = workspace.documents.snapshot(papers.collection_id)
    assert workspace.documents.unit_texts(papers.collection_id, "passage", snapshot.passage_nos) == [
        text[0:2],
        text[2:4],
        text[4:6],
    ]


def test_unit_texts_of_documents_without_title_or_text(workspace, papers, make):
    cid = papers.collection_id
    workspace.documents.upsert(cid, [make(1, title=""), make(2, text=""), make(3)], "f")
    texts = workspace.documents.unit_texts(cid, "document", np.array([3, 1, 2]))
    assert texts == ["Title 3. Text of 3. It says é and 🤦.", "Text of 1. It says é and 🤦.", "Title 2"]
    assert workspace.documents.unit_texts(cid, "passage", np.array([2])) == ["Title 2"]
    assert workspace.documents.unit_texts(cid, "document", np.array([], dtype=np.int64)) == []


def test_collections_do_not_see_each_other(workspace, papers, make):
    other = workspace.create_collection("other").collection_id
    workspace.documents.upsert(papers.collection_id, [make(1)], "f")
    workspace.documents.upsert(other, [make(1, title="Other")], "f")
    assert workspace.documents.fetch(other, ["d1"])["title"].item() == "Other"
    assert workspace.documents.delete(other, ["d1"]) == 1
    assert workspace.documents.fetch(papers.collection_id, ["d1"])["title"].item() == "Title 1"
    with pytest.raises(NotFound):
        workspace.documents.unit_texts(other, "document", np.array([1]))


def test_content_hash_ignores_the_order_and_notices_a_change(workspace, make):
    first, second = (workspace.create_collection(name).collection_id for name in "ab")
    store = workspace.documents
    store.upsert(first, [make(n) for n in range(5)], "f")
    for n in (3, 1, 4, 0, 2):
        store.upsert(second, [make(n, title="old"), make(n)], "g")
    assert store.content_hash(first) == store.content_hash(second)
    store.upsert(second, [make(2, venue="elsewhere")], "g")
    assert store.content_hash(first) != store.content_hash(second)


def test_facets(workspace, papers, make):
    cid, store = papers.collection_id, workspace.documents
    store.upsert(cid, [make(n) for n in range(4)] + [make(4, venue="", year=None, metadata={})], "f")
    frame = store.facets(cid, ["venue", "metadata.tags", "metadata.a/b", "authors"], limit=3)
    assert frame.rows() == [
        ("venue", "Venue 0", 2), ("venue", "Venue 1", 2), ("metadata.tags", "a", 4), ("metadata.tags", "t0", 2), ("metadata.tags", "t1", 2),
        ("metadata.a/b", "x", 4), ("authors", "Everyone", 5), ("authors", "Author 0", 1), ("authors", "Author 1", 1),
    ]  # fmt: skip
    assert store.facets(cid, ["year"], np.array([2, 3])).rows() == [("year", "2001", 1), ("year", "2002", 1)]
    assert store.facets(cid, ["year"], np.array([], dtype=np.int64)).rows() == []
    assert store.fields(cid) == (
        "year",
        "venue",
        "source",
        "authors",
        "metadata.a/b",
        "metadata.pages",
        "metadata.tags",
    )
    store.upsert(cid, [make(5, metadata={"": "a value without a name", "pages": 5})], "f")
    assert "metadata." not in store.fields(cid), "what cannot be counted by is not offered"
    for field in ("text", "metadata.", "year; DROP TABLE documents", "content_hash"):
        with pytest.raises(BadInput, match="Fields: year, venue, source, authors"):
            store.facets(cid, [field])


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({}, [0, 1, 2, 3]),
        ({"year": (2001, 2002)}, [1, 2]),
        ({"year": {"min": 2002}}, [2, 3]),
        ({"year": (None, 2000)}, [0]),
        ({"year": [2003, "2000"]}, [0, 3]),
        ({"venue": ["Venue 1"]}, [1, 3]),
        ({"venue": ["Venue 1"], "year": (2002, None)}, [3]),
        ({"authors": ["Author 2", "Author 3"]}, [2, 3]),
        ({"metadata.tags": ["t0"]}, [0, 2]),
        ({"metadata.pages": (1, 2)}, [1, 2]),
        ({"metadata.pages": [3]}, [3]),
        ({"metadata.a/b": ["x"]}, [0, 1, 2, 3]),
        ({"metadata.none": ["x"]}, []),
        ({"venue": ["'; DROP TABLE documents; --"]}, []),
        ({"venue": []}, []),
        ({"source": ["f"]}, [0, 1, 2, 3]),
    ],
)
def test_filter(workspace, papers, make, filters, numbers):
    workspace.documents.upsert(papers.collection_id, [make(n) for n in range(4)], "f")
    found = workspace.documents.filter(papers.collection_id, filters)
    assert found.dtype == np.int64
    assert (found - 1).tolist() == numbers


@pytest.mark.parametrize(
    "filters", [{"text": ["x"]}, {"year": (1, 2, 3)}, {"year": {"from": 1}}, {"year": ("a", None)}]
)
def test_unusable_filters(workspace, papers, filters):
    with pytest.raises(BadInput):
        workspace.documents.filter(papers.collection_id, filters)


def test_list_pages_and_sorts(workspace, papers, make):
    cid, store = papers.collection_id, workspace.documents
    store.upsert(cid, [make(2, title="b"), make(0, title="C"), make(1, title="a", year=None)], "f")
    assert store.list(cid)["doc_id"].to_list() == ["d2", "d0", "d1"]
    assert store.list(cid, sort="title")["doc_id"].to_list() == ["d1", "d2", "d0"]
    assert store.list(cid, sort="-year")["doc_id"].to_list() == ["d2", "d0", "d1"]
    assert store.list(cid, 1, 1, "year")["doc_id"].to_list() == ["d2"]
    assert store.list(cid, doc_nos=np.array([2]))["doc_id"].to_list() == ["d0"]
    for sort in ("text", "title; DROP TABLE documents", "--title"):
        with pytest.raises(BadInput, match="Sorts: added"):
            store.list(cid, sort=sort)


def test_queries_and_judgments(workspace, papers):
    cid, store = papers.collection_id, workspace.documents
    assert store.add_queries(cid, [Query("q2", "two"), Query("q1", "one"), Query("q2", "zwei", {"a": 1})]) == 2
    assert store.queries(cid).rows() == [("q1", "one", "{}"), ("q2", "zwei", '{"a": 1}')]
    store.add_queries(cid, [Query("q1", "eins")])
    assert dict(store.queries(cid)[["qid", "text"]].rows()) == {"q1": "eins", "q2": "zwei"}
    assert store.add_judgments(cid, [Judgment("q1", "d1", 1), Judgment("q1", "d2", 0), Judgment("q1", "d1", 2)]) == 2
    store.add_judgments(cid, [Judgment("q1", "d1", 3)], assessor="me")
    store.add_judgments(cid, [Judgment("q1", "d2", 1)])
    found = store.judgments(cid).select("qid", "doc_id", "rating", "assessor").sort("doc_id", "assessor").rows()
    assert found == [("q1", "d1", 2, "imported"), ("q1", "d1", 3, "me"), ("q1", "d2", 1, "imported")]
    assert store.remove_judgment(cid, "q1", "d1", "me")
    assert not store.remove_judgment(cid, "q1", "d1", "me")


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=6)),
        st.tuples(st.just("delete"), st.lists(st.integers(0, 5), max_size=3)),
    ),
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_any_sequence_of_operations_matches_a_dictionary(workspace, operations):
    """The store agrees with a plain dict, numbers only grow, and a number always means the same content."""
    cid = workspace.create_collection(
        f"c{workspace.query('SELECT count(*) AS n FROM collections').item()}"
    ).collection_id
    model: dict[str, str] = {}
    contents: dict[int, tuple[str, str]] = {}
    for operation, values in operations:
        if operation == "upsert":
            result = workspace.documents.upsert(cid, [Record(f"d{n}", text=f"version {v}") for n, v in values], "f")
            last = {f"d{n}": f"version {v}" for n, v in values}
            expected = [
                sum(k not in model for k in last),
                sum(k in model and model[k] != v for k, v in last.items()),
                sum(model.get(k) == v for k, v in last.items()),
            ]
            assert [result.added, result.changed, result.unchanged, result.duplicate] == [
                *expected,
                len(values) - len(last),
            ]
            model |= last
        else:
            gone = {f"d{n}" for n in values}
            assert workspace.documents.delete(cid, [f"d{n}" for n in values]) == len(gone & set(model))
            model = {k: v for k, v in model.items() if k not in gone}
        snapshot = workspace.documents.snapshot(cid)
        stored = workspace.documents.fetch(cid, snapshot.doc_ids.to_list())
        assert dict(stored[["doc_id", "text"]].rows()) == model
        assert (np.diff(snapshot.doc_nos) > 0).all()
        for number, doc_id, text in stored[["doc_no", "doc_id", "text"]].rows():
            assert contents.setdefault(number, (doc_id, text)) == (doc_id, text)
        assert len(snapshot.passage_nos) == len(model)
        assert workspace.documents.positions(cid, snapshot.doc_ids.to_list()).tolist() == list(range(len(model)))


def test_readers_see_whole_transactions(workspace, papers, make):
    """While batches of ten come in, every snapshot holds a multiple of ten, and its parts fit together."""
    import threading

    store, cid, stop, wrong = workspace.documents, papers.collection_id, threading.Event(), []

    def watch() -> None:
        while not stop.is_set():
            snapshot = store.snapshot(cid)
            if (
                len(snapshot) % 10
                or len(snapshot.passage_nos) != len(snapshot)
                or (np.diff(snapshot.passage_docs) != 1).any()
            ):
                wrong.append(len(snapshot))
            if len(snapshot) and store.fetch(cid, [snapshot.doc_ids[-1]]).height != 1:
                wrong.append("fetch")

    thread = threading.Thread(target=watch)
    thread.start()
    for start in range(0, 200, 10):
        store.upsert(cid, [make(n) for n in range(start, start + 10)], "f")
    stop.set()
    thread.join()
    assert wrong == []
    assert isinstance(store.snapshot(cid).doc_ids, pl.Series)


def test_a_deletion_in_the_middle_of_fetching_mixes_nothing_up(workspace, papers, make, monkeypatch):
    """Positions of one snapshot mean other documents in the next one."""
    documents, cid = workspace.documents, papers.collection_id
    documents.upsert(cid, [make(n) for n in range(5)], "f")
    take, met = documents._cached, []

    def delete_after(collection_id):
        found = take(collection_id)
        if not met:
            met.append(documents.delete(cid, ["d0", "d1"]))
        return found

    monkeypatch.setattr(documents, "_cached", delete_after)
    rows = documents.fetch(cid, ["d4", "d1", "d2"])
    assert met == [2]
    assert rows["doc_id"].to_list() == ["d4", "d2"]
    assert rows["title"].to_list() == ["Title 4", "Title 2"]


def test_text_that_is_no_unicode_is_refused_with_its_reason(engine, workspace, papers):
    documents, cid = workspace.documents, papers.collection_id
    half = "\ud800"
    for ask in (
        lambda: documents.fetch(cid, [half]),
        lambda: documents.delete(cid, [half]),
        lambda: documents.filter(cid, {"venue": [half]}),
        lambda: documents.find(cid, half),
        lambda: engine.jobs.get(half),
        lambda: engine.jobs.submit("add", cid, {"paths": [half]}),
        lambda: workspace.create_collection("x", half),
    ):
        with pytest.raises(BadInput, match="lone surrogate"):
            ask()
    assert [collection.name for collection in workspace.collections()] == ["papers"]
