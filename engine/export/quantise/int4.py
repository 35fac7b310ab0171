"""Weight-only 4 bits: constant matrices in blocks of 16 input channels with a scale and a zero each, activations in float.

The operator is MatMulNBits of ONNX Runtime, which has kernels for CPUs and for CUDA. Weights are rounded one input channel at a time, each
compensating the error of those before (Frantar et al. 2023, GPTQ); embedding tables become int8 with one scale a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.export.quantise.int8 import Floats, Sample, compensation, constant_products, observe
from engine.export.quantise.surgery import prune, quantise_embeddings, replace
from engine.types import Progress, ProgressSink, ignore_progress

if TYPE_CHECKING:
    from onnx import ModelProto

BLOCK = 16
HIGHEST = 15  # of an unsigned integer of 4 bits
INT8_ACTIVATIONS = 4  # "accuracy level" of the operator: activations int8 per row and block, the fastest on CPUs


def quantise_int4(model: ModelProto, samples: Sequence[Sample], progress: ProgressSink = ignore_progress) -> None:
    """Put the constant matrices of a float32 graph into 4 bits, and its embedding tables into 8. samples: typical texts.

    `progress` hears phase "round" with each matrix.
    """
    from onnx import numpy_helper
    from onnx.helper import make_node, make_opsetid

    products, weights = constant_products(model)
    observed = observe(model, list(dict.fromkeys(node.input[0] for node in products)), samples)
    chosen = {node.output[0] for node in products}
    nodes: list[Any] = []
    done = 0
    for node in model.graph.node:
        if node.output[0] not in chosen:
            nodes.append(node)
            continue
        progress(Progress("round", done, len(chosen), "matrices"))
        done += 1
        name, weight = node.output[0], weights[node.input[1]]
        packed: tuple[NDArray[Any], ...] = pack(*round_blocks(weight, observed[node.input[0]]))
        parts = {f"{name}/{part}": value for part, value in zip(("int4", "scales", "zeros"), packed, strict=True)}
        model.graph.initializer.extend(numpy_helper.from_array(value, part) for part, value in parts.items())
        shape = {"K": weight.shape[0], "N": weight.shape[1], "bits": 4, "block_size": BLOCK}
        nodes.append(
            make_node(
                "MatMulNBits",
                [node.input[0], *parts],
                [name],
                domain="com.microsoft",
                accuracy_level=INT8_ACTIVATIONS,
                **shape,
            )
        )
    replace(model.graph.node, nodes)
    if "com.microsoft" not in {opset.domain for opset in model.opset_import}:
        model.opset_import.append(make_opsetid("com.microsoft", 1))
    quantise_embeddings(model)
    prune(model)


def round_blocks(weight: Floats, inputs: Floats) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
    """Integers 0 to 15 [channels, outputs], and per block scales and zeros [blocks, outputs], that keep `inputs @ weight` close.

    A weight is (integer - zero) * scale. inputs: [tokens, channels].
    """
    inverse = compensation(inputs)
    left = weight.astype(np.float64)
    channels, outputs = left.shape
    rounded = np.zeros(left.shape, dtype=np.uint8)
    scales = np.ones((-(-channels // BLOCK), outputs), dtype=np.float32)
    zeros = np.zeros(scales.shape, dtype=np.uint8)
    for block, start in enumerate(range(0, channels, BLOCK)):
        stop = min(start + BLOCK, channels)
        lowest, highest = left[start:stop].min(axis=0).clip(max=0), left[start:stop].max(axis=0).clip(min=0)
        scale = ((highest - lowest) / HIGHEST).astype(np.float32)
        scale[scale == 0] = 1
        zero = np.rint(-lowest / scale).clip(0, HIGHEST)
        scales[block], zeros[block] = scale, zero.astype(np.uint8)
        errors = np.zeros((stop - start, outputs))
        for row in range(start, stop):
            integers = np.rint(left[row] / scale + zero).clip(0, HIGHEST)
            rounded[row] = integers.astype(np.uint8)
            errors[row - start] = (left[row] - (integers - zero) * scale) / inverse[row, row]
            left[row + 1 : stop] -= np.outer(inverse[row, row + 1 : stop], errors[row - start])
        left[stop:] -= inverse[start:stop, stop:].T @ errors
    return rounded, scales, zeros


def pack(
    integers: NDArray[np.uint8], scales: NDArray[np.float32], zeros: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
    """The arrays as MatMulNBits reads them: output by output, two integers a byte, the earlier one in the low half.

    uint8 [outputs, blocks, 8], float32 [outputs * blocks], uint8 [outputs * ceil(blocks / 2)].
    """
    channels, outputs = integers.shape
    blocks = len(scales)
    padded = np.zeros((blocks * BLOCK, outputs), dtype=np.uint8)
    padded[:channels] = integers
    return (
        _halves(padded.T.reshape(outputs, blocks, BLOCK)),
        np.ascontiguousarray(scales.T).reshape(-1),
        _halves(np.pad(zeros.T, ((0, 0), (0, blocks % 2)))).reshape(-1),
    )


def _halves(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pairs along the last axis as bytes."""
    return np.ascontiguousarray(values[..., 0::2] | (values[..., 1::2] << np.uint8(4)))
