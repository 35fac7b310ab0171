"""Conversion in a child: what it says is heard, what it fails with is raised, and it can be stopped or die without harm."""

from __future__ import annotations

import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import pytest

from engine.errors import BadInput, MissingDependency, TriptychError
from engine.export.convert import convert
from engine.jobs.model_add import CONVERTERS
from engine.system import child as module
from engine.types import Progress

STEP = Progress("round", 3, 36, "matrices")
WAITING = "import time, json, sys; sys.stdin.read(); print(json.dumps({'progress': {'phase': 'read', 'done': 0}}), flush=True); time.sleep(60)"


def nothing(*_: object) -> None:
    pass


@pytest.mark.skipif(all(map(find_spec, CONVERTERS)), reason="the packages that convert are installed")
def test_what_is_not_installed_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingDependency, match="torch"):
        convert(tmp_path, tmp_path / "built", {"quantise": "int8"}, nothing, nothing)


def test_errors_of_the_child_arrive_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        {"progress": {"phase": "read", "done": 0}},
        {"progress": asdict(STEP)},
        {"error": "BadInput", "message": "not faithful"},
    ]
    told = f"import json\nfor line in {lines!r}: print(json.dumps(line))"
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", told))
    heard: list[Progress] = []
    with pytest.raises(BadInput, match="not faithful"):
        convert(tmp_path, tmp_path / "built", {}, heard.append, nothing)
    assert heard == [Progress("read", 0), STEP]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "signal SIGKILL, probably for want of memory"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal SIGSEGV"),
        ("raise ValueError('strange weights')", "exit code 1: ValueError: strange weights"),
    ],
)
def test_a_child_that_dies_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, told: str) -> None:
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", f"import sys; sys.stdin.read()\n{code}"))
    with pytest.raises(TriptychError, match=told):
        convert(tmp_path, tmp_path / "built", {}, nothing, nothing)


def test_a_child_is_stopped_when_the_job_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(Exception):
        pass

    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", WAITING))
    started: list[module.subprocess.Popen[str]] = []
    popen = module.subprocess.Popen

    def remembered(*arguments: object, **options: object) -> module.subprocess.Popen[str]:
        started.append(popen(*arguments, **options))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(module.subprocess, "Popen", remembered)

    def stop(step: Progress) -> None:
        raise Stop

    with pytest.raises(Stop):
        convert(tmp_path, tmp_path / "built", {}, stop, nothing)
    assert started[0].returncode == -9
