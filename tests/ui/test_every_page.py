"""Every page and every pane in every odd state of a workspace, and every action with odd arguments; on the real services, as a browser asks."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import odd
import pytest
from odd import NAME, STATES, World

from app.drawing.messages import TITLES
from app.ui.frame import registry
from app.ui.frame.site import site
from app.ui.pages.compare.unrolled import VIEWS
from app.ui.web.session import UiState
from app.verbs.services import Services
from engine import errors
from tests.faults import damaging

FAULT = "fault of Triptych"
ALL = site().actions
SIDE = registry.panels()
STANDING_IN = {view.name: view for name in registry.pages() for view in registry.views(name)}
PLACES = (*registry.pages(), *STANDING_IN, *VIEWS)
"""Every page; what the Library and Compare turn into counts as one."""
READING = "Documents are added where the workspace is open for writing."
START = "Start with a collection"
NOTHING_TO_JUDGE_BY = {
    "calibrate": "Judge some results, or bring in a query set with judgments.",
    "evaluate": "Bring in a file of queries, TREC topics or a BEIR folder",
    "judge": "Bring in a file of queries, or judge any result",
    "blind": "Vote, then see who was who.",
}
NOT_BUILT = "Build it in the Library"
WAITING = "What was asked is answered here as soon as it is ready"
CHOOSE = {
    "evaluate": "Run the evaluation",
    "judge": "Choose questions and pipelines, and prepare a queue",
    "blind": "Vote, then see who was who.",
    "models": "Look it up",
}
BUILD = dict.fromkeys(("search", "compare", *VIEWS), NOT_BUILT)
SAYS: dict[str, dict[str, str]] = {
    "first_start": dict.fromkeys(PLACES, START) | {"library": "Drop a file above", "models": "Look it up"},
    "empty": dict.fromkeys(PLACES, START) | {"library": "Drop a file above", "models": "Look it up"},
    "empty_read_only": dict.fromkeys(PLACES, READING) | {"models": "4 here"},
    "unknown_in_empty": dict.fromkeys(PLACES, START) | {"library": "Drop a file above", "models": "Look it up"},
    "unknown": dict.fromkeys(PLACES, "Pick one in the sidebar") | {"library": "Drop files here", "models": "Look it up"},
    "without_documents": {
        **NOTHING_TO_JUDGE_BY, "search": "Add documents on the Library page.", "compare": "Add documents on the Library page.",
        "library": "No index yet. Add documents first.",
    },
    "without_documents_read_only": {"search": READING, "compare": READING, "library": "No index yet."},
    "without_indexes": {**BUILD, **NOTHING_TO_JUDGE_BY, "library": "BM25 · english Not built 0"},
    "without_questions": NOTHING_TO_JUDGE_BY,
    "without_judgments": CHOOSE | {"calibrate": NOTHING_TO_JUDGE_BY["calibrate"], "evaluate": "No judgments: only disagreement can be measured"},
    "judged_without_indexes": BUILD | CHOOSE,
    "adding_first": NOTHING_TO_JUDGE_BY | dict.fromkeys(("search", "compare"), "They are shown here as soon as they are in.")
    | {"library": "They are built as soon as the documents are in."},
    "adding_more": CHOOSE | {"search": WAITING, "compare": WAITING, "stages": WAITING, "library": "Building"},
    "paused": NOTHING_TO_JUDGE_BY | dict.fromkeys(("search", "compare"), "Adding documents is paused Resume it on the Library page.")
    | {"library": "Adding documents is paused. Resume it, and they are built afterwards."},
    "after_failure": BUILD | CHOOSE | {"library": "There is no model called 'a-model-that-is-gone'"},
    "filled": {"evaluate": "Run the evaluation", "judge": "Means over 6 judged questions.", "blind": "Question 1", "library": "Ready"},
    "read_only": dict.fromkeys(("evaluate", "calibrate", "judge"), "open for reading only") | {"judge": "Means over 6 judged questions."},
    "reader": dict.fromkeys(("evaluate", "calibrate", "judge"), "open for reading only"),
    "unknown_ids": {
        "search": "There is no field 'gone' to filter", "compare": "Choose another one in its column.",
        "stages": "There is no pipeline called 'gone'", "rerank": "There is no pipeline called 'gone'",
        "evaluate": "There is no evaluation 'gone'", "calibrate": "No calibration of this collection begins with 'gone'",
        "judge": "This queue is not there any more", "blind": "This comparison is not there any more",
    },
    "broken_pipelines": {
        "search": "Mend it in the editor, or delete it.", "compare": "Mend it in the editor, or delete it.",
        "stages": "There is no model called 'a-model-that-is-gone'",
        "rerank": "has no rerank stage. Add one at its end",
    },
}  # fmt: skip
"""What every place must say in a state, to know how to go on."""

Copy = Callable[[Path], UiState]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """Lays a copy of a workspace with one of everything into a folder; gives the address of it all."""
    original = tmp_path_factory.mktemp("full") / "w"
    with Services(original) as services:
        key = odd.fill(services)
        odd.index(services)
        odd.ask(services, key, judged=True)
        state = odd.measure(services)

    def copy(folder: Path) -> UiState:
        shutil.copytree(original, folder)
        return state

    return copy


@pytest.fixture(scope="module", params=STATES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, full: Copy) -> Iterator[World]:
    yield from STATES[request.param](tmp_path_factory.mktemp(request.param), full)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, full: Copy) -> Iterator[World]:
    yield from odd.filled(tmp_path_factory.mktemp("one"), full)


def at(state: UiState, place: str) -> UiState:
    """The address of a place."""
    if place in STANDING_IN:
        view = STANDING_IN[place]
        return state.with_(page=view.under).with_options(view=view.view)
    if place in VIEWS:
        of = state.option("of") or ("BM25, reranked" if place == "rerank" else "Hybrid")
        return state.with_(page="compare").with_options(view=place, of=of)
    return state.with_(page=place)


def shown(html: str) -> str:
    """What is read on the page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def sound(reply: dict[str, Any]) -> None:
    """No fault, and nothing of the program's insides."""
    html = " ".join(reply["regions"].values())
    assert FAULT not in str(reply)
    assert not re.search(r"Traceback|object at 0x|\bnan\b|<img|<script", html), html
    assert 'class="is-none"' not in html


