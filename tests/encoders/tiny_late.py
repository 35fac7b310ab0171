"""Late-interaction model folders small enough to compute by hand, alone or as a head that reads another model's token states."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from engine.models.card import read_card
from tests.encoders.tiny import TABLE, rewrite_card, write_model

MARKED = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]", "red", "green", "blue", ",", "."]
VALUES: NDArray[np.float32] = np.array([[10 * i, i] for i in range(len(MARKED))], np.float32)
"""The vector of the token i is [10 i, i]; the graph adds the number of tokens that are attended to."""


def write_late(folder: Path, *, attention: bool = True, **card: Any) -> Path:
    """A model of its own, with marker tokens that lower-casing would break; keyword arguments override the card's fields."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(MARKED)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=special)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ("input_ids", "attention_mask") if attention else ("input_ids",)
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in names]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["rows" if attention else "token_vectors"])]
    if attention:
        nodes += [
            helper.make_node("ReduceSum", ["attention_mask", "axis"], ["count"], keepdims=1),
            helper.make_node("Cast", ["count"], ["seen"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["seen", "axis"], ["column"]),
            helper.make_node("Add", ["rows", "column"], ["token_vectors"]),
        ]
    output = helper.make_tensor_value_info("token_vectors", TensorProto.FLOAT, ["batch", "tokens", 2])
    constants = [numpy_helper.from_array(VALUES, "table"), numpy_helper.from_array(np.array([1], np.int64), "axis")]
    graph = helper.make_graph(nodes, "late", inputs, [output], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    return rewrite_card(folder, **{"name": folder.name, "family": "late", "pooling": "none"} | card)


PROJECTION: NDArray[np.float32] = np.array([[1, 0, 1], [0, 1, 1]], np.float32)


def write_head(folder: Path, **card: Any) -> Path:
    """A head in `folder` that turns the states [a, b] of the model `body` beside it (`tests.encoders.tiny`) into [a, b, a + b]."""
    body = read_card(write_model(folder.parent / "body", name="body"))
    folder.mkdir(parents=True, exist_ok=True)
    states = helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, [1, "tokens", TABLE.shape[1]])
    output = helper.make_tensor_value_info("token_vectors", TensorProto.FLOAT, [1, "tokens", 3])
    nodes = [helper.make_node("MatMul", ["token_embeddings", "projection"], ["token_vectors"])]
    graph = helper.make_graph(nodes, "head", [states], [output], [numpy_helper.from_array(PROJECTION, "projection")])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    fields = {"body": "body", "body_fingerprint": body.fingerprint, "dimensions": 3}
    return rewrite_card(folder, **{"name": folder.name, "family": "late", "pooling": "none"} | fields | card)
