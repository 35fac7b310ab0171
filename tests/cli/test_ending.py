"""Ctrl-C and SIGTERM: the real command, whose job is inside native code that hears nothing, ends within three seconds and loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.verbs.services import Services
from engine.serving.engine import Engine
from engine.system import ending
from engine.workspace import mailbox as control
from tests.conftest import ROOT, ended_in_order
from tests.faults.bad_models import write_bad_model

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")
SECONDS = 3.0
PATIENCE = 120.0
MAIN = "from app.cli.main import main\nmain()"
BUSY = """
import ctypes, threading
from engine.serving import queue as jobs
def busy(engine, running):
    while True:
        ctypes.CDLL(None).sleep(600)  # a native call that no flag ends
jobs._runner = lambda kind: busy
"""


@pytest.fixture
def endless(filled: Path) -> Path:
    """A workspace with a model whose graph never ends, and a pipeline that needs an index of it."""
    write_bad_model(filled / "models" / "endless", "endless")
    with Services(filled) as services:
        services.save_pipeline("Endless", "name: Endless\npipeline:\n- dense: {model: endless}\n")
    return filled


def started(folder: Path, *arguments: str, code: str = "") -> subprocess.Popen[str]:
    """The command, when its job has begun."""
    command = [sys.executable, "-c", code + MAIN, *arguments, "-w", str(folder)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and child.poll() is None:
        jobs = control.unfinished(folder) or []
        if any(job["status"] == "running" for job in jobs):
            time.sleep(0.5)
            return child
        time.sleep(0.05)
    child.kill()
    raise AssertionError(child.communicate())


def ended(child: subprocess.Popen[str], number: int) -> tuple[int, float, str]:
    """Exit code, seconds since the signal, standard error. Fails where the process takes longer than it may."""
    began = time.monotonic()
    child.send_signal(number)
    try:
        _, err = child.communicate(timeout=PATIENCE)
    finally:
        child.kill()
    seconds = time.monotonic() - began
    print(f"signal {number}: ended after {seconds:.2f} s, {allowed():.1f} s allowed")
    assert seconds < allowed(), (seconds, err)
    return child.returncode, seconds, err


def allowed() -> float:
    """Seconds that an end may take: what is promised, times the number of processes that share a core while this one has to close its database."""
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    return SECONDS * min(max(1.0, busy), 10.0)


@pytest.mark.parametrize(
    ("number", "code", "status"), [(signal.SIGINT, 130, "paused"), (signal.SIGTERM, 143, "interrupted")]
)
@pytest.mark.parametrize("busy", ["", BUSY], ids=["endless graph", "native call"])
def test_indexing_ends(endless: Path, number: int, code: int, status: str, busy: str) -> None:
    child = started(endless, "index", "-c", "papers", "-p", "Endless", code=busy)
    found, seconds, err = ended(child, number)
    in_order = ended_in_order(endless)
    with Engine.open(endless, resume_jobs=False) as engine:
        workspace = engine.workspace
        job = engine.jobs.list()[0]
        if (
            seconds > ending.LIMIT
        ):  # the machine is so busy that closing was cut short, which costs nothing but the order
            assert job.status in (status, "interrupted")
            return
        assert found == code, err
        assert job.status == status
        assert workspace.notices == ([] if status == "paused" else ["1 interrupted job(s) wait to be resumed."]), (
            "the database was closed in order"
        )
        assert in_order
    assert not (endless / control.FOLDER).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_adding_and_the_interface_end(endless: Path, papers: Path, number: int) -> None:
    child = started(endless, "add", str(papers), "-c", "papers", code=BUSY)
    ended(child, number)
    with Engine.open(endless, resume_jobs=False) as engine:
        job = engine.jobs.list()[0]
        if job.status == "paused":
            engine.jobs._wake = lambda: None  # type: ignore[method-assign]  # the interface takes it up
            engine.jobs.resume(job.job_id)
    child = started(endless, "ui", "--no-browser", "--json", code=BUSY)
    told = json.loads("".join(child.stdout.readline() for _ in range(5)))  # type: ignore[union-attr]
    assert told["pid"] == child.pid
    found, seconds, err = ended(child, number)
    in_order = ended_in_order(endless)
    with Engine.open(endless, resume_jobs=False) as engine:
        assert engine.jobs.get(job.job_id).status == "interrupted"
        if seconds < ending.LIMIT:
            assert found == (0 if number == signal.SIGINT else 143), err
            assert in_order


def test_a_search_inside_an_endless_graph_ends(endless: Path) -> None:
    """The main thread itself is in native code, so that no handler of ours is run; the listener's countdown is what ends it."""
    code = (
        "from engine.encoders import opening\nfrom pathlib import Path\n"
        "from engine.system import ending\nwith ending.watched():\n"
        f"    encoder = opening.load_encoder('endless', 'cpu', 1, own=Path({str(endless / 'models')!r}))\n"
        "    print('begins', flush=True)\n    encoder.encode_queries(['red'])\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "begins\n"
    time.sleep(0.3)
    found, _, err = ended(child, signal.SIGINT)
    assert found == 130, err


def test_closing_that_holds_the_interpreter_is_given_up() -> None:
    code = (
        "import ctypes, time\nfrom engine.system import ending\nwith ending.watched():\n"
        "    try:\n        print('begins', flush=True)\n        time.sleep(600)\n"
        "    except KeyboardInterrupt:\n        time.sleep(0.5)  # until the listener has heard it, too\n"
        "        ctypes.PyDLL(None).sleep(600)  # a call that keeps every other thread out\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "begins\n"
    found, _, err = ended(child, signal.SIGINT)
    assert (found, err) == (1, "")
