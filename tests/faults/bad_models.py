"""Models that harm whoever runs them: an endless graph, one that gives no numbers, one that gives the same for every text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.models.card import describe_file, read_card, write_card
from tests.encoders.tiny import TABLE, rewrite_card, write_tokenizer

Harm = Literal["endless", "nan", "inf", "zero", "constant", "none"]
_VALUES = {"nan": np.nan, "inf": np.inf, "zero": 0.0, "constant": 3.0}


def write_bad_graph(path: Path, harm: Harm) -> None:
    """token_embeddings = rows of the tiny table, after endless rounds of a Loop, or replaced by one value."""
    rows = helper.make_node("Gather", ["table", "input_ids"], ["rows"])
    tensors = {"table": TABLE}
    if harm == "endless":
        carried = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("state", "next")]
        number = helper.make_tensor_value_info("round", TensorProto.INT64, [])
        going, goes_on = (helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("going", "goes_on"))
        body = helper.make_graph(
            [helper.make_node("Identity", ["going"], ["goes_on"]), helper.make_node("Neg", ["state"], ["next"])],
            "body",
            [number, going, carried[0]],
            [goes_on, carried[1]],
        )
        tensors |= {"rounds": np.array(2**62, np.int64), "yes": np.array(True)}
        nodes = [rows, helper.make_node("Loop", ["rounds", "yes", "rows"], ["token_embeddings"], body=body)]
    elif harm == "none":
        nodes = [rows, helper.make_node("Identity", ["rows"], ["token_embeddings"])]
    else:
        tensors |= {"nothing": np.array(0, np.float32), "value": np.array(_VALUES[harm], np.float32)}
        nodes = [
            rows,
            helper.make_node("Mul", ["rows", "nothing"], ["zeros"]),
            helper.make_node("Add", ["zeros", "value"], ["token_embeddings"]),
        ]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    output = helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, ["batch", "tokens", TABLE.shape[1]])
    graph = helper.make_graph(
        nodes, harm, [ids], [output], [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def write_bad_model(folder: Path, harm: Harm, **card: Any) -> Path:
    """A finished dense model, whose card fits its files."""
    folder.mkdir(parents=True)
    write_tokenizer(folder / "tokenizer.json")
    write_bad_graph(folder / "model.onnx", harm)
    return rewrite_card(folder, **{"name": folder.name} | card)


def spoil(folder: Path, harm: Harm) -> Path:
    """Let the graph of a finished model, of any family, give one value for everything, and its card fit its files again."""
    path = folder / "model.onnx"
    model = onnx.load(path)
    told = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["meant" if name == told else name for name in node.output]
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.float32), name)
        for name, value in (("nothing", 0), ("value", _VALUES[harm]))
    )
    model.graph.node.extend(
        [
            helper.make_node("Mul", ["meant", "nothing"], ["zeros"]),
            helper.make_node("Add", ["zeros", "value"], [told]),
        ]
    )
    onnx.save(model, path)
    card = read_card(folder)
    write_card(folder, card.model_copy(update={"files": card.files | {path.name: describe_file(path)}}))
    return folder
