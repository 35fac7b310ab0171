"""What a bad job cannot do: be resumed for ever, hold the others up, refuse to be cancelled, or fill the workspace with its history."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import duckdb
import pytest

from engine.encoders.opening import load_encoder
from engine.encoders.providers import end_long_calls
from engine.errors import BadInput, Cancelled, TriptychError
from engine.serving import queue as jobs_module
from engine.serving.engine import Engine
from engine.types import Progress
from engine.workspace import jobs as records
from engine.workspace import mailbox as control
from engine.workspace.database import migrations
from engine.workspace.database.recovery import DATABASE_NAME
from engine.workspace.workspace import Workspace
from tests.conftest import ROOT
from tests.faults.bad_models import write_bad_model

DEADLY = """
import os, signal, sys
from engine.serving import queue as jobs
from engine.serving.engine import Engine
def run(engine, running):
    if running.job.kind == "index":
        os.kill(os.getpid(), signal.SIGKILL)
    running.counts["added"] = 1
jobs._runner = lambda kind: run
with Engine.open(sys.argv[1]) as engine:
    workspace = engine.workspace
    if not workspace.collections():
        cid = workspace.create_collection("papers").collection_id
        engine.jobs.submit("index", cid, {"specs": ["bm25"]})
    elif sys.argv[2:]:
        print(engine.jobs.wait(engine.jobs.submit("add", workspace.collection("papers").collection_id, {}), 20).status, flush=True)
    for job in engine.jobs.list():
        engine.jobs.wait(job.job_id, 20)
    print(*workspace.notices, sep="\\n")
