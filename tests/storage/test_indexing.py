"""Indexes of stored documents: built, reused, kept while a new one fails, and refused when they are not what they seem."""

from __future__ import annotations

import os

import numpy as np
import pytest

from engine.errors import BadInput, IndexNotReady, StorageFull, Unreachable
from engine.indexes.base import parse_spec
from engine.indexes.bm25 import Bm25Index
from engine.indexes.dense import DenseIndex
from engine.jobs import index as indexing
from engine.serving.building import build_index
from engine.serving.engine import Engine
from engine.testing.contracts import HashEncoder
from engine.types import Record

DENSE = DenseIndex(model="hash", structure="exact")


@pytest.fixture
def encoder(monkeypatch):
    """All models are this one."""
    import engine.encoders.opening
    import engine.serving.engine

    fake = HashEncoder(dimensions=512)
    for module in (engine.encoders.opening, engine.serving.engine):
        monkeypatch.setattr(module, "load_encoder", lambda name, *a, **k: fake)
    return fake


@pytest.fixture
def filled(workspace, papers):
    add(workspace, papers.collection_id, range(30))
    return papers.collection_id


def add(workspace, cid, numbers, word="retrieval"):
    return workspace.documents.upsert(
        cid, [Record(f"d{n}", f"Paper {n}", f"about {word} and item{n}") for n in numbers], "f"
    )


def search(workspace, cid, spec, query, encoder=None):
    """doc_ids found, through the published files and the live rows."""
    generation = workspace.generations.find(cid, spec.kind, spec.model_dump(mode="json"))
    index = spec.open(workspace.generations.open_folder(generation))
    asked = [query] if spec.kind == "bm25" else encoder.encode_queries([query])
    snapshot = workspace.documents.snapshot(cid)
    numbers = index.numbers[[row for row in index.search(asked, 5).rows[0] if row >= 0]]
    live = snapshot.doc_nos if spec.unit == "document" else snapshot.passage_nos
    return [snapshot.doc_ids[int(at)] for at in np.searchsorted(live, numbers[np.isin(numbers, live)])]


def test_built_index_finds_documents(workspace, filled, encoder):
    for spec in (Bm25Index(), DENSE):
        steps = []
        generation = build_index(workspace, filled, spec, steps.append)
        assert (generation.rows, generation.revision, generation.kind) == (30, 1, spec.kind)
        assert steps[-1].phase == "publish"
        assert search(workspace, filled, spec, "item7", encoder)[0] == "d7"


def test_unchanged_collection_is_not_built_again(workspace, filled, encoder):
    first = build_index(workspace, filled, DENSE)
    assert build_index(workspace, filled, DENSE) == first
    assert encoder.calls == 30


def test_only_new_and_changed_documents_are_encoded(workspace, filled, encoder):
    build_index(workspace, filled, DENSE)
    add(workspace, filled, [2, 3, 40], word="retrieval changed")
    workspace.documents.delete(filled, ["d9"])
    generation = build_index(workspace, filled, DENSE)
    assert encoder.calls == 30 + 3
    assert generation.rows == 30
    assert generation.details["reused"] == 27
    assert search(workspace, filled, DENSE, "item40", encoder)[0] == "d40"
    assert "d9" not in search(workspace, filled, DENSE, "item9", encoder)


def test_deleted_document_is_absent_before_the_index_is_rebuilt(workspace, filled, encoder):
    for spec in (Bm25Index(), DENSE):
        build_index(workspace, filled, spec)
        assert search(workspace, filled, spec, "item5", encoder)[0] == "d5"
    workspace.documents.delete(filled, ["d5"])
    for spec in (Bm25Index(), DENSE):
        assert "d5" not in search(workspace, filled, spec, "item5", encoder)


def test_other_encoder_of_the_same_dimension_is_refused_then_rebuilt(workspace, filled, encoder, tmp_path):
    build_index(workspace, filled, DENSE)
    encoder.fingerprint = "another/512"
    folder = workspace.folder
    workspace.close()
    engine = Engine.open(folder)
    try:
        with pytest.raises(IndexNotReady, match="another version of its encoder"):
            engine.open_index(filled, DENSE)
        calls = encoder.calls
        generation = build_index(engine.workspace, filled, DENSE)
        assert encoder.calls == calls + 30, "no vector of the other encoder is kept"
        assert generation.fingerprint == "another/512"
        assert len(engine.open_index(filled, DENSE).numbers) == 30
    finally:
        engine.close()


