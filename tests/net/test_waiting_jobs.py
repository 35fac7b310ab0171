"""Work that waits for a server that says nothing ends when it is called off, not when the server's time is up."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.verbs.services import Services
from engine.models.chat import KEY, MODEL, URL
from engine.models.hub import hub
from tests.evaluate.papers import fill
from tests.net.raw_server import Line, RawServer

SOON_S = 5.0


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judged") / "workspace"
    fill(folder)
    return folder


@pytest.fixture
def services(judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    for name in (URL, MODEL, KEY):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(judged, tmp_path / "own")
    with Services(tmp_path / "own") as opened:
        yield opened


@pytest.fixture
def silent() -> Iterator[RawServer]:
    with RawServer(Line.wait) as server:
        yield server


def until(happened: Callable[[], object]) -> None:
    ends = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.02)


@pytest.mark.parametrize("stage", ["listwise: {mode: full}", "pointwise: {parallel: 3}"])
@pytest.mark.parametrize("way", ["cancel", "pause", "close"])
def test_a_job_that_waits_for_a_language_model_halts(
    services: Services, silent: RawServer, stage: str, way: str
) -> None:
    services.set_language_model(f"{silent.address}/v1", "m", timeout_s=600)
    services.save_pipeline("asks", f"- bm25: {{}}\n- {stage}")
    job = services.start_evaluation("papers", ["asks"], metrics=["RR"])
    until(lambda: silent.heads)
    began = time.monotonic()
    if way == "close":
        services.close()
    else:
        jobs = services.engine.jobs
        jobs.cancel(job) if way == "cancel" else jobs.pause(job)
        until(lambda: jobs.get(job).status == {"cancel": "cancelled", "pause": "paused"}[way])
    assert time.monotonic() - began < SOON_S


@pytest.mark.parametrize("stage", ["listwise: {mode: full}", "pointwise: {parallel: 3}"])
def test_an_interrupted_search_does_not_wait_for_its_threads(services: Services, silent: RawServer, stage: str) -> None:
    services.set_language_model(f"{silent.address}/v1", "m", timeout_s=600)
    services.save_pipeline("asks", f"- bm25: {{}}\n- {stage}")

    def interrupt() -> None:
        until(lambda: silent.heads)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        services.search("papers", "retrieval terms", "asks")
    assert time.monotonic() - began < SOON_S


def test_a_job_that_waits_for_a_hub_halts(
    services: Services, silent: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", silent.address)
    monkeypatch.setattr(hub, "TIMEOUT_SECONDS", 600.0)
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 600.0)
    job = services.add_model("someone/model")
    until(lambda: silent.heads)
    began = time.monotonic()
    services.engine.jobs.cancel(job)
    until(lambda: services.engine.jobs.get(job).status == "cancelled")
    assert time.monotonic() - began < SOON_S
