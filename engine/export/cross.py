"""Cross-encoders: sequence classifiers with one label. Graph: input_ids, attention_mask[, token_type_ids] of pairs -> logits [batch, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import BadInput
from engine.export.agreement import Agreement, rank_correlations
from engine.export.passes import pass_of, write_pass_graph
from engine.export.quantise.int8 import Sample
from engine.export.source import STATES_INPUTS, Source, longest_input, open_model, read_stage
from engine.models.card import PAIR_WEIGHTS


def open_cross(path: str, dimensions: int | None = None) -> Source:
    """The model as a source. Raises BadInput on generative rerankers, several labels or prompts, or where `dimensions` is given."""
    from sentence_transformers import CrossEncoder

    if dimensions is not None:
        raise BadInput("A cross-encoder gives scores, not vectors; it has no dimensions to cut.")
    if (Path(path) / PAIR_WEIGHTS).is_file():
        return _open_pairs(path)
    model = open_model(CrossEncoder, path)
    stages = list(model)
    stage = stages[0]
    if len(stages) > 1 or getattr(stage, "transformer_task", "") != "sequence-classification":
        kinds = ", ".join(type(one).__name__ for one in stages)
        raise BadInput(
            f"{path} has the stages {kinds}; only sequence classifiers can be exported. Rerankers that write yes or no, like those built on "
            "Qwen, need a chat template around each pair, which exported models do not have."
        )
    read_stage(path, stage)
    if model.num_labels != 1:
        raise BadInput(f"{path} has {model.num_labels} labels; a reranker has one.")
    if model.default_prompt_name is not None:
        raise BadInput(f"{path} puts a prompt before each pair, which exported rerankers do not have.")
    longest = longest_input(stage)
    types = _reads_types(stage)

    def forward(padded: bool, input_ids: Any, attention_mask: Any, *token_type_ids: Any) -> Any:
        further = {"token_type_ids": token_type_ids[0]} if token_type_ids else {}
        return stage.auto_model(input_ids=input_ids, attention_mask=attention_mask, **further).logits

    return Source(
        stage=stage,
        forward=forward,
        parts=[stage.auto_model],
        output="logits",
        fields={"dimensions": 1, "max_tokens": longest, "similarity": "dot", "pooling": "none"},
        agreement=lambda folder, texts: _agreement(model, folder, texts),
        samples=lambda texts: _samples(stage, texts, longest, types),
        inputs=(*STATES_INPUTS, "token_type_ids") if types else STATES_INPUTS,
    )


def _open_pairs(path: str) -> Source:
    """A model of engine.training.pair_model: its lower layers keep the two texts apart, so the graph computes a mask from the token types."""
    from engine.export.pair.model import open_pair_model

    model = open_pair_model(path, attn_implementation="eager", dtype="float32")
    stage = model[0]
    longest = longest_input(stage)

    def forward(padded: bool, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        return stage.read(input_ids, token_type_ids, attention_mask if padded else None)

    return Source(
        stage=stage,
        forward=forward,
        parts=[stage],
        output="logits",
        fields={"dimensions": 1, "max_tokens": longest, "similarity": "dot", "pooling": "none"},
        agreement=lambda folder, texts: _agreement(model, folder, texts),
        samples=lambda texts: _samples(stage, texts, longest, types=True),
        inputs=(*STATES_INPUTS, "token_type_ids"),
        attends=True,
        further=lambda folder, texts: write_pass_graph(stage, folder, _pass_samples(stage, texts, longest)),
    )


def _reads_types(stage: Any) -> bool:
    """Whether the model tells the two texts of a pair apart by token types."""
    named = "token_type_ids" in stage.tokenizer.model_input_names
    return named and getattr(stage.auto_model.config, "type_vocab_size", 0) > 1


def pairs_of(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Queries and documents among sample texts: the shorter and the longer half."""
    ordered = sorted(texts, key=len)
    half = len(ordered) // 2
    return ordered[:half], ordered[half:]


def _samples(stage: Any, texts: Sequence[str], longest: int, types: bool) -> list[Sample]:
    queries, documents = pairs_of(texts)
    wanted = ("input_ids", "token_type_ids") if types else ("input_ids",)
    samples: list[Sample] = []
    for place, document in enumerate(documents):
        encoded = stage.tokenizer(
            queries[place % len(queries)], document, truncation="longest_first", max_length=longest
        )
        samples.append({name: np.asarray(encoded[name], dtype=np.int64) for name in wanted})
    return samples


def _pass_samples(stage: Any, texts: Sequence[str], longest: int) -> list[Sample]:
    """Each query among sample texts with all documents."""
    queries, documents = pairs_of(texts)
    passes = []
    for query in queries:
        asked = stage.tokenizer(query, truncation=True, max_length=longest // 2)["input_ids"]
        told = stage.tokenizer(documents, truncation=True, max_length=longest - len(asked))["input_ids"]
        passes.append(pass_of([np.asarray(ids, dtype=np.int64) for ids in (asked, *told)]))
    return passes


def _agreement(model: Any, folder: Path, texts: Sequence[str]) -> Agreement:
    """Rank correlation of each query's scores over all documents."""
    import torch

    from engine.encoders.cross import PairScorer

    scorer = PairScorer.load(folder, provider="cpu")
    queries, documents = pairs_of(texts)
    identity = torch.nn.Identity()
    reference = [
        model.predict([(query, text) for text in documents], activation_fn=identity, show_progress_bar=False)
        for query in queries
    ]
    exported = [scorer.score(query, documents) for query in queries]
    return rank_correlations(np.array(reference), np.array(exported))