@pytest.mark.parametrize("damage", ["missing", "truncated", "flipped"])
def test_damaged_index_is_rebuilt_and_the_engine_lives(workspace, filled, encoder, damage):
    generation = build_index(workspace, filled, DENSE)
    path = workspace.generations.folder(generation.generation_id) / "vectors.npy"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    {
        "missing": path.unlink,
        "truncated": lambda: os.truncate(path, len(data) - 10),
        "flipped": lambda: path.write_bytes(data),
    }[damage]()
    folder = workspace.folder
    workspace.close()
    engine = Engine.open(folder)
    try:
        with pytest.raises(IndexNotReady, match=r"damaged.*vectors\.npy.*being rebuilt"):
            engine.open_index(filled, DENSE)
        (job,) = engine.jobs.list()
        assert engine.jobs.wait(job.job_id, 30).status == "done"
        assert len(engine.open_index(filled, DENSE).numbers) == 30
    finally:
        engine.close()


def test_full_disk_while_an_index_is_saved_keeps_the_old_one(workspace, filled, encoder, monkeypatch):
    import engine.indexes.dense as dense

    old = build_index(workspace, filled, DENSE)
    add(workspace, filled, [50])

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dense, "save_blocks", full)
    with pytest.raises(StorageFull, match="Free some space and try again"):
        build_index(workspace, filled, DENSE)
    assert workspace.generations.find(filled, "dense", DENSE.model_dump(mode="json")) == old
    assert search(workspace, filled, DENSE, "item7", encoder)[0] == "d7"
    assert not list(workspace.folder.glob("tmp-*")), "the space is given back"
    monkeypatch.undo()


def test_interrupted_job_takes_up_its_shards(engine, workspace, filled, encoder, monkeypatch):
    import engine.indexes.shards as shards

    monkeypatch.setattr(shards, "SHARD", 8)
    report = engine.jobs

    def halt_after_two(texts, progress=None):
        if encoder.calls == 16 and not halted:
            halted.append(True)
            report.pause(job_id)
        encoder.calls += len(texts)
        return encoder.encode_queries(texts)

    halted = []
    encoder.encode_documents = halt_after_two
    job_id = engine.jobs.submit("index", filled, {"specs": [{"dense": DENSE.model_dump()}]})
    assert engine.jobs.wait(job_id, 30).status == "paused"
    assert encoder.calls == 24, "the shard at hand is finished"
    assert len(list(workspace.folder.glob("tmp-*"))) == 1
    engine.jobs.resume(job_id)
    job = engine.jobs.wait(job_id, 30)
    assert (job.status, job.error) == ("done", "")
    assert encoder.calls == 30, "nothing is encoded twice"
    assert not list(workspace.folder.glob("tmp-*"))
    assert search(workspace, filled, DENSE, "item29", encoder)[0] == "d29"


def test_cancelled_build_leaves_no_files(engine, workspace, filled, encoder):
    def cancel(texts, progress=None):
        engine.jobs.cancel(job_id)
        return encoder.encode_queries(texts)

    encoder.encode_documents = cancel
    job_id = engine.jobs.submit("index", filled, {"specs": [{"dense": DENSE.model_dump()}]})
    assert engine.jobs.wait(job_id, 30).status == "cancelled"
    assert not list(workspace.folder.glob("tmp-*"))
    assert workspace.generations.live(filled) == []


def test_document_deleted_while_its_index_is_built(workspace, filled, encoder, monkeypatch):
    take = indexing.StoredUnits.texts

    def delete_first(self, numbers):
        workspace.documents.delete(filled, ["d3"])
        return take(self, numbers)

    monkeypatch.setattr(indexing.StoredUnits, "texts", delete_first)
    build_index(workspace, filled, Bm25Index())
    assert "d3" not in search(workspace, filled, Bm25Index(), "item3")
    assert search(workspace, filled, Bm25Index(), "item4") == ["d4"]


