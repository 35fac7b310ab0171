"""A page of another package: its folder and an entry point, and nothing else, put it into the workbench."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = """
from pathlib import Path
from app.drawing.controls import button
from app.drawing.html import el
from app.ui.frame.page import Page, Panel
from app.ui.web.dispatch import Action
from app.ui.web.protocol import Reply
from engine.errors import BadInput

def head(ui, state):
    return el("h1", "Atlas of " + state.collection)

def main(ui, state):
    return el("div", button("Turn it", "atlas-turn"), el("p", state.option("turned", "as it was"), id="atlas-map"), id="atlas")

def turn(ui, state, args):
    if args.text("by") == "far":
        raise BadInput("That is too far.")
    state = state.with_options(turned="twice")
    return Reply({"atlas-map": el("b", "turned <" + args.text("by") + ">")}, state=state)

def poll(ui, state, jobs):
    return {"atlas-jobs": el("p", "ended" if jobs.ended else "running")}

PAGE = Page(
    name="atlas", title="Atlas", icon="chart", order=15, key="a", head=head, main=main, asked=True, poll=poll,
    keys=((("t",), "Turn it (Atlas)"),), waiting=("#atlas .is-waiting",),
    actions={"atlas-turn": Action(turn, replaces=True, top=True), "atlas-erase": Action(turn, writes=True)},
    panels={"legend": Panel(draw=lambda ui, state: el("p", "What the colors mean"), shown=lambda state: state.page == "atlas")},
    options=("turned",), alerts=("atlas-alert",), styles=("atlas.css",), scripts=("atlas.js",), folder=Path(__file__).parent,
)
"""
TELL = """
import json, re, sys
from html import unescape
from pathlib import Path
sys.path[:0] = [sys.argv[2]]
from fakes import FakeServices
from serving import Running
from app.ui.frame.site import site
from app.ui.web.access import OWNER, READER
from app.ui.web.dispatch import Dispatcher, Ui
from app.ui.web.theme import head
from app.ui.web.uploads import Uploads

services = FakeServices(Path(sys.argv[1]))
dispatcher = Dispatcher(Ui(services, OWNER, Uploads(services.folder)), site())

def ask(action, url="", access=None, alert="", **args):
    return dispatcher.call({"action": action, "url": url, "args": args, "alert": alert}, access)

