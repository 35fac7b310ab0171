"""int8 for CPUs: the products with constant matrices of a text encoder's graph, and its embedding table, in eight bits.

Rounding weights costs far more than rounding activations, and what it costs is concentrated in few input channels. Therefore
1. the few channels with outlying activations or weights are multiplied in float32, beside the int8 product (Dettmers et al. 2022, LLM.int8());
2. activations of the others are smoothed, their outliers moved into the weights (Xiao et al. 2023, SmoothQuant);
3. weights are rounded one input channel at a time, each compensating the error of those before (Frantar et al. 2023, GPTQ);
4. the mean error that is left is subtracted (Nagel et al. 2019, data-free quantization).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.export.quantise.surgery import decompose_layer_norms, drop_mask, prune, quantise_embeddings, replace
from engine.system.scratch import scratch as scratch_folder
from engine.types import Progress, ProgressSink, ignore_progress

if TYPE_CHECKING:
    from onnx import ModelProto

Floats = NDArray[np.floating[Any]]
Sample: TypeAlias = NDArray[np.int64] | Mapping[str, NDArray[np.int64]]
"""One typical text: its token ids, or the values of several inputs by name; int64 [tokens] each."""

LIMIT = 64  # weights in [-64, 64]: a sum of two products then fits 16 bits, which is all that AVX2 without VNNI has
SMOOTHING = 0.5  # exponent of the smoothing scales
OUTLIERS_PER_CHANNEL = 1 / 96  # 4 of 384 and 16 of 1,536 input channels stay float32
ACTIVATION_OUTLIER, WEIGHT_OUTLIER = (
    3,
    4,
)  # multiples of the median and of the root mean square that count as equally outlying
AXES_ARE_INPUTS = 18  # the opset from which operators that reduce are written in another way than here
DAMPING = 0.5  # of the mean diagonal: samples are few, so correlations are trusted little
BLOCK = 64


@dataclass(frozen=True, slots=True)
class Source:
    """How one input of products is treated. scales: smoothing, float32 [channels]; outliers: channels kept float32; inputs: [tokens, channels]."""

    scales: NDArray[np.float32]
    outliers: NDArray[np.int64]
    inputs: NDArray[np.float32]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Channels that the int8 product covers."""
        kept = np.ones(len(self.scales), dtype=np.bool_)
        kept[self.outliers] = False
        return kept


def quantise_int8(
    model: ModelProto,
    target: Path,
    samples: Sequence[Sample],
    keep_mask: bool = False,
    progress: ProgressSink = ignore_progress,
) -> None:
    """Write the int8 version of a float32 graph to `target`; `model` is changed on the way. samples: typical texts.

    Weights are int8 per output channel, activations uint8 per call. The attention mask goes, unless `keep_mask`.
    `progress` hears phase "round" with each matrix.
    """
    from onnx import save_model

    if not keep_mask:
        drop_mask(model)
    if all(opset.version < AXES_ARE_INPUTS for opset in model.opset_import if not opset.domain):
        decompose_layer_norms(model)
    quantise_products(model, samples, progress)
    quantise_embeddings(model)
    save_model(model, target)


def quantise_products(model: ModelProto, samples: Sequence[Sample], progress: ProgressSink = ignore_progress) -> None:
    """Replace every product with a constant matrix by its int8 form."""
    from onnx import numpy_helper

    graph = model.graph
    products, weights = constant_products(model)
    names = list(dict.fromkeys(node.input[0] for node in products))
    observed = observe(model, names, samples)
    users = {name: [weights[node.input[1]] for node in products if node.input[0] == name] for name in names}
    sources = {name: _treat(observed[name], users[name]) for name in names}
    nodes: list[Any] = []
    tensors: dict[str, NDArray[Any]] = {}
    prepared: set[str] = set()
    done = 0
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            nodes.append(node)
            continue
        progress(Progress("round", done, len(products), "matrices"))
        done += 1
        name = node.input[0]
        if name not in prepared:
            prepared.add(name)
            nodes += _source_nodes(name, sources[name], tensors)
        nodes += _product_nodes(name, node.output[0], sources[name], weights[node.input[1]], tensors)
    replace(graph.node, nodes)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in tensors.items())
    prune(model)


def constant_products(model: ModelProto) -> tuple[list[Any], dict[str, NDArray[np.float32]]]:
    """The nodes that multiply with a constant matrix, and these matrices [channels, outputs] by name."""
    from onnx import numpy_helper

    matrices = {item.name: item for item in model.graph.initializer if len(item.dims) == 2}
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in matrices]
    return products, {node.input[1]: numpy_helper.to_array(matrices[node.input[1]]) for node in products}


def observe(model: ModelProto, names: Sequence[str], samples: Sequence[Sample]) -> dict[str, NDArray[np.float32]]:
    """Values of the named tensors over all samples: name -> float32 [tokens, channels]. A mask that is asked for is all ones."""
    import onnxruntime
    from onnx import ModelProto, TensorProto, save_model
    from onnx.helper import make_tensor_value_info

    watched = ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    with scratch_folder("round") as scratch:
        path = Path(scratch) / "watched.onnx"  # a file: models beyond 2 GB do not pass as bytes
        save_model(watched, path, save_as_external_data=True, location="weights")
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = [item.name for item in session.get_inputs()]
    runs = [session.run(list(names), feed(sample, inputs)) for sample in samples]
    return {
        name: np.concatenate([values[place].reshape(-1, values[place].shape[-1]) for values in runs])
        for place, name in enumerate(names)
    }


