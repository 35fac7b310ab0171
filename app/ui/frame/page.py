"""What a page says of itself: a value in the page's own folder, from which the frame, the navigation, the dispatcher and the script know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from markupsafe import Markup

from app.results.search import JobView
from app.ui.web.dispatch import Action, Ui
from app.ui.web.protocol import Reply
from app.ui.web.session import UiState

Regions = dict[str, Markup | None]
"""What is drawn, by the id of its place; None empties it."""
Draw = Callable[[Ui, UiState], Markup]


@dataclass(frozen=True, slots=True)
class Jobs:
    """What is known when jobs are asked for again: the last ones, and whether one has ended since."""

    listed: tuple[JobView, ...]
    ended: bool


def _everywhere(state: UiState) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A side pane."""

    draw: Draw
    shown: Callable[[UiState], bool] = _everywhere
    """Whether it belongs where the address is; elsewhere it stays closed."""
    bare: bool = False
    """It can do without a collection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What belongs to no single page: actions and side panes, with what they need of the frame."""

    name: str
    actions: Mapping[str, Action] = field(default_factory=dict)
    panels: Mapping[str, Panel] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    """What its permalink may hold beyond what every page's does, by name."""
    carried: tuple[str, ...] = ()
    """Those of the options that go along to another page."""
    alerts: tuple[str, ...] = ()
    """Regions in which an error of its actions may stand."""
    styles: tuple[str, ...] = ()
    """Style sheets in `folder`, in the order in which one goes before another. Two parts may name the same one."""
    scripts: tuple[str, ...] = ()
    """Scripts in `folder`; they run before the frame attaches itself to the page."""
    folder: Path | None = None
    """Where these files lie; None is `ui` of the assets. Only files that are named here are served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """How a page lists the documents that a query finds, for actions that work on any such list."""

    redrawn: Callable[[Ui, UiState], Reply]
    """The lists for a state with other filters."""
    pipeline: Callable[[UiState, int], str]
    """Whose list the column of this number shows; -1 where a document stands in no column. Empty where that is nobody's."""
    depth: Callable[[UiState], int]
    """How deep its measures look."""


def _as_it_is(ui: Ui, state: UiState) -> UiState:
    return state


def _pipeline(state: UiState) -> str:
    return state.pipeline


def _nothing(state: UiState, column: int) -> str:
    return ""


def _no_regions(ui: Ui, state: UiState) -> Regions:
    return {}


def _not_polled(ui: Ui, state: UiState, jobs: Jobs) -> Regions:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Part):
    """A page: its name stands in the address. With a `view` it stands in place of the page `under` where the option `view` says so."""

    title: str
    icon: str
    """One of the icons of the assets."""
    order: int
    """Its place in the navigation; pages stand from small to large."""
    key: str = ""
    """The letter that goes there after g."""
    under: str = ""
    """The page under which the navigation shows it; it has no entry of its own."""
    view: str = ""
    keys: tuple[tuple[tuple[str, ...], str], ...] = ()
    """Its own keys, for the list of keys: which, and what they do."""

    main: Draw
    head: Draw | None = None
    """What stands above it; None is the head of the page in whose place it stands."""
    bare: bool = False
    """It can do without a collection."""
    settle: Callable[[Ui, UiState], UiState] = _as_it_is
    """The state with what an address leaves open on this page filled in."""
    lists: Lists | None = None

    asked: bool = False
    """Its query is what the page is about: the window's title begins with it."""
    blind: bool = False
    """Nothing on it may tell which pipeline found a document, so the open one is not explained."""
    explained: Callable[[UiState], str] = _pipeline
    """The pipeline whose view of the open document is explained."""
    subject: Callable[[UiState, int], str] = _nothing
    """What the reader is about where a document was opened in the column of this number."""

    poll: Callable[[Ui, UiState, Jobs], Regions] = _not_polled
    """What is drawn again whenever jobs are asked for."""
    around: Callable[[Ui, UiState], Regions] = _no_regions
    """What changes to documents, indexes and jobs touch: drawn again when such a change was made, and when a job has ended."""
    waiting: tuple[str, ...] = ()
    """What on it waits for a job, as selectors: where one is there when a job ends, the page is opened anew."""
