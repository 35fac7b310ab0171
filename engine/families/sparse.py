"""Sparse models: weighted terms of a vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput
from engine.families.base import Encoding, refuse_constant
from engine.models.card import ModelCard, Prompts
from engine.models.family import Hint, Original
from engine.models.settings import table
from engine.types import SparseRows

if TYPE_CHECKING:
    from engine.encoders.sparse import SparseEncoder
    from engine.export.source import Source
    from engine.indexes.stored.rows import SparseKind


class Sparse(Encoding, name="sparse"):
    """Weighted terms of a vocabulary, those of the text and others that go with it, compared by inner product."""

    title: ClassVar[str] = "Sparse"
    about: ClassVar[str] = "Weighted words of a vocabulary"
    place: ClassVar[int] = 2
    stage: ClassVar[str] = "sparse"
    looks_up: ClassVar[bool] = True
    graph_stages: ClassVar[frozenset[str] | None] = frozenset({"Transformer", "MLMTransformer", "SpladePooling"})

    def open(self, folder: Path, provider: str = "auto", threads: int | None = None) -> SparseEncoder:
        from engine.encoders.sparse import SparseEncoder

        return SparseEncoder.load(folder, provider, threads)

    def row_kind(self, width: int) -> SparseKind:
        from engine.indexes.stored.rows import SparseKind

        return SparseKind(width)

    def points(self, card: ModelCard, rows: SparseRows) -> list[NDArray[np.float32]]:
        return list(self.flat(rows)[:, None])

    def flat(self, rows: SparseRows) -> NDArray[np.float32]:
        """See Encoding; with zeros for the terms that a row lacks."""
        from engine.export.sparse import spread

        return spread(rows)

    def refuse_useless(self, card: ModelCard, found: SparseRows) -> None:
        if not np.isfinite(found.weights).all():
            raise BadInput(f"{card.name} gives weights that are not finite; it cannot be used.")
        if not np.any(found.weights):
            raise BadInput(f"{card.name} gives no term a weight, for none of {len(found)} texts; it cannot be used.")
        refuse_constant(card, list(self.flat(found)), len(found))

    def hint(self, original: Original) -> Hint:
        if original.library_class == "SparseEncoder":
            return Hint.NAMED
        if original.stages & {"SpladePooling", "SparseStaticEmbedding", "SparseAutoEncoder"}:
            return Hint.STAGES
        alone = original.architecture.endswith("ForMaskedLM") and not original.stages
        return Hint.ARCHITECTURE if alone else Hint.NONE

    def open_original(self, path: str, dimensions: int | None = None) -> Source:
        from engine.export.sparse import open_sparse

        return open_sparse(path, dimensions)

    def runs_as_it_is(self, folder: Path, kinds: Mapping[str, str]) -> bool:
        """See ModelFamily; the pooling that encoders add is that of SPLADE-max."""
        splade = table(folder / kinds["SpladePooling"] / "config.json") if "SpladePooling" in kinds else {}
        settings = (splade.get("pooling_strategy", "max"), splade.get("activation_function", "relu"))
        return super().runs_as_it_is(folder, kinds) and settings == ("max", "relu")

    def graph_fields(self, source: Path, graph: Path, name: str, pooling: str, prompts: Prompts) -> dict[str, Any]:
        from engine.models.hub.sources import graph_width

        return {"pooling": "max", "similarity": "dot", "dimensions": graph_width(graph, name, ("logits",))}
