"""The model card: everything that identifies a model and says where it came from, stored as `card.json` beside its files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from engine.component import discover, first_problem
from engine.errors import WorkspaceDamaged

CARD_FILE = "card.json"
MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
PASSES_FILE = "pass.onnx"
"""Of some cross-encoders: a second graph, which reads a query with many candidates in one pass, with the weights in MODEL_FILE."""
PAIR_WEIGHTS = "interaction.safetensors"
"""The file by which a folder that holds a trained `engine.export.pair.model` is known."""

FIRST_FAMILY = "dense"
"""The family of cards that name none: once there was no other."""


def _known_family(name: str) -> str:
    known = discover("families")
    if name not in known:
        raise ValueError(f"there is no model family called {name!r}; known: {', '.join(known)}")
    return name


FamilyName = Annotated[str, AfterValidator(_known_family)]
"""The name of a model family, a component of the family "families"."""


class ModelFile(BaseModel):
    """Size and content hash of one file of the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    bytes: int = Field(ge=1)


class Prompts(BaseModel):
    """Text put before every query and before every document, as the model was trained with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str = ""
    document: str = ""


class ModelCard(BaseModel):
    """Identity, provenance and use of a model. Two cards with the same `fingerprint` produce interchangeable vectors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", description="folder name and catalogue key")
    title: str
    family: FamilyName = FIRST_FAMILY
    body: str = Field(
        "", description="the model whose token states this one reads; empty where it reads the text itself"
    )
    body_fingerprint: str = Field("", description="the fingerprint of that model; another body would give other rows")
    source: str = Field(description="where the weights came from")
    revision: str = Field(description="what pins the source: a version, commit or hash")
    licence: str = Field(description="SPDX identifier of the weights' license")
    dimensions: int = Field(
        ge=1, description="of a vector, or of each token's vector; sparse: terms in the vocabulary; cross: 1"
    )
    max_tokens: int = Field(ge=3, description="longest input in tokens, special tokens included; the rest is cut off")
    max_query_tokens: int | None = Field(
        None, ge=3, description="the same for queries, where they have a limit of their own"
    )
    similarity: Literal["cosine", "dot"] = Field(description="cosine: vectors are L2-normalized")
    pooling: Literal["mean", "cls", "last", "max", "none"] = Field(
        description="max: of a sparse model's logits over its tokens; none: the graph's output is used as it is"
    )
    queries: Literal["encoded", "inference-free"] = Field(
        "encoded", description="sparse: whether queries pass through the model, or are looked up token by token"
    )
    query_padding: Literal["none", "mask"] = Field(
        "none", description="late: mask fills queries up to max_query_tokens with the mask token, as ColBERT does"
    )
    skipped_tokens: Literal["none", "punctuation"] = Field(
        "none", description="late: tokens of documents that get no vector (special tokens and markers keep theirs)"
    )
    prompts: Prompts = Prompts()
    files: dict[str, ModelFile]
    quantisation: Literal["none", "fp16", "int8", "int4"] = Field(
        "none",
        description=(
            "int8: weights per channel, activations per call; inputs are never batched, so a vector does not depend on its neighbors. "
            "int4: weights only, in blocks. fp16: weights and arithmetic, for GPUs"
        ),
    )
    quantisation_notes: str = ""
    measured: dict[str, float | str] = Field(default={}, description="what the export measured, by name")
    training_data: str = ""
    citation: str = ""

    @property
    def fingerprint(self) -> str:
        """sha256 (64 hex digits) over all that decides a row: model, tokenizer or body, pooling, prompts, length limits, treatment of queries."""
        identity: list[object] = [
            self.files[MODEL_FILE].sha256,
            self.body_fingerprint or self.files[TOKENIZER_FILE].sha256,
            self.pooling,
            self.prompts.query,
            self.prompts.document,
            self.max_tokens,
            self.similarity == "cosine",
        ]
        if (
            self.family != FIRST_FAMILY
        ):  # what the first models lack stays out, so that their fingerprints outlive new families
            others = [file.sha256 for name, file in sorted(self.files.items()) if name.endswith(".npy")]
            identity += [
                self.family,
                self.max_query_tokens,
                self.queries,
                self.query_padding,
                self.skipped_tokens,
                others,
            ]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    @property
    def bytes(self) -> int:
        """Total size of the model's files in bytes."""
        return sum(file.bytes for file in self.files.values())


def read_card(folder: Path) -> ModelCard:
    """The card of the model in `folder`. Raises WorkspaceDamaged where it is missing or not a card."""
    path = folder / CARD_FILE
    try:
        card = ModelCard.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise WorkspaceDamaged(
            f"{path} is missing, so {folder.name!r} is not a usable model; install the model again."
        ) from None
    except ValidationError as error:
        raise WorkspaceDamaged(
            f"{path} is not a valid model card ({first_problem(error)}); install the model again."
        ) from error
    for name in (MODEL_FILE,) if card.body else (MODEL_FILE, TOKENIZER_FILE):
        if name not in card.files:
            raise WorkspaceDamaged(f"{path} does not list {name}; install the model again.")
    return card


def write_card(folder: Path, card: ModelCard) -> None:
    """Store the card as readable JSON."""
    text = json.dumps(card.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"
    (folder / CARD_FILE).write_text(text, encoding="utf-8")


def describe_file(path: Path) -> ModelFile:
    """Size and sha256 of a file."""
    with path.open("rb") as stream:
        return ModelFile(sha256=hashlib.file_digest(stream, "sha256").hexdigest(), bytes=path.stat().st_size)
