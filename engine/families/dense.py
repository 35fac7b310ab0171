"""Dense models: one vector a text."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput
from engine.families.base import Encoding
from engine.models.card import ModelCard, Prompts
from engine.models.family import Hint, Original
from engine.models.settings import Stage, stages, table

if TYPE_CHECKING:
    from engine.encoders.dense import DenseEncoder
    from engine.export.source import Source
    from engine.indexes.stored.rows import VectorKind

_POOLINGS = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls", "lasttoken": "last"}


class Dense(Encoding, name="dense"):
    """One vector for a text, compared with others by cosine or inner product."""

    title: ClassVar[str] = "Dense"
    about: ClassVar[str] = "One vector for a text"
    place: ClassVar[int] = 1
    stage: ClassVar[str] = "dense"
    pools: ClassVar[bool] = True
    least_agreement: ClassVar[float] = 0.99
    graph_stages: ClassVar[frozenset[str] | None] = frozenset({"Transformer", "Pooling", "Normalize"})

    def open(self, folder: Path, provider: str = "auto", threads: int | None = None) -> DenseEncoder:
        from engine.encoders.dense import DenseEncoder

        return DenseEncoder.load(folder, provider, threads)

    def row_kind(self, width: int) -> VectorKind:
        from engine.indexes.stored.rows import VectorKind

        return VectorKind(width)

    def points(self, card: ModelCard, rows: Any) -> list[NDArray[np.float32]]:
        return [np.asarray(row, np.float32)[None] for row in rows]

    def hint(self, original: Original) -> Hint:
        return Hint.OTHERWISE

    def open_original(self, path: str, dimensions: int | None = None) -> Source:
        from engine.export.dense import open_dense

        return open_dense(path, dimensions)

    def graph_fields(self, source: Path, graph: Path, name: str, pooling: str, prompts: Prompts) -> dict[str, Any]:
        from engine.models.hub.sources import graph_width

        found = stages(source) or []
        saved = table(source / "config_sentence_transformers.json")
        similarity = saved.get("similarity_fn_name") or "cosine"
        if any(stage.kind.endswith("Normalize") for stage in found):
            similarity = "cosine"
        if similarity not in ("cosine", "dot"):
            raise BadInput(f"{name} compares vectors by {similarity!r}; only cosine and dot are supported.")
        stated = _stated_prompts(saved)
        return {
            "pooling": _stated_pooling(source, found, name) or pooling,
            "similarity": similarity,
            "dimensions": graph_width(graph, name, ("token_embeddings", "last_hidden_state")),
            "prompts": prompts if stated == Prompts() else stated,
        }


def _stated_pooling(source: Path, found: Iterable[Stage], name: str) -> str:
    """Empty where the files do not say. Raises BadInput on a pooling that encoders do not have."""
    for stage in found:
        if stage.kind.endswith("Pooling"):
            config = table(source / stage.path / "config.json")
            mode = config.get("pooling_mode")
            old = [key for key, chosen in config.items() if key.startswith("pooling_mode_") and chosen is True]
            named = mode if isinstance(mode, str) else ", ".join(name.removeprefix("pooling_mode_") for name in old)
            if named not in _POOLINGS:
                raise BadInput(f"Pooling {named!r} of {name} is not supported; mean, cls and lasttoken are.")
            return _POOLINGS[named]
    return ""


def _stated_prompts(saved: Any) -> Prompts:
    told = saved.get("prompts")
    told = told if isinstance(told, dict) else {}
    document = told.get("document") or told.get("passage") or ""
    return Prompts(query=str(told.get("query") or ""), document=str(document))