"""


def die(folder, *more):
    return subprocess.run(
        [sys.executable, "-c", DEADLY, str(folder), *more], cwd=ROOT, capture_output=True, text=True, timeout=180
    )


@pytest.mark.skipif(os.name != "posix", reason="kills as POSIX has them")
def test_a_job_that_ends_the_program_again_and_again_is_set_aside_and_the_workspace_stays_writable(tmp_path):
    folder = tmp_path / "workspace"
    for attempt in range(3):
        ended = die(folder, *(["others"] if attempt == 2 else []))
        assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert ended.stdout == "done\n", "the other job went first"
    ended = die(folder, "others")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("done\nA job (index) was set aside after 3 starts that ended badly.")
    with Engine.open(folder) as engine:
        deadly = next(job for job in engine.jobs.list() if job.kind == "index")
        others = [job for job in engine.jobs.list() if job.kind == "add"]
        assert deadly.status == "failed"
        assert "Set aside: the program ended 3 times while this job ran, last in the phase 'start'" in deadly.error
        assert f"triptych jobs resume {deadly.job_id}" in deadly.error
        assert [job.status for job in others] == ["done", "done"], (
            "another job went first although the deadly one is older"
        )
        engine.jobs.resume(deadly.job_id)
        again = engine.jobs.wait(deadly.job_id, 20)
        assert (again.status, again.attempts) == ("done", 0)


def test_an_orderly_halt_is_no_attempt(tmp_path, monkeypatch):
    at_work = threading.Event()

    def work(engine, running):
        at_work.set()
        while True:
            time.sleep(0.005)
            running.check()

    monkeypatch.setattr(jobs_module, "_runner", lambda kind: work)
    for _ in range(jobs_module.ATTEMPTS + 2):
        with Engine.open(tmp_path) as engine:
            workspace = engine.workspace
            if not workspace.collections():
                engine.jobs.submit("index", workspace.create_collection("papers").collection_id, {})
            assert at_work.wait(10)
            at_work.clear()
            (job,) = engine.jobs.list()
            assert (job.status, job.attempts) == ("running", 1)


def stuck(monkeypatch, release):
    """The first job hangs where no cancellation is heard; later ones end at once. What the first one meets when it goes on is kept."""
    at_work, met = threading.Event(), []

    def work(engine, running):
        if running.job.params.get("quick"):
            return
        at_work.set()
        release.wait(300)  # longer than three commands take on a busy machine
        for late in (
            lambda: running(Progress("late", 1)),
            lambda: engine.workspace.set_setting("late", True),
            lambda: engine.workspace.create_collection("late"),
        ):
            try:
                late()
                met.append(None)
            except Cancelled as error:
                met.append(error)

    monkeypatch.setattr(jobs_module, "_runner", lambda kind: work)
    return at_work, met


def test_a_job_that_hears_nothing_is_cancelled_and_writes_nothing_more(engine, workspace, papers, monkeypatch):
    release = threading.Event()
    at_work, met = stuck(monkeypatch, release)
    job_id = engine.jobs.submit("index", papers.collection_id, {})
    assert at_work.wait(10)
    old = engine.jobs._thread
    began = time.monotonic()
    engine.jobs.cancel(job_id)
    assert engine.jobs.wait(job_id, 10).status == "cancelled"
    assert time.monotonic() - began < jobs_module.GRACE + 1
    other = engine.jobs.submit("index", papers.collection_id, {"quick": True})
    assert engine.jobs.wait(other, 10).status == "done", "another worker took over"
    release.set()
    old.join(10)
    assert not old.is_alive()
    assert [type(error) for error in met] == [jobs_module.Halted, Cancelled, Cancelled]
    assert workspace.setting("late") is None
    assert [collection.name for collection in workspace.collections()] == ["papers"]
    assert engine.jobs.get(job_id).status == "cancelled"


def test_closing_does_not_wait_for_a_worker_that_hears_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs_module, "CLOSE_SECONDS", 0.2)
    release = threading.Event()
    at_work, _ = stuck(monkeypatch, release)
    engine = Engine.open(tmp_path)
    workspace = engine.workspace
    job_id = engine.jobs.submit("index", workspace.create_collection("papers").collection_id, {})
    assert at_work.wait(10)
    old, began = engine.jobs._thread, time.monotonic()
    engine.close()
    assert time.monotonic() - began < 2
    release.set()
    old.join(10)
    with Engine.open(tmp_path, resume_jobs=False) as engine:
        again = engine.workspace
        job = engine.jobs.get(job_id)
        assert (job.status, job.attempts) == ("interrupted", 1), "it did not halt in order, so the start counts"
        assert again.notices == ["1 interrupted job(s) wait to be resumed."]


def test_an_endless_graph_ends_when_its_job_is_given_up(engine, workspace, papers, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs_module, "GRACE", 0.3)
    monkeypatch.setattr(jobs_module, "LONG", 0.1)
    encoder = load_encoder("endless", "cpu", 1, own=write_bad_model(tmp_path / "own" / "endless", "endless").parent)
    at_work = threading.Event()

    def work(engine, running):
        at_work.set()
        encoder.encode_queries(["red"])

    monkeypatch.setattr(jobs_module, "_runner", lambda kind: work)
    job_id = engine.jobs.submit("index", papers.collection_id, {})
    assert at_work.wait(10)
    old = engine.jobs._thread
    assert engine.jobs.wait(job_id, 0.5).status == "running"
    engine.jobs.cancel(job_id)
    assert engine.jobs.wait(job_id, 10).status == "cancelled"
    old.join(10)
    assert not old.is_alive(), "native code went on"
    assert end_long_calls(0) == 0


def shell(folder, *arguments):
    command = [sys.executable, "-c", "from app.cli.main import main\nmain()", *arguments, "--json", "-w", str(folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180)
    return ended.returncode, json.loads(ended.stdout or ended.stderr)


def test_another_shell_lists_and_cancels_a_job_that_hears_nothing(engine, workspace, papers, monkeypatch):
    release = threading.Event()
    at_work, _ = stuck(monkeypatch, release)
    job_id = engine.jobs.submit("index", papers.collection_id, {})
    assert at_work.wait(10)
    box = workspace.folder / control.FOLDER
    if os.name == "posix":
        assert (box.stat().st_mode & 0o777, (box / control.STATE).stat().st_mode & 0o777) == (0o700, 0o600)
    code, told = shell(workspace.folder, "jobs", "list")
    assert code == 0
    assert [(job["job_id"], job["status"], job["collection"]) for job in told["jobs"]] == [
        (job_id, "running", "papers")
    ]
    code, told = shell(workspace.folder, "jobs", "cancel", "0" * 32)
    assert code == 3
    code, told = shell(workspace.folder, "jobs", "cancel", job_id[:8])
    assert code == 0, told
    assert told["job"]["status"] == "cancelled"
    assert engine.jobs.get(job_id).status == "cancelled"
    release.set()
    code, told = shell(workspace.folder, "jobs", "list")
    assert (code, told) == (0, {"jobs": []})
    engine.close()
    assert not box.exists(), "nothing is left"


def test_a_job_that_waits_to_be_resumed_can_be_cancelled_from_another_shell(tmp_path, monkeypatch):
    release = threading.Event()
    at_work, _ = stuck(monkeypatch, release)
    monkeypatch.setattr(jobs_module, "CLOSE_SECONDS", 0.2)
    with Engine.open(tmp_path) as engine:
        workspace = engine.workspace
        job_id = engine.jobs.submit("index", workspace.create_collection("papers").collection_id, {})
        assert at_work.wait(10)
    release.set()
    with Engine.open(tmp_path, resume_jobs=False) as engine:
        workspace = engine.workspace
        assert engine.jobs.get(job_id).status == "interrupted"
        assert control.ask(tmp_path, "cancel", job_id, 10) == "cancelled"
        assert control.unfinished(tmp_path) == []


def test_only_letters_of_this_user_to_this_process_are_read(engine, workspace, papers, monkeypatch):
    release = threading.Event()
    at_work, _ = stuck(monkeypatch, release)
    job_id = engine.jobs.submit("index", papers.collection_id, {})
    assert at_work.wait(10)
    box = workspace.folder / control.FOLDER
    letter = {"pid": os.getpid(), "verb": "cancel", "job_id": job_id}
    ignored = {"1" * 32: letter | {"pid": 1}, "2" * 32: letter | {"verb": "delete"}, "3" * 32: letter}
    for key, content in ignored.items():
        aside = box / f"aside-{key}"
        aside.write_text(json.dumps(content))
        if key == "3" * 32:
            if os.name != "posix" or os.geteuid() != 0:
                aside.unlink()
                continue
            os.chown(aside, 12_345, 12_345)
        aside.rename(box / f"request-{key}.json")
    outside = workspace.folder / "outside.json"
    outside.write_text(json.dumps(letter))
    (box / f"request-{'4' * 32}.json").symlink_to(outside)
    (box / f"request-{'5' * 32}.json").write_text("[" * 100_000)
    (box / f"request-{'6' * 32}.json").write_text(json.dumps(letter | {"job_id": 7}))
    time.sleep(4 * jobs_module._TICK)
    assert engine.jobs.get(job_id).wish == ""
    assert "can cancel jobs" in json.loads((box / f"answer-{'2' * 32}.json").read_text())["error"]
    with pytest.raises(BadInput, match="no job 'nope'"):
        control.ask(workspace.folder, "cancel", "nope")
    release.set()


def test_what_a_dead_owner_left_is_not_believed_and_is_cleared(tmp_path):
    with Workspace.open(tmp_path) as workspace:
        workspace.create_collection("papers")
    box = tmp_path / control.FOLDER
    box.mkdir(0o700)
    (box / control.STATE).write_text(json.dumps({"pid": 1, "jobs": [{"job_id": "ghost"}]}))
    (box / f"answer-{'a' * 32}.json").write_text("{}")
    (box / "mine.txt").write_text("kept")
    assert control.unfinished(tmp_path) is None
    with pytest.raises(TriptychError, match="did not answer"):
        control.ask(tmp_path, "cancel", "ghost", 0.1)
    with Engine.open(tmp_path):
        assert sorted(path.name for path in box.iterdir()) == ["mine.txt"]


def test_the_oldest_finished_jobs_are_forgotten_with_their_journals(engine, workspace, papers, monkeypatch):
    monkeypatch.setattr(records, "KEPT", 3)

    def work(engine, running):
        if running.job.params.get("pause"):
            raise jobs_module.Halted("pause")
        key = running.job.job_id
        workspace.database.execute("test", "INSERT INTO rejections VALUES (?, 1, 'row 1', 'empty', '')", [key])
        workspace.database.execute(
            "test", "INSERT INTO job_files VALUES (?, 0, 'f', '', 'done', 1, 1, 0, 0, 0, 0, 0, 0, '')", [key]
        )

    monkeypatch.setattr(jobs_module, "_runner", lambda kind: work)
    paused = engine.jobs.submit("index", papers.collection_id, {"pause": True})
    assert engine.jobs.wait(paused, 10).status == "paused"
    ids = [engine.jobs.submit("index", papers.collection_id, {}) for _ in range(5)]
    for job_id in ids:
        with_rows = engine.jobs.wait(job_id, 10) if job_id in ids[-3:] else None
        assert with_rows is None or with_rows.status == "done"
    kept = {job.job_id for job in engine.jobs.list(100)}
    assert kept == {paused, *ids[-3:]}
    for table in ("rejections", "job_files"):
        assert {row[0] for row in workspace.database.rows(f"SELECT job_id FROM {table}")} == set(ids[-3:])


def test_jobs_of_an_older_workspace_are_taken_over(tmp_path, monkeypatch):
    files = migrations.available()
    monkeypatch.setattr(migrations, "available", lambda: {n: name for n, name in files.items() if n <= 5})
    connection = duckdb.connect(str(tmp_path / DATABASE_NAME))
    migrations.migrate(connection)
    for job_id, status in (("done", "done"), ("cut", "running")):
        connection.execute(
            "INSERT INTO jobs VALUES (?, 'index', '', '{}', ?, 'encode', 3, 7, 'units', '', '{}', now()::TIMESTAMP, NULL, NULL)",
            [job_id, status],
        )
    connection.close()
    monkeypatch.undo()
    with Engine.open(tmp_path, resume_jobs=False) as engine:
        workspace = engine.workspace
        assert migrations.schema_version(workspace.cursor()) == migrations.latest()
        found = {job.job_id: (job.status, job.attempts, job.done) for job in engine.jobs.list()}
    assert found == {"done": ("done", 0, 3), "cut": ("interrupted", 0, 3)}
