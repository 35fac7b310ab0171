"""4-bit weights: what is packed is what the runtime multiplies with."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.export.quantise.int4 import BLOCK, pack, quantise_int4, round_blocks

RNG = np.random.default_rng(11)
VOCABULARY = 1200


def floats(*shape: int) -> NDArray[np.float32]:
    return RNG.normal(size=shape).astype(np.float32)


def restored(integers: NDArray[np.uint8], scales: NDArray[np.float32], zeros: NDArray[np.uint8]) -> NDArray[np.float64]:
    block = np.arange(len(integers)) // BLOCK
    return (integers.astype(np.float64) - zeros[block]) * scales[block]


def test_halves_are_packed_output_by_output() -> None:
    integers = np.zeros((BLOCK + 1, 2), dtype=np.uint8)
    integers[:3, 0] = 1, 2, 3
    integers[BLOCK, 1] = 15
    packed, scales, zeros = pack(integers, np.array([[1, 2], [3, 4]], np.float32), np.array([[5, 6], [7, 8]], np.uint8))
    assert packed.shape == (2, 2, BLOCK // 2)
    assert packed[0, 0, :2].tolist() == [1 | 2 << 4, 3]
    assert packed[1, 1].tolist() == [15] + [0] * (BLOCK // 2 - 1)
    assert scales.tolist() == [1, 3, 2, 4]
    assert zeros.tolist() == [5 | 7 << 4, 6 | 8 << 4]


@pytest.mark.parametrize(("channels", "outputs"), [(96, 48), (100, 7), (33, 5), (16, 1)])
def test_the_runtime_multiplies_with_the_rounded_weights(channels: int, outputs: int) -> None:
    table, weight = floats(VOCABULARY, channels), floats(channels, outputs)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weight"], ["token_embeddings"]),
    ]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    output = helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(weight, "weight")]
    model = helper.make_model(
        helper.make_graph(nodes, "test", [ids], [output], tensors),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    seen = np.arange(1000)
    quantise_int4(model, [seen[:500], seen[500:]])
    assert [node.op_type for node in model.graph.node if node.op_type.startswith("MatMul")] == ["MatMulNBits"]
    new = np.arange(1000, VOCABULARY)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"input_ids": new[None]})[0][0]
    expected = table[new] @ restored(*round_blocks(weight, table[seen]))
    assert np.sqrt(np.square(found - expected).mean()) < 0.015 * np.sqrt(
        np.square(expected).mean()
    )  # 8-bit activations
    alone = session.run(None, {"input_ids": new[None, 7:8]})[0][0]
    np.testing.assert_allclose(alone[0], found[7], atol=1e-4)


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_no_weight_is_off_by_more_than_its_block_allows(channels: int, outputs: int, seed: int) -> None:
    """Uncorrelated inputs leave nothing to compensate, so rounding is to the nearest: half a step, and the zero's own rounding."""
    weight = np.random.default_rng(seed).normal(size=(channels, outputs)).astype(np.float32)
    integers, scales, zeros = round_blocks(weight, np.eye(channels, dtype=np.float32))
    assert integers.max() <= 15
    assert zeros.max() <= 15
    step = scales[np.arange(channels) // BLOCK]
    assert (np.abs(restored(integers, scales, zeros) - weight) <= 1.001 * step).all()


def test_rounding_beats_the_nearest_integers_on_correlated_inputs() -> None:
    inputs, weight = floats(4000, 12) @ floats(12, 96) + 0.1 * floats(4000, 96), floats(96, 24)
    compensated = restored(*round_blocks(weight, inputs))
    nearest = restored(*round_blocks(weight, np.eye(96, dtype=np.float32)))
    assert np.square(inputs @ (compensated - weight)).sum() < 0.5 * np.square(inputs @ (nearest - weight)).sum()


def test_matrices_of_zeros_are_not_divided_by() -> None:
    integers, scales, zeros = round_blocks(np.zeros((20, 3), dtype=np.float32), floats(50, 20))
    assert not restored(integers, scales, zeros).any()
