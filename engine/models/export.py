"""A sentence-transformers model as a Triptych model folder: ONNX graph, tokenizer and card, checked against the original.

Recipe for CPUs: TorchScript export with eager attention (ONNX Runtime's optimizer recognizes that graph), fusion of attention and GELU,
then `engine.models.quantise`. Needs the packages torch, sentence-transformers and onnx, which running the result does not.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from engine.errors import BadInput, MissingDependency
from engine.models.card import MODEL_FILE, TOKENIZER_FILE, ModelCard, Prompts, describe_file, write_card
from engine.models.catalogue import models_folder
from engine.models.recipes import RECIPES, SAMPLES

MIN_COSINE = 0.99
OPSET = 17
INSTALL = "pip install torch==2.13.0 && pip install sentence-transformers onnx"


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Cosine between the original's vectors and the exported model's, over sample texts."""

    mean: float
    lowest: float
    texts: int


def export_model(
    source: str | Path,
    out_folder: Path,
    *,
    quantise: Literal["int8", "none"] = "int8",
    about: Mapping[str, str] | None = None,
    samples: Sequence[str] = SAMPLES,
    min_cosine: float = MIN_COSINE,
    force: bool = False,
    say: Callable[[str], None] = print,
) -> ModelCard:
    """Export a dense model to `out_folder` and return its card.

    source: a bundled model's name (exports it again from its original), a sentence-transformers folder, or a name that library resolves.
    about: card texts (name, title, source, revision, licence, training_data, citation) that override what the source tells.
    samples: texts by which int8 weights are rounded, then compared with the original.
    min_cosine: lowest accepted mean cosine to the original's vectors on `samples`, else nothing is written unless `force`.
    Raises MissingDependency without torch, sentence-transformers or onnx; BadInput on a model that cannot be exported or is not faithful.
    """
    _require("torch", "sentence_transformers", "onnx")
    if out_folder.exists() and any(out_folder.iterdir()):
        raise BadInput(f"{out_folder} is not empty; name a new folder.")
    recipe = RECIPES.get(str(source))
    path = str(recipe.folder()) if recipe else str(source)
    original = _open_original(path)
    texts = {
        "name": Path(path).name,
        "title": Path(path).name,
        "source": str(source),
        "revision": "unknown",
        "licence": "unknown",
    }
    texts |= (dict(recipe.about) if recipe else {}) | dict(about or {})
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        say(f"Exporting {texts['name']} ({quantise})")
        original.tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE), pretty=False)
        _write_graph(original, folder, quantise, samples)
        if recipe:
            shutil.copyfile(models_folder() / texts["name"] / "LICENSE", folder / "LICENSE")
        card = _card(original, folder, texts, quantise)
        write_card(folder, card)
        fidelity = measure_fidelity(original, folder, samples)
        say(
            f"Cosine to the original on {fidelity.texts} texts: mean {fidelity.mean:.4f}, lowest {fidelity.lowest:.4f}; {card.bytes / 1e6:.1f} MB"
        )
        if fidelity.mean < min_cosine and not force:
            raise BadInput(
                f"The {quantise} export of {texts['name']} is not faithful: mean cosine {fidelity.mean:.4f} < {min_cosine}. "
                "Nothing was written; export with quantise='none', or force it."
            )
        measured: dict[str, float | str] = {
            "cosine mean": round(fidelity.mean, 5),
            "cosine lowest": round(fidelity.lowest, 5),
            "cosine texts": float(fidelity.texts),
        }
        card = card.model_copy(update={"measured": measured})
        write_card(folder, card)
        shutil.copytree(folder, out_folder, dirs_exist_ok=True)
    return card


def measure_fidelity(original: Any, folder: Path, samples: Sequence[str]) -> Fidelity:
    """Cosine of each sample's vector from the sentence-transformers model and from the exported folder."""
    from engine.encoders.dense import DenseEncoder
    from engine.encoders.pooling import normalize

    reference = normalize(np.asarray(original.encode_document(list(samples)), dtype=np.float32))
    exported = normalize(DenseEncoder.load(folder, provider="cpu").encode_documents(samples))
    cosines = (reference * exported).sum(axis=1)
    return Fidelity(float(cosines.mean()), float(cosines.min()), len(samples))


def _require(*modules: str) -> None:
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise MissingDependency(f"Exporting a model needs {', '.join(missing)}. Install with: {INSTALL}")