def offered(html: str) -> set[str]:
    """The actions that write and that a control offers. Stars are taken from readers by the stylesheet."""
    controls = re.findall(r"<(?:button|input|select|textarea) [^>]*>", html)
    named = {
        match
        for tag in controls
        if " disabled" not in tag
        for match in re.findall(r'data-(?:action|change)="([^"]+)"', tag)
    }
    return {name for name in named if name in ALL and ALL[name].writes} - {"star"}


def test_the_states_and_the_errors_are_all_there() -> None:
    assert set(SAYS) == set(STATES)
    kinds = {
        name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, errors.TriptychError)
    }
    assert kinds - {"TriptychError"} <= set(TITLES), "an error without a title is called a thing that went wrong"


@pytest.mark.parametrize("place", PLACES)
def test_every_page_opens(world: World, place: str, request: pytest.FixtureRequest) -> None:
    reply = world.call("open", at(world.state, place))
    sound(reply)
    assert not reply.get("failed"), reply["regions"]
    regions = reply["regions"]
    assert shown(regions["tp-head"])
    said = shown(regions["tp-main"])
    assert said
    assert SAYS[request.node.callspec.params["world"]].get(place, "") in said
    known = {one.name for one in world.services.collections()}
    gone = world.state.collection and world.state.collection not in known
    assert (f"There is no collection “{world.state.collection}”" in shown(regions["tp-alert"])) == bool(gone)
    if not world.access.write:
        assert not offered(" ".join(regions.values()))
    UiState.from_query(reply["url"])


@pytest.mark.parametrize("place", PLACES)
def test_every_pane_opens_beside_every_page(world: World, place: str) -> None:
    for panel in SIDE:
        reply = world.call("panel", at(world.state, place), panel=panel)
        sound(reply)
        assert not reply.get("failed"), (panel, reply["regions"])
        if not world.access.write:
            assert not offered(reply["regions"]["tp-side"]), panel
    reply = world.call("read", at(world.state, place), doc=world.state.document or "p1")
    sound(reply)


