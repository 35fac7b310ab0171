"""The queue: what a job reports, how it halts within a second and resumes, and that a failure says so."""

from __future__ import annotations

import threading
import time

import pytest

from engine.errors import BadInput, NotFound, StorageFull
from engine.serving import queue as jobs_module
from engine.serving import running
from engine.serving.engine import Engine
from engine.system.quarantine import Quarantine
from engine.types import Progress
from engine.workspace.jobs import JobRecords


@pytest.fixture
def work(monkeypatch):
    """A job that counts to `total` in steps, and says where each attempt started."""

    class Work:
        def __init__(self) -> None:
            self.total, self.pause_s, self.starts, self.error, self.reached = 20, 0.0, [], None, threading.Event()

        def __call__(self, engine, running):
            done = running.counts.get("added", 0)
            self.starts.append(done)
            while done < self.total:
                done += 1
                running.counts["added"] = done
                if self.error is not None and done == 5:
                    raise self.error
                if done == 10:
                    self.reached.set()
                time.sleep(self.pause_s)
                running(Progress("count", done, self.total, "numbers"))

    work = Work()
    monkeypatch.setattr(jobs_module, "_runner", lambda kind: work)
    return work


def slow(work):
    work.total, work.pause_s = 1_000_000, 0.01


def test_a_job_runs_and_tells(engine, workspace, papers, work):
    job = engine.jobs.wait(engine.jobs.submit("count", papers.collection_id, {"a": 1}), 10)
    assert (job.status, job.phase, job.done, job.total, job.unit) == ("done", "count", 20, 20, "numbers")
    assert (job.kind, job.collection, job.params, job.error) == ("count", "papers", {"a": 1}, "")
    assert job.created_at <= job.started_at <= job.finished_at
    assert job.summary == "done, 20 added"
    assert [other.job_id for other in engine.jobs.list()] == [job.job_id]


def test_unknown_kind_and_unknown_job(engine, workspace, papers):
    with pytest.raises(BadInput, match="Known: add, calibrate"):
        engine.jobs.submit("fly", papers.collection_id, {})
    for call in (engine.jobs.get, engine.jobs.pause, engine.jobs.resume):
        with pytest.raises(NotFound):
            call("nope")


@pytest.mark.parametrize(("halt", "status"), [("pause", "paused"), ("cancel", "cancelled")])
def test_halting_takes_less_than_a_second(engine, workspace, papers, work, halt, status):
    slow(work)
    job_id = engine.jobs.submit("count", papers.collection_id, {})
    assert work.reached.wait(10)
    started = time.monotonic()
    getattr(engine.jobs, halt)(job_id)
    job = engine.jobs.wait(job_id, 10)
    assert job.status == status
    assert time.monotonic() - started < 1
    assert job.counts["added"] >= 10


@pytest.mark.parametrize(("halt", "wish"), [("pause", "pause"), ("cancel", "cancel")])
def test_a_job_that_is_asked_to_halt_says_so_until_its_step_is_over(engine, workspace, papers, monkeypatch, halt, wish):
    at_work, finish = threading.Event(), threading.Event()

    def step(engine, running):
        at_work.set()
        assert finish.wait(10)
        running(Progress("count", 1, 2, "numbers"))

    monkeypatch.setattr(jobs_module, "_runner", lambda kind: step)
    job_id = engine.jobs.submit("count", papers.collection_id, {})
    assert at_work.wait(10)
    assert engine.jobs.get(job_id).wish == ""
    getattr(engine.jobs, halt)(job_id)
    job = engine.jobs.get(job_id)
    assert (job.status, job.wish) == ("running", wish)
    finish.set()
    job = engine.jobs.wait(job_id, 10)
    assert (job.status, job.wish) == ({"pause": "paused", "cancel": "cancelled"}[halt], "")