def feed(sample: Sample, inputs: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """The named inputs for one text, int64 [1, tokens] each; a mask that the sample lacks is all ones, other inputs are zeros."""
    given = sample if isinstance(sample, Mapping) else {"input_ids": sample}
    ids = given["input_ids"]
    filled = {"attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)} | dict(given)
    return {name: filled[name][None] for name in inputs}


def _treat(inputs: NDArray[np.float32], users: list[NDArray[np.float32]]) -> Source:
    """Choose outliers and smoothing of an input from its observed values and the matrices [channels, outputs] that it is multiplied with."""
    largest = np.abs(inputs).max(axis=0)
    relative = largest / max(float(np.median(largest)), 1e-6)
    heaviest = np.max([np.abs(w / np.sqrt((w**2).mean(axis=0) + 1e-12)).max(axis=1) for w in users], axis=0)
    outlying = np.maximum(relative / ACTIVATION_OUTLIER, heaviest / WEIGHT_OUTLIER)
    count = round(len(largest) * OUTLIERS_PER_CHANNEL)
    outliers = np.sort(np.argsort(-outlying, kind="stable")[:count]).astype(np.int64)
    return Source(np.maximum(1, relative).astype(np.float32) ** np.float32(SMOOTHING), outliers, inputs)


def _source_nodes(name: str, source: Source, tensors: dict[str, NDArray[Any]]) -> list[Any]:
    """Smoothing (zero for outliers), quantization, and the outliers on their own."""
    from onnx.helper import make_node

    tensors[f"{name}/smoothing"] = np.where(source.kept, 1 / source.scales, 0).astype(np.float32)
    nodes = [
        make_node("Mul", [name, f"{name}/smoothing"], [f"{name}/smooth"]),
        make_node("DynamicQuantizeLinear", [f"{name}/smooth"], [f"{name}/uint8", f"{name}/scale", f"{name}/zero"]),
    ]
    if len(source.outliers):
        tensors[f"{name}/outliers"] = source.outliers
        nodes.append(make_node("Gather", [name, f"{name}/outliers"], [f"{name}/outlying"], axis=-1))
    return nodes


def _product_nodes(
    name: str, output: str, source: Source, weight: NDArray[np.float32], tensors: dict[str, NDArray[Any]]
) -> list[Any]:
    """The int8 product, scaled back, plus its mean error, plus the outliers' product."""
    from onnx import TensorProto
    from onnx.helper import make_node

    smooth = weight * (source.scales * source.kept)[:, None]
    inputs = source.inputs * (source.kept / source.scales)
    rounded, scales = round_weights(smooth, inputs)
    tensors[f"{output}/int8"] = rounded
    tensors[f"{output}/scales"] = scales
    tensors[f"{output}/zero"] = np.zeros(len(scales), dtype=np.int8)
    tensors[f"{output}/error"] = (inputs.mean(axis=0) @ (smooth - rounded * scales)).astype(np.float32)
    total = output if not len(source.outliers) else f"{output}/covered"
    nodes = [
        make_node(
            "MatMulInteger", [f"{name}/uint8", f"{output}/int8", f"{name}/zero", f"{output}/zero"], [f"{output}/int32"]
        ),
        make_node("Cast", [f"{output}/int32"], [f"{output}/float"], to=TensorProto.FLOAT),
        make_node("Mul", [f"{name}/scale", f"{output}/scales"], [f"{output}/step"]),
        make_node("Mul", [f"{output}/float", f"{output}/step"], [f"{output}/scaled"]),
        make_node("Add", [f"{output}/scaled", f"{output}/error"], [total]),
    ]
    if len(source.outliers):
        tensors[f"{output}/outlying"] = weight[source.outliers]
        nodes.append(make_node("MatMul", [f"{name}/outlying", f"{output}/outlying"], [f"{output}/beside"]))
        nodes.append(make_node("Add", [total, f"{output}/beside"], [output]))
    return nodes


def round_weights(weight: Floats, inputs: Floats) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Integers in [-64, 64], [channels, outputs], and scales [outputs] whose product keeps `inputs @ weight` close (GPTQ, blocked).

    inputs: [tokens, channels]; only their deviations count, since the mean error is subtracted afterwards.
    """
    scales = (np.abs(weight).max(axis=0) / LIMIT).astype(np.float32)
    scales[scales == 0] = 1
    inverse = compensation(inputs - inputs.mean(axis=0))
    left = weight.astype(np.float64)
    channels = len(left)
    rounded = np.zeros(left.shape, dtype=np.int8)
    for start in range(0, channels, BLOCK):
        stop = min(start + BLOCK, channels)
        errors = np.zeros((stop - start, left.shape[1]))
        for row in range(start, stop):
            rounded[row] = np.clip(np.rint(left[row] / scales), -LIMIT, LIMIT)
            error = (left[row] - rounded[row] * scales) / inverse[row, row]
            errors[row - start] = error
            left[row + 1 : stop] -= np.outer(inverse[row, row + 1 : stop], error)
        left[stop:] -= inverse[start:stop, stop:].T @ errors
    return rounded, scales


def compensation(inputs: Floats) -> NDArray[np.float64]:
    """Upper Cholesky factor of the damped inverse of the inputs' second moments, [channels, channels]: how each channel makes up for another."""
    values = inputs.astype(np.float64)
    moments = values.T @ values / len(values)
    channels = len(moments)
    moments[np.diag_indices(channels)] += DAMPING * max(float(np.diag(moments).mean()), 1e-12)
    factor: NDArray[np.float64] = np.linalg.cholesky(np.linalg.inv(moments)).T
    return factor
