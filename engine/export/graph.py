"""From torch to ONNX: traced, fused where ONNX Runtime knows the architecture, and written in the precision asked for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from engine.errors import BadInput
from engine.export.quantise.int8 import Sample
from engine.export.source import Source
from engine.system.scratch import scratch as scratch_folder
from engine.types import Progress, ProgressSink, ignore_progress

if TYPE_CHECKING:
    from onnx import ModelProto

Precision = Literal["none", "fp16", "int8", "int4"]
OPSET = 17
LARGEST = 1_900_000_000  # bytes of weights; a protobuf message ends at 2 GB
TOLERANCE = 1e-3  # of the largest value: a fusion that changes more is not used


def write_graph(
    source: Source,
    target: Path,
    precision: Precision,
    texts: Sequence[str],
    progress: ProgressSink = ignore_progress,
) -> str:
    """Write the model's graph and return what was done to it, in words. texts: by which weights are rounded.

    int8 graphs have no mask: their texts run one by one. Raises BadInput where the weights do not fit into one file.
    """
    progress(Progress("trace", 0, None, "graphs"))
    samples = source.samples(texts)
    with scratch_folder("graph") as scratch:
        plain = Path(scratch) / "plain.onnx"
        trace(source, plain, padded=precision != "int8")
        model, fused = fuse(plain, source.stage.auto_model.config, samples, Path(scratch))
    padded_queries = source.fields.get("query_padding") == "mask"  # which text does not attend to
    store(model, target, precision, samples, keep_mask=padded_queries or source.attends, progress=progress)
    _age(target)
    return "attention fused" if fused else "attention not fused"


def store(
    model: ModelProto,
    target: Path,
    precision: Precision,
    samples: Sequence[Sample],
    *,
    keep_mask: bool,
    progress: ProgressSink = ignore_progress,
) -> None:
    """Write a float32 graph in the precision asked for; `model` is changed on the way. Raises BadInput where the weights are too many for a file."""
    if precision == "int8":
        from engine.export.quantise.int8 import quantise_int8

        quantise_int8(model, target, samples, keep_mask=keep_mask, progress=progress)
        return
    if precision == "int4":
        from engine.export.quantise.int4 import quantise_int4

        quantise_int4(model, samples, progress)
    elif precision == "fp16":
        model = _halve(model)
    _save(model, target)


def trace(source: Source, target: Path, padded: bool = True) -> None:
    """The float32 graph as torch runs it: the source's inputs -> its output, batch and tokens of any size."""
    import torch

    class Graph(torch.nn.Module):  # type: ignore[misc, unused-ignore]  # torch is untyped where it is not installed
        def __init__(self) -> None:
            super().__init__()
            self.transformer = source.parts[0]
            self.heads = torch.nn.ModuleList(source.parts[1:])

        def forward(self, *inputs: Any) -> Any:
            return source.forward(padded, *inputs)

    ids = torch.arange(3, 37).reshape(2, 17)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    types = torch.zeros_like(ids)
    types[0, 6:], types[1, 4:9] = 1, 1
    examples = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    names = (*source.inputs, source.output)
    with warnings.catch_warnings():  # deprecation of this exporter, and tracing remarks about shapes that stay dynamic
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Graph().eval(),
            tuple(examples[name] for name in source.inputs),
            str(target),
            dynamo=False,  # the newer exporter's graphs leave ONNX Runtime nothing that it recognizes as attention
            opset_version=OPSET,
            input_names=list(source.inputs),
            output_names=[source.output],
            dynamic_axes={name: {0: "batch"} | ({1: "tokens"} if _has_tokens(name) else {}) for name in names},
        )


def _has_tokens(name: str) -> bool:
    return name not in ("term_weights", "logits")


def fuse(plain: Path, config: Any, samples: Sequence[Sample], scratch: Path) -> tuple[ModelProto, bool]:
    """The graph in `plain` with attention, GELU and layer norms fused by ONNX Runtime, and whether it is; as it was where that finds no attention
    or changes results. config: has num_attention_heads and hidden_size; scratch: a folder for a while."""
    import onnx

    traced = onnx.load(plain)
    heads, width = (getattr(config, name, 0) for name in ("num_attention_heads", "hidden_size"))
    if _weight(traced) > LARGEST or not heads or width % heads or find_spec("sympy") is None:
        return traced, False
    from onnxruntime.transformers.fusion_options import FusionOptions
    from onnxruntime.transformers.optimizer import optimize_model  # which needs sympy; it comes with torch

    options = FusionOptions("bert")
    options.use_multi_head_attention = True  # keeps the three projections as products that can be quantized
    options.enable_embed_layer_norm = False
    optimized = optimize_model(
        str(plain), "bert", num_heads=heads, hidden_size=width, optimization_options=options, opt_level=0
    )
    path = scratch / "fused.onnx"
    optimized.save_model_to_file(str(path))  # declares the operator domains that the fusions use
    fused = onnx.load(path)
    if not any(node.op_type == "MultiHeadAttention" for node in fused.graph.node):
        return traced, False
    return (fused, True) if _same(plain, path, samples) else (traced, False)


def _same(one: Path, other: Path, samples: Sequence[Sample]) -> bool:
    """Whether two graphs give the same values for the first samples, within TOLERANCE."""
    import onnxruntime

    from engine.export.quantise.int8 import feed

    sessions = [onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in (one, other)]
    inputs = [item.name for item in sessions[0].get_inputs()]
    for sample in samples[:3]:
        first, second = (session.run(None, feed(sample, inputs))[0] for session in sessions)
        if np.abs(first - second).max() > TOLERANCE * max(float(np.abs(first).max()), 1e-6):
            return False
    return True


def _halve(model: ModelProto) -> ModelProto:
    """Weights and arithmetic in float16, inputs and outputs as they were."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():  # remarks about weights too small for 16 bits, which become zero
        warnings.simplefilter("ignore")
        halved: ModelProto = convert_float_to_float16(model, keep_io_types=True)
    return halved


def _save(model: ModelProto, target: Path) -> None:
    import onnx

    if _weight(model) > LARGEST:
        raise BadInput(
            f"The graph's weights take {_weight(model) / 1e9:.1f} GB, more than one file can hold; export it with int8 or int4 weights."
        )
    onnx.save(model, target)


def _age(target: Path) -> None:
    """Declare the format version that the operators need and no newer one, so that older runtimes read it too."""
    import onnx

    model = onnx.load(target)
    model.ir_version = 8
    onnx.save(model, target)


def _weight(model: ModelProto) -> int:
    return sum(len(item.raw_data) for item in model.graph.initializer)
