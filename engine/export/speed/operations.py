"""How much arithmetic a graph does: its matrix products, counted from a profile that ONNX Runtime writes of a real run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.system.scratch import scratch as scratch_folder

PRODUCTS = (
    "MatMul", "FusedMatMul", "Gemm", "FusedGemm", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "MatMulNBits",
)  # fmt: skip


def count_operations(model: Path, given: Sequence[Mapping[str, NDArray[Any]]]) -> float:
    """Operations of all these calls together: two for each multiplication with its addition, in matrix products and fused attention.

    given: the values of each call by name, of which the graph takes those that it has inputs for.
    """
    import onnxruntime

    with scratch_folder("graph") as scratch:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(scratch) / "profile")
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        types = {item.name: np.int32 if "int32" in item.type else None for item in session.get_inputs()}
        for values in given:
            session.run(None, {name: np.asarray(values[name], kind) for name, kind in types.items()})
        events = json.loads(Path(session.end_profiling()).read_bytes())
    return float(sum(_operations(event.get("args", {})) for event in events))


def _operations(arguments: Mapping[str, Any]) -> int:
    """Of one executed node; 0 for what is not a product."""
    operator = arguments.get("op_name")
    if not (arguments.get("input_type_shape") and arguments.get("output_type_shape")):
        return 0
    inputs, output = _shapes(arguments["input_type_shape"]), _shapes(arguments["output_type_shape"])[0]
    if operator in PRODUCTS:
        return 2 * prod(output) * inputs[0][-1]
    if operator == "MultiHeadAttention" and len(inputs) > 1 and len(inputs[0]) == len(inputs[1]) == 3:
        batch, tokens, width = inputs[0]
        return 4 * batch * tokens * inputs[1][1] * width
    return 0


def _shapes(described: Sequence[Mapping[str, Sequence[int]]]) -> list[list[int]]:
    return [list(next(iter(one.values()), [])) or [1] for one in described]
