"""kill -9 at every phase of a job: what is resumed equals what was never interrupted."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from engine.indexes.base import parse_spec
from engine.serving.doctor import check
from engine.serving.engine import Engine
from engine.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("worker.py")
spec = importlib.util.spec_from_file_location("fault_worker", WORKER)
worker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(worker)
QUERIES = ["retrieval number7", "graph calibration", "number111", "unknownword"]


@pytest.fixture(autouse=True)
def quiet_modules(monkeypatch):
    """The same small batches and encoder in this process, for the length of a test."""
    from engine.encoders import opening
    from engine.indexes import shards
    from engine.jobs import add as ingest

    monkeypatch.setattr(ingest, "BATCH_ITEMS", worker.BATCH)
    monkeypatch.setattr(shards, "SHARD", worker.SHARD)
    encoder = worker.HashEncoder(dimensions=256)
    monkeypatch.setattr(opening, "load_encoder", lambda *_, **__: encoder)
    return encoder


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("input") / "papers.jsonl"
    words = ["retrieval", "graph", "calibration", "sparse", "dense", "fusion", "ranking"]
    rows = [
        {"_id": f"d{n}", "title": f"Paper number{n}", "text": f"On {words[n % 7]} and {words[n % 5]}, number{n}."}
        for n in range(200)
    ]
    rows += rows[:10]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def start(folder, file, phase):
    return subprocess.run(
        [sys.executable, str(WORKER), str(folder), str(file), phase],
        cwd=ROOT, capture_output=True, text=True, timeout=300, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def outcome(workspace, encoder):
    """Everything that a search could show: contents, counts, and the hits of both indexes with their scores."""
    cid = workspace.collection("papers").collection_id
    snapshot = workspace.documents.snapshot(cid)
    hits = {}
    for raw in worker.SPECS:
        spec = parse_spec(raw)
        generation = workspace.generations.find(cid, spec.kind, spec.model_dump(mode="json"))
        index = spec.open(workspace.generations.open_folder(generation))
        live = snapshot.doc_nos if spec.unit == "document" else snapshot.passage_nos
        docs = np.searchsorted(live, index.numbers)
        np.testing.assert_array_equal(live, index.numbers)
        found = index.search(QUERIES if spec.kind == "bm25" else encoder.encode_queries(QUERIES), 10)
        for query, rows, scores in zip(QUERIES, found.rows, found.scores, strict=True):
            pairs = [
                (snapshot.doc_ids[int(docs[row])], round(float(score), 5))
                for row, score in zip(rows, scores, strict=True)
                if row >= 0
            ]
            hits[spec.kind, query] = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))[:5]
    return workspace.documents.content_hash(cid), len(snapshot), len(snapshot.passage_nos), hits


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, file):
    folder = tmp_path_factory.mktemp("undisturbed") / "workspace"
    result = start(folder, file, "never")
    assert (result.stdout, result.stderr) == ("done\n", "")
    with Engine.open(folder) as engine:
        workspace = engine.workspace
        (job,) = engine.jobs.list()
        assert job.summary == "done, 200 added, 10 duplicate"
        return outcome(workspace, worker.HashEncoder(dimensions=256))


def finish(folder):
    """Open again, which resumes the job, and wait for its end."""
    engine = Engine.open(folder)
    (job,) = engine.jobs.list()
    if job.status == "failed":  # it died as often as a job may by itself
        assert "Set aside" in job.error
        engine.jobs.resume(job.job_id)
    return engine, engine.jobs.wait(job.job_id, 300)


@pytest.mark.parametrize("phase", ["parse", "before commit", "after commit", "encode", "seal", "publish", "published"])
def test_killed_job_resumes_to_the_same_result(tmp_path, file, undisturbed, quiet_modules, phase):
    folder = tmp_path / "workspace"
    result = start(folder, file, phase)
    assert result.returncode == -signal.SIGKILL, result.stderr
    engine, job = finish(folder)
    with engine:
        workspace = engine.workspace
        assert "1 interrupted job(s) go on where they stopped." in workspace.notices
        assert (job.status, job.error) == ("done", "")
        assert {name: job.counts[name] for name in ("items_done", "added", "changed", "unchanged", "duplicate", "rejected")} == {
            "items_done": 210, "added": 200, "changed": 0, "unchanged": 0, "duplicate": 10, "rejected": 0,
        }  # fmt: skip
        assert outcome(workspace, quiet_modules) == undisturbed
        if phase == "encode":
            assert quiet_modules.calls == 200 - 2 * worker.SHARD, "finished shards are not encoded again"
        if phase in ("seal", "publish", "published"):
            assert len(list((folder / "indexes").iterdir())) == 2
    assert not list(folder.glob("tmp-*"))
    found = [finding.what for finding in check(folder) if finding.level in ("warning", "error")]
    assert found in ([], [OF_THE_TEST])


def test_killed_at_any_moment(tmp_path, file, undisturbed, quiet_modules):
    """Three kills of one job at moments that nobody chose, each after the job has come further."""
    folder = tmp_path / "workspace"
    for attempt in range(3):
        child = subprocess.Popen(
            [sys.executable, str(WORKER), str(folder), str(file), "never"] if not attempt else [sys.executable, "-c", RESUME, str(folder)],
            cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": f"{ROOT}:{WORKER.parent}"},
        )  # fmt: skip
        deadline = time.monotonic() + 300  # a busy machine takes long to start a process
        while time.monotonic() < deadline and child.poll() is None and not _queued(folder):
            time.sleep(0.01)
        time.sleep(0.4 + 0.35 * attempt)
        child.kill()
        child.wait()
    engine, job = finish(folder)
    with engine:
        workspace = engine.workspace
        assert job.status == "done"
        assert outcome(workspace, quiet_modules) == undisturbed


RESUME = """
import sys, worker
worker.install()
from engine.serving.engine import Engine
with Engine.open(sys.argv[1]) as engine:
    engine.jobs.wait(engine.jobs.list()[0].job_id)