@pytest.mark.parametrize("panel", SIDE)
def test_every_pane_opens_by_its_address(world: World, panel: str) -> None:
    for subject in ("", "p1", "Hybrid", "gone"):
        place = "models" if panel == "model" else "compare" if panel in ("ledger", "why") else "library"
        reply = world.call("open", at(world.state, place).with_(panel=panel, subject=subject))
        sound(reply)
        assert not reply.get("failed"), reply["regions"]


# a damaged database


@pytest.fixture(scope="module", params=["documents", "passages"])
def damaged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, full: Copy) -> Iterator[World]:
    """A workspace with one of everything, where one bit of a table is turned over."""
    folder = tmp_path_factory.mktemp("damaged") / "w"
    state = full(folder)
    damaging.flip_in(folder, request.param)
    with Services(folder) as services:
        yield World(services, state=state)


def test_a_page_that_meets_damage_names_it_and_its_remedy(damaged: World) -> None:
    met = 0
    for place in PLACES:
        for reply in (
            damaged.call("open", at(damaged.state, place)),
            *(damaged.call("panel", at(damaged.state, place), panel=panel) for panel in SIDE),
        ):
            sound(reply)
            said = shown(" ".join(reply["regions"].values()))
            if reply.get("failed"):
                assert 'class="box box-error"' in reply["regions"]["tp-alert"], place
                assert "A stored file is damaged" in said, (place, said)
            if "is damaged" in said:
                met += 1
                assert "triptych doctor --salvage" in said, (place, said)
                assert "triptych restore" in said
    reply = damaged.call("read", at(damaged.state, "search"), doc="p1")
    sound(reply)
    assert met >= 1


# hostile addresses

MARK = "<img src=x onerror=alert(1)>"
HOSTILE = (
    MARK, "'; DROP TABLE documents; --", "\x00\x1b", "\ud800", "x" * 20_000, "-1", "9" * 30, "inf", "1e400", "../../etc/passwd", "[]", "\u202e",
)  # fmt: skip
FIELDS = ("tab", "c", "q", "p", "col", "k", "f.year", "f.venue", "f.metadata.x", "from", "doc", "panel", "on")


def address(**fields: str) -> str:
    """An address as somebody might type it: nothing is checked."""
    return "?" + urlencode(fields, errors="surrogatepass")


@pytest.fixture(scope="module")
def options(filled: World) -> list[str]:
    """Every option that a page asks its address for."""
    asked: set[str] = set()
    values = UiState.option_values

    def recording(self: UiState, name: str) -> tuple[str, ...]:
        asked.add(name)
        return values(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UiState, "option_values", recording)
        for place in PLACES:
            filled.call("open", at(filled.state, place))
    assert {"run", "queue", "session", "view"} <= asked
    return sorted(asked)