def test_a_paused_job_resumes_where_it_was(engine, workspace, papers, work):
    slow(work)
    job_id = engine.jobs.submit("count", papers.collection_id, {})
    work.reached.wait(10)
    engine.jobs.pause(job_id)
    paused = engine.jobs.wait(job_id, 10)
    work.total = paused.counts["added"] + 5
    engine.jobs.resume(job_id)
    assert engine.jobs.wait(job_id, 10).status == "done"
    assert work.starts == [0, paused.counts["added"]]
    with pytest.raises(BadInput, match="already done"):
        engine.jobs.pause(job_id)
    with pytest.raises(BadInput, match="only paused"):
        engine.jobs.resume(job_id)


def test_other_jobs_run_while_one_is_paused_and_queued_ones_can_be_halted(engine, workspace, papers, work):
    slow(work)
    first = engine.jobs.submit("count", papers.collection_id, {})
    waiting = engine.jobs.submit("count", papers.collection_id, {})
    dropped = engine.jobs.submit("count", papers.collection_id, {})
    work.reached.wait(10)
    assert engine.jobs.get(waiting).status == "queued"
    engine.jobs.cancel(dropped)
    assert engine.jobs.get(dropped).status == "cancelled"
    work.total = 20
    engine.jobs.pause(first)
    assert engine.jobs.wait(waiting, 10).status == "done"
    assert {job.job_id for job in engine.jobs.unfinished(papers.collection_id)} == {first}
    with pytest.raises(BadInput, match=f"1 job.*{first}"):
        workspace.delete_collection("papers")


def test_polling_shows_live_progress_rate_and_eta(engine, workspace, papers, work):
    slow(work)
    job_id = engine.jobs.submit("count", papers.collection_id, {})
    work.reached.wait(10)
    time.sleep(0.3)
    job = engine.jobs.get(job_id)
    assert job.done >= 10
    assert 20 < job.rate <= 101, "ten milliseconds a step"
    assert job.eta_s == pytest.approx((job.total - job.done) / job.rate)
    engine.jobs.cancel(job_id)


def test_progress_is_written_at_most_twice_a_second(engine, workspace, papers, work, monkeypatch):
    written = []
    store = JobRecords.store_progress
    monkeypatch.setattr(
        JobRecords, "store_progress", lambda self, *a: (written.append(time.monotonic()), store(self, *a))
    )
    work.total, work.pause_s = 120, 0.01
    job = engine.jobs.wait(engine.jobs.submit("count", papers.collection_id, {}), 20)
    assert job.status == "done"
    assert len(written) <= 2 + (written[-1] - written[0]) / running._WRITE_EVERY


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BadInput("No such file."), "No such file."),
        (ZeroDivisionError("x"), "Unexpected ZeroDivisionError: x"),
        (StorageFull("The disk is full."), "full"),
    ],
)
def test_a_failure_says_so_and_can_be_resumed(engine, workspace, papers, work, error, message):
    work.error = error
    job = engine.jobs.wait(engine.jobs.submit("count", papers.collection_id, {}), 10)
    assert job.status == "failed"
    assert message in job.error
    work.error = None
    engine.jobs.resume(job.job_id)
    again = engine.jobs.wait(job.job_id, 10)
    assert (again.status, again.error) == ("done", "")


def test_closing_interrupts_and_opening_resumes(tmp_path, work):
    slow(work)
    with Engine.open(tmp_path) as engine:
        workspace = engine.workspace
        cid = workspace.create_collection("c").collection_id
        job_id = engine.jobs.submit("count", cid, {})
        work.reached.wait(10)
        paused = engine.jobs.submit("count", cid, {})
        engine.jobs.pause(paused)
    with Engine.open(tmp_path, resume_jobs=False) as engine:
        workspace = engine.workspace
        job = engine.jobs.get(job_id)
        assert job.status == "interrupted"
        assert "1 interrupted job(s) wait to be resumed." in workspace.notices
    with Engine.open(tmp_path, read_only=True) as engine:
        workspace = engine.workspace
        assert engine.jobs.get(job_id).status == "interrupted"
    work.total = job.counts["added"] + 3
    with Engine.open(tmp_path) as engine:
        workspace = engine.workspace
        assert "1 interrupted job(s) go on where they stopped." in workspace.notices
        assert engine.jobs.wait(job_id, 10).status == "done"
        assert engine.jobs.get(paused).status == "paused", "what the user paused stays paused"
    assert work.starts == [0, job.counts["added"]]


