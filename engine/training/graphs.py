"""Heads as ONNX graphs over the token states of one text, as the encoders of the families run them; the large product in int8."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any

from engine.system.scratch import scratch as scratch_folder
from engine.training.batches import torch_module

OPSET = 18


def sparse_graph(head: Any, path: Path) -> None:
    """Write `token_embeddings` [1, t, dim] and `input_ids` [1, t] to `term_weights` [1, V]. The terms' vectors are int8 per term."""
    torch = torch_module()
    sample = (torch.randn(1, 7, head.decoder.shape[1]), torch.arange(7)[None])
    with scratch_folder("graph") as scratch:
        whole = Path(scratch) / "float32.onnx"
        _write(head.eval(), sample, whole, "term_weights", None)
        _quantize(whole, path)


def late_graph(head: Any, path: Path) -> None:
    """Write `token_embeddings` [1, t, dim] to `token_vectors` [1, t, dimensions], in float32: it is small."""
    torch = torch_module()
    sample = (torch.randn(1, 7, head.project.in_features),)
    _write(head.eval(), sample, path, "token_vectors", head.project.out_features)


def _write(module: Any, sample: tuple[Any, ...], path: Path, output: str, width: int | None) -> None:
    torch = torch_module()
    names = ["token_embeddings", "input_ids"][: len(sample)]
    axes = {name: {1: "tokens"} for name in names} | ({output: {1: "tokens"}} if width else {})
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracing exporter is kept on purpose: its graphs are the smaller ones
        torch.onnx.export(
            module,
            sample,
            str(path),
            input_names=names,
            output_names=[output],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


def _quantize(source: Path, target: Path) -> None:
    """The decoder alone in int8, 7 bits of it used, so that sums do not overflow where a processor lacks VNNI."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    graph = onnx.load(source).graph
    sizes = {one.name: math.prod(one.dims) for one in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in sizes]
    largest = max(products, key=lambda node: sizes[node.input[1]])
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        nodes_to_quantize=[largest.name],
    )
