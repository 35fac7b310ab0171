"""Opening a model by its name or folder, as what its family makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import BadInput
from engine.models.card import read_card
from engine.models.catalogue import DEFAULT_CROSS, DEFAULT_DENSE, model_folder
from engine.models.family import family_of

if TYPE_CHECKING:
    from engine.encoders.base import Encoder
    from engine.encoders.cross import PairScorer


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
    folder = model_folder(name, own)
    scorer: PairScorer = family_of(read_card(folder).family).checked_scorer(name).open(folder, provider, threads)
    return scorer


def open_encoder(folder: Path, provider: str = "auto", threads: int | None = None) -> Encoder[Any]:
    """The encoder of a model folder, wherever it is; raises what `load_encoder` raises."""
    card = read_card(folder)
    family = family_of(card.family)
    if family.scores_pairs:
        raise BadInput(f"Model {card.name!r} is of the family {card.family!r}, which does not encode texts.")
    encoder: Encoder[Any] = family.open(folder, provider, threads)
    return encoder