def test_interrupting_the_wait_pauses_nothing_by_itself(engine, workspace, papers, work):
    slow(work)
    job_id = engine.jobs.submit("count", papers.collection_id, {})
    assert engine.jobs.wait(job_id, 0.2).status == "running"
    engine.jobs.pause(job_id)
    assert engine.jobs.wait(job_id, 5).status == "paused"


def test_a_panic_of_a_native_library_fails_its_job_and_the_next_one_runs(engine, workspace, papers, work):
    class Panic(BaseException):
        """As pyo3 raises it: no Exception."""

    work.error = Panic("index out of bounds")
    failed = engine.jobs.wait(engine.jobs.submit("count", papers.collection_id, {}), 10)
    assert failed.status == "failed"
    assert "Panic: index out of bounds" in failed.error
    work.error = None
    assert engine.jobs.wait(engine.jobs.submit("count", papers.collection_id, {}), 10).status == "done"


def test_a_start_that_could_not_be_written_is_tried_again(engine, workspace, papers, work, monkeypatch):
    monkeypatch.setattr(jobs_module, "_AGAIN", 0.01)
    store, refused = engine.jobs._set, []

    def full_at_first(job_id, status, *rest):
        if status == "running" and len(refused) < 2:
            refused.append(job_id)
            raise StorageFull("The disk is full.")
        store(job_id, status, *rest)

    monkeypatch.setattr(engine.jobs, "_set", full_at_first)
    first = engine.jobs.submit("count", papers.collection_id, {})
    assert engine.jobs.wait(first, 10).status == "done"
    assert refused == [first, first]


def test_no_job_goes_on_before_the_folders_of_an_earlier_run_are_swept(tmp_path, monkeypatch):
    """A sweep that takes its time, over large orphans, must not meet the folder that a resumed job has just made."""
    folder, order = tmp_path / "workspace", []
    with Engine.open(folder) as engine:
        first = engine.workspace
        engine.jobs._wake = lambda: None  # the program ends before it starts the job
        engine.jobs.submit("index", first.create_collection("papers").collection_id, {"specs": ["bm25"]})
        first.generations.begin(first.collection("papers").collection_id, "bm25")

    def taken(shelf, path):
        time.sleep(0.05)
        order.append("swept")

    monkeypatch.setattr(Quarantine, "take", taken)
    monkeypatch.setattr(jobs_module.Jobs, "_work", lambda jobs: order.append("at work"))
    with Engine.open(folder):
        pass
    assert order[0] == "swept"
    assert order.index("at work") == len(order) - 1


def test_a_kind_that_cannot_go_on_is_neither_paused_nor_resumed_and_fails_when_the_program_ends(
    tmp_path, work, monkeypatch
):
    class Once:
        resumable = False

    monkeypatch.setattr(jobs_module, "_kind", lambda name: Once)
    slow(work)
    with Engine.open(tmp_path) as engine:
        job_id = engine.jobs.submit("count", engine.workspace.create_collection("papers").collection_id, {})
        assert work.reached.wait(10)
        with pytest.raises(BadInput, match="cannot be paused"):
            engine.jobs.pause(job_id)
        assert engine.jobs.get(job_id).status == "running"
    with Engine.open(tmp_path) as engine:
        job = engine.jobs.get(job_id)
        assert (job.status, "Start it again" in job.error) == ("failed", True)
        assert engine.workspace.notices == []
        with pytest.raises(BadInput, match="Start it again"):
            engine.jobs.resume(job_id)
    assert work.starts == [0]
