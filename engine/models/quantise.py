"""Graph surgery that makes a fused BERT-like ONNX graph small and fast on CPUs: no mask, plain layer norms, int8 weights and embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput

if TYPE_CHECKING:
    from onnx import ModelProto

SMOOTHING = 0.7  # exponent; 0.5 to 1 all help, see smooth_activations
MIN_TABLE_ROWS = 1000  # smaller lookup tables (positions, token types) stay float32: their size does not matter


def quantise_int8(model: ModelProto, target: Path, samples: Sequence[NDArray[np.int64]]) -> None:
    """Write the int8 version of a fused float32 graph to `target`; `model` is changed on the way. samples: token ids of typical texts.

    Weights of matrix products: int8 per output channel, in 7 bits, because AVX2 processors without VNNI overflow 16-bit sums with 8.
    Activations: uint8, scaled per call (`quantize_dynamic`). Embedding table: int8 per row. Raises BadInput on a graph without fused attention.
    """
    from onnx import TensorProto, save_model
    from onnxruntime.quantization import QuantType, quantize_dynamic

    drop_mask(model)
    decompose_layer_norms(model)
    smooth_activations(model, samples)
    quantise_embeddings(model)
    fused = target.with_suffix(".fused.onnx")
    save_model(model, fused)
    try:
        quantize_dynamic(
            fused,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},  # types behind fused operators cannot be inferred
        )
    finally:
        fused.unlink()


def drop_mask(model: ModelProto) -> None:
    """Remove the attention mask: texts run one by one, so there is no padding to hide, and unmasked attention is faster.

    Raises BadInput where attention was not fused into MultiHeadAttention, so that the mask is used elsewhere.
    """
    graph = model.graph
    for node in graph.node:
        if node.op_type == "MultiHeadAttention":
            kept = [
                name if place not in (4, 5) else "" for place, name in enumerate(node.input)
            ]  # 4: padding mask, 5: attention bias
            while kept and not kept[-1]:
                kept.pop()
            _replace(node.input, kept)
    _prune(model)
    if any("attention_mask" in node.input for node in graph.node):
        raise BadInput(
            "int8 export covers BERT-like models whose attention ONNX Runtime can fuse, which this is not; export with quantise='none'."
        )
    _replace(graph.input, [item for item in graph.input if item.name != "attention_mask"])


def decompose_layer_norms(model: ModelProto) -> None:
    """Write (Skip)LayerNormalization as primitive operators: measured 25 % faster than the fused kernels on one text."""
    from onnx import numpy_helper

    nodes: list[Any] = []
    constants: dict[str, Any] = {}
    for node in model.graph.node:
        if node.op_type not in ("LayerNormalization", "SkipLayerNormalization"):
            nodes.append(node)
            continue
        epsilon = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
        name = f"layer_norm_epsilon_{epsilon:.3g}"
        constants[name] = numpy_helper.from_array(np.array(epsilon, dtype=np.float32), name)
        nodes.extend(_layer_norm(node, name))
    _replace(model.graph.node, nodes)
    model.graph.initializer.extend(constants.values())
    _prune(model)


def _layer_norm(node: Any, epsilon: str) -> list[Any]:
    """The primitive operators equal to one node; inputs: x, [skip,] weight, bias[, bias added to x]."""
    from onnx.helper import make_node

    output, inputs = node.output[0], list(node.input)
    nodes: list[Any] = []

    def add(operator: str, arguments: list[str], result: str = "", **attributes: Any) -> str:
        result = result or f"{output}/{len(nodes)}"
        nodes.append(make_node(operator, arguments, [result], **attributes))
        return result

    x = inputs.pop(0)
    if node.op_type == "SkipLayerNormalization":
        skip = inputs.pop(0)
        if len(inputs) > 2 and inputs[2]:
            x = add("Add", [x, inputs[2]])
        x = add("Add", [x, skip])
    centered = add("Sub", [x, add("ReduceMean", [x], axes=[-1], keepdims=1)])
    variance = add("ReduceMean", [add("Mul", [centered, centered])], axes=[-1], keepdims=1)
    unit = add("Div", [centered, add("Sqrt", [add("Add", [variance, epsilon])])])
    add("Add", [add("Mul", [unit, inputs[0]]), inputs[1]], output)
    return nodes


def smooth_activations(model: ModelProto, samples: Sequence[NDArray[np.int64]]) -> None:
    """Move outliers from activations into weights before both are rounded: x @ W = (x / s) @ (diag(s) W), with s per channel of x.

    s = max(1, a / median(a)) ** SMOOTHING, a = largest |x| of the channel over the samples: only channels that stand out are scaled. Halves the
    loss of cosine for one multiplication an input. After Xiao et al. (2023), SmoothQuant.
    """
    from onnx import numpy_helper
    from onnx.helper import make_node

    graph = model.graph
    weights = {item.name: item for item in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    largest = _largest_activations(model, list(dict.fromkeys(node.input[0] for node in products)), samples)
    scales = {
        name: np.maximum(1, a / max(float(np.median(a)), 1e-6)).astype(np.float32) ** np.float32(SMOOTHING)
        for name, a in largest.items()
    }
    nodes: list[Any] = []
    scaled: set[str] = set()
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            source, weight = node.input
            if source not in scaled:
                scaled.add(source)
                graph.initializer.append(numpy_helper.from_array(1 / scales[source], f"{source}/smoothing"))
                nodes.append(make_node("Mul", [source, f"{source}/smoothing"], [f"{source}/smooth"]))
            matrix = numpy_helper.to_array(weights[weight]) * scales[source][:, None]
            graph.initializer.append(numpy_helper.from_array(matrix, f"{node.name}/weight"))
            _replace(node.input, [f"{source}/smooth", f"{node.name}/weight"])
        nodes.append(node)
    _replace(graph.node, nodes)
    _prune(model)


def _largest_activations(
    model: ModelProto, names: list[str], samples: Sequence[NDArray[np.int64]]
) -> dict[str, NDArray[np.float32]]:
    """Largest absolute value of each channel of the named tensors over all samples: name -> float32 [channels]."""
    import onnxruntime
    from onnx import ModelProto, TensorProto
    from onnx.helper import make_tensor_value_info

    watched = ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    largest: dict[str, NDArray[np.float32]] = {}
    for ids in samples:
        for name, value in zip(names, session.run(names, {"input_ids": ids[None]}), strict=True):
            peak = np.abs(value).max(axis=(0, 1))
            largest[name] = np.maximum(largest.get(name, peak), peak)
    return largest


def quantise_embeddings(model: ModelProto) -> None:
    """Store large lookup tables as int8 with one scale a row; looked-up rows are expanded to float32."""
    from onnx import TensorProto, numpy_helper
    from onnx.helper import make_node

    graph = model.graph
    tables = {item.name: item for item in graph.initializer if len(item.dims) == 2 and item.dims[0] >= MIN_TABLE_ROWS}
    nodes: list[Any] = []
    for node in graph.node:
        if node.op_type != "Gather" or node.input[0] not in tables:
            nodes.append(node)
            continue
        name, indexes, output = node.input[0], node.input[1], node.output[0]
        if f"{name}/int8" not in {item.name for item in graph.initializer}:
            rows, scales = _int8_rows(numpy_helper.to_array(tables[name]))
            graph.initializer.extend(
                [numpy_helper.from_array(rows, f"{name}/int8"), numpy_helper.from_array(scales, f"{name}/scale")]
            )
        nodes += [
            make_node("Gather", [f"{name}/int8", indexes], [f"{output}/int8"]),
            make_node("Cast", [f"{output}/int8"], [f"{output}/float"], to=TensorProto.FLOAT),
            make_node("Gather", [f"{name}/scale", indexes], [f"{output}/scale"]),
            make_node("Mul", [f"{output}/float", f"{output}/scale"], [output]),
        ]
    _replace(graph.node, nodes)
    _prune(model)


def _int8_rows(table: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """int8 [n, d] and float32 [n, 1] whose product is the table to within half a step of each row's scale."""
    scales = np.abs(table).max(axis=1, keepdims=True).astype(np.float32) / 127
    scales[scales == 0] = 1
    return np.rint(table / scales).astype(np.int8), scales


def _prune(model: ModelProto) -> None:
    """Drop nodes and initializers that no output depends on."""
    graph = model.graph
    needed = {output.name for output in graph.output}
    nodes = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    _replace(graph.node, nodes[::-1])
    _replace(graph.initializer, [item for item in graph.initializer if item.name in needed])


def _replace(repeated: Any, items: list[Any]) -> None:
    """Assign to a protobuf repeated field."""
    kept = list(items)
    del repeated[:]
    repeated.extend(kept)
