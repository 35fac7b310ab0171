"""Graph surgery and rounding: each rewritten graph against the one it replaces, run by ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.export.quantise.int8 import LIMIT, quantise_products, round_weights
from engine.export.quantise.surgery import decompose_layer_norms, drop_mask, quantise_embeddings

RNG = np.random.default_rng(7)
VOCABULARY, WIDTH = 1500, 96


def build(nodes: list[Any], tensors: dict[str, NDArray[Any]], mask: bool = False) -> onnx.ModelProto:
    names = ["input_ids", "attention_mask"][: 1 + mask]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in names]
    output = helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, None)
    initializers = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "test", inputs, [output], initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def run(model: onnx.ModelProto, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, {"input_ids": ids[None]})[0]
    return result


def floats(*shape: int) -> NDArray[np.float32]:
    return RNG.normal(size=shape).astype(np.float32)


def test_layer_norms_become_primitive_operators_with_the_same_result() -> None:
    tensors = {name: floats(WIDTH) for name in ("weight", "bias", "offset")} | {"table": floats(VOCABULARY, WIDTH)}
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("LayerNormalization", ["rows", "weight", "bias"], ["normal"], epsilon=1e-12),
        helper.make_node(
            "SkipLayerNormalization",
            ["normal", "rows", "weight", "bias", "offset"],
            ["token_embeddings"],
            domain="com.microsoft",
            epsilon=1e-3,
        ),
    ]
    model, ids = build(nodes, tensors), np.arange(40)
    before = run(model, ids)
    decompose_layer_norms(model)
    assert not [node for node in model.graph.node if "LayerNormalization" in node.op_type]
    np.testing.assert_allclose(run(model, ids), before, atol=1e-5)


def test_embeddings_are_within_half_a_step_of_the_row() -> None:
    table = floats(VOCABULARY, WIDTH) * np.linspace(0, 5, VOCABULARY, dtype=np.float32)[:, None]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["token_embeddings"])]
    model, ids = build(nodes, {"table": table}), np.arange(VOCABULARY)
    quantise_embeddings(model)
    assert model.ByteSize() < table.nbytes * 0.27
    step = np.abs(table).max(axis=1, keepdims=True) / 127
    assert (np.abs(run(model, ids)[0] - table) <= step / 2 + 1e-6).all()


def test_small_tables_stay_as_they_are() -> None:
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["token_embeddings"])]
    model = build(nodes, {"table": floats(512, 8)})
    quantise_embeddings(model)
    assert [node.op_type for node in model.graph.node] == ["Gather"]


def test_weights_on_the_grid_are_kept_exactly() -> None:
    integers = RNG.integers(-LIMIT, LIMIT + 1, size=(WIDTH, 24))
    integers[0] = LIMIT
    weight = (integers * np.linspace(0.1, 2, 24)).astype(np.float32)
    rounded, scales = round_weights(weight, floats(300, WIDTH))
    np.testing.assert_array_equal(rounded, integers)
    np.testing.assert_allclose(scales, np.linspace(0.1, 2, 24), rtol=1e-6)


def test_rounding_beats_the_nearest_integers_on_correlated_inputs() -> None:
    inputs, weight = floats(4000, 12) @ floats(12, WIDTH) + 0.1 * floats(4000, WIDTH), floats(WIDTH, 24)
    rounded, scales = round_weights(weight, inputs)
    assert np.abs(rounded.astype(int)).max() <= LIMIT
    nearest = np.rint(weight / scales) * scales
    fresh = inputs - inputs.mean(axis=0)
    assert np.square(fresh @ (rounded * scales - weight)).sum() < 0.5 * np.square(fresh @ (nearest - weight)).sum()


def test_a_channel_of_zeros_is_not_divided_by() -> None:
    rounded, scales = round_weights(np.zeros((WIDTH, 3), dtype=np.float32), floats(50, WIDTH))
    assert not rounded.any()
    assert np.isfinite(scales).all()


def test_products_in_int8_are_close_in_spite_of_outliers() -> None:
    table = floats(VOCABULARY, WIDTH)
    table[:, 5] *= 40
    tensors = {"table": table, "one": floats(WIDTH, 48), "two": floats(WIDTH, 32)}
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "one"], ["first"]),
        helper.make_node("MatMul", ["rows", "two"], ["second"]),
        helper.make_node("Concat", ["first", "second"], ["token_embeddings"], axis=2),
    ]
    model, ids = build(nodes, tensors), np.arange(700, 800)
    exact = run(model, ids)
    quantise_products(model, [np.arange(start, start + 50) for start in range(0, 600, 50)])
    operators = [node.op_type for node in model.graph.node]
    assert operators.count("MatMulInteger") == 2
    assert operators.count("DynamicQuantizeLinear") == 1
    error = run(model, ids) - exact
    assert np.sqrt(np.square(error).mean()) < 0.01 * np.sqrt(np.square(exact).mean())


def attention(*inputs: str) -> Any:
    return helper.make_node(
        "MultiHeadAttention", list(inputs), ["token_embeddings"], domain="com.microsoft", num_heads=2
    )


def test_a_graph_with_fused_attention_loses_its_mask() -> None:
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.INT32),
        attention("rows", "rows", "rows", "", "mask"),
    ]
    model = build(nodes, {"table": floats(VOCABULARY, WIDTH)}, mask=True)
    drop_mask(model)
    assert [item.name for item in model.graph.input] == ["input_ids"]
    assert [node.op_type for node in model.graph.node] == ["Gather", "MultiHeadAttention"]
    assert run(model, np.arange(9)).shape == (1, 9, WIDTH)


def test_a_mask_used_elsewhere_becomes_ones() -> None:
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["rows", "column"], ["token_embeddings"]),
    ]
    table = floats(VOCABULARY, WIDTH)
    model = build(nodes, {"table": table, "last": np.array([-1])}, mask=True)
    drop_mask(model)
    assert [item.name for item in model.graph.input] == ["input_ids"]
    np.testing.assert_array_equal(run(model, np.arange(9))[0], table[:9])


def test_a_layer_norm_without_bias_has_the_same_result() -> None:
    tensors = {"weight": floats(WIDTH), "table": floats(VOCABULARY, WIDTH)}
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("LayerNormalization", ["rows", "weight"], ["token_embeddings"], epsilon=1e-5),
    ]
    model, ids = build(nodes, tensors), np.arange(40)
    before = run(model, ids)
    decompose_layer_norms(model)
    assert "LayerNormalization" not in {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(run(model, ids), before, atol=1e-5)


def test_a_layer_norm_whose_sum_is_read_stays() -> None:
    tensors = {"weight": floats(WIDTH), "bias": floats(WIDTH), "table": floats(VOCABULARY, WIDTH)}
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node(
            "SkipLayerNormalization",
            ["rows", "rows", "weight", "bias"],
            ["normal", "", "", "sum"],
            domain="com.microsoft",
        ),
        helper.make_node("Add", ["normal", "sum"], ["token_embeddings"]),
    ]
    model, ids = build(nodes, tensors), np.arange(40)
    before = run(model, ids)
    decompose_layer_norms(model)
    assert [node.op_type for node in model.graph.node] == ["Gather", "SkipLayerNormalization", "Add"]
    np.testing.assert_array_equal(run(model, ids), before)
