"""ColBERT-type models, in sentence-transformers' own layout, PyLate's or Stanford's. Graph: input_ids, attention_mask -> token_vectors
[batch, tokens, dim] of length 1 (Khattab and Zaharia 2020, ColBERT).
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import BadInput
from engine.export.agreement import Agreement, cosines
from engine.export.source import Source, longest_input, one_input, open_model, prompts_of, read_stage


def open_late(path: str, dimensions: int | None = None) -> Source:
    """The model as a source. dimensions: keep only the first ones of each token's vector (Matryoshka).

    Raises BadInput on stages or settings that cannot be exported.
    """
    from sentence_transformers import MultiVectorEncoder

    model = open_model(MultiVectorEncoder, path)
    stages = list(model)
    stage, projections, mask = stages[0], _projections(path, stages), _mask(path, stages)
    read_stage(path, stage)
    prompts, longest = prompts_of(model, path), longest_input(stage, stage.document_length)
    full = projections[-1].out_features if projections else int(stage.auto_model.config.hidden_size)
    if dimensions is not None and not 1 <= dimensions <= full:
        raise BadInput(f"{path} has token vectors of {full} dimensions; {dimensions} cannot be kept of them.")

    def forward(padded: bool, input_ids: Any, attention_mask: Any) -> Any:
        states = stage.auto_model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        for projection in projections:
            states = projection({projection.module_input_name: states})[projection.module_output_name]
        states = states[..., :dimensions] if dimensions and dimensions < full else states
        return states / states.norm(dim=-1, keepdim=True).clamp_min(1e-12)

    return Source(
        stage=stage,
        forward=forward,
        parts=[stage.auto_model, *projections],
        output="token_vectors",
        fields={
            "dimensions": dimensions or full,
            "max_tokens": longest,
            "similarity": "cosine",
            "pooling": "none",
            "skipped_tokens": "punctuation" if mask is not None and mask.skiplist_words else "none",
            "prompts": prompts,
        }
        | _queries(path, stage, mask),
        agreement=lambda folder, texts: _agreement(model, folder, texts, dimensions),
        samples=one_input(stage, prompts["document"], longest),
    )


def _projections(path: str, stages: list[Any]) -> list[Any]:
    """The linear stages over token vectors. Raises BadInput on other stages, or where vectors are not normalized at the end."""
    known = {"Dense", "MultiVectorMask", "Normalize"}
    kinds = [type(stage).__name__ for stage in stages]
    projections = [stage for stage in stages[1:] if type(stage).__name__ == "Dense"]
    vectors = [stage for stage in stages[1:] if type(stage).__name__ in ("Dense", "Normalize")]
    if (
        set(kinds[1:]) - known
        or kinds.count("Normalize") != 1
        or type(vectors[-1]).__name__ != "Normalize"
        or any(stage.module_input_name != "token_embeddings" for stage in vectors)
    ):
        raise BadInput(
            f"{path} has the stages {', '.join(kinds)}; a late export covers a transformer, dense layers, a mask and a final normalization of token vectors."
        )
    return projections


def _mask(path: str, stages: list[Any]) -> Any | None:
    """The stage that says which tokens count. Raises BadInput where it leaves out other tokens than documents' punctuation."""
    mask = next((stage for stage in stages if type(stage).__name__ == "MultiVectorMask"), None)
    if mask is None:
        return None
    words = set(mask.skiplist_words)
    if (
        words and (words != set(string.punctuation) or mask.skiplist_tasks != ["document"])
    ) or mask.keep_only_token_ids:
        raise BadInput(f"{path} scores a choice of tokens of its own; only punctuation of documents can be left out.")
    return mask


def _queries(path: str, stage: Any, mask: Any | None) -> dict[str, Any]:
    """How queries are cut and filled. Raises BadInput on ways of filling them that the encoder does not have."""
    expansion = stage.query_expansion
    if expansion is None or mask is None:
        return {"max_query_tokens": stage.query_length, "query_padding": "none"}
    token = expansion["token"] or stage.tokenizer.mask_token
    if expansion["strategy"] != "fixed" or expansion["attend"] or token is None or token != stage.tokenizer.mask_token:
        raise BadInput(
            f"{path} fills queries in its own way ({expansion}); only mask tokens up to a fixed length, which the text does not attend to, can be exported."
        )
    return {"max_query_tokens": expansion["length"], "query_padding": "mask"}


def _agreement(model: Any, folder: Path, texts: Sequence[str], cut: int | None) -> Agreement:
    """Cosine of each token's vector, in documents and in queries. Raises BadInput where the numbers of vectors differ."""
    from engine.encoders.late import LateEncoder

    encoder = LateEncoder.load(folder, provider="cpu")
    given = list(texts)
    reference = [
        *model.encode_document(given, convert_to_numpy=True),
        *model.encode_query(given, convert_to_numpy=True),
    ]
    documents, queries = encoder.encode_documents(given), encoder.encode_queries(given)
    counts = np.concatenate([np.diff(documents.indptr), np.diff(queries.indptr)])
    if [len(one) for one in reference] != counts.tolist():
        raise BadInput(
            "The export gives texts other numbers of token vectors than the original does; this model cannot be exported."
        )
    return cosines(
        np.concatenate([rows[:, :cut] for rows in reference]), np.concatenate([documents.vectors, queries.vectors])
    )
