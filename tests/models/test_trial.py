"""The first run of a model happens in a child: what harms there is refused by name, and this process and its workspace go on."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import BadInput, TriptychError
from engine.export import trial
from engine.models.card import read_card
from engine.system import child
from engine.types import Record
from engine.workspace.workspace import Workspace
from tests.encoders.tiny import TABLE, write_model, write_sparse
from tests.faults.bad_models import write_bad_model


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(tmp_path / "workspace") as opened:
        yield opened


def added(workspace: Workspace, folder: Path) -> Any:
    job = workspace.jobs.submit("model-add", "", {"source": str(folder), "local": True})
    return workspace.jobs.wait(job, 120)


def test_an_endless_model_is_stopped_and_never_published(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(trial.ENVIRONMENT, "3")
    job = added(workspace, write_bad_model(tmp_path / "endless", "endless"))
    assert job.status == "failed"
    assert job.error.startswith(
        "The first run of the model 'endless' took more than 3 s and was stopped. Nothing was added."
    )
    assert "TRIPTYCH_TRIAL_SECONDS" in job.error
    assert workspace.models.cards() == {}
    assert not list(workspace.models.folder.glob("[!.]*"))
    cid = workspace.create_collection("papers").collection_id
    assert workspace.documents.upsert(cid, [Record("d", text="the workspace is writable")], "f").added == 1


def test_cancelling_an_endless_trial_takes_no_time(workspace: Workspace, tmp_path: Path) -> None:
    job_id = workspace.jobs.submit(
        "model-add", "", {"source": str(write_bad_model(tmp_path / "endless", "endless")), "local": True}
    )
    while workspace.jobs.get(job_id).phase != "try out":
        time.sleep(0.05)
    began, worker = time.monotonic(), workspace.jobs._thread
    workspace.jobs.cancel(job_id)
    assert workspace.jobs.wait(job_id, 10).status == "cancelled"
    assert time.monotonic() - began < 2
    assert workspace.jobs._thread is worker, "it heard of it, and was not left behind"


@pytest.mark.parametrize(
    ("harm", "told"),
    [("nan", "not finite"), ("inf", "not finite"), ("zero", "nothing but zeros"), ("constant", "the same for")],
)
def test_useless_vectors_are_refused(tmp_path: Path, harm: Any, told: str) -> None:
    folder = write_bad_model(tmp_path / "useless", harm)
    with pytest.raises(BadInput, match=told):
        trial.check_rows(folder, read_card(folder))


def test_a_sparse_model_without_terms_is_refused(tmp_path: Path) -> None:
    folder = write_sparse(tmp_path / "good")
    trial.check_rows(folder, read_card(folder))
    folder = write_sparse(tmp_path / "empty", sign=-1.0, table=np.abs(TABLE))
    with pytest.raises(BadInput, match=r"weight|finite|negative"):
        trial.check_rows(folder, read_card(folder))


def test_good_models_pass(tmp_path: Path) -> None:
    for harm in ("none",):
        folder = write_bad_model(tmp_path / harm, harm)  # type: ignore[arg-type]
        trial.check_rows(folder, read_card(folder))
    trial.try_out(write_model(tmp_path / "tiny"), read_card(tmp_path / "tiny"))


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_crash_is_told_with_its_signal_and_this_process_lives(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        f"import json, os, sys\nif json.load(sys.stdin)['task'] == 'try': os.kill(os.getpid(), {int(signal.SIGSEGV)})"
    )
    monkeypatch.setattr(child, "COMMAND", (sys.executable, "-c", code))
    job = added(workspace, write_model(tmp_path / "crashing", name="crashing"))
    assert job.status == "failed"
    assert job.error.startswith("The first run of the model 'crashing' failed: signal SIGSEGV. Nothing was added.")
    assert workspace.models.cards() == {}
    monkeypatch.undo()
    assert added(workspace, write_model(tmp_path / "whole", name="whole")).status == "done", "the next job runs"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the memory of a child is read from /proc")
def test_too_much_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys, time; sys.stdin.read(); held = b'x' * 300_000_000; time.sleep(60)"
    began = time.monotonic()
    with pytest.raises(BadInput, match=r"The work needed more than 0\.2 GB of memory and was stopped. Take less."):
        child.run("The work", {"task": "x"}, child.Limits(60, 2e8, "Take less."), command=(sys.executable, "-c", code))
    assert time.monotonic() - began < 30


@pytest.mark.skipif(os.name != "posix", reason="parents as POSIX has them")
def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import os, sys\nfrom engine.system import child\nfrom engine.export import trial\nfrom engine.models.card import read_card\nfrom pathlib import Path\n"
        "popen = child.subprocess.Popen\n"
        "def told(*a, **k):\n    made = popen(*a, **k)\n    print(made.pid, flush=True)\n    return made\n"
        "child.subprocess.Popen = told\n"
        "folder = Path(sys.argv[1])\ntrial.try_out(folder, read_card(folder))"
    )
    folder = write_bad_model(tmp_path / "endless", "endless")
    parent = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    time.sleep(1.5)
    parent.kill()
    parent.communicate()
    until = time.monotonic() + 15
    while time.monotonic() < until and child.resident(pid) and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        time.sleep(0.1)
    gone = not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    if not gone:
        os.kill(pid, signal.SIGKILL)
    assert gone


def test_errors_name_what_was_tried() -> None:
    with pytest.raises(TriptychError, match="The work failed: exit code 3"):
        child.run(
            "The work",
            {"task": "x"},
            child.Limits(20, 1e9),
            command=(sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(3)"),
        )
