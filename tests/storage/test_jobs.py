"""The queue: what a job reports, how it halts within a second and resumes, and that a failure says so."""

from __future__ import annotations

import threading
import time

import pytest

from engine.errors import BadInput, NotFound, StorageFull
from engine.jobs import queue as jobs_module
from engine.types import Progress
from engine.workspace.quarantine import Quarantine
from engine.workspace.workspace import Workspace


@pytest.fixture
def work(monkeypatch):
    """A job that counts to `total` in steps, and says where each attempt started."""

    class Work:
        def __init__(self) -> None:
            self.total, self.pause_s, self.starts, self.error, self.reached = 20, 0.0, [], None, threading.Event()

        def __call__(self, workspace, running):
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


def test_a_job_runs_and_tells(workspace, papers, work):
    job = workspace.jobs.wait(workspace.jobs.submit("count", papers.collection_id, {"a": 1}), 10)
    assert (job.status, job.phase, job.done, job.total, job.unit) == ("done", "count", 20, 20, "numbers")
    assert (job.kind, job.collection, job.params, job.error) == ("count", "papers", {"a": 1}, "")
    assert job.created_at <= job.started_at <= job.finished_at
    assert job.summary == "done, 20 added"
    assert [other.job_id for other in workspace.jobs.list()] == [job.job_id]


def test_unknown_kind_and_unknown_job(workspace, papers):
    with pytest.raises(BadInput, match="Kinds: add, index"):
        workspace.jobs.submit("fly", papers.collection_id, {})
    for call in (workspace.jobs.get, workspace.jobs.pause, workspace.jobs.resume):
        with pytest.raises(NotFound):
            call("nope")


@pytest.mark.parametrize(("halt", "status"), [("pause", "paused"), ("cancel", "cancelled")])
def test_halting_takes_less_than_a_second(workspace, papers, work, halt, status):
    slow(work)
    job_id = workspace.jobs.submit("count", papers.collection_id, {})
    assert work.reached.wait(10)
    started = time.monotonic()
    getattr(workspace.jobs, halt)(job_id)
    job = workspace.jobs.wait(job_id, 10)
    assert job.status == status
    assert time.monotonic() - started < 1
    assert job.counts["added"] >= 10


@pytest.mark.parametrize(("halt", "wish"), [("pause", "pause"), ("cancel", "cancel")])
def test_a_job_that_is_asked_to_halt_says_so_until_its_step_is_over(workspace, papers, monkeypatch, halt, wish):
    at_work, finish = threading.Event(), threading.Event()

    def step(workspace, running):
        at_work.set()
        assert finish.wait(10)
        running(Progress("count", 1, 2, "numbers"))

    monkeypatch.setattr(jobs_module, "_runner", lambda kind: step)
    job_id = workspace.jobs.submit("count", papers.collection_id, {})
    assert at_work.wait(10)
    assert workspace.jobs.get(job_id).wish == ""
    getattr(workspace.jobs, halt)(job_id)
    job = workspace.jobs.get(job_id)
    assert (job.status, job.wish) == ("running", wish)
    finish.set()
    job = workspace.jobs.wait(job_id, 10)
    assert (job.status, job.wish) == ({"pause": "paused", "cancel": "cancelled"}[halt], "")


def test_a_paused_job_resumes_where_it_was(workspace, papers, work):
    slow(work)
    job_id = workspace.jobs.submit("count", papers.collection_id, {})
    work.reached.wait(10)
    workspace.jobs.pause(job_id)
    paused = workspace.jobs.wait(job_id, 10)
    work.total = paused.counts["added"] + 5
    workspace.jobs.resume(job_id)
    assert workspace.jobs.wait(job_id, 10).status == "done"
    assert work.starts == [0, paused.counts["added"]]
    with pytest.raises(BadInput, match="already done"):
        workspace.jobs.pause(job_id)
    with pytest.raises(BadInput, match="only paused"):
        workspace.jobs.resume(job_id)


def test_other_jobs_run_while_one_is_paused_and_queued_ones_can_be_halted(workspace, papers, work):
    slow(work)
    first = workspace.jobs.submit("count", papers.collection_id, {})
    waiting = workspace.jobs.submit("count", papers.collection_id, {})
    dropped = workspace.jobs.submit("count", papers.collection_id, {})
    work.reached.wait(10)
    assert workspace.jobs.get(waiting).status == "queued"
    workspace.jobs.cancel(dropped)
    assert workspace.jobs.get(dropped).status == "cancelled"
    work.total = 20
    workspace.jobs.pause(first)
    assert workspace.jobs.wait(waiting, 10).status == "done"
    assert {job.job_id for job in workspace.jobs.unfinished(papers.collection_id)} == {first}
    with pytest.raises(BadInput, match=f"1 job.*{first}"):
        workspace.delete_collection("papers")


def test_polling_shows_live_progress_rate_and_eta(workspace, papers, work):
    slow(work)
    job_id = workspace.jobs.submit("count", papers.collection_id, {})
    work.reached.wait(10)
    time.sleep(0.3)
    job = workspace.jobs.get(job_id)
    assert job.done >= 10
    assert 20 < job.rate <= 101, "ten milliseconds a step"
    assert job.eta_s == pytest.approx((job.total - job.done) / job.rate)
    workspace.jobs.cancel(job_id)


