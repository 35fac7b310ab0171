"""A sentence-transformers model as a Triptych model folder: ONNX graph, tokenizer and card, checked against the original.

Each family has its file (dense, sparse, late, cross), which says what its graph computes and how it is compared.
Recipe for CPUs: TorchScript export with eager attention (ONNX Runtime's optimizer recognizes that graph), fusion of attention and GELU,
then `engine.export.quantise.int8`. Needs the packages torch, sentence-transformers and onnx, which running the result does not.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import BadInput, MissingDependency
from engine.export.graph import Precision, write_graph
from engine.export.recipes import RECIPES, SAMPLES, Recipe, check_texts
from engine.export.source import Source
from engine.models.card import MODEL_FILE, TOKENIZER_FILE, ModelCard, Prompts, describe_file, write_card
from engine.models.catalogue import models_folder
from engine.models.family import detect_family, family_of
from engine.system.scratch import scratch as scratch_folder
from engine.types import Progress, ProgressSink, ignore_progress

INSTALL = "pip install torch==2.13.0 && pip install sentence-transformers onnx"
NOTES: Mapping[Precision, str] = {
    "none": "",
    "fp16": "weights and arithmetic float16; meant for GPUs",
    "int8": (
        "weights int8 per output channel in [-64, 64], so that sums do not overflow on AVX2 without VNNI, rounded by GPTQ; 1 % of the input "
        "channels float32; activations smoothed, uint8 per call; embeddings int8 per row; texts run one by one, without a mask"
    ),
    "int4": (
        "weights 4 bits in blocks of 16 with scale and zero, rounded by GPTQ; activations int8 per block on CPUs; embeddings int8 per row"
    ),
}


def export_model(
    source: str | Path,
    out_folder: Path,
    *,
    quantise: Precision = "int8",
    family: str | None = None,
    dimensions: int | None = None,
    about: Mapping[str, str] | None = None,
    samples: Sequence[str] = SAMPLES,
    checks: Sequence[str] | None = None,
    min_agreement: float | None = None,
    force: bool = False,
    say: Callable[[str], None] = print,
    progress: ProgressSink = ignore_progress,
) -> ModelCard:
    """Export a model to `out_folder` and return its card.

    source: a bundled model's name (exports it again from its original), a sentence-transformers folder, or a name that library resolves.
    family: default what its files say. dimensions: keep the first ones of each vector (Matryoshka).
    about: card texts (name, title, source, revision, licence, training_data, citation) that override what the source tells.
    samples: texts by which weights are rounded. checks: texts on which the export is compared with the original, default abstracts that come
    with the program. min_agreement: lowest accepted mean agreement on these (default its family's), else nothing is written unless `force`.
    `progress` hears the phases read, trace, round (matrix by matrix) and compare.
    Raises MissingDependency without torch, sentence-transformers or onnx; BadInput on a model that cannot be exported or is not faithful.
    """
    require("torch", "sentence_transformers", "onnx")
    if out_folder.exists() and any(out_folder.iterdir()):
        raise BadInput(f"{out_folder} is not empty; name a new folder.")
    recipe = RECIPES.get(str(source))
    path = str(recipe.folder()) if recipe else str(source)
    progress(Progress("read", 0, None, "files"))
    kind = family_of(family or detect_family(path))
    original: Source = kind.open_original(path, dimensions)
    texts = _texts(path, str(source), recipe) | dict(about or {})
    with scratch_folder("export") as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        say(f"Exporting {texts['name']} ({kind.name}, {quantise})")
        done = _write_files(original, folder, quantise, samples, progress)
        if recipe:
            shutil.copyfile(models_folder() / texts["name"] / "LICENSE", folder / "LICENSE")
        card = _card(original, folder, texts | {"family": kind.name}, quantise)
        write_card(folder, card)
        progress(Progress("compare", 0, None, "texts"))
        found = original.agreement(folder, check_texts() if checks is None else checks)
        say(
            f"{found.measure.capitalize()} with the original over {found.count}: mean {found.mean:.4f}, lowest {found.lowest:.4f}; "
            f"{done}; {card.bytes / 1e6:.1f} MB"
        )
        least = kind.least_agreement if min_agreement is None else min_agreement
        if not found.mean >= least and not force:
            raise BadInput(
                f"The {quantise} export of {texts['name']} is not faithful: mean {found.measure} {found.mean:.4f} < {least}. Nothing was "
                f"written; {'force it' if quantise == 'none' else 'keep every weight as it is (none), or force it'}."
            )
        card = card.model_copy(update={"measured": found.measured()})
        write_card(folder, card)
        shutil.copytree(folder, out_folder, dirs_exist_ok=True)
    return card


def require(*modules: str) -> None:
    """Raises MissingDependency where one of these packages is not installed."""
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise MissingDependency(f"Exporting a model needs {', '.join(missing)}. Install with: {INSTALL}")


def _texts(path: str, source: str, recipe: Recipe | None) -> dict[str, str]:
    """What the card says about the model where nobody says otherwise."""
    name = Path(path).name
    plain = {"name": name, "title": name, "source": source, "revision": "unknown", "licence": "unknown"}
    return plain | (dict(recipe.about) if recipe else {})


def _write_files(
    original: Source, folder: Path, quantise: Precision, samples: Sequence[str], progress: ProgressSink
) -> str:
    """Tokenizer, graph and further arrays; returns what was done to the graph, in words."""
    original.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE), pretty=False)
    for name, values in original.arrays.items():
        np.save(folder / name, values, allow_pickle=False)
    done = write_graph(original, folder / MODEL_FILE, quantise, samples, progress)
    if original.further is not None and quantise in ("none", "int8"):
        original.further(folder, samples)
    return done


def _card(original: Source, folder: Path, texts: Mapping[str, str], quantise: Precision) -> ModelCard:
    fields: dict[str, Any] = dict(original.fields)
    return ModelCard.model_validate(
        {
            **texts,
            **fields,
            "prompts": Prompts(**fields.get("prompts", {})),
            "files": {path.name: describe_file(path) for path in sorted(folder.iterdir())},
            "quantisation": quantise,
            "quantisation_notes": NOTES[quantise],
        }
    )
