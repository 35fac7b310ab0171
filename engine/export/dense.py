"""Dense models: a transformer, a pooling, and what commutes with it. Graph: input_ids, attention_mask -> token_embeddings [batch, tokens, dim]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import BadInput
from engine.export.agreement import Agreement, cosines
from engine.export.source import Source, longest_input, one_input, open_model, prompts_of, read_stage

POOLINGS = {"mean": "mean", "cls": "cls", "lasttoken": "last"}


def open_dense(path: str, dimensions: int | None = None) -> Source:
    """The model as a source. dimensions: keep only the first ones of each vector (Matryoshka); default all, or the model's own cut.

    Raises BadInput on stages, poolings or similarities that cannot be exported.
    """
    from sentence_transformers import SentenceTransformer

    model = open_model(SentenceTransformer, path)
    stages = list(model)
    read_stage(path, stages[0])
    pooling, projections, normalized = _after_transformer(path, stages)
    cut = dimensions or model.truncate_dim
    full = projections[-1].out_features if projections else pooling.pooling_output_dimension
    if cut is not None and not 1 <= cut <= full:
        raise BadInput(f"{path} has vectors of {full} dimensions; {cut} cannot be kept of them.")
    if model.similarity_fn_name not in ("cosine", "dot"):
        raise BadInput(f"{path} compares vectors by {model.similarity_fn_name!r}; only cosine and dot are supported.")
    prompts = prompts_of(model, path)
    if not pooling.include_prompt and any(prompts.values()):
        raise BadInput(f"{path} leaves the prompt's tokens out of the pooling, which exported models cannot.")
    longest = longest_input(stages[0])

    def forward(padded: bool, input_ids: Any, attention_mask: Any) -> Any:
        states = stages[0].auto_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        for projection in projections:  # linear stages commute with mean, first-token and last-token pooling
            states = projection({projection.module_input_name: states})[projection.module_output_name]
        return states[..., :cut] if cut and cut < full else states

    return Source(
        stage=stages[0],
        forward=forward,
        parts=[stages[0].auto_model, *projections],
        output="token_embeddings",
        fields={
            "dimensions": cut or full,
            "max_tokens": longest,
            "similarity": "cosine" if normalized or model.similarity_fn_name == "cosine" else "dot",
            "pooling": POOLINGS[pooling.pooling_mode],
            "prompts": prompts,
        },
        agreement=lambda folder, texts: _agreement(model, folder, texts, cut),
        samples=one_input(stages[0], prompts["document"], longest),
    )


def _after_transformer(path: str, stages: list[Any]) -> tuple[Any, list[Any], bool]:
    """The pooling, the projections behind it, and whether vectors are normalized at the end. Raises BadInput on anything else."""
    kinds = [type(stage).__name__ for stage in stages[1:]]
    normalized = kinds[-1:] == ["Normalize"]
    middle = kinds[1:-1] if normalized else kinds[1:]
    if kinds[:1] != ["Pooling"] or set(middle) - {"Dense"}:
        raise BadInput(
            f"{path} has the stages {', '.join(['Transformer', *kinds])}; a dense export covers a transformer, pooling, dense layers and normalization."
        )
    pooling = stages[1]
    if pooling.pooling_mode not in POOLINGS:
        raise BadInput(f"Pooling {pooling.pooling_mode!r} is not supported; known: {', '.join(POOLINGS)}.")
    projections = stages[2 : 2 + len(middle)]
    curved = [type(one.activation_function).__name__ for one in projections]
    if pooling.pooling_mode == "mean" and set(curved) - {"Identity"}:
        raise BadInput(
            f"{path} applies {', '.join(curved)} to mean-pooled vectors; only linear layers can be exported behind mean pooling."
        )
    return pooling, projections, normalized


def _agreement(model: Any, folder: Path, texts: Sequence[str], cut: int | None) -> Agreement:
    """Cosine of each text's vector, as a document and as a query."""
    from engine.encoders.dense import DenseEncoder

    encoder = DenseEncoder.load(folder, provider="cpu")
    given = list(texts)
    reference = [model.encode_document(given, truncate_dim=cut), model.encode_query(given, truncate_dim=cut)]
    exported = [encoder.encode_documents(given), encoder.encode_queries(given)]
    return cosines(np.concatenate(reference), np.concatenate(exported))
