"""How fast this computer multiplies matrices: the peak that an encoder's speed is compared with (the roofline's roof).

Each peak is one product of two 1,024 x 1,024 matrices, run by ONNX Runtime itself on the hardware in question, so that it is a speed that this
program could reach. The graphs have one node; they are written here byte by byte, since running models does not need the package onnx.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.encoders.providers import Provider

Kind = Literal["float32", "float16", "int8"]
SIZE = 1024
SECONDS = 0.5
_OPERATORS: dict[Kind, tuple[str, int, int, int]] = {  # operator, and the element types of left, right and result
    "float32": ("MatMul", 1, 1, 1),
    "float16": ("MatMul", 10, 10, 10),
    "int8": ("MatMulInteger", 2, 3, 6),
}
_ARRAYS: dict[Kind, tuple[type[Any], type[Any]]] = {
    "float32": (np.float32, np.float32),
    "float16": (np.float16, np.float16),
    "int8": (np.uint8, np.int8),
}


def peak(kind: Kind, provider: Provider, threads: int, seconds: float = SECONDS) -> float | None:
    """Operations a second (a multiplication and an addition are two), the best of several runs; None where this hardware lacks the operator."""
    import onnxruntime

    rng = np.random.default_rng(0)
    left, right = (rng.integers(0, 60, (SIZE, SIZE)).astype(kept) for kept in _ARRAYS[kind])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            product_graph(kind, right), options, providers=provider.execution_providers[:1]
        )
        run = _bound(session, provider, left)
        run()
    except Exception:  # the library raises many types, none of them documented, for operators without a kernel
        return None
    if session.get_providers()[0] != provider.execution_providers[0]:
        return None
    best, until = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < until:
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return 2.0 * SIZE**3 / best


def _bound(session: Any, provider: Provider, left: NDArray[Any]) -> Any:
    """A call without arguments; on CUDA both matrices and the result stay on the GPU."""
    if provider.name != "cuda":
        return lambda: session.run(["result"], {"left": left})
    import onnxruntime

    binding = session.io_binding()
    binding.bind_ortvalue_input("left", onnxruntime.OrtValue.ortvalue_from_numpy(left, "cuda", 0))
    binding.bind_output("result", "cuda")

    def run() -> None:
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()

    return run


def product_graph(kind: Kind, right: NDArray[Any]) -> bytes:
    """An ONNX model `result = left x right`, where right [channels, outputs] is part of it (field numbers as in onnx.proto)."""
    operator, left_type, right_type, result_type = _OPERATORS[kind]
    node = _text(1, "left") + _text(1, "right") + _text(2, "result") + _text(4, operator)
    weights = (
        b"".join(_number(1, size) for size in right.shape)
        + _number(2, right_type)
        + _text(8, "right")
        + _bytes(9, right.tobytes())
    )
    graph = (
        _bytes(1, node)
        + _text(2, "product")
        + _bytes(5, weights)
        + _bytes(11, _value("left", left_type))
        + _bytes(12, _value("result", result_type))
    )
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _number(2, 17))


def _value(name: str, element: int) -> bytes:
    """A matrix of any size as input or output."""
    sizes = b"".join(_bytes(1, _text(2, axis)) for axis in (f"{name}_rows", f"{name}_columns"))
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, element) + _bytes(2, sizes)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
