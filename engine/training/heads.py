"""From texts to a model folder: the steps that the recipes `sparse` and `late` share around their loops."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.encoders.runner import Runner
from engine.encoders.sparse import QUERY_TERMS, QUERY_WEIGHTS
from engine.errors import BadInput
from engine.models.card import MODEL_FILE, ModelCard, describe_file, write_card
from engine.models.catalogue import DEFAULT_DENSE, model_folder
from engine.training.batches import Trained
from engine.training.corpus import TrainingTexts, held_out
from engine.training.late import LateSettings, train_late
from engine.training.sparse import train_sparse
from engine.training.sparse_settings import SparseSettings
from engine.training.states import TokenStates, token_states
from engine.training.teacher import Queries, training_queries
from engine.training.trainer import library
from engine.training.vocabulary import LEAST_DOCUMENTS, Vocabulary, build_vocabulary
from engine.types import Ints, ProgressSink, ignore_progress

HEADS: dict[str, type[SparseSettings] | type[LateSettings]] = {
    kind.recipe: kind for kind in (SparseSettings, LateSettings)
}


@dataclass(frozen=True, slots=True)
class Material:
    """What both recipes learn from. asked: the token states of the queries; kept and developed: positions of documents."""

    vocabulary: Vocabulary
    pieces: list[str]
    documents: TokenStates
    queries: Queries
    asked: TokenStates
    kept: Ints
    developed: Ints


def prepare_material(
    texts: TrainingTexts,
    body: Runner,
    cache: Path,
    seed: int,
    develop: int,
    progress: ProgressSink = ignore_progress,
) -> Material:
    """Encode documents and queries once, kept in `cache`, and count their terms. develop: documents held out."""
    kept, developed = held_out(texts, min(develop, len(texts) // 5), seed)
    queries = training_queries(texts, range(len(texts)), seed)
    documents = token_states(body, texts.units, cache, progress)
    asked = token_states(body, queries.texts, cache, progress)
    pieces = body.tokenizer.strings(range(body.tokenizer.size))
    vocabulary = build_vocabulary(pieces, documents.ids, documents.indptr, LEAST_DOCUMENTS)
    return Material(vocabulary, pieces, documents, queries, asked, np.array(kept), np.array(developed))


def train_head(
    texts: TrainingTexts,
    out: Path,
    settings: SparseSettings | LateSettings,
    *,
    cache: Path,
    name: str | None = None,
    develop: int = 1_000,
    training_data: str = "",
    progress: ProgressSink = ignore_progress,
) -> ModelCard:
    """Train the recipe that the settings belong to, and write the model's folder: graph, tables, license, card.

    The folder appears when it is whole. Raises BadInput where `out` exists with something in it, MissingDependency without torch or
    sentence-transformers.
    """
    for needed in ("sentence_transformers", "datasets", "accelerate"):
        library(needed)
    if out.exists() and any(out.iterdir()):
        raise BadInput(f"{out} is not empty; name a new folder.")
    folder = model_folder(DEFAULT_DENSE)
    body = Runner.load(folder)
    material = prepare_material(texts, body, cache, settings.seed, develop, progress)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        written = Path(scratch) / "model"
        written.mkdir()
        trained = _trained(material, settings, written, progress)
        shutil.copy(folder / "LICENSE", written / "LICENSE")
        card = _card(name or out.name, settings, material, trained, body.card, written, training_data)
        write_card(written, card)
        if out.exists():
            out.rmdir()
        os.replace(written, out)
    return card


def _trained(
    material: Material, settings: SparseSettings | LateSettings, folder: Path, progress: ProgressSink
) -> Trained:
    """Train, and write what queries and documents need of the head into `folder`."""
    from engine.training.graphs import late_graph, sparse_graph

    learn: Any = train_sparse if isinstance(settings, SparseSettings) else train_late
    inputs = (material.vocabulary, material.documents, material.queries, material.asked, material.kept)
    trained: Trained = learn(*inputs, settings, progress)
    if isinstance(settings, SparseSettings):
        sparse_graph(trained.head, folder / MODEL_FILE)
        np.save(folder / QUERY_WEIGHTS, material.vocabulary.idf)
        np.save(folder / QUERY_TERMS, material.vocabulary.term)
    else:
        late_graph(trained.head, folder / MODEL_FILE)
    return trained


def _card(
    name: str,
    settings: SparseSettings | LateSettings,
    material: Material,
    trained: Trained,
    body: ModelCard,
    folder: Path,
    training_data: str,
) -> ModelCard:
    last = trained.log[-max(1, len(trained.log) // 20) :]
    measured: dict[str, float | str] = {
        f"training {key}": round(float(np.mean([line[key] for line in last])), 4) for key in last[0] if key != "step"
    }
    options = ", ".join(f"{key} {value}" for key, value in asdict(settings).items())
    return ModelCard(
        name=name,
        title=f"Triptych {settings.recipe} head",
        body=body.name,
        body_fingerprint=body.fingerprint,
        source=f"trained by `triptych train {settings.recipe}` on the token states of {body.name}",
        revision=options,
        licence=body.licence,
        dimensions=len(material.pieces) if isinstance(settings, SparseSettings) else settings.dimensions,
        max_tokens=body.max_tokens,
        pooling="none",
        files={path.name: describe_file(path) for path in sorted(folder.iterdir())},
        measured=measured,
        training_data=training_data or f"titles and texts of {len(material.kept):,} documents",
        **settings.card,
    )