def test_progress_is_written_at_most_twice_a_second(workspace, papers, work, monkeypatch):
    written = []
    store = jobs_module.Jobs.store_progress
    monkeypatch.setattr(
        jobs_module.Jobs, "store_progress", lambda self, *a: (written.append(time.monotonic()), store(self, *a))
    )
    work.total, work.pause_s = 120, 0.01
    job = workspace.jobs.wait(workspace.jobs.submit("count", papers.collection_id, {}), 20)
    assert job.status == "done"
    assert len(written) <= 2 + (written[-1] - written[0]) / jobs_module._WRITE_EVERY


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BadInput("No such file."), "No such file."),
        (ZeroDivisionError("x"), "Unexpected ZeroDivisionError: x"),
        (StorageFull("The disk is full."), "full"),
    ],
)
def test_a_failure_says_so_and_can_be_resumed(workspace, papers, work, error, message):
    work.error = error
    job = workspace.jobs.wait(workspace.jobs.submit("count", papers.collection_id, {}), 10)
    assert job.status == "failed"
    assert message in job.error
    work.error = None
    workspace.jobs.resume(job.job_id)
    again = workspace.jobs.wait(job.job_id, 10)
    assert (again.status, again.error) == ("done", "")


def test_closing_interrupts_and_opening_resumes(tmp_path, work):
    slow(work)
    with Workspace.open(tmp_path) as workspace:
        cid = workspace.create_collection("c").collection_id
        job_id = workspace.jobs.submit("count", cid, {})
        work.reached.wait(10)
        paused = workspace.jobs.submit("count", cid, {})
        workspace.jobs.pause(paused)
    with Workspace.open(tmp_path, resume_jobs=False) as workspace:
        job = workspace.jobs.get(job_id)
        assert job.status == "interrupted"
        assert "1 interrupted job(s) wait to be resumed." in workspace.notices
    with Workspace.open(tmp_path, read_only=True) as workspace:
        assert workspace.jobs.get(job_id).status == "interrupted"
    work.total = job.counts["added"] + 3
    with Workspace.open(tmp_path) as workspace:
        assert "1 interrupted job(s) go on where they stopped." in workspace.notices
        assert workspace.jobs.wait(job_id, 10).status == "done"
        assert workspace.jobs.get(paused).status == "paused", "what the user paused stays paused"
    assert work.starts == [0, job.counts["added"]]


def test_interrupting_the_wait_pauses_nothing_by_itself(workspace, papers, work):
    slow(work)
    job_id = workspace.jobs.submit("count", papers.collection_id, {})
    assert workspace.jobs.wait(job_id, 0.2).status == "running"
    workspace.jobs.pause(job_id)
    assert workspace.jobs.wait(job_id, 5).status == "paused"


def test_a_panic_of_a_native_library_fails_its_job_and_the_next_one_runs(workspace, papers, work):
    class Panic(BaseException):
        """As pyo3 raises it: no Exception."""

    work.error = Panic("index out of bounds")
    failed = workspace.jobs.wait(workspace.jobs.submit("count", papers.collection_id, {}), 10)
    assert failed.status == "failed"
    assert "Panic: index out of bounds" in failed.error
    work.error = None
    assert workspace.jobs.wait(workspace.jobs.submit("count", papers.collection_id, {}), 10).status == "done"


def test_a_start_that_could_not_be_written_is_tried_again(workspace, papers, work, monkeypatch):
    monkeypatch.setattr(jobs_module, "_AGAIN", 0.01)
    store, refused = workspace.jobs._set, []

    def full_at_first(job_id, status, *rest):
        if status == "running" and len(refused) < 2:
            refused.append(job_id)
            raise StorageFull("The disk is full.")
        store(job_id, status, *rest)

    monkeypatch.setattr(workspace.jobs, "_set", full_at_first)
    first = workspace.jobs.submit("count", papers.collection_id, {})
    assert workspace.jobs.wait(first, 10).status == "done"
    assert refused == [first, first]


def test_no_job_goes_on_before_the_folders_of_an_earlier_run_are_swept(tmp_path, monkeypatch):
    """A sweep that takes its time, over large orphans, must not meet the folder that a resumed job has just made."""
    folder, order = tmp_path / "workspace", []
    with Workspace.open(folder) as first:
        first.jobs._wake = lambda: None  # the program ends before it starts the job
        first.jobs.submit("index", first.create_collection("papers").collection_id, {"specs": ["bm25"]})
        first.generations.begin(first.collection("papers").collection_id, "bm25")

    def taken(shelf, path):
        time.sleep(0.05)
        order.append("swept")

    monkeypatch.setattr(Quarantine, "take", taken)
    monkeypatch.setattr(jobs_module.Jobs, "_work", lambda jobs: order.append("at work"))
    with Workspace.open(folder):
        pass
    assert order[0] == "swept"
    assert order.index("at work") == len(order) - 1