running = Running(services)
css, script, other = (running.client.get("/ui/atlas." + name) for name in ("atlas.css", "atlas.js", "page.py"))
page = running.client.get("/").text
running.stop()
print(json.dumps({
    "frame": site().html,
    "known": json.loads(unescape(re.search('data-known="([^"]*)"', site().html).group(1))),
    "head": head(site()),
    "opened": ask("open", "?tab=atlas&q=maps&o.turned=once"),
    "gone to": ask("go", "?tab=search", page="atlas"),
    "turned": ask("atlas-turn", "?tab=atlas", by="half"),
    "failed": ask("atlas-turn", "?tab=atlas", by="far", alert="atlas-alert"),
    "reader": ask("atlas-erase", "?tab=atlas", access=READER),
    "panel": ask("panel", "?tab=atlas&c=Retrieval+papers", panel="legend"),
    "elsewhere": ask("open", "?tab=compare&c=Retrieval+papers&panel=legend"),
    "polled": ask("jobs", "?tab=atlas", running="job-d"),
    "css": [css.status_code, css.headers["content-type"], css.text],
    "script": [script.status_code, script.text],
    "other": other.status_code,
    "page": page,
}))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as an installer leaves it."""
    folder = tmp_path_factory.mktemp("outside")
    package = folder / "outside_atlas"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "page.py").write_text(PAGE)
    (package / "atlas.css").write_text("#tp-app #atlas { color: teal }\n")
    (package / "atlas.js").write_text("window.Atlas = {};\n")
    about = folder / "outside_atlas-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-atlas\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[triptych.pages]\natlas = outside_atlas.page:PAGE\n")
    return folder


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(place), str(ROOT)])
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(place: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    done = run(place, "-c", TELL, str(tmp_path_factory.mktemp("work")), str(ROOT / "tests" / "ui"))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_stands_in_the_navigation_at_its_place(told: dict[str, Any]) -> None:
    for html in (told["frame"], told["opened"]["regions"]["tp-sidebar"]):
        places = [html.index(f'data-page="{name}"') for name in ("search", "atlas", "compare")]
        assert places == sorted(places)
    current = told["opened"]["regions"]["tp-sidebar"].split("is-current")[1].split(">")[0]
    assert 'data-page="atlas"' in current


def test_its_permalink_opens_it(told: dict[str, Any]) -> None:
    regions = told["opened"]["regions"]
    assert "<h1>Atlas of Retrieval papers</h1>" in regions["tp-head"]
    assert ">once</p>" in regions["tp-main"]
    assert told["opened"]["url"].startswith("?tab=atlas&")
    assert "o.turned=once" in told["opened"]["url"]
    assert told["gone to"]["url"].startswith("?tab=atlas&")


def test_its_key_and_its_place_among_the_keys_are_told(told: dict[str, Any]) -> None:
    assert told["known"]["pages"]["atlas"] == {"title": "Atlas", "key": "a", "asked": True}
    assert "Go to Search, Atlas, Compare," in told["frame"]
    assert "<kbd>g a</kbd>" in told["frame"]
    assert "Turn it (Atlas)" in told["frame"]


def test_its_actions_answer_and_are_told_apart(told: dict[str, Any]) -> None:
    assert told["turned"]["regions"]["atlas-map"] == "<b>turned &lt;half&gt;</b>"
    assert "o.turned=twice" in told["turned"]["url"]
    assert "That is too far." in told["failed"]["regions"]["atlas-alert"]
    assert "for reading only" in told["reader"]["regions"]["tp-alert"]
    kinds = told["known"]["actions"]
    assert {kind for kind in kinds if "atlas-turn" in kinds[kind]} == {"replaces", "top"}


def test_its_pane_stands_beside_it_and_nowhere_else(told: dict[str, Any]) -> None:
    assert "What the colors mean" in told["panel"]["regions"]["tp-side"]
    assert told["elsewhere"]["regions"]["tp-side"] == ""


def test_jobs_redraw_what_it_says(told: dict[str, Any]) -> None:
    assert told["polled"]["regions"]["atlas-jobs"] == "<p>ended</p>"
    assert "#atlas .is-waiting" in told["known"]["waiting"]


def test_its_style_sheet_and_script_are_linked_and_served_and_nothing_beside_them(told: dict[str, Any]) -> None:
    assert 'href="/ui/atlas.atlas.css?v=' in told["head"]
    assert told["head"].index("atlas.js") < told["head"].index("triptych.js")
    assert told["css"][0] == 200
    assert told["css"][1].startswith("text/css")
    assert told["css"][2] == "#tp-app #atlas { color: teal }\n"
    assert told["script"] == [200, "window.Atlas = {};\n"]
    assert told["other"] == 404
    assert "/ui/atlas.atlas.css?v=" in told["page"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("PAGE = 'a page'", "outside_atlas.page:PAGE is no page"),
        (PAGE.replace('name="atlas"', 'name="search"'), "The page 'search' is offered"),
        (PAGE.replace('"atlas-turn": Action', '"ev-run": Action'), "The action 'ev-run' is offered"),
        (PAGE.replace('"atlas-turn": Action', '"open": Action'), "The action 'open' is offered by the pages 'frame'"),
        (PAGE.replace('key="a"', 'key="s"'), "The key 's' is offered"),
        (PAGE.replace('"legend": Panel', '"editor": Panel'), "The panel 'editor' is offered"),
    ],
)
def test_what_does_not_go_with_the_others_is_refused_by_name(
    place: Path, tmp_path: Path, written: str, said: str
) -> None:
    package = tmp_path / "outside_atlas"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "page.py").write_text(written)
    about = tmp_path / "outside_atlas-1.0.dist-info"
    about.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (about / name).write_text((place / "outside_atlas-1.0.dist-info" / name).read_text())
    done = run(tmp_path, "-c", "from app.ui.frame.site import site; site()")
    assert done.returncode != 0
    assert said in done.stderr
