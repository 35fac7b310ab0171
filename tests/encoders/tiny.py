"""A model folder small enough to compute by hand: each word is a row of a table, and the graph returns the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from engine.models.card import ModelCard, describe_file, read_card, write_card

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "blue", "query:", "passage:"]
TABLE: NDArray[np.float32] = np.array(
    [[50, 50], [7, 7], [1, 0], [0, 1], [4, 0], [0, 4], [4, 4], [8, 0], [0, 8]], dtype=np.float32
)
"""Token states by id: [PAD] would spoil any pooling that does not leave it out."""


def write_tokenizer(path: Path, special: bool = True) -> None:
    """White-space words; [CLS] … [SEP] around them unless `special` is false."""
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if special:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    tokenizer.save(str(path))


def write_graph(path: Path, mask: bool, batch_effect: bool = False, table: NDArray[np.float32] = TABLE) -> None:
    """token_embeddings = table[input_ids], plus the number of texts in the call where `batch_effect` is set."""
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    inputs = [ids, helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "tokens"])][: 1 + mask]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["rows"])]
    if batch_effect:
        nodes += [
            helper.make_node("Shape", ["input_ids"], ["shape"], start=0, end=1),
            helper.make_node("Cast", ["shape"], ["size"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["rows", "size"], ["token_embeddings"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["rows"], ["token_embeddings"]))
    output = helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, ["batch", "tokens", table.shape[1]])
    graph = helper.make_graph(nodes, "tiny", inputs, [output], [numpy_helper.from_array(table, "table")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def write_model(
    folder: Path, *, mask: bool = True, special: bool = True, batch_effect: bool = False, **card: Any
) -> Path:
    """A model folder; keyword arguments override the card's fields (pooling mean, similarity dot, 8 tokens)."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder / "tokenizer.json", special)
    write_graph(folder / "model.onnx", mask, batch_effect, card.pop("table", TABLE))
    return rewrite_card(folder, **card)


TERMS: NDArray[np.float32] = np.zeros((2, len(WORDS)), np.float32)
"""From token states to terms: a first coordinate of x gives x/2 to "blue", a second one y gives y/4 to "query:"."""
TERMS[0, 6], TERMS[1, 7] = 0.5, 0.25


def write_terms_graph(path: Path, head: bool, table: NDArray[np.float32] = TABLE, sign: float = 1.0) -> None:
    """term_weights = the largest over tokens of (1 at the token itself + states · TERMS), not below 0; the last token, [SEP], left out.

    head: the states are an input; else they are rows of `table`. sign: -1 turns the weights over.
    """
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    states = helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, ["batch", "tokens", table.shape[1]])
    constants = {
        "terms": TERMS,
        "depth": np.array(len(WORDS)),
        "values": np.array([0, 1], np.float32),
        "axis": np.array([1]),
        "zero": np.array([0]),
        "last": np.array([-1]),
        "sign": np.array(sign, np.float32),
        "table": table,
    }
    nodes = [] if head else [helper.make_node("Gather", ["table", "input_ids"], ["token_embeddings"])]
    nodes += [
        helper.make_node("MatMul", ["token_embeddings", "terms"], ["expansion"]),
        helper.make_node("OneHot", ["input_ids", "depth", "values"], ["literal"]),
        helper.make_node("Add", ["expansion", "literal"], ["both"]),
        helper.make_node("Slice", ["both", "zero", "last", "axis"], ["read"]),
        helper.make_node("Relu", ["read"], ["positive"]),
        helper.make_node("ReduceMax", ["positive"], ["most"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["most", "sign"], ["term_weights"]),
    ]
    output = helper.make_tensor_value_info("term_weights", TensorProto.FLOAT, ["batch", len(WORDS)])
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", [states, ids] if head else [ids], [output], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def write_sparse(
    folder: Path,
    *,
    body: Path | None = None,
    query_weights: NDArray[np.float32] | None = None,
    table: NDArray[np.float32] = TABLE,
    sign: float = 1.0,
    **card: Any,
) -> Path:
    """A sparse model over the tiny vocabulary: a head where `body` (a model folder beside it) is given, else a graph of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    write_terms_graph(folder / "model.onnx", body is not None, table, sign)
    fields: dict[str, Any] = {"name": folder.name, "family": "sparse", "dimensions": len(WORDS), "pooling": "none"}
    if body is not None:
        fields |= {"body": body.name, "body_fingerprint": read_card(body).fingerprint}
    else:
        write_tokenizer(folder / "tokenizer.json")
    if query_weights is not None:
        np.save(folder / "query_weights.npy", query_weights)
        fields["queries"] = "inference-free"
    files = {path.name: describe_file(path) for path in folder.iterdir() if path.name != "card.json"}
    return rewrite_card(folder, **(fields | {"files": files} | card))


def rewrite_card(folder: Path, **card: Any) -> Path:
    """Write a card that matches the files as they are."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "title": "Tiny",
        "source": "made by the test",
        "revision": "1",
        "licence": "CC0-1.0",
        "dimensions": 2,
        "max_tokens": 8,
        "similarity": "dot",
        "pooling": "mean",
        "files": {
            name: describe_file(folder / name) for name in ("model.onnx", "tokenizer.json") if (folder / name).exists()
        },
    }
    write_card(folder, ModelCard.model_validate(fields | card))
    return folder


WORTH: NDArray[np.float32] = np.array([[50], [7], [0], [0], [1], [2], [4], [8], [16]], dtype=np.float32)
"""What a token adds to the logit of a pair, by id; ten times as much in the second text. Padding would spoil it."""


def write_pairs_graph(path: Path, mask: bool, batch_effect: bool = False) -> None:
    """logits = the sum over tokens of WORTH · (1 + 9 · type), of unpadded tokens where `mask`; plus the pairs in the call with `batch_effect`."""
    names = ("input_ids", "token_type_ids", "attention_mask")[: 2 + mask]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "tokens"]) for name in names]
    constants = {
        "worth": WORTH[:, 0],
        "nine": np.array(9, np.float32),
        "one": np.array(1, np.float32),
        "axis": np.array([1]),
    }
    nodes = [
        helper.make_node("Gather", ["worth", "input_ids"], ["each"]),
        helper.make_node("Cast", ["token_type_ids"], ["second"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["second", "nine"], ["more"]),
        helper.make_node("Add", ["more", "one"], ["times"]),
        helper.make_node("Mul", ["each", "times"], ["told"]),
    ]
    if mask:
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["told", "real"], ["kept"]),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["told"], ["kept"]))
    nodes.append(helper.make_node("ReduceSum", ["kept", "axis"], ["sum" if batch_effect else "logits"], keepdims=1))
    if batch_effect:
        nodes += [
            helper.make_node("Shape", ["input_ids"], ["shape"], start=0, end=1),
            helper.make_node("Cast", ["shape"], ["size"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["sum", "size"], ["logits"]),
        ]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1])
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, [output], initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def write_cross(folder: Path, *, mask: bool = True, batch_effect: bool = False, **card: Any) -> Path:
    """A cross-encoder over the tiny vocabulary; pairs are written [CLS] a [SEP] b [SEP], with type 1 from b on."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel({word: row for row, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    write_pairs_graph(folder / "model.onnx", mask, batch_effect)
    return rewrite_card(folder, **{"family": "cross", "dimensions": 1, "pooling": "none", "max_tokens": 16} | card)