def test_a_page_states_every_option_of_its_permalink(filled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    values, asked = UiState.option_values, set[str]()

    def recording(self: UiState, name: str) -> tuple[str, ...]:
        asked.add(name)
        return values(self, name)

    monkeypatch.setattr(UiState, "option_values", recording)
    everywhere = {"view", *registry.carried()}
    for place in PLACES:
        asked.clear()
        filled.call("open", at(filled.state, place))
        page = registry.showing(at(filled.state, place))
        assert asked - everywhere <= set(page.options), place


@pytest.mark.parametrize("place", PLACES)
def test_a_page_opens_whatever_its_address_holds(filled: World, options: list[str], place: str) -> None:
    usual = dict(
        reversed([pair.split("=", 1) for pair in at(filled.state.with_(query="dense"), place).to_query().split("&")])
    )
    for value in HOSTILE:
        own = {"tab": usual["tab"], "c": NAME, "o.view": usual.get("o.view", "")}
        fields = {f: value for f in FIELDS if f not in own} | {f"o.{o}": value for o in options[:18]} | own
        rest = {f: value for f in FIELDS if f not in own} | {f"o.{o}": value for o in options[18:]} | own
        for given in (fields, rest):
            reply = filled.dispatcher.call({"action": "open", "url": address(**given)})
            sound(reply)
            assert not reply.get("failed"), ascii(value)[:40]
            assert shown(reply["regions"]["tp-main"])


def test_one_hostile_value_among_good_ones_leaves_the_page(filled: World, options: list[str]) -> None:
    for field in (*FIELDS, *(f"o.{name}" for name in options)):
        for place in ("compare", "evaluate", "judge", "calibrate", "blind"):
            url = "?" + at(filled.state, place).to_query() + "&" + address(**{field: MARK})[1:]
            url = re.sub(rf"(?<=[?&]){re.escape(field)}=[^&]*&", "", url, count=1) if field != "tab" else url
            reply = filled.dispatcher.call({"action": "open", "url": url})
            sound(reply)
            assert not reply.get("failed"), (field, place)


# odd arguments


class Odd(dict[str, Any]):
    """Arguments that hold one value under every name that they are asked for."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value
        self.asked = 0

    def get(self, name: str, default: Any = None) -> Any:
        self.asked += 1
        return self.value

    def __contains__(self, name: object) -> bool:
        return True

    def items(self) -> Any:
        return [("column.title", self.value)]


ODD = (
    None, "", [], float("nan"), 10**5000, f"\ud800{MARK}", "x" * 200_000, "[" * 100_000, ["\ud800"], "../../etc/passwd",
)  # fmt: skip


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory, full: Copy) -> Iterator[World]:
    """A workspace with one of everything, in which a job runs for as long as this is open, so that none that is asked for begins."""
    for world in odd.filled(tmp_path_factory.mktemp("busy"), full):
        with odd.held(world.services, "index"):
            yield world
            for job in world.services.jobs():
                if job.status == "queued":
                    world.services.cancel(job.job_id)


@pytest.mark.parametrize("name", ALL)
def test_an_action_with_odd_arguments_is_answered(busy: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(*_: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("socket.socket.connect", alone)
    for value in ({}, *map(Odd, ODD)):
        reply = busy.call(name, args=value)
        assert FAULT not in str(reply), ascii(getattr(value, "value", value))[:60]
        if reply.get("failed"):
            assert 'class="box box-error"' in reply["regions"]["tp-alert"]
        assert not re.search(r"<img|<script", str(reply["regions"]) + str(reply["dialog"]))
        if isinstance(value, Odd) and not value.asked:
            return


# what stands for itself


def test_the_ledger_passes_over_a_column_whose_index_is_missing(filled: World) -> None:
    state = at(filled.state, "compare").with_(columns=("Hybrid", "Late"), document="")
    pane = shown(filled.call("panel", state, panel="ledger")["regions"]["tp-side"])
    assert "Σ 1 / (60 + rank)" in pane
    pane = shown(filled.call("panel", state.with_(columns=("Late", "Sparse")), panel="ledger")["regions"]["tp-side"])
    assert NOT_BUILT in pane


def test_a_column_with_an_unreadable_pipeline_is_left_by_its_head(tmp_path: Path) -> None:
    for world in odd.broken_pipelines(tmp_path, None):
        reply = world.call("open", at(world.state, "compare"))
        assert reply["regions"]["tp-main"].count('="column"') >= 3
        reply = world.call("column", at(world.state, "compare"), index="1", value="Dense")
        assert "We relate" in reply["regions"]["tp-board"]


def test_a_job_of_another_page_is_not_shown_as_this_ones(tmp_path: Path) -> None:
    for world in odd.after_failure(tmp_path, None):
        for place in ("evaluate", "calibrate"):
            reply = world.call("open", at(world.state, place))
            assert "Failed" not in shown(reply["regions"]["tp-main"]), place
            assert not UiState.from_query(reply["url"]).option("job")


def test_looking_at_the_scores_of_a_queue_stores_nothing(filled: World) -> None:
    workspace = filled.services.engine.workspace
    before = workspace.query("SELECT * FROM evaluations ORDER BY evaluation_id")
    reply = filled.call("open", at(filled.state, "judge"))
    assert "Means over 6 judged questions." in shown(reply["regions"]["tp-main"])
    assert workspace.query("SELECT * FROM evaluations ORDER BY evaluation_id").equals(before)


def test_a_part_that_fails_leaves_the_others(filled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise errors.StorageFull("There is no room for this.")

    monkeypatch.setattr(filled.services, "calibrations", broken)
    said = shown(filled.call("open", at(filled.state.with_options(run="gone"), "calibrate"))["regions"]["tp-main"])
    assert "There is no room for this." in said
    assert "New calibration" in said
