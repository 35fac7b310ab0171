"""The models of a workspace: one folder each, complete or absent. They appear by a rename, are replaced by a rename,
and vanish by a rename.

models/<name>/card.json, model.onnx, tokenizer.json …    published
models/.work/<job>/…                                     downloads and conversions of a job; to quarantine when no job
will resume it models/.old/<id>/<name>/…                                what a replacement put aside; put back when the
program ended in between models/.trash/…                                          deleted
"""

from __future__ import annotations

import os
import re
import threading
import uuid
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from engine.errors import BadInput, NotFound, WorkspaceDamaged
from engine.models.card import CARD_FILE, ModelCard, read_card
from engine.models.catalogue import bundled_models, model_folder, own_models
from engine.models.verify import verify_files
from engine.system import belongings
from engine.system.permissions import private_folder, tighten
from engine.system.quarantine import Quarantine
from engine.workspace.generations import sync

MODELS = "models"
WORK, ASIDE, TRASH = ".work", ".old", ".trash"
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def checked_model_name(name: str) -> str:
    """A name that a model folder may have on every system. Raises BadInput."""
    plain = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name) and not name.endswith(".")
    if not plain or _RESERVED.fullmatch(name):
        raise BadInput(
            f"{name[:120]!r} cannot be the name of a model: use letters, digits, '.', '_' and '-', at most 100, "
            "beginning with a letter or digit."
        )
    return name


def _has_card(folder: Path) -> bool:
    return belongings.is_folder(folder) and belongings.is_file(folder / CARD_FILE)


