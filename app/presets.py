"""The pipelines that every workspace has, and which of them each page and command begins with."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from engine.models.paths import assets_folder

if TYPE_CHECKING:
    from engine.pipeline.stages import PipelineSpec

SEARCHED = "Hybrid"
COMPARED = ("BM25", "Sparse", "Dense", "Late")
"""The four families, which a first comparison shows."""
EVALUATED = ("BM25", "Dense", "Hybrid")
VOTED = ("BM25", "Hybrid")
CALIBRATED = ("Hybrid, by score", "Dense")
"""The first of these that is there: its scores have one scale for all queries."""


@lru_cache(maxsize=1)
def built_in() -> dict[str, PipelineSpec]:
    """The specifications by name, in the order in which they are offered; from `pipelines/built-in.yaml` of the assets."""
    from engine.pipeline.stages import PipelineSpec

    text = (assets_folder() / "pipelines" / "built-in.yaml").read_text("utf-8")
    specs = [PipelineSpec.from_yaml(part) for part in text.split("\n---\n")]
    return {spec.name_: spec for spec in specs}
