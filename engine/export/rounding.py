"""A finished float32 graph in fewer bits, compared with itself before: for models of which only a graph can be had. Needs onnx, not torch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from engine.encoders.tokens import TextTokenizer
from engine.errors import BadInput
from engine.export.agreement import Agreement
from engine.export.export import NOTES, require
from engine.export.graph import Precision, fuse, store
from engine.export.recipes import SAMPLES, check_texts
from engine.models.card import MODEL_FILE, TOKENIZER_FILE, ModelCard, describe_file, read_card, write_card
from engine.models.family import family_of
from engine.system.scratch import scratch as scratch_folder
from engine.types import Progress, ProgressSink, ignore_progress


def round_model(
    source: Path,
    out_folder: Path,
    *,
    quantise: Precision,
    heads: int = 0,
    width: int = 0,
    force: bool = False,
    samples: Sequence[str] = SAMPLES,
    checks: Sequence[str] | None = None,
    progress: ProgressSink = ignore_progress,
) -> ModelCard:
    """Round the float32 model in the folder `source` into the new folder `out_folder`; returns its card.

    heads, width: of its attention, by which it is fused; 0 where they are not known. samples: texts by which weights are rounded; checks: texts on
    which both models are compared. `progress` hears the phases read, round and compare. Raises MissingDependency without onnx; BadInput on a model
    that is no float32 one, that cannot be rounded, or whose results differ too much, unless `force`.
    """
    require("onnx")
    card = read_card(source)
    if card.quantisation != "none" or card.body or quantise == "none":
        raise BadInput(f"{card.name} has {card.quantisation} weights; only float32 models of their own can be rounded.")
    out_folder.mkdir(parents=True)
    shutil.copyfile(source / TOKENIZER_FILE, out_folder / TOKENIZER_FILE)
    progress(Progress("read", 0, None, "files"))
    family, tokenizer = family_of(card.family), TextTokenizer.load(source / TOKENIZER_FILE, card.max_tokens)
    given = family.samples(tokenizer, card, samples)
    with scratch_folder("round") as scratch:
        config = SimpleNamespace(num_attention_heads=heads, hidden_size=width)
        model, fused = fuse(source / MODEL_FILE, config, given, Path(scratch))
    store(model, out_folder / MODEL_FILE, quantise, given, keep_mask=not fused, progress=progress)
    files = {path.name: describe_file(path) for path in sorted(out_folder.iterdir())}
    changes: dict[str, Any] = {"files": files, "quantisation": quantise, "quantisation_notes": NOTES[quantise]}
    write_card(out_folder, card.model_copy(update=changes))
    progress(Progress("compare", 0, None, "texts"))
    found: Agreement = family.agreement(source, out_folder, check_texts() if checks is None else checks)
    if not found.mean >= family.least_agreement and not force:
        raise BadInput(
            f"{card.name} with {quantise} weights is not faithful: mean {found.measure} {found.mean:.4f} < {family.least_agreement}. "
            "Nothing was written; take its graph as it is (none), or force it."
        )
    card = card.model_copy(update=changes | {"measured": found.measured()})
    write_card(out_folder, card)
    return card
