"""Models by name: those that come with the program, then those of a workspace. Found, not opened; nothing is downloaded here."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from engine.errors import BadInput, WorkspaceDamaged
from engine.models.card import CARD_FILE, ModelCard, read_card
from engine.models.entries import entry_of
from engine.models.paths import assets_folder

DEFAULT_DENSE = "all-MiniLM-L6-v2"
DEFAULT_LATE = "triptych-late"
DEFAULT_CROSS = "triptych-cross"


def models_folder() -> Path:
    """The folder with one folder per bundled model."""
    return assets_folder() / "models"


def bundled_models() -> dict[str, ModelCard]:
    """The cards of the bundled models by name, in alphabetical order."""
    return {path.parent.name: read_card(path.parent) for path in sorted(models_folder().glob(f"*/{CARD_FILE}"))}


def own_models(own: Path | None) -> dict[str, ModelCard]:
    """The cards of a workspace's models by name, in alphabetical order; those whose card cannot be read are left out."""
    found = {}
    for path in sorted(own.glob(f"*/{CARD_FILE}")) if own is not None else ():
        if path.parent.name.startswith("."):
            continue
        with suppress(WorkspaceDamaged):
            found[path.parent.name] = read_card(path.parent)
    return found


def model_folder(name: str, own: Path | None = None) -> Path:
    """The folder of the model `name`: a bundled one, else one in the folder `own` of a workspace.

    Raises BadInput that lists the known names, and says how to get a model that the catalogue describes.
    """
    bundled = bundled_models()
    if name in bundled:
        return models_folder() / name
    known = bundled | own_models(own)
    if own is not None and name in known:
        return own / name
    entry = entry_of(name)
    if entry is not None and entry.name not in known:
        raise BadInput(
            f"The model {entry.name!r} is not here yet. Get it on the Models page, or with `triptych models add {entry.name}`."
        )
    raise BadInput(
        f"There is no model called {name!r}. Known: {', '.join(known) or 'none'}. "
        "Add it on the Models page, or with `triptych models add` and its folder or OWNER/NAME; or name another one in the pipeline."
    )
