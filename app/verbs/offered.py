"""The pipelines that a model brings along: by itself, and together with BM25."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from engine.models.card import ModelCard
from engine.models.family import family_of
from engine.pipeline.stages import PipelineSpec


def offered(cards: Mapping[str, ModelCard]) -> dict[str, PipelineSpec]:
    """Pipelines of the models that were added to a workspace, by name, in the order of the models."""
    found: dict[str, PipelineSpec] = {}
    for name, card in cards.items():
        found |= dict(_offered(name, card.family))
    return found


@lru_cache(maxsize=256)
def _offered(model: str, family: str) -> tuple[tuple[str, PipelineSpec], ...]:
    return tuple(_spec(*told) for told in family_of(family).pipelines(model))


def _spec(name: str, description: str, steps: str) -> tuple[str, PipelineSpec]:
    text = f"name: {json.dumps(name, ensure_ascii=False)}\ndescription: {json.dumps(description)}\npipeline:\n{steps}"
    return name, PipelineSpec.from_yaml(text)