def _open_original(path: str) -> Any:
    """The source as a SentenceTransformer on the CPU with eager attention. Raises BadInput where it has stages that are not exported."""
    from sentence_transformers import SentenceTransformer

    original = SentenceTransformer(path, device="cpu", model_kwargs={"attn_implementation": "eager"})
    stages = [type(stage).__name__ for stage in original]
    if stages not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise BadInput(
            f"{path} has the stages {', '.join(stages)}; only a transformer with pooling and normalization can be exported."
        )
    return original


def _write_graph(original: Any, folder: Path, quantise: str, samples: Sequence[str]) -> None:
    """input_ids, attention_mask -> token_embeddings [batch, tokens, dim]; the int8 graph has no mask."""
    import onnx

    target = folder / MODEL_FILE
    plain = target.with_suffix(".plain.onnx")
    _trace(original[0].auto_model, plain)
    if quantise == "int8":
        from engine.encoders.tokens import TextTokenizer
        from engine.models.quantise import quantise_int8

        tokenizer = TextTokenizer.load(folder / TOKENIZER_FILE, original.max_seq_length)
        quantise_int8(_fuse(plain, original[0].auto_model.config), target, tokenizer.ids(samples))
    else:
        shutil.copyfile(plain, target)
    plain.unlink()
    model = onnx.load(target)
    model.ir_version = 8  # what opset 17 needs, so that older runtimes read it too
    onnx.save(model, target)


def _trace(transformer: Any, target: Path) -> None:
    import torch

    class TokenStates(torch.nn.Module):  # type: ignore[misc, unused-ignore]  # torch is untyped where it is not installed
        def __init__(self) -> None:
            super().__init__()
            self.transformer = transformer

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.transformer(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    ids = torch.arange(3, 37).reshape(2, 17)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    names = ("input_ids", "attention_mask", "token_embeddings")
    with warnings.catch_warnings():  # deprecation of this exporter, and tracing remarks about shapes that stay dynamic
        warnings.simplefilter("ignore")
        torch.onnx.export(
            TokenStates().eval(),
            (ids, mask),
            str(target),
            dynamo=False,  # the newer exporter's graphs leave ONNX Runtime nothing that it recognizes as attention
            opset_version=OPSET,
            input_names=names[:2],
            output_names=names[2:],
            dynamic_axes={name: {0: "batch", 1: "tokens"} for name in names},
        )


def _fuse(plain: Path, config: Any) -> Any:
    """The traced graph with attention, GELU and layer norms fused by ONNX Runtime's transformer optimizer."""
    import onnx
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model

    options = FusionOptions("bert")
    options.use_multi_head_attention = True  # keeps the three projections as products that can be quantized
    options.enable_embed_layer_norm = False
    heads, width = config.num_attention_heads, config.hidden_size
    optimized = optimize_model(
        str(plain), "bert", num_heads=heads, hidden_size=width, optimization_options=options, opt_level=0
    )
    fused = plain.with_suffix(".fused.onnx")
    optimized.save_model_to_file(str(fused))  # declares the operator domains that the fusions use
    model = onnx.load(fused)
    fused.unlink()
    return model


def _card(original: Any, folder: Path, texts: Mapping[str, str], quantise: str) -> ModelCard:
    normalized = len(original) == 3
    prompts = {role: original.prompts.get(role) or "" for role in ("query", "document")}
    if original.similarity_fn_name not in ("cosine", "dot"):
        raise BadInput(
            f"{texts['name']} compares vectors by {original.similarity_fn_name!r}; only cosine and dot are supported."
        )
    notes = (
        "weights int8 per output channel in [-64, 64], so that sums do not overflow on AVX2 without VNNI, rounded by GPTQ; 1 % of the input "
        "channels float32; activations smoothed, uint8 per call; embeddings int8 per row; texts run one by one, without a mask"
    )
    return ModelCard.model_validate(
        {
            **texts,
            "dimensions": original[1].pooling_output_dimension,
            "max_tokens": original.max_seq_length,
            "similarity": "cosine" if normalized or original.similarity_fn_name == "cosine" else "dot",
            "pooling": _pooling(original[1]),
            "prompts": Prompts(**prompts),
            "files": {path.name: describe_file(path) for path in sorted(folder.iterdir())},
            "quantisation": quantise,
            "quantisation_notes": notes if quantise == "int8" else "",
        }
    )


def _pooling(stage: Any) -> str:
    names = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
    if stage.pooling_mode not in names:
        raise BadInput(f"Pooling {stage.pooling_mode!r} is not supported; known: {', '.join(names)}.")
    return names[stage.pooling_mode]
