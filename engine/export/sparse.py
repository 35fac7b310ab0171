"""SPLADE-type models. Graph: input_ids, attention_mask -> term_weights [batch, vocabulary], largest or summed over the tokens.

Inference-free ones have in addition the weight of each token in a query, `query_weights.npy` float32 [vocabulary]
(Formal et al. 2021, SPLADE v2; Geng et al. 2024, Towards Competitive Search Relevance for Inference-Free Learned Sparse Retrievers).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput
from engine.export.agreement import Agreement, cosines
from engine.export.source import Source, longest_input, one_input, open_model, prompts_of, read_stage
from engine.types import SparseRows

QUERY_WEIGHTS = "query_weights.npy"


def open_sparse(path: str, dimensions: int | None = None) -> Source:
    """The model as a source. Raises BadInput on stages or similarities that cannot be exported, or where `dimensions` is given."""
    from sentence_transformers import SparseEncoder

    if dimensions is not None:
        raise BadInput("The dimensions of a sparse model are its vocabulary; they cannot be cut.")
    model = open_model(SparseEncoder, path)
    stages, lookup = _routes(path, list(model))
    if [type(stage).__name__ for stage in stages[1:]] != ["SpladePooling"]:
        kinds = ", ".join(type(stage).__name__ for stage in stages)
        raise BadInput(
            f"{path} has the stages {kinds}; a sparse export covers a masked language model with SPLADE pooling."
        )
    stage, pooling = stages
    read_stage(path, stage)
    if model.similarity_fn_name != "dot":
        raise BadInput(
            f"{path} compares rows by {model.similarity_fn_name!r}; only dot is supported for sparse models."
        )
    if model.max_active_dims is not None:
        raise BadInput(f"{path} keeps {model.max_active_dims} terms a text; export it without that limit.")
    prompts, longest = prompts_of(model, path), longest_input(stage)
    width = int(stage.auto_model.config.vocab_size)

    def forward(padded: bool, input_ids: Any, attention_mask: Any) -> Any:
        logits = stage.auto_model(input_ids=input_ids, attention_mask=attention_mask).logits
        if padded:  # as many products as logits; a text that runs alone is spared them
            logits = logits * attention_mask.unsqueeze(-1).to(logits.dtype)
        if pooling.pooling_strategy == "max":  # what follows is monotone, so that it can wait until one row is left
            return _activate(logits.amax(dim=1), pooling.activation_function)
        return _activate(logits, pooling.activation_function).sum(dim=1)

    arrays = {} if lookup is None else {QUERY_WEIGHTS: _query_weights(path, stage, lookup, width)}
    return Source(
        stage=stage,
        forward=forward,
        parts=[stage.auto_model],
        output="term_weights",
        fields={
            "dimensions": width,
            "max_tokens": longest,
            "similarity": "dot",
            "pooling": "none",
            "queries": "encoded" if lookup is None else "inference-free",
            "prompts": prompts,
        },
        agreement=lambda folder, texts: _agreement(model, folder, texts),
        samples=one_input(stage, prompts["document"], longest),
        arrays=arrays,
    )


def _activate(logits: Any, name: str) -> Any:
    weights = logits.relu().log1p()
    return weights.log1p() if name == "log1p_relu" else weights


def _routes(path: str, stages: list[Any]) -> tuple[list[Any], Any | None]:
    """The stages of documents, and the look-up of queries where they have one. Raises BadInput on other routes."""
    if type(stages[0]).__name__ != "Router":
        return stages, None
    routes = {name: list(route) for name, route in stages[0].sub_modules.items()}
    lookups = [type(stage).__name__ for stage in routes.get("query", [])]
    if set(routes) != {"query", "document"} or lookups != ["SparseStaticEmbedding"] or len(stages) > 1:
        raise BadInput(
            f"{path} routes texts to {', '.join(routes)}; a sparse export covers a router with a token look-up for queries and a model for documents."
        )
    return routes["document"], routes["query"][0]


def _query_weights(path: str, stage: Any, lookup: Any, width: int) -> NDArray[np.float32]:
    """float32 [width]: each token's weight in a query, 0 beyond the look-up's own vocabulary. Raises BadInput where vocabularies differ."""
    if lookup.tokenizer.get_vocab() != stage.tokenizer.get_vocab():
        raise BadInput(f"{path} reads queries and documents with two vocabularies; an export needs a common one.")
    known = lookup.weight.detach().numpy().astype(np.float32)
    if (known < 0).any() or len(known) > width:
        raise BadInput(f"{path} weighs tokens of queries below zero, or tokens that documents cannot have.")
    return np.pad(known, (0, width - len(known)))


def _agreement(model: Any, folder: Path, texts: Sequence[str]) -> Agreement:
    """Cosine of each text's term weights, as a document and as a query."""
    from engine.encoders.sparse import SparseEncoder

    encoder = SparseEncoder.load(folder, provider="cpu")
    given = list(texts)
    plain = {"convert_to_tensor": True, "convert_to_sparse_tensor": False}
    reference = [model.encode_document(given, **plain).numpy(), model.encode_query(given, **plain).numpy()]
    exported = [spread(encoder.encode_documents(given)), spread(encoder.encode_queries(given))]
    return cosines(np.concatenate(reference), np.concatenate(exported))


def spread(rows: SparseRows) -> NDArray[np.float32]:
    """float32 [n, width]: the rows with their zeros."""
    full = np.zeros((len(rows), rows.width), dtype=np.float32)
    full[np.repeat(np.arange(len(rows)), np.diff(rows.indptr)), rows.terms] = rows.weights
    return full