class Models:
    """The folder of a workspace's models. `epoch` grows with every change, so that what was opened before is opened
    anew. Thread-safe."""

    def __init__(self, workspace: Path) -> None:
        self.folder = workspace / MODELS
        self._workspace = workspace
        self._quarantine = Quarantine(workspace)
        self.epoch = 0
        self._lock = threading.Lock()
        self._known: tuple[tuple[int, int], dict[str, ModelCard]] = ((-1, -1), {})
        """The cards, and the epoch and the folder's time of change that they were read at; every search asks for
        them."""

    def cards(self) -> dict[str, ModelCard]:
        """The workspace's own models by name; bundled ones are not among them."""
        try:
            state = (self.epoch, self.folder.stat().st_mtime_ns)
        except OSError:
            return {}
        if state != self._known[0]:
            self._known = (state, own_models(self.folder))
        return dict(self._known[1])

    def broken(self) -> dict[str, str]:
        """What is wrong with the models whose cards cannot be read, by name."""
        found = {}
        for path in sorted(self.folder.glob(f"[!.]*/{CARD_FILE}")):
            try:
                read_card(path.parent)
            except WorkspaceDamaged as error:
                found[path.parent.name] = str(error)
        return found

    def find(self, name: str) -> Path:
        """The folder of a model, bundled or own. Raises BadInput that lists the known ones, or says how to get it."""
        return model_folder(name, self.folder)

    def work_folder(self, key: str) -> Path:
        """The folder in which a job of this key may build; what an interrupted one left is still there."""
        checked_model_name(key)
        for home in (self.folder, self.folder / WORK):
            private_folder(home)
        return private_folder(self.folder / WORK / key)

    def drop_work(self, key: str) -> None:
        """Remove what a job of this key built or downloaded; its notes go last, so that they are there until everything
        is gone."""
        work = self.folder / WORK / checked_model_name(key)
        for part in [path for path in work.glob("*") if path.is_dir()]:
            belongings.delete_folder(part, self._workspace)
        belongings.delete_folder(work, self._workspace)

    def refuse_taken(self, name: str, replace: bool = False) -> None:
        """Raises BadInput where the name belongs to a bundled model, or to one of the workspace that is not to be
        replaced."""
        taken = {known.lower(): known for known in [*bundled_models(), *self.cards()]}.get(name.lower())
        if taken is not None and taken in bundled_models():
            raise BadInput(f"{taken!r} is the name of a bundled model. Give yours another one.")
        if taken is not None and not (replace and taken == name):
            raise BadInput(
                f"There is already a model {taken!r} here. Replace it, delete it first, or give the new one "
                "another name."
            )

    def publish(self, built: Path, name: str, *, replace: bool = False) -> ModelCard:
        """Make a complete model folder, which lies on the same disk, the model `name`. Its files are verified first,
        and reach the disk.

        Raises BadInput on a name that is taken, WorkspaceDamaged where the folder is not what its card says.
        """
        card = read_card(built)
        if card.name != checked_model_name(name):
            raise BadInput(f"The card of {built.name!r} names the model {card.name!r}, not {name!r}.")
        verify_files(built, card)
        for file in [CARD_FILE, *card.files]:
            tighten(built / file)
            sync(built / file)
        tighten(built)
        sync(built)
        with self._lock:
            self.refuse_taken(name, replace)
            target = private_folder(self.folder) / name
            aside = self._put_aside(target) if target.exists() else None
            os.replace(built, target)
            sync(self.folder)
            self.epoch += 1
        if aside is not None:
            self._delete(aside / name)
        return card

    def refuse_absent(self, name: str) -> Path:
        """The folder of an own model. Raises BadInput for bundled ones, NotFound for unknown ones."""
        if name in bundled_models():
            raise BadInput(f"{name!r} comes with the program and cannot be deleted.")
        target = self.folder / checked_model_name(name)
        if not target.is_dir():
            known = ", ".join(self.cards()) or "none"
            raise NotFound(f"There is no model {name!r} in this workspace. Models that were added: {known}.")
        return target

    def remove(self, name: str) -> None:
        """Delete an own model. Raises BadInput for bundled ones, NotFound for unknown ones."""
        with self._lock:
            aside = self._put_aside(self.refuse_absent(name), TRASH)
            self.epoch += 1
        self._delete(aside / name)

    def _put_aside(self, target: Path, where: str = ASIDE) -> Path:
        home = private_folder(private_folder(self.folder / where) / uuid.uuid4().hex)
        os.replace(target, home / target.name)
        return home

    def _delete(self, aside: Path) -> None:
        """Delete a model that was put aside: the files that its card lists. What else is in its folder, or a link, goes
        to quarantine for good."""
        with suppress(WorkspaceDamaged, OSError):
            if belongings.is_within(aside, self._workspace):
                belongings.delete_listed(aside, {CARD_FILE, *read_card(aside).files}, CARD_FILE)
        with suppress(OSError):
            if os.path.lexists(aside):
                self._quarantine.keep(aside)
            aside.parent.rmdir()
            aside.parent.parent.rmdir()

    def sweep(self, resumable: Collection[str] = (), known: Collection[str] = ()) -> list[str]:
        """After a start: finish replacements, and move work that none of the `resumable` keys will take up to
        quarantine; returns which.

        known: the keys of all jobs that there have been. A folder of another name is none of ours.
        """
        moved = []
        for home in (ASIDE, TRASH):
            for aside in self._aside(home):
                if home == ASIDE and not os.path.lexists(self.folder / aside.name):
                    os.replace(aside, self.folder / aside.name)
                    with suppress(OSError):
                        aside.parent.rmdir()
                        aside.parent.parent.rmdir()
                else:
                    self._delete(aside)
        for work in sorted((self.folder / WORK).glob("*")):
            ours = belongings.ID.fullmatch(work.name) and work.name in known
            if ours and work.name not in resumable and self._quarantine.take(work) is not None:
                moved.append(f"{MODELS}/{WORK}/{work.name[:8]}")
        return moved

    def _aside(self, home: str) -> list[Path]:
        """The models in `.old` or `.trash` that were put there by `_put_aside`."""
        found = [path for path in sorted((self.folder / home).glob("*/*")) if belongings.ID.fullmatch(path.parent.name)]
        return [path for path in found if belongings.is_within(path.parent, self._workspace) and _has_card(path)]