"""


def _queued(folder):
    """Whether the job's row was written, seen from outside."""
    try:
        return (
            "queueing a job" in (folder / "writes.log").read_text()
            or "taking up interrupted" in (folder / "writes.log").read_text()
        )
    except OSError:
        return False


OF_THE_TEST = "an index of 'papers' was built with the model 'hash', which is not here"
"""The worker encodes with a model that no program has."""

CHECKPOINT = """
import os, signal, sys, threading, time
from engine.types import Record
from engine.workspace.workspace import Workspace
workspace = Workspace.open(sys.argv[1])
cid = workspace.create_collection("papers").collection_id
for batch in range(6):
    workspace.documents.upsert(cid, [Record(f"d{batch}-{n}", text=f"{batch} {n} " + os.urandom(1500).hex()) for n in range(500)], "f")
print(workspace.documents.content_hash(cid), flush=True)
threading.Thread(target=lambda: (time.sleep(float(sys.argv[2])), os.kill(os.getpid(), signal.SIGKILL))).start()
while True:
    workspace.database.rows("CHECKPOINT")
    workspace.set_setting("more", os.urandom(200_000).hex())
"""


@pytest.mark.parametrize("delay", [0.004, 0.03, 0.11])
def test_killed_during_a_checkpoint(tmp_path, delay):
    result = subprocess.run(
        [sys.executable, "-c", CHECKPOINT, str(tmp_path), str(delay)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == -signal.SIGKILL, result.stderr
    with Workspace.open(tmp_path) as workspace:
        assert workspace.notices == []
        collection = workspace.collection("papers")
        assert collection.documents == 3_000
        assert workspace.documents.content_hash(collection.collection_id) == result.stdout.strip()
        workspace.set_setting("usable", True)
    assert [finding for finding in check(tmp_path) if finding.level in ("warning", "error")] == []
