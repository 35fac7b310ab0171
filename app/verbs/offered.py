"""The pipelines that a model brings along: by itself, and together with BM25."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache

from engine.component import discover
from engine.models.card import Family, ModelCard
from engine.pipeline.stages import PipelineSpec

RERANKED = 50
"""Hits of BM25 that a reranker scores anew."""


def offered(cards: Mapping[str, ModelCard]) -> dict[str, PipelineSpec]:
    """Pipelines of the models that were added to a workspace, by name, in the order of the models."""
    found: dict[str, PipelineSpec] = {}
    for name, card in cards.items():
        found |= dict(_offered(name, card.family))
    return found


@lru_cache(maxsize=256)
def _offered(model: str, family: Family) -> tuple[tuple[str, PipelineSpec], ...]:
    component = "rerankers" if family == "cross" else "retrievers"
    if family not in discover(component):
        return ()
    named = json.dumps(model)
    if family == "cross":
        steps = f"- bm25: {{k: {RERANKED}}}\n- cross: {{model: {named}, candidates: {RERANKED}}}\n"
        return (_spec(f"BM25 → {model}", f"The first {RERANKED} hits of BM25, scored anew by {model}.", steps),)
    alone = f"- {family}: {{model: {named}, k: 1000}}\n"
    both = (
        f"- fuse:\n    inputs:\n    - bm25: {{k: 1000}}\n    - {family}: {{model: {named}, k: 1000}}\n"
        "    method: {rrf: {k: 60}}\n- cutoff: {k: 1000}\n"
    )
    return (
        _spec(model, f"What {model} finds by itself.", alone),
        _spec(f"BM25 + {model}", f"BM25 and {model}, merged by rank.", both),
    )


def _spec(name: str, description: str, steps: str) -> tuple[str, PipelineSpec]:
    text = f"name: {json.dumps(name, ensure_ascii=False)}\ndescription: {json.dumps(description)}\npipeline:\n{steps}"
    return name, PipelineSpec.from_yaml(text)
