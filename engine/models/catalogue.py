"""The models that come with the program: found by name, verified, opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import BadInput
from engine.models.card import CARD_FILE, ModelCard, read_card
from engine.models.paths import assets_folder

if TYPE_CHECKING:
    from engine.encoders.base import Encoder

DEFAULT_DENSE = "all-MiniLM-L6-v2"


def models_folder() -> Path:
    """The folder with one folder per bundled model."""
    return assets_folder() / "models"


def bundled_models() -> dict[str, ModelCard]:
    """The cards of the bundled models by name, in alphabetical order."""
    return {path.parent.name: read_card(path.parent) for path in sorted(models_folder().glob(f"*/{CARD_FILE}"))}


def model_folder(name: str) -> Path:
    """The folder of the model `name`. Raises BadInput that lists the known names."""
    known = bundled_models()
    if name not in known:
        raise BadInput(f"There is no model called {name!r}. Known: {', '.join(known) or 'none'}.")
    return models_folder() / name


def load_encoder(name: str = DEFAULT_DENSE, provider: str = "auto", threads: int | None = None) -> Encoder[Any]:
    """Open a bundled model; size and sha256 of its files are verified first (hashed once per process).

    The rows are of the model's family: FloatRows (dense), SparseRows, or TokenRows (late). Raises BadInput on an unknown name or provider,
    and for a cross-encoder, which scores pairs; WorkspaceDamaged on a missing, truncated or altered file.
    """
    folder = model_folder(name)
    family = read_card(folder).family
    if family == "dense":
        from engine.encoders.dense import DenseEncoder

        return DenseEncoder.load(folder, provider=provider, threads=threads)
    raise BadInput(f"Model {name!r} is of the family {family!r}, which does not encode texts.")
