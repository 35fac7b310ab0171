"""Indexes whose models share a body: each text passes through it once, with the same files as built apart, also after an interruption."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from engine.encoders.opening import open_encoder
from engine.encoders.runner import Runner
from engine.types import Record
from tests.encoders.tiny import WORDS, write_model, write_sparse

SPECS = [
    {"dense": {"model": "tiny", "structure": "exact"}},
    {"sparse": {"model": "terms"}},
    {"sparse": {"model": "lookup", "unit": "passage"}},
    {"sparse": {"model": "alone"}},
]


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """Which bodies ran, one entry a text."""
    models = tmp_path / "models"
    body = write_model(models / "tiny", pooling="cls")
    write_sparse(models / "terms", body=body)
    write_sparse(models / "lookup", body=body, sign=0.5)
    write_sparse(models / "alone")
    import engine.encoders.opening

    monkeypatch.setattr(engine.encoders.opening, "load_encoder", lambda name, *_, **__: open_encoder(models / name))
    texts: list[str] = []
    run = Runner.run

    def counted(self, ids, *rest):
        texts.extend([self.card.name] * len(ids))
        return run(self, ids, *rest)

    monkeypatch.setattr(Runner, "run", counted)
    return texts


@pytest.fixture
def filled(workspace, papers):
    add(workspace, papers.collection_id, range(30))
    return papers.collection_id


def add(workspace, cid, numbers):
    workspace.documents.upsert(
        cid,
        [Record(f"d{n}", WORDS[4 + n % 5], " ".join(WORDS[4 + n * k % 5] for k in range(n % 7))) for n in numbers],
        "f",
    )


def index(engine, cid, specs):
    job_id = engine.jobs.submit("index", cid, {"specs": specs})
    job = engine.jobs.wait(job_id, 60)
    assert (job.status, job.error) == ("done", "")
    return job


def contents(workspace, cid):
    """The hash of every file of every index."""
    found = {}
    for generation in workspace.generations.live(cid):
        folder: Path = workspace.generations.folder(generation.generation_id)
        for path in folder.iterdir():
            if path.name != "manifest.json":
                name = f"{generation.kind}/{generation.params['model']}/{path.name}"
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_a_body_reads_each_text_once(engine, workspace, filled, ran):
    job = index(engine, filled, SPECS)
    assert {name: ran.count(name) for name in set(ran)} == {"tiny": 30, "alone": 30}
    assert [about["index"] for about in job.counts["indexes"]] == ["dense", "sparse", "sparse", "sparse"]
    assert not list(workspace.folder.glob("tmp-*"))
    together = contents(workspace, filled)
    assert len(together) > 20
    for generation in workspace.generations.live(filled):
        workspace.generations.drop(generation.generation_id)
    for spec in SPECS:
        index(engine, filled, [spec])
    assert ran.count("tiny") == 30 + 3 * 30
    assert contents(workspace, filled) == together


def test_only_what_each_index_lacks_is_read(engine, workspace, filled, ran):
    index(engine, filled, SPECS[:1])
    index(engine, filled, SPECS[:2])
    assert ran.count("tiny") == 60, "the dense index stood, so the other one was built alone"
    add(workspace, filled, range(30, 35))
    ran.clear()
    index(engine, filled, SPECS[:3])
    assert ran.count("tiny") == 35, "the new texts once for all three, the others for the new index"
    ran.clear()
    index(engine, filled, SPECS[:3])
    assert ran == []
    assert not list(workspace.folder.glob("tmp-*"))


def test_a_paused_pass_goes_on_where_it_stopped(engine, workspace, filled, ran, monkeypatch):
    monkeypatch.setattr("engine.indexes.shards.SHARD", 8)
    index(engine, filled, SPECS[:3])
    undisturbed = contents(workspace, filled)
    for generation in workspace.generations.live(filled):
        workspace.generations.drop(generation.generation_id)
    ran.clear()
    put = __import__("engine.indexes.shards", fromlist=["Shards"]).Shards.put
    stored = []

    def pause_after(self, numbers, rows):
        put(self, numbers, rows)
        stored.append(len(numbers))
        if len(stored) == 4:  # the first shard of all three, the second of the first
            engine.jobs.pause(job_id)

    monkeypatch.setattr("engine.indexes.shards.Shards.put", pause_after)
    job_id = engine.jobs.submit("index", filled, {"specs": SPECS[:3]})
    assert engine.jobs.wait(job_id, 60).status == "paused"
    assert ran.count("tiny") == 16
    engine.jobs.resume(job_id)
    assert engine.jobs.wait(job_id, 60).status == "done"
    assert ran.count("tiny") == 30, "what was stored is not read again"
    assert contents(workspace, filled) == undisturbed


@pytest.mark.parametrize("when", ["encoding", "building"])
def test_a_cancelled_pass_leaves_no_files(engine, workspace, filled, ran, monkeypatch, when):
    owner, name = {
        "encoding": ("engine.indexes.shards.Shards", "put"),
        "building": ("engine.workspace.generations.Generations", "publish"),
    }[when]
    module, _, cls = owner.rpartition(".")
    target = getattr(__import__(module, fromlist=[cls]), cls)
    original = getattr(target, name)

    def cancel(self, *args, **kwargs):
        engine.jobs.cancel(job_id)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(target, name, cancel)
    job_id = engine.jobs.submit("index", filled, {"specs": SPECS[:3]})
    assert engine.jobs.wait(job_id, 60).status == "cancelled"
    assert not list(workspace.folder.glob("tmp-*"))
    assert workspace.database.rows("SELECT count(*) FROM builds")[0][0] == 0


def test_unusable_rows_of_one_model_stop_the_pass(engine, workspace, filled, ran, tmp_path):
    write_sparse(tmp_path / "models" / "terms", body=tmp_path / "models" / "tiny", sign=-1)
    job = engine.jobs.wait(engine.jobs.submit("index", filled, {"specs": SPECS[:2]}), 60)
    assert job.status == "failed"
    assert "'terms'" in job.error
    assert not list(workspace.folder.glob("tmp-*"))
