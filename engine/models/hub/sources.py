"""What a model's original files are, before anything is done with them: which are needed, whether they run as they are, and what their card says.

The layout is that of sentence-transformers: `config.json`, `tokenizer.json`, `modules.json` with a folder per stage, weights as safetensors,
and perhaps an ONNX graph in `onnx/`. Python files and pickled weights are never taken.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from engine.errors import BadInput
from engine.models.card import (
    CARD_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    ModelCard,
    Prompts,
    describe_file,
    read_card,
)
from engine.models.entries import CatalogueEntry
from engine.models.family import detect_family, family_of
from engine.models.settings import refuse_links_out, stages, table

GRAPHS = ("onnx/model.onnx", "model.onnx")
MAX_SIDE_FILE = 100_000_000
_FIRST = ("config.json", "modules.json", "config_sentence_transformers.json", "sentence_bert_config.json", "tokenizer_config.json", "router_config.json", "artifact.metadata", CARD_FILE)  # fmt: skip
_SIDE = (".json", ".txt", ".model", ".metadata")
_FOREIGN = {"onnx", "openvino", "coreml", "gguf", "tf", "flax", "assets", "images", "runs", "eval", "logs"}
Sizes = Mapping[str, int]
"""Size in bytes of every file of a source, by its path."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with a source. how: copy a finished folder, take its graph as it is or rounded, or convert its weights; files: the paths
    that this needs."""

    how: Literal["copy", "graph", "round", "convert"]
    family: str
    files: tuple[str, ...]
    graph: str = ""


def first_files(sizes: Sizes) -> list[str]:
    """The small files that tell what a model is."""
    return [path for path in sizes if PurePosixPath(path).name in _FIRST and _own(path) and sizes[path] < 10_000_000]


def local_sizes(folder: Path) -> dict[str, int]:
    """The files of a local folder, as a repository would list them. Raises BadInput where there is no such folder, or a link leads out of it."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder. A model is added from a folder in sentence-transformers layout.")
    refuse_links_out(folder)
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
    }


def plan(
    folder: Path, sizes: Sizes, name: str, family: str | None, quantise: str | None, converts: bool = True
) -> Plan:
    """How the source `name` becomes a model. `folder` holds its first files; quantise None: its own graph where it has one.

    converts: whether its weights can be converted here; where they cannot, a graph is rounded instead.

    Raises BadInput where it has nothing that can be used, and says what is missing.
    """
    if CARD_FILE in sizes and MODEL_FILE in sizes:
        card = read_card(folder)
        if quantise in (None, card.quantisation):
            return Plan("copy", card.family, tuple(sizes))
        if card.quantisation != "none" or card.body:
            raise BadInput(
                f"{name} is a finished model with {card.quantisation} weights; only float32 ones can be rounded. Add it as it is."
            )
        return Plan("round", card.family, tuple(sizes))
    if not {"config.json", "router_config.json"} & sizes.keys():  # a router has its models in folders of their own
        raise BadInput(f"{name} has no config.json, so it is not a model in sentence-transformers layout.")
    kind = family or detect_family(str(folder))
    graph = next((path for path in GRAPHS if path in sizes), "")
    kinds = {stage.kind: stage.path for stage in stages(folder) or ()}
    runs = bool(graph) and TOKENIZER_FILE in sizes and family_of(kind).runs_as_it_is(folder, kinds)
    weights = [path for path in sizes if path.endswith((".safetensors", ".safetensors.index.json")) and _own(path)]
    as_it_is = quantise in (None, "none")
    if runs and (as_it_is or not weights or not converts):
        data = [path for path in sizes if path.startswith((f"{graph}_data", f"{graph}.data"))]
        return Plan("graph" if as_it_is else "round", kind, (*_side_files(sizes), graph, *data), graph)
    if not weights:
        pickled = any(path.endswith((".bin", ".pt", ".pth", ".ckpt")) for path in sizes)
        why = (
            "only as Python pickles, which may hold code and are never loaded"
            if pickled
            else "in no form that is known here"
        )
        raise BadInput(
            f"{name} has its weights {why}. Weights as safetensors, or an ONNX graph with tokenizer.json, are needed."
        )
    return Plan("convert", kind, (*_side_files(sizes), *(path for path in weights if not path.endswith(".json"))))


def _own(path: str) -> bool:
    """Whether a file belongs to the model itself, not to another format of it or to its training."""
    folders = PurePosixPath(path).parts[:-1]
    return len(folders) <= 2 and not any(
        part.lower() in _FOREIGN or part.startswith(("checkpoint", ".")) for part in folders
    )


def _side_files(sizes: Sizes) -> list[str]:
    """Configuration, vocabulary and tokenizer files."""
    return [path for path, size in sizes.items() if path.endswith(_SIDE) and _own(path) and size <= MAX_SIDE_FILE]


def take_graph(
    source: Path, built: Path, chosen: Plan, about: Mapping[str, str], entry: CatalogueEntry | None
) -> ModelCard:
    """Fill the folder `built` with the source's own graph and tokenizer; returns the card, which is not written yet. Raises BadInput."""
    home = (source / chosen.graph).parent
    stem = PurePosixPath(chosen.graph).name
    for path in [home / stem, *sorted(home.glob(f"{stem}[_.]data*")), source / TOKENIZER_FILE]:
        if not path.stat().st_size:
            raise BadInput(f"{path} is empty, so the model cannot be used. Fetch it again.")
        shutil.copyfile(path, built / path.name)  # a graph names its data file, so that keeps its name
    pooling, prompts = (entry.pooling, entry.prompts) if entry is not None else (None, Prompts())
    graph = built / MODEL_FILE
    fields = family_of(chosen.family).graph_fields(source, graph, about["name"], pooling or "mean", prompts)
    return ModelCard.model_validate(
        {
            **about,
            **fields,
            "family": chosen.family,
            "max_tokens": _max_tokens(source, entry),
            "files": {path.name: describe_file(path) for path in sorted(built.iterdir())},
            "quantisation": "none",
        }
    )


def attention_shape(source: Path) -> dict[str, int]:
    """heads and width of a model's attention, as its configuration says; 0 where it does not."""
    config = table(source / "config.json")
    found = {"heads": config.get("num_attention_heads"), "width": config.get("hidden_size")}
    return {name: value if isinstance(value, int) else 0 for name, value in found.items()}


def _max_tokens(source: Path, entry: CatalogueEntry | None) -> int:
    limits = [
        table(source / "sentence_bert_config.json").get("max_seq_length"),
        table(source / "tokenizer_config.json").get("model_max_length"),
        entry.max_tokens if entry is not None else None,
        table(source / "config.json").get("max_position_embeddings"),
    ]
    found = [int(value) for value in limits if isinstance(value, int | float) and 3 <= value <= 1_000_000]
    return found[0] if found else 512


def graph_width(graph: Path, name: str, wanted: Sequence[str]) -> int:
    """Dimensions of what a graph gives for each token under one of the `wanted` names. Raises BadInput where it gives none of them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises many types, none of them documented
        raise BadInput(
            f"The ONNX graph of {name} cannot be opened: {str(error).rpartition('failed:')[2].strip()}"
        ) from error
    shapes = {item.name: item.shape for item in session.get_outputs()}
    for output in wanted:
        if output in shapes and len(shapes[output]) == 3 and isinstance(shapes[output][2], int):
            return int(shapes[output][2])
    raise BadInput(
        f"The ONNX graph of {name} gives {', '.join(shapes)}, but no {' or '.join(wanted)}; convert its weights instead, with --quantize int8."
    )
