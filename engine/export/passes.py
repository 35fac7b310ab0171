"""The second graph of a pair model (engine.training.pair_model): one pass over a query and many candidates, with the weights of `model.onnx`.

Graph: input_ids, token_type_ids, int64 [1, tokens] -> logits [candidates, 1]; types are the number of each token's text, 0 for the query. Its matrices
and tables are not stored again: they point to bytes within `model.onnx`, as the ONNX format allows for data outside the file.

Where these are int8, activations take fixed steps, found on sample passes, instead of steps found anew for every call: a pass holds many
candidates, and a step of the call would let one candidate change the score of another.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import BadInput
from engine.export.quantise.int8 import Sample, constant_products, observe
from engine.export.quantise.surgery import decompose_layer_norms, prune, quantise_embeddings, replace
from engine.models.card import MODEL_FILE, PASSES_FILE
from engine.system.scratch import scratch as scratch_folder

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
NARROW = (
    8  # matrices of fewer outputs stay float32: they cost nothing, and what goes in is as wide as what a score can be
)
FUSED = "com.microsoft"  # ONNX Runtime's own operators: an int8 product that is scaled back on the way out
SHARED_FROM = 4_096  # bytes: what is smaller is stored again
SAME = 0.3  # of a matrix' size: an int8 matrix that differs by less is its rounding; another one differs by more than the size
STORED = 1_500_000  # bytes: a pass graph that needs more of its own does not share its weights


def write_pass_graph(stage: Any, folder: Path, samples: Sequence[Sample]) -> None:
    """Write PASSES_FILE beside the finished MODEL_FILE of the same model; samples: typical passes.

    Raises BadInput where MODEL_FILE does not hold the weights, which is so for precisions other than float32 and int8.
    """
    import onnx

    held = onnx.load(folder / MODEL_FILE)
    with scratch_folder("export") as scratch:
        traced = Path(scratch) / "pass.onnx"
        _trace(stage, traced)
        model = onnx.load(traced)
    if any(node.op_type == "MatMulInteger" for node in held.graph.node):
        decompose_layer_norms(model)
        _borrow_products(model, _int8_products(held), samples)
        quantise_embeddings(model)
        model.opset_import.add(domain=FUSED, version=1)
    _point_into(model, folder / MODEL_FILE)
    model.ir_version = 8
    onnx.save(model, folder / PASSES_FILE)


def pass_of(texts: Sequence[NDArray[np.int64]]) -> Sample:
    """The inputs of a pass; texts: token ids of the query and of each candidate."""
    numbers = np.repeat(np.arange(len(texts)), [len(ids) for ids in texts])
    return {"input_ids": np.concatenate(texts), "token_type_ids": numbers}


def _trace(stage: Any, target: Path) -> None:
    """The float32 graph as torch runs it."""
    import torch

    from engine.export.pair.passes import read_pass

    class Graph(torch.nn.Module):  # type: ignore[misc, unused-ignore]  # torch is untyped where it is not installed
        def __init__(self) -> None:
            super().__init__()
            self.model = stage

        def forward(self, ids: Any, texts: Any) -> Any:
            return read_pass(stage, ids[0], texts[0])

    ids = torch.arange(3, 37)[None]
    texts = torch.repeat_interleave(torch.arange(4), torch.tensor([6, 11, 9, 8]))[None]
    with warnings.catch_warnings():  # deprecation of this exporter, and tracing remarks about shapes that stay dynamic
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Graph().eval(),
            (ids, texts),
            str(target),
            dynamo=False,
            opset_version=OPSET,
            input_names=["input_ids", "token_type_ids"],
            output_names=["logits"],
            dynamic_axes={"input_ids": {1: "tokens"}, "token_type_ids": {1: "tokens"}, "logits": {0: "candidates"}},
        )


class _Product:
    """An int8 product of `engine.export.quantise.int8`: its arrays by their names in the graph, and the float32 matrix that they stand for."""

    def __init__(self, name: str, source: str, arrays: dict[str, NDArray[Any]]) -> None:
        self.name, self.source = name, source
        self.int8, self.scales = arrays[f"{name}/int8"], arrays[f"{name}/scales"]
        self.error, self.smoothing = arrays[f"{name}/error"], arrays[f"{source}/smoothing"]
        self.outliers = arrays.get(f"{source}/outliers", np.zeros(0, np.int64))
        self.outlying = arrays.get(f"{name}/outlying", np.zeros((0, self.int8.shape[1]), np.float32))

    def matrix(self) -> NDArray[np.float32]:
        """float32 [channels, outputs], to within the rounding."""
        matrix: NDArray[np.float32] = self.int8 * self.scales * self.smoothing[:, None]
        matrix[self.outliers] = self.outlying
        return matrix


def _int8_products(held: ModelProto) -> list[_Product]:
    from onnx import numpy_helper

    arrays = {item.name: numpy_helper.to_array(item) for item in held.graph.initializer}
    nodes = [node for node in held.graph.node if node.op_type == "MatMulInteger"]
    return [
        _Product(node.input[1].removesuffix("/int8"), node.input[0].removesuffix("/uint8"), arrays) for node in nodes
    ]


def _borrow_products(model: ModelProto, held: Sequence[_Product], samples: Sequence[Sample]) -> None:
    """Let every product with a constant matrix use the int8 matrix that stands for it, on inputs of fixed steps."""
    from onnx import numpy_helper

    products, weights = constant_products(model)
    weights = {name: matrix for name, matrix in weights.items() if matrix.shape[1] >= NARROW}
    products = [node for node in products if node.input[1] in weights]
    names = list(dict.fromkeys(node.input[0] for node in products))
    observed = observe(model, names, samples)
    nodes: list[Any] = []
    tensors: dict[str, NDArray[Any]] = {}
    prepared: set[str] = set()
    for node in model.graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            nodes.append(node)
            continue
        product = _rounding_of(weights[node.input[1]], held)
        name = node.input[0]
        if name not in prepared:
            prepared.add(name)
            nodes += _input_nodes(name, product, observed[name], tensors)
        nodes += _product_nodes(name, node.output[0], product, tensors)
    replace(model.graph.node, nodes)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in tensors.items())
    prune(model)


def _rounding_of(weight: NDArray[np.float32], held: Sequence[_Product]) -> _Product:
    """The int8 product of this float32 matrix."""
    alike = [product for product in held if product.int8.shape == weight.shape]
    errors = [float(np.linalg.norm(product.matrix() - weight) / np.linalg.norm(weight)) for product in alike]
    if not errors or min(errors) > SAME:
        raise BadInput(f"{MODEL_FILE} does not hold the weights of this model; export it again as a whole.")
    return alike[int(np.argmin(errors))]


def _input_nodes(
    name: str, product: _Product, values: NDArray[np.float32], tensors: dict[str, NDArray[Any]]
) -> list[Any]:
    """Smoothing, the uint8 form in which all of `values`, and 0, have a number, and the outliers on their own."""
    from onnx.helper import make_node

    smooth = values * product.smoothing
    lowest, highest = min(0.0, float(smooth.min())), max(0.0, float(smooth.max()))
    step = (highest - lowest) / 255 or 1.0
    tensors[f"{name}/smoothing"] = product.smoothing
    tensors[f"{name}/scale"] = np.array(step, np.float32)
    tensors[f"{name}/zero"] = np.array(round(-lowest / step), np.uint8)
    nodes = [
        make_node("Mul", [name, f"{name}/smoothing"], [f"{name}/smooth"]),
        make_node("QuantizeLinear", [f"{name}/smooth", f"{name}/scale", f"{name}/zero"], [f"{name}/uint8"]),
    ]
    if len(product.outliers):
        tensors[f"{name}/outliers"] = product.outliers
        nodes.append(make_node("Gather", [name, f"{name}/outliers"], [f"{name}/outlying"], axis=-1))
    return nodes


def _product_nodes(name: str, output: str, product: _Product, tensors: dict[str, NDArray[Any]]) -> list[Any]:
    from onnx.helper import make_node

    held = product.name
    tensors[f"{held}/int8"], tensors[f"{held}/zero"] = product.int8, np.zeros(len(product.scales), np.int8)
    tensors[f"{held}/scales"], tensors[f"{held}/error"] = product.scales, product.error
    inputs = [f"{name}/uint8", f"{held}/int8", f"{name}/scale", f"{held}/scales", f"{name}/zero", f"{held}/zero"]
    total = f"{output}/covered" if len(product.outliers) else output
    nodes = [make_node("MatMulIntegerToFloat", [*inputs, f"{held}/error"], [total], domain=FUSED)]
    if len(product.outliers):
        tensors[f"{held}/outlying"] = product.outlying
        nodes.append(make_node("MatMul", [f"{name}/outlying", f"{held}/outlying"], [f"{output}/beside"]))
        nodes.append(make_node("Add", [total, f"{output}/beside"], [output]))
    return nodes


def _point_into(model: ModelProto, held: Path) -> None:
    """Where the bytes of an initializer stand in the file `held`, let it point there instead of storing them."""
    from onnx import TensorProto, numpy_helper

    data, own = held.read_bytes(), 0
    for item in model.graph.initializer:
        raw = numpy_helper.to_array(item).tobytes()
        place = data.find(raw) if len(raw) >= SHARED_FROM else -1
        if place < 0:
            own += len(raw)
            continue
        for field in ("raw_data", "float_data", "int32_data", "int64_data"):
            item.ClearField(field)
        item.data_location = TensorProto.EXTERNAL
        for key, value in (("location", held.name), ("offset", place), ("length", len(raw))):
            item.external_data.add(key=key, value=str(value))
    if own > STORED:
        raise BadInput(f"{held.name} does not hold the weights of this model in a form that a second graph can share.")
