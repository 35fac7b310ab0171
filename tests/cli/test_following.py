"""Following a job: what is shown, and how it ends. The job is scripted, so that each moment can be brought about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from app.cli import progress as cli_progress
from app.cli.base import Run, guarded
from app.results.search import JobView, RejectionView

RUNNING = JobView(
    "j1", "add", "papers", "Add a.bib", "running", "add", 1200, 4800, "documents", 310.4, 11.6, {}, "", "t0", ""
)
DONE = replace(
    RUNNING, status="done", phase="", done=4800, rate=None, eta_seconds=None, counts={"added": 4797, "rejected": 3}
)


class Scripted:
    """Services whose only job passes through given states; an exception in the script is raised."""

    folder = Path("/somewhere")

    def __init__(self, states: Sequence[JobView | BaseException]) -> None:
        self.states = list(states)
        self.paused: list[str] = []

    def job(self, job_id: str) -> JobView:
        state = self.states.pop(0)
        if isinstance(state, BaseException):
            raise state
        return state

    def pause(self, job_id: str) -> None:
        self.paused.append(job_id)

    def rejections(self, job_id: str, offset: int, limit: int) -> tuple[RejectionView, ...]:
        return tuple(RejectionView(f"a.bib:{n}", "no title", "") for n in range(3))[offset : offset + limit]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_progress, "POLL_SECONDS", 0)


def follow(services: Any, *, as_json: bool = False) -> int:
    """The exit code of a command that follows the job and reports it."""

    def command(run: Run) -> None:
        cli_progress.report(run, services, cli_progress.follow(run, services, "j1"))

    try:
        guarded(Run(Path("/somewhere"), as_json), command)
    except typer.Exit as ending:
        return ending.exit_code
    return 0


def test_progress_has_rate_and_time_left_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    encoding = replace(RUNNING, phase="encode", done=5, total=None, unit="passages", rate=2.34, eta_seconds=None)
    assert follow(Scripted([RUNNING, RUNNING, encoding, DONE])) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines() == ["add: 1,200 of 4,800 documents, 310/s, 12 s left", "encode: 5 passages, 2.3/s"]
    assert shown.out.splitlines() == [
        "Add a.bib: done (4,797 added, 3 rejected)",
        "  skipped a.bib:0: no title",
        "  skipped a.bib:1: no title",
        "  skipped a.bib:2: no title",
    ]


def test_in_json_nothing_but_the_result_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert follow(Scripted([RUNNING, DONE]), as_json=True) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert json.loads(shown.out)["job"]["counts"] == {"added": 4797, "rejected": 3}


@pytest.mark.parametrize("as_json", [False, True])
def test_control_c_pauses_the_job_and_says_how_to_go_on(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    services = Scripted([RUNNING, KeyboardInterrupt()])
    assert follow(services, as_json=as_json) == 130
    assert services.paused == ["j1"]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "triptych jobs resume j1 --workspace /somewhere" in shown.err


def test_a_failed_job_is_an_error_with_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    assert follow(Scripted([replace(DONE, status="failed", error="The disk is full.")])) == 1
    assert "The disk is full." in capsys.readouterr().err


def test_a_cancelled_job_ends_like_an_interrupted_one() -> None:
    assert follow(Scripted([replace(DONE, status="cancelled")])) == 130


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s left"), (59.4, "59 s left"), (61, "1 min 01 s left"), (3720, "1 h 02 min left")]
)
def test_time_left_in_words(seconds: float, text: str) -> None:
    assert cli_progress.told(replace(RUNNING, eta_seconds=seconds)).endswith(text)


def test_a_phase_without_numbers_has_none() -> None:
    assert cli_progress.told(replace(RUNNING, phase="compare", done=0, total=None, rate=None)) == "compare"


@pytest.mark.parametrize(("wish", "said"), [("cancel", "stopping"), ("pause", "pausing"), ("stop", "stopping")])
def test_a_job_that_is_to_halt_says_so(wish: Any, said: str) -> None:
    assert cli_progress.told(replace(RUNNING, wish=wish)).startswith(said)
