"""Cross-encoders: one score a pair of texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from engine.errors import BadInput
from engine.families.base import Scoring
from engine.models.card import Prompts
from engine.models.family import Hint, Original
from engine.models.settings import table

if TYPE_CHECKING:
    from engine.encoders.cross import PairScorer
    from engine.export.source import Source


class Cross(Scoring, name="cross"):
    """Reads query and document together, and gives the pair one score."""

    title: ClassVar[str] = "Reranker"
    about: ClassVar[str] = "Reads query and document together"
    place: ClassVar[int] = 4
    stage: ClassVar[str] = "cross"
    graph_stages: ClassVar[frozenset[str] | None] = frozenset({"Transformer"})

    def open(self, folder: Path, provider: str = "auto", threads: int | None = None) -> PairScorer:
        from engine.encoders.cross import PairScorer

        return PairScorer.load(folder, provider, threads)

    def hint(self, original: Original) -> Hint:
        if original.library_class == "CrossEncoder":
            return Hint.NAMED
        written = original.architecture.endswith("ForCausalLM") and not original.stages
        classifies = original.architecture.endswith("ForSequenceClassification")
        return Hint.ARCHITECTURE if classifies or written else Hint.NONE

    def open_original(self, path: str, dimensions: int | None = None) -> Source:
        from engine.export.cross import open_cross

        return open_cross(path, dimensions)

    def graph_fields(self, source: Path, graph: Path, name: str, pooling: str, prompts: Prompts) -> dict[str, Any]:
        config = table(source / "config.json")
        named = config.get("id2label")
        counted = config.get("num_labels") or (len(named) if isinstance(named, dict) else 0)
        labels = counted or 2  # the library's default
        if labels != 1:
            raise BadInput(f"{name} gives {labels} scores to a pair; a reranker gives one.")
        return {"pooling": "none", "similarity": "dot", "dimensions": 1}
