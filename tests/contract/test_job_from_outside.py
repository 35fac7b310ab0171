"""A kind of job of another package: submitted, run, listed and linked, with nothing written for it but its own file and an entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lxml import html

from app.ui.web.session import UiState

ROOT = Path(__file__).resolve().parents[2]
KIND = """
from typing import ClassVar
from pydantic import Field
from engine.jobs.base import JobKind
from engine.types import Progress

class Count(JobKind, name="outside-count"):
    "Counts, from outside."
    makes: ClassVar[str] = "evaluation"
    page: ClassVar[str] = "evaluate"
    option: ClassVar[str] = "run"
    ends_in_indexes: ClassVar[bool] = True
    upto: int = Field(3, ge=1)
    def label(self):
        return f"Count to {self.upto}"
    def run(self, engine, running):
        assert engine.searcher(running.job.collection_id).snapshot is not None
        engine.jobs.held.set()
        engine.jobs.go.wait(20)
        for number in range(self.upto):
            running(Progress("count", number + 1, self.upto, "numbers"))
        running.counts.update(added=self.upto, evaluation="counted")
"""
TELL = """
import json, sys, threading
from pathlib import Path
from app.ui.web.session import UiState
from app.verbs.services import Services
from tests.ui.odd import World
with Services(Path(sys.argv[1])) as services:
    services.create_collection("Papers")
    jobs = services.engine.jobs
    jobs.held, jobs.go = threading.Event(), threading.Event()
    key = services.engine.workspace.collection("Papers").collection_id
    world = World(services, state=UiState(page="library", collection="Papers"))
    at_work = jobs.submit("outside-count", key, {"upto": 5})
    assert jobs.held.wait(20)
    early = {"found": world.call("open", world.state.with_(page="evaluate"))["url"], "state": services.collection("Papers").state}
    jobs.go.set()
    done, refused = services.wait(at_work, 20), services.wait(jobs.submit("outside-count", key, {"upto": 0}), 20)
    drawn = world.call("open")["regions"]["tp-main"]
    told = lambda job: [job.status, job.label, job.done, job.counts, job.result, job.error]
    led = world.call("go", page="evaluate", job=at_work)["url"]
    print(json.dumps({"led": led, "early": early, "done": told(done), "refused": told(refused), "id": at_work, "page": drawn}))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as an installer leaves it: the module, and beside it what the package brings."""
    folder = tmp_path_factory.mktemp("outside")
    about = folder / "outside_job-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-job\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[triptych.jobs]\noutside = outside_job\n")
    (folder / "outside_job.py").write_text(KIND)
    return folder


def run(places: list[Path], *command: str) -> str:
    path = os.pathsep.join(map(str, [*places, ROOT]))
    told = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, timeout=120
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return told.stdout


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work") / "workspace"


@pytest.fixture(scope="module")
def ran(place: Path, workspace: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run([place], "-c", TELL, str(workspace)))
    return found


def test_it_runs_with_its_parameters(ran: dict[str, Any]) -> None:
    assert ran["done"] == ["done", "Count to 5", 5, {"added": 5}, "counted", ""]
    status, label, *_, error = ran["refused"]
    assert (status, label) == ("failed", "outside-count"), "what cannot be read has no label of its own"
    assert error == "outside-count: upto: Input should be greater than or equal to 1"


def test_its_page_finds_it_and_its_collection_waits_for_its_indexes(ran: dict[str, Any]) -> None:
    assert UiState.from_query(ran["early"]["found"]).option("job") == ran["id"]
    assert ran["early"]["state"] == "indexing"


def test_the_library_links_to_what_it_made(ran: dict[str, Any]) -> None:
    links = html.fromstring(ran["page"]).xpath('//button[contains(@class, "job-label")]')
    assert [link.text for link in links] == ["outside-count", "Count to 5"]
    assert (links[1].get("data-action"), links[1].get("data-page"), links[1].get("data-job")) == (
        "go",
        "evaluate",
        ran["id"],
    )
    led = UiState.from_query(ran["led"])
    assert (led.page, led.collection, led.options) == ("evaluate", "Papers", (("run", ("counted",)),))


def test_the_command_line_lists_it_also_when_its_package_is_gone(
    ran: dict[str, Any], place: Path, workspace: Path
) -> None:
    command = ("-m", "app", "--workspace", str(workspace), "jobs", "list", "--json")
    assert [job["label"] for job in json.loads(run([place], *command))["jobs"]] == ["outside-count", "Count to 5"]
    assert [job["label"] for job in json.loads(run([], *command))["jobs"]] == ["outside-count", "outside-count"]