@pytest.mark.parametrize("broken", [np.nan, np.inf, "narrow"])
def test_vectors_that_are_no_vectors_fail_the_job_and_the_old_index_serves(engine, workspace, filled, encoder, broken):
    old = build_index(workspace, filled, DENSE)
    add(workspace, filled, [50])

    def encode(texts, *_, **__):
        return (
            np.ones((len(texts), 511), np.float32) if broken == "narrow" else np.full((len(texts), 512), broken, "f4")
        )

    encoder.encode_documents = encode
    job_id = engine.jobs.submit("index", filled, {"specs": [{"dense": DENSE.model_dump()}]})
    job = engine.jobs.wait(job_id, 30)
    assert job.status == "failed"
    assert ("instead of (1, 512)" if broken == "narrow" else "values that are not numbers") in job.error
    assert workspace.generations.live(filled) == [old]
    assert search(workspace, filled, DENSE, "item7", encoder)[0] == "d7"


def test_a_view_keeps_its_index_when_another_is_published(workspace, filled, encoder):
    """The rows of one generation mean nothing in another, so a request that began before a publication ends with what it began with."""
    folder = workspace.folder
    build_index(workspace, filled, DENSE)
    workspace.close()
    engine = Engine.open(folder)
    try:
        view = engine.searcher(filled)
        assert len(view.row_docs(DENSE)) == 30
        engine.workspace.documents.delete(filled, [f"d{n}" for n in range(20)])
        assert build_index(engine.workspace, filled, DENSE).rows == 10
        assert len(view.index(DENSE).numbers) == len(view.row_docs(DENSE)) == 30
        fresh = engine.searcher(filled)
        assert len(fresh.index(DENSE).numbers) == len(fresh.row_docs(DENSE)) == 10
    finally:
        engine.close()


def test_a_generation_that_is_retired_while_it_is_opened_is_not_damaged(workspace, filled, encoder, monkeypatch):
    folder = workspace.folder
    build_index(workspace, filled, DENSE)
    workspace.close()
    engine = Engine.open(folder)
    open_folder, met = engine.workspace.generations.open_folder, []

    def publish_first(generation):
        met.append(generation.generation_id)
        if len(met) == 1:
            add(engine.workspace, filled, [60])
            build_index(engine.workspace, filled, DENSE)
        return open_folder(generation)

    monkeypatch.setattr(engine.workspace.generations, "open_folder", publish_first)
    try:
        assert len(engine.open_index(filled, DENSE).numbers) == 31
        assert len(set(met)) == 2
        assert not engine.jobs.list()
    finally:
        engine.close()


def test_parse_spec():
    assert parse_spec("bm25") == Bm25Index()
    assert parse_spec({"dense": {"model": "m"}}) == DenseIndex(model="m")
    assert parse_spec({"bm25": None}) == Bm25Index()
    for wrong in ("btree", {"bm25": {"k1": -1}}, {"bm25": {}, "dense": {}}, {"bm25": {"unknown": 1}}):
        with pytest.raises(BadInput):
            parse_spec(wrong)


def test_an_index_is_told_before_its_files_go(workspace, filled, encoder, monkeypatch):
    """It may keep something elsewhere: when it is replaced, dropped, and, where that could not be reached, at the next start."""
    told, refuse = [], []

    def dropped(self, folder):
        assert (folder / "numbers.npy").exists(), "the files are still there"
        told.append((self.kind, folder.name))
        if refuse:
            raise Unreachable("the server sleeps")

    monkeypatch.setattr(Bm25Index, "dropped", dropped)
    generations = workspace.generations
    first = build_index(workspace, filled, Bm25Index())
    add(workspace, filled, [100])
    second = build_index(workspace, filled, Bm25Index())
    assert told == [("bm25", first.generation_id)]
    assert not generations.folder(first.generation_id).exists()
    refuse.append(True)
    generations.drop(second.generation_id)
    assert generations.folder(second.generation_id).exists(), "what could not be told is kept"
    assert generations.find(filled, "bm25", Bm25Index().model_dump(mode="json")) is None
    refuse.clear()
    generations.sweep()
    assert told[1:] == [("bm25", second.generation_id)] * 2
    assert not generations.folder(second.generation_id).exists()
