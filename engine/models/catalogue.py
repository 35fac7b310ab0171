"""Models by name: those that come with the program, then those of a workspace. Found, verified, opened; nothing is downloaded here."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import BadInput, WorkspaceDamaged
from engine.models.card import CARD_FILE, ModelCard, read_card
from engine.models.entries import entry_of
from engine.models.paths import assets_folder

if TYPE_CHECKING:
    from engine.encoders.base import Encoder
    from engine.encoders.cross import PairScorer

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
    raise BadInput(f"There is no model called {name!r}. Known: {', '.join(known) or 'none'}.")


def load_encoder(
    name: str = DEFAULT_DENSE, provider: str = "auto", threads: int | None = None, own: Path | None = None
) -> Encoder[Any]:
    """Open a model, bundled or in the folder `own`; size and sha256 of its files are verified first (hashed once per process).

    The rows are of the model's family: FloatRows (dense), SparseRows, or TokenRows (late). Raises BadInput on an unknown name or provider,
    and for a cross-encoder, which scores pairs; WorkspaceDamaged on a missing, truncated or altered file.
    """
    return open_encoder(model_folder(name, own), provider, threads)


def load_scorer(
    name: str = DEFAULT_CROSS, provider: str = "auto", threads: int | None = None, own: Path | None = None
) -> PairScorer:
    """Open a cross-encoder, bundled or in the folder `own`; raises what `load_encoder` raises, and BadInput on a model that encodes texts."""
    from engine.encoders.cross import PairScorer

    return PairScorer.load(model_folder(name, own), provider=provider, threads=threads)


def open_encoder(folder: Path, provider: str = "auto", threads: int | None = None) -> Encoder[Any]:
    """The encoder of a model folder, wherever it is; raises what `load_encoder` raises."""
    card = read_card(folder)
    name, family = card.name, card.family
    if family == "dense":
        from engine.encoders.dense import DenseEncoder

        return DenseEncoder.load(folder, provider=provider, threads=threads)
    if family == "sparse":
        from engine.encoders.sparse import SparseEncoder

        return SparseEncoder.load(folder, provider=provider, threads=threads)
    if family == "late":
        from engine.encoders.late import LateEncoder

        return LateEncoder.load(folder, provider=provider, threads=threads)
    raise BadInput(f"Model {name!r} is of the family {family!r}, which does not encode texts.")
