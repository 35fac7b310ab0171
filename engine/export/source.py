"""An original model, opened for export: what every family needs of the sentence-transformers library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput
from engine.export.agreement import Agreement
from engine.export.quantise.int8 import Sample

STATES_INPUTS = ("input_ids", "attention_mask")


@dataclass(frozen=True, slots=True)
class Source:
    """One opened original.

    stage: its Transformer; forward(padded, *inputs): what the exported graph computes, where `padded` is false for graphs whose texts run one by
    one; parts: the torch modules that forward uses; fields: of the card; arrays: further files by name; samples(texts): typical inputs;
    agreement(folder, texts): the exported folder against the original.
    """

    stage: Any
    forward: Callable[..., Any]
    parts: Sequence[Any]
    output: str
    fields: dict[str, Any]
    agreement: Callable[[Path, Sequence[str]], Agreement]
    samples: Callable[[Sequence[str]], list[Sample]]
    inputs: tuple[str, ...] = STATES_INPUTS
    attends: bool = False
    """Whether some tokens do not attend to others although no text is padded, so that masks stay in graphs whose texts run one by one."""
    arrays: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    further: Callable[[Path, Sequence[str]], None] | None = None
    """Writes what goes beside a graph in float32 or int8; takes the folder, where the graph is finished, and sample texts."""

    @property
    def tokenizer(self) -> Any:
        """The tokenizer as the library uses it."""
        return self.stage.tokenizer


def open_model(library_class: Any, path: str) -> Any:
    """The original on the CPU in float32, with the attention that the tracer understands. Raises BadInput where the library cannot open it."""
    arguments = {"attn_implementation": "eager", "dtype": "float32"}
    try:
        return library_class(path, device="cpu", model_kwargs=arguments)
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"{path} cannot be opened as a {library_class.__name__}: {error}") from error


def read_stage(path: str, stage: Any) -> None:
    """Check that a Transformer stage reads plain text, and let it read no more than it has positions. Raises BadInput."""
    if type(stage).__name__ not in ("Transformer", "MLMTransformer"):
        raise BadInput(
            f"{path} starts with {type(stage).__name__}; only models that start with a transformer can be exported."
        )
    if "message" in stage.modality_config:
        raise BadInput(f"{path} writes its texts into a chat template, which exported models do not have.")
    if getattr(stage.tokenizer, "backend_tokenizer", None) is None:
        raise BadInput(f"{path} has no tokenizer of the `tokenizers` library; only those can be exported.")
    positions = _positions(stage)
    if positions and (stage.max_seq_length or positions + 1) > positions:
        stage.max_seq_length = positions


def longest_input(stage: Any, stated: int | None = None) -> int:
    """Tokens that the model takes: what is stated, or the tokenizer's limit, and never more than it has positions."""
    limits = [value for value in (stated, stage.max_seq_length, _positions(stage)) if value]
    return int(min(limits, default=512))


def _positions(stage: Any) -> int | None:
    """Rows of the position table that texts can reach: RoBERTa counts from behind the padding token's number."""
    for name, module in stage.auto_model.named_modules():
        if name.endswith("position_embeddings") and hasattr(module, "num_embeddings"):
            before = 0 if module.padding_idx is None else module.padding_idx + 1
            return int(module.num_embeddings) - before
    known = getattr(stage.auto_model.config, "max_position_embeddings", None)
    return int(known) if known and known > 0 else None


def prompts_of(model: Any, path: str) -> dict[str, str]:
    """The prompts for queries and documents. Raises BadInput on a default prompt, which has no side."""
    if getattr(model, "default_prompt_name", None) not in (None, "query", "document"):
        raise BadInput(
            f"{path} puts its prompt {model.default_prompt_name!r} before queries and documents alike; export it without that default."
        )
    both = (model.prompts or {}).get(model.default_prompt_name or "") or ""
    return {role: (model.prompts or {}).get(role) or both for role in ("query", "document")}


def one_input(stage: Any, prompt: str, max_tokens: int) -> Callable[[Sequence[str]], list[Sample]]:
    """Token ids of texts as documents, for calibration."""

    def ids(texts: Sequence[str]) -> list[Sample]:
        tokenizer = stage.tokenizer
        encoded = [tokenizer(prompt + text, truncation=True, max_length=max_tokens)["input_ids"] for text in texts]
        return [np.asarray(one, dtype=np.int64) for one in encoded]

    return ids
