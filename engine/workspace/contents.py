"""What lies in a workspace folder, sorted into what this program made and what somebody else put there."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import WorkspaceDamaged
from engine.models.card import CARD_FILE, read_card
from engine.system import belongings
from engine.system.permissions import tighten
from engine.system.quarantine import FOLDER as QUARANTINE
from engine.system.quarantine import LEDGER, STAMPED
from engine.workspace.creation import FILES, FOLDERS, SYSTEM, UPLOADS, read_marker
from engine.workspace.generations import INDEXES
from engine.workspace.models import ASIDE, MODELS, TRASH, WORK

if TYPE_CHECKING:
    from engine.workspace.database.database import Database


@dataclass(frozen=True, slots=True)
class Contents:
    """Paths in a workspace: ours, with every file of ours in them; ours that nothing refers to any more; and everybody
    else's."""

    own: tuple[Path, ...]
    loose: tuple[Path, ...]
    foreign: tuple[Path, ...]


def survey(database: Database) -> Contents:
    """Look through the folder of an open database. Opens no file but manifests and cards, and follows no link."""
    folder = database.folder
    own: list[Path] = []
    loose: list[Path] = []
    foreign: list[Path] = []
    generations, builds, jobs = (
        {str(row[0]) for row in database.rows(f"SELECT {column} FROM {table}")}  # noqa: S608 - the names stand here
        for table, column in (("generations", "generation_id"), ("builds", "generation_id"), ("jobs", "job_id"))
    )
    for path in _entries(folder):
        build = belongings.build_id(path.name)
        known = belongings.is_file(path) if path.name in FILES else path.name in FOLDERS or build in builds
        (own if known and (path.name in FILES or belongings.is_folder(path)) else foreign).append(path)
    for path in _entries(folder / INDEXES):
        names = belongings.listed_files(path)
        if names is not None or (path.name in generations and belongings.is_folder(path)):
            own += [path, *_files(path, names or ())]
            loose += [path] if path.name not in generations else []
        else:
            foreign.append(path)
    for path in _entries(folder / MODELS):
        is_model = belongings.is_folder(path) and belongings.is_file(path / CARD_FILE)
        (own if is_model or path.name in (WORK, ASIDE, TRASH) else foreign).append(path)
        own += _files(path, _of_card(path)) if is_model else ()
    for path in _entries(folder / MODELS / WORK):
        (own if path.name in jobs and belongings.is_folder(path) else foreign).append(path)
    own += [path for path in _entries(folder / QUARANTINE) if STAMPED.match(path.name) or path.name == LEDGER]
    for path in _entries(folder / UPLOADS[0]):
        (own if path.name == UPLOADS[1] else foreign).append(path)
    return Contents(tuple(own), tuple(loose), tuple(foreign))


def tighten_workspace(database: Database) -> None:
    """Take everybody else's rights to a workspace away, where an earlier version left some. Only what is ours is
    touched."""
    marker = read_marker(database.folder)
    if marker is not None and not marker.adopted:
        tighten(database.folder)
    for path in survey(database).own:
        tighten(path)


def _entries(folder: Path) -> list[Path]:
    """What is in a folder that is no link, without what systems put there."""
    if not belongings.is_folder(folder):
        return []
    return sorted(path for path in folder.iterdir() if path.name not in SYSTEM)


def _files(folder: Path, names: Collection[str]) -> Iterator[Path]:
    """The listed files of a folder, and the folders between."""
    for name in names:
        path = folder / name
        if ".." not in path.parts and belongings.is_within(path, folder):
            yield from (parent for parent in path.parents if parent != folder and parent.is_relative_to(folder))
            yield path


def _of_card(folder: Path) -> set[str]:
    with suppress(WorkspaceDamaged, OSError):
        return {CARD_FILE, *read_card(folder).files}
    return set()
